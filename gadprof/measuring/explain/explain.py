"""Where the time of two models goes, and why the one with fewer MACs is or is not faster.

Promises: each model's times by class (and by stage) add up to its unprofiled latency; beside them
stand the counted MACs and bytes and the roofline bound of the same work. The reason given in words
is derived from these figures alone. A failing model costs its own part alone: the others are
explained. Refuses a runtime whose operations torch does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from gadprof.errors import SettingError
from gadprof.measuring.explain.explained import Explained, Unexplained, assemble, parts
from gadprof.measuring.explain.reasons import reasons
from gadprof.measuring.explain.roofline import Peaks
from gadprof.measuring.launcher import default_memory_limit, load, measuring_worker
from gadprof.measuring.progress import Progress
from gadprof.measuring.result import BenchResult, BenchRow
from gadprof.measuring.settings import Setting
from gadprof.results.plain import Machine
from gadprof.results.tabular import Tabular
from gadprof.workers.process import WorkerFailedError

if TYPE_CHECKING:
    from gadprof.results.page import Page

__all__ = [
    "Explained",
    "Explanation",
    "Unexplained",
    "assemble",
    "explain",
    "measured_peaks",
    "parts",
    "reasons",
]

PROFILE_RUNS = 5


@dataclass(frozen=True)
class Explanation(Tabular):
    """All models under one setting, the peaks that the bounds rest on, and the words.

    ``peaks`` is None where every model failed before the machine's were measured.
    """

    models: tuple[Explained | Unexplained, ...]
    setting: Setting
    peaks: Peaks | None
    ratio: dict[str, Any]
    words: tuple[str, ...]
    warnings: tuple[str, ...]
    machine: Machine
    interrupted: bool = False

    def page(self) -> Page:
        """The reasons, the tables and the JSON document."""
        from gadprof.measuring.explain.page import explanation_page

        return explanation_page(self)

    @property
    def explained(self) -> tuple[Explained, ...]:
        """The models that did not fail."""
        return tuple(model for model in self.models if isinstance(model, Explained))

    @property
    def failed(self) -> tuple[Unexplained, ...]:
        """The models that did."""
        return tuple(model for model in self.models if isinstance(model, Unexplained))

    @property
    def exit_code(self) -> int:
        """As of a benchmark: 0 when no model failed, 2 when one was bad use, else 1; 130
        interrupted."""
        if self.interrupted:
            return 130
        kinds = {model.error_kind for model in self.failed}
        return 0 if not kinds else 2 if "usage" in kinds else 1


def explain(
    models: Sequence[str],
    setting: Setting,
    *,
    precision: float = 0.03,
    time_limit_s: float = 30.0,
    timeout_s: float = 300.0,
    sheet: Peaks | None = None,
    trace_paths: Sequence[str | None] = (),
    progress: Progress | None = None,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
    on_measured: Callable[[BenchResult], None] | None = None,
) -> Explanation:
    """Measure, profile and count each model, and say why.

    ``on_turn`` is told the latency samples as they arrive (see ``measure``), ``on_measured`` the
    latencies before the profile begins.

    The words are about each model against the first that did not fail.

    Raises SettingError, MissingExtraError, and WorkerFailedError when the machine's own peaks
    cannot be measured.
    """
    from gadprof.measuring.bench import measure

    if setting.runtime not in ("eager", "torchscript"):
        raise SettingError(f"{setting.runtime} hides its operations from torch; use eager")
    bench = measure(
        models,
        setting,
        precision=precision,
        time_limit_s=time_limit_s,
        timeout_s=timeout_s,
        memory=False,
        energy=False,
        progress=progress,
        on_turn=on_turn,
    )
    if on_measured is not None:
        on_measured(bench)
    peaks = sheet
    if peaks is None and not all(row.error for row in bench.rows):
        peaks = measured_peaks(setting, timeout_s=timeout_s)
    found: list[Explained | Unexplained] = []
    for index, row in enumerate(bench.rows):
        path = trace_paths[index] if index < len(trace_paths) else None
        found.append(_explained(row, peaks, timeout_s, path))
    working = [
        (model, row)
        for model, row in zip(found, bench.rows, strict=True)
        if isinstance(model, Explained)
    ]
    words: list[str] = []
    for other, row in working[1:]:
        assert peaks is not None
        first, first_row = working[0]
        outcome = row.outcome if first_row is bench.rows[0] else _outcome(first_row, row)
        words.extend(reasons(first, other, outcome, peaks))
    return Explanation(
        models=tuple(found),
        setting=setting,
        peaks=peaks,
        ratio=_ratios(bench),
        words=tuple(words),
        warnings=tuple(warning.text for group in bench.groups for warning in group.warnings),
        machine=bench.machine,
        interrupted=bench.interrupted,
    )


def _explained(
    row: BenchRow, peaks: Peaks | None, timeout_s: float, trace_path: str | None
) -> Explained | Unexplained:
    """A measured row with its profile and count, or what it failed of."""
    latency = row.latency_s
    if latency is None or row.error is not None:
        error, kind = row.error or "not measured", row.error_kind or "model"
        return Unexplained(row.model, error, kind, row.stderr_tail)
    assert peaks is not None
    setting = row.setting
    try:
        profile, counted = _observe(row.model, setting, timeout_s, trace_path)
    except WorkerFailedError as failure:
        return Unexplained(
            row.model, failure.reason, failure.kind, failure.tail, latency.median, latency.ci95
        )
    return assemble(
        row.model,
        latency.median,
        latency.ci95,
        profile,
        counted["work"],
        peaks,
        # a sheet is held against times only where a card may be the one that it describes
        same_machine=peaks.measured or setting.device.startswith("cuda"),
        at_least=counted["at_least"],
    )


def _outcome(first: BenchRow, second: BenchRow) -> str:
    """``cannot tell`` where the intervals of two medians meet, for rows without a ratio."""
    assert first.latency_s is not None
    assert second.latency_s is not None
    one, other = first.latency_s.ci95, second.latency_s.ci95
    if one is None or other is None:
        return "cannot tell"
    return "cannot tell" if one[0] <= other[1] and other[0] <= one[1] else ""


def _ratios(bench: BenchResult) -> dict[str, Any]:
    return {row.model: asdict(row.ratio) for row in bench.rows if row.ratio is not None}


def measured_peaks(setting: Setting, *, timeout_s: float = 300.0) -> Peaks:
    """This machine's peaks under a setting, by a process of its own. Raises WorkerFailedError."""
    with measuring_worker(threads=setting.threads) as worker:
        reply = worker.request("peaks", timeout_s=timeout_s, setting=asdict(setting))
    return Peaks(**reply)


def _observe(
    model: str, setting: Setting, timeout_s: float, trace_path: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a profile and a count of the module in a process of its own answer."""
    worker = measuring_worker(
        threads=setting.threads,
        memory_limit_bytes=default_memory_limit() if setting.device == "cpu" else None,
    )
    doing = "loaded"
    try:
        with worker:
            load(worker, model, replace(setting, cuda_graph=False), timeout_s=timeout_s)
            doing = "counted"
            counted = worker.request("work", timeout_s=timeout_s)
            doing = "profiled"
            worker.request("sample", timeout_s=timeout_s, count=2, refresh=0)
            profile = worker.request(
                "profile", timeout_s=timeout_s, runs=PROFILE_RUNS, trace_path=trace_path
            )
    except WorkerFailedError as failure:
        reason = f"measured, but could not be {doing}: {failure.reason}"
        raise WorkerFailedError(failure.kind, reason, failure.tail) from failure
    return profile, counted
