"""Predicted latency and CUDA memory beside a comparison's counts, where no card measures them.

Promises that a figure is called predicted wherever it is shown, and that what cannot be predicted
says why: a batch that the measurements do not carry, a model that cannot be traced. Latency is of a
named card; memory of any, in the number format of the latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gadprof.errors import GadprofError
from gadprof.results.cells import bytes_text

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow, Comparison
    from gadprof.prediction.fit import Fit


@dataclass(frozen=True)
class Predicted:
    """One row's predictions for a whole batch in a forward pass; None with the reason in ``notes``.

    ``latency_s`` with its 95 % interval and its ratio to the first row's; ``peak_bytes`` is of the
    process, as a monitor would show it, ``allocated_bytes`` of its tensors. ``fits`` is whether the
    named card has room, None where none is named.
    """

    device: str
    dtype: str
    layout: str
    latency_s: float | None = None
    latency_ci95: tuple[float, float] | None = None
    latency_ratio: float | None = None
    peak_bytes: int | None = None
    peak_ci95: tuple[int, int] | None = None
    allocated_bytes: int | None = None
    fits: bool | None = None
    notes: tuple[str, ...] = ()


def with_predictions(
    comparison: Comparison,
    device: str,
    *,
    given: tuple[tuple[int, ...], ...] = (),
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
) -> Comparison:
    """The comparison with predictions for ``cuda`` (memory alone) or a named card.

    ``given`` are the shapes that were asked for, if any. Raises UnknownNameError for a card that is
    not known.
    """
    from gadprof.prediction.fits import find_fit

    fit = None if device.startswith("cuda") else find_fit(device, None)
    rows: list[ComparedRow] = []
    bounds = {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
    for row in comparison.rows:
        if row.error is None:
            row = replace(row, predicted=_predicted(row, device, fit, given, bounds))
        rows.append(row)
    return replace(comparison, rows=tuple(_related(rows)), device=device, notes=_basis(device, fit))


def _related(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """The rows with each latency's ratio to the first row's."""
    first = rows[0].predicted.latency_s if rows and rows[0].predicted else None
    found = []
    for row in rows:
        told = row.predicted
        if told is not None and told.latency_s is not None and first:
            row = replace(row, predicted=replace(told, latency_ratio=told.latency_s / first))
        found.append(row)
    return found


def _predicted(
    row: ComparedRow,
    device: str,
    fit: Fit | None,
    given: tuple[tuple[int, ...], ...],
    bounds: dict[str, Any],
) -> Predicted:
    dtype = "amp" if fit is not None and fit.dtype == "amp" else "fp32"
    found = Predicted(device, dtype, fit.layout if fit is not None else "")
    notes: list[str] = []
    if fit is not None:
        from gadprof.prediction.api import joins, predict_trace
        from gadprof.prediction.tracing import trace_of

        try:
            traced = trace_of(row.model, given, reparam=joins(fit, "auto"), bounds=bounds)
            told = predict_trace(row.model, traced, fit, row.batch)
        except GadprofError as error:
            notes.append(f"latency: {error}")
        else:
            if told.refused:
                notes.append(f"latency: {told.refused}")
            if told.predicted_latency_s:
                low, high = told.predicted_latency_s["interval95"]
                found = replace(
                    found, latency_s=told.predicted_latency_s["value"], latency_ci95=(low, high)
                )
    try:
        found = _with_memory(found, row, given, bounds)
    except GadprofError as error:
        notes.append(f"memory: {error}")
    if found.fits is False and found.peak_bytes:
        notes.append(f"needs {bytes_text(found.peak_bytes)}, more than {device} has")
    return replace(found, notes=tuple(notes))


def _with_memory(
    found: Predicted, row: ComparedRow, given: tuple[tuple[int, ...], ...], bounds: dict[str, Any]
) -> Predicted:
    from gadprof.counting.inputs import Input
    from gadprof.memory.cards import CARDS_MIB, memory_of
    from gadprof.memory.peaks import predict_peaks
    from gadprof.memory.step import step_of

    dtype: Any = found.dtype
    inputs = tuple(Input(shape) for shape in given)
    step = step_of(row.model, inputs=inputs, dtype=dtype, **bounds)
    peaks = predict_peaks(step, row.batch)
    fits = None
    if found.device in CARDS_MIB:
        fits = peaks.process_peak_bytes <= memory_of(found.device)
    return replace(
        found,
        peak_bytes=peaks.process_peak_bytes,
        peak_ci95=peaks.interval95,
        allocated_bytes=peaks.tensor_peak_bytes,
        fits=fits,
    )


def _basis(device: str, fit: Fit | None) -> tuple[str, ...]:
    """What the predictions rest on, in words."""
    from gadprof.memory.peaks import coefficients

    memory = coefficients().cv
    lines = []
    if fit is None:
        lines.append(
            f"no card is here to measure on ({device}): memory is predicted; --device rtx3090, for "
            "example, predicts latency, too"
        )
    else:
        lines.append(
            f"latency is predicted for {fit.device} ({fit.dtype}, {fit.layout}): median error "
            f"{100 * fit.cv['median_absolute_error']:.1f} % on unseen families"
        )
    lines.append(
        "memory is predicted of a forward pass, as a monitor would show the process; in training "
        f"its median error was {100 * memory['median_absolute_error']:.1f} % on unseen families"
    )
    return tuple(lines)
