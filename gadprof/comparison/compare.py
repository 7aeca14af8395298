"""Compares models in one frozen table: analytic for built-in specs, traced for everything else.

Promises: a row that fails costs the others nothing, and says why in ``error``; built-in models are
costed without importing torch unless something else is asked for. Refuses an empty list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gadprof.comparison.predicted import Predicted
from gadprof.errors import GadprofError, SpecError
from gadprof.results.figures import KEYS
from gadprof.results.plain import Machine
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.counting.records import Trace
    from gadprof.results.page import Page
    from gadprof.store.recording import MeasurementRecorder


@dataclass(frozen=True)
class ComparedRow:
    """One model's figures at one input; every quantity is an exact integer or None on error.

    ``relative`` holds, for each quantity, this row's figure over the first row's, and
    ``change_percent`` the same as a signed per cent. ``backends`` maps
    a counter to its answer; ``latency_s``, ``ratio`` and ``verdict`` are set when measured,
    ``predicted`` where a card was named that is not here (see predicted),
    ``accuracy`` is a
    measured one and ``published_accuracy`` what a source prints (see accuracies). ``method`` says
    where the figures come from: ``analytic``, ``trace`` or ``onnx graph``; ``note`` what has to
    be known to read them (a run on the CPU, what an exporter changed); ``exit_code`` what a
    command that shows a failed row ends with.
    """

    model: str
    input: tuple[tuple[int, ...], ...] = ()
    batch: int = 1
    params: int | None = None
    macs: int | None = None
    flops: int | None = None
    activations: int | None = None
    peak_activation_bytes: int | None = None
    weight_bytes: int | None = None
    relative: Mapping[str, float | None] = field(default_factory=dict)
    change_percent: Mapping[str, float | None] = field(default_factory=dict)
    backends: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    uncovered: Mapping[str, int] = field(default_factory=dict)
    latency_s: Mapping[str, Any] | None = None
    ratio: Mapping[str, Any] | None = None
    verdict: str | None = None
    peak_bytes: int | None = None
    predicted: Predicted | None = None
    accuracy: Mapping[str, Any] | None = None
    published_accuracy: Mapping[str, Any] | None = None
    error: str | None = None
    note: str = ""
    exit_code: int = 0

    @property
    def at_least(self) -> bool:
        """Whether something was not counted, so that MACs and what else is summed lack it."""
        return bool(self.uncovered)


@dataclass(frozen=True)
class Comparison(Tabular):
    """Rows in the order asked for, the convention they were counted under, and the machine.

    ``warnings`` is what the measuring run noticed, ``interrupted`` whether Ctrl-C ended it;
    ``device`` where latency and memory were measured or are predicted for, ``notes`` what
    predictions rest on.
    """

    rows: tuple[ComparedRow, ...]
    machine: Machine
    convention: str = (
        "gadprof: a MAC is one multiply-add of a convolution or matrix product, biases apart; "
        "flops are 2 x MACs and every elementwise operation"
    )
    warnings: tuple[str, ...] = ()
    interrupted: bool = False
    device: str = ""
    notes: tuple[str, ...] = ()

    def page(self) -> Page:
        """The table, its notes and the JSON document."""
        from gadprof.comparison.page import comparison_page

        return comparison_page(self)

    def to_json(self) -> str:
        """The whole comparison as one JSON document."""
        from gadprof.results.plain import to_json

        return to_json(self.page().json())


def compare_models(
    models: Sequence[str],
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    backends: Sequence[str] = (),
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Comparison:
    """Cost every model and relate it to the first.

    ``shapes`` are inputs without batch (empty: each model's own default). ``backends`` are counters
    to run beside, each in a process of its own. Raises SpecError for an empty list; a model that
    fails only fills its row's ``error``.
    """
    from dataclasses import replace

    from gadprof.results.plain import describe_machine

    if not models:
        raise SpecError("no models to compare; type for example: gadprof compare hrnet32 gadnet32")
    rows = []
    bounds: Any = {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
    for number, model in enumerate(models):
        if progress is not None:
            progress(model, number)
        row = compare_row(model, shapes=shapes, batch=batch, **bounds)
        rows.append(_with_backends(row, backends, shapes, **bounds) if backends else row)
    first = rows[0]
    related = tuple(
        replace(row, relative=ratios, change_percent=percents(ratios))
        for row in rows
        for ratios in (relate(row, first),)
    )
    return Comparison(related, describe_machine())


def relate(row: ComparedRow, first: ComparedRow) -> dict[str, float | None]:
    """Each quantity of a row over the first row's; None where either is missing or zero."""
    ratios: dict[str, float | None] = {}
    for name in KEYS:
        own, base = getattr(row, name), getattr(first, name)
        ratios[name] = own / base if own is not None and base else None
    return ratios


def percents(ratios: Mapping[str, float | None]) -> dict[str, float | None]:
    """Ratios as signed changes in per cent."""
    return {
        name: None if ratio is None else 100.0 * (ratio - 1.0) for name, ratio in ratios.items()
    }


def compare_row(
    model: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
) -> ComparedRow:
    """One model's row, analytic where there is a plan; never raises a GadprofError."""
    from gadprof.models.counting import cost_or_trace
    from gadprof.networks.cost import Cost

    try:
        figures = cost_or_trace(
            model,
            shapes=shapes,
            batch=batch,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
        )
    except GadprofError as error:
        return ComparedRow(model, shapes, batch, error=str(error), exit_code=error.exit_code)
    if not isinstance(figures, Cost):
        method = figures.device if figures.device.endswith(" graph") else "trace"
        return _trace_row(figures.model, figures, method)
    return ComparedRow(
        figures.name,
        (figures.input,),
        batch,
        **{name: getattr(figures, name) for name in KEYS},
        method="analytic",
    )


def _trace_row(name: str, trace: Trace, method: str) -> ComparedRow:
    return ComparedRow(
        name,
        tuple(tuple(shape[1:]) for shape in trace.input_shapes),
        trace.batch,
        params=trace.params,
        macs=trace.macs,
        flops=trace.flops,
        activations=trace.activations,
        peak_activation_bytes=trace.peak_activation_bytes,
        weight_bytes=trace.param_bytes,
        uncovered=dict(trace.uncovered),
        method=method,
        note=trace.note,
    )


def _with_backends(
    row: ComparedRow,
    backends: Sequence[str],
    shapes: tuple[tuple[int, ...], ...],
    timeout_s: float,
    memory_limit_bytes: int | None,
) -> ComparedRow:
    from dataclasses import replace

    from gadprof.audit.counter_process import run_isolated

    if row.error is not None:
        return row
    counts = {
        name: run_isolated(name, row.model, shapes, row.batch, timeout_s, memory_limit_bytes)
        for name in backends
    }
    return replace(row, backends=counts)


def with_latency(
    comparison: Comparison,
    *,
    given: tuple[tuple[int, ...], ...] = (),
    device: str = "cpu",
    precision: float = 0.02,
    time_limit_s: float = 60.0,
    threads: int = 1,
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
    progress: Any = None,
    recorder: MeasurementRecorder | None = None,
) -> Comparison:
    """The comparison with interleaved latency of every row that has not failed.

    ``given`` are the shapes that were asked for, if any. The engine is that of ``gadprof bench``;
    ``recorder`` keeps the samples in the store as they
    arrive. Raises GadprofError for a device that is not there or
    a missing extra; a model that fails while it is measured keeps its counts and gets an error.
    """
    from dataclasses import replace

    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting

    chosen = [index for index, row in enumerate(comparison.rows) if row.error is None]
    if not chosen:
        return comparison
    rows = list(comparison.rows)
    shapes = {rows[index].input for index in chosen}
    own = any(rows[index].method == "trace" for index in chosen)  # types and keywords are not here
    shared = shapes.pop() if len(shapes) == 1 and not own else given
    result = measure(
        [rows[index].model for index in chosen],
        Setting(device=device, batch=rows[chosen[0]].batch, input_shapes=shared, threads=threads),
        precision=precision,
        time_limit_s=time_limit_s,
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
        progress=progress,
        on_turn=recorder.turn if recorder is not None else None,
    )
    if recorder is not None:
        recorder.finish(result)
    from gadprof.results.plain import to_plain

    for index, measured in zip(chosen, result.rows, strict=True):
        rows[index] = replace(
            rows[index],
            latency_s=to_plain(measured.latency_s),
            ratio=to_plain(measured.ratio),
            verdict=measured.verdict or None,
            peak_bytes=measured.peak_bytes,
            error=measured.error,
            exit_code=1 if measured.error else 0,
        )
    warnings = tuple(warning.text for group in result.groups for warning in group.warnings)
    return replace(
        comparison,
        rows=tuple(rows),
        warnings=warnings,
        interrupted=result.interrupted,
        device=device if device.startswith("cuda") else "",
    )


def check_weights(model: str, path: str) -> None:
    """Refuse a checkpoint that does not fit a built-in model with ``strict=True``.

    Raises SourceError.
    """
    from gadprof.models.sources import resolve
    from gadprof.networks.build import build_spec, load_weights

    source = resolve(model)
    if source.spec is None:
        raise SpecError(f"--weights goes with a built-in model; {model!r} brings its own")
    load_weights(build_spec(source.spec), path)
