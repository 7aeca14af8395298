"""How a command's results become entries of the store.

Promises that a default store which cannot be written costs one warning and nothing else; one that
the user named fails loudly. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gadprof.errors import StoreError
from gadprof.output import tell
from gadprof.results.figures import KEYS
from gadprof.store.store import NewEntry, Recording, Store, chosen_path, record

if TYPE_CHECKING:
    from pathlib import Path

    from gadprof.audit.audit import Audit
    from gadprof.audit.reconcile import Reconciliation
    from gadprof.comparison.compare import ComparedRow
    from gadprof.counting.records import Trace
    from gadprof.formulas.formula import Formula
    from gadprof.measuring.result import BenchResult
    from gadprof.pose.accuracy import Accuracy
    from gadprof.pose.redundancy import Redundancy


def record_rows(
    rows: Sequence[ComparedRow], *, store: str | None = None, name: str | None = None
) -> None:
    """Keep each row that did not fail, as ``cost`` (analytic) or ``count``. Raises StoreError."""
    entries = [
        NewEntry(
            "cost" if row.method == "analytic" else "count",
            row.model,
            {**{key: getattr(row, key) for key in KEYS}, "uncovered": dict(row.uncovered)},
            {"input": row.input, "batch": row.batch, "method": row.method},
        )
        for row in rows
        if row.error is None
    ]
    if entries:
        record(entries, store=store, name=name)


def record_trace(
    model: str, trace: Trace, *, store: str | None = None, name: str | None = None
) -> None:
    """Keep a trace's totals as ``count``. Raises StoreError."""
    result = {
        "params": trace.params,
        "macs": trace.macs,
        "flops": trace.flops,
        "activations": trace.activations,
        "peak_activation_bytes": trace.peak_activation_bytes,
        "weight_bytes": trace.param_bytes,
        "uncovered": dict(trace.uncovered),
    }
    shapes = [tuple(shape[1:]) for shape in trace.input_shapes]
    method = "plan" if trace.device == "plan" else "trace"
    settings = {"input": shapes, "batch": trace.batch, "method": method, "train": trace.train}
    record([NewEntry("count", model, result, settings)], store=store, name=name)


def record_audits(
    audits: Sequence[Audit], *, store: str | None = None, name: str | None = None
) -> None:
    """Keep each model's count with what every counter reported beside it. Raises StoreError."""
    entries = [
        NewEntry(
            "count",
            item.model,
            {
                "params": item.params,
                "macs": item.ours,
                "backends": {
                    row.name: {
                        "version": row.version,
                        "reported": row.reported,
                        "unit": row.unit,
                        "params": row.params,
                        "residual": row.residual,
                        "error": row.error,
                    }
                    for row in item.backends
                },
            },
            {"input": item.input_shapes, "batch": item.batch, "method": "audit"},
        )
        for item in audits
    ]
    if entries:
        record(entries, store=store, name=name)


def record_reconciliation(result: Reconciliation, *, store: str | None = None) -> None:
    """Keep the count that a claimed figure was held against. Raises StoreError."""
    settings = {"input": result.input, "batch": 1, "method": "reconcile"}
    claim = {"claimed": result.claimed, "readings": len(result.readings)}
    record([NewEntry("count", result.model, {"macs": result.ours, **claim}, settings)], store=store)


def record_accuracies(accuracies: Sequence[Accuracy], *, store: str | None = None) -> None:
    """Keep measured accuracies as ``accuracy``. Raises StoreError."""
    from gadprof.results.plain import to_plain

    entries = []
    for item in accuracies:
        plain = to_plain(item)
        figures = {key: value for key, value in plain.items() if isinstance(value, float)}
        about = {key: value for key, value in plain.items() if key not in (*figures, "model")}
        about["input"] = [[3, *item.input]]
        entries.append(NewEntry("accuracy", item.model, figures, about))
    if entries:
        record(entries, store=store)


def record_training(
    model: str,
    settings: Mapping[str, Any],
    losses: Sequence[float],
    *,
    data: str,
    seconds: float,
    weights: Path,
    store: str | None = None,
) -> None:
    """Keep a finished run as ``training``: its settings, and each epoch's mean loss.

    ``losses`` are those of the epochs that this process ran, in order. Raises StoreError.
    """
    import hashlib

    if chosen_path(store) is None:
        return
    about = {key: value for key, value in settings.items() if key != "model"}
    about["input"] = [[3, about["height"], about["width"]]]
    result = {
        "loss": losses[-1] if losses else None,
        "losses": list(losses),
        "train_s": seconds,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    record([NewEntry("training", model, result, {**about, "data": data})], store=store)


def record_redundancy(
    figures: Sequence[Redundancy],
    size: tuple[int, int],
    about: Mapping[str, Any],
    *,
    store: str | None = None,
) -> None:
    """Keep each model's figures, place by place, as ``redundancy``. Raises StoreError."""
    from gadprof.results.plain import to_plain

    settings = {**about, "input": [[3, *size]], "batch": 1}
    by_model: dict[str, dict[str, Any]] = {}
    for item in figures:
        plain = to_plain(item)
        places = by_model.setdefault(plain.pop("model"), {})
        places[plain.pop("place")] = plain
    entries = [
        NewEntry("redundancy", model, {"places": places}, settings)
        for model, places in by_model.items()
    ]
    record(entries, store=store)


def block_name(point: Formula, block: str | None = None) -> str:
    """How the store calls a closed form's block: ``block:ga:c_in=32,c_out=32,…``."""
    inputs = ",".join(f"{key}={value}" for key, value in point.inputs.items())
    return f"block:{block or point.block}:{inputs}"


def record_verified(
    points: Sequence[Formula],
    verified: Sequence[Mapping[str, Any]],
    *,
    store: str | None = None,
) -> None:
    """Keep what each counter said of the blocks that were built. Raises StoreError."""
    entries = [
        NewEntry(
            "count",
            block_name(point),
            {"params": point.params, "macs": point.GG, "backends": answers},
            {"batch": 1, "method": "formula --verify"},
        )
        for point, answers in zip(points, verified, strict=True)
    ]
    if entries:
        record(entries, store=store)


class MeasurementRecorder:
    """Keeps a benchmark's samples turn by turn, and what they amount to at its end."""

    def __init__(
        self, store: str | None = None, *, machine: Mapping[str, Any] | None = None
    ) -> None:
        self._explicit = store
        self._machine = machine
        self._store: Store | None = None
        self._rows: dict[int, Recording] = {}

    def __enter__(self) -> MeasurementRecorder:
        path = chosen_path(self._explicit)
        if path is not None:
            try:
                self._store = Store(path)
            except StoreError as error:
                self._refuse(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            self._store.close()

    def turn(self, row: int, model: str, setting: Any, samples: Sequence[float]) -> None:
        """Keep the samples (s) of one turn of a row; they are safe when this returns."""
        if self._store is None:
            return
        try:
            if row not in self._rows:
                self._rows[row] = self._store.start(
                    "measurement", model, _settings(setting), machine=self._machine
                )
            self._rows[row].extend(samples)
        except StoreError as error:
            self._refuse(error)

    def finish(self, result: BenchResult) -> None:
        """Complete every row's entry with its statistics (its samples are kept already)."""
        from gadprof.results.plain import to_plain

        if self._store is None:
            return
        try:
            for index, row in enumerate(result.rows):
                recording = self._rows.get(index)
                if recording is None:
                    continue
                plain = to_plain(row)
                if plain.get("latency_s"):
                    plain["latency_s"].pop("samples", None)
                plain.pop("setting", None)
                recording.finish(plain)
            self._rows = {}
        except StoreError as error:
            self._refuse(error)

    def finish_row(self, row: int, result: Mapping[str, Any]) -> None:
        """Complete one row's entry; a row without samples has none."""
        recording = self._rows.pop(row, None)
        if self._store is None or recording is None:
            return
        try:
            recording.finish(result)
        except StoreError as error:
            self._refuse(error)

    def _refuse(self, error: StoreError) -> None:
        if self._explicit:
            raise error
        if self._store is not None:
            self._store.close()
            self._store = None
        tell(f"gadprof: results not kept: {error}")


def record_measured(result: BenchResult, store: str | None = None) -> None:
    """Keep every row of a run that another machine made, with that machine. Raises StoreError."""
    from gadprof.results.plain import to_plain

    with MeasurementRecorder(store, machine=to_plain(result.machine)) as recorder:
        for index, row in enumerate(result.rows):
            if row.latency_s is not None:
                recorder.turn(index, row.model, row.setting, row.latency_s.samples)
        recorder.finish(result)


def _settings(setting: Any) -> Mapping[str, Any]:
    from gadprof.results.plain import to_plain

    plain = to_plain(setting)
    return plain if isinstance(plain, dict) else {}
