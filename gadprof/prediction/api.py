"""Predicted latency of models on a fitted device, with an interval, shares, or a refusal.

Promises a refusal, never a guess, where the measurements do not carry: kernels so short that a host
sets the pace of which nothing is known (with the batch that would do), and operations that no
measured family had, or too few, where they would take more than ``LITTLE`` of the time. The
interval is that of unseen model families in cross-validation, and wider the more novel the model
is, and the longer the card waits for a host that was not measured with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gadprof.errors import GadprofError, SpecError
from gadprof.prediction.fit import Fit
from gadprof.prediction.fits import find_fit, fits
from gadprof.prediction.limited import limited
from gadprof.prediction.tracing import BatchTrace, trace_of

if TYPE_CHECKING:
    from gadprof.prediction.features import ModelFeatures

LEAST_SEEN = 3  # families
LITTLE = 0.05  # the share of time that operations of a rare kind may take
MOST_BATCH = 2**16
REPARAM = ("auto", "yes", "no")
HOST = "host"  # beside the classes: the share of the time that the card waits for the host


@dataclass(frozen=True)
class Prediction:
    """One model on one device, for a whole batch.

    ``predicted_latency_s`` has ``value`` and ``interval95`` (s); ``throughput`` is samples a
    second; ``by_class`` the share of each operation class, and of waiting for the host; ``novelty``
    the share of the time in shapes that few measured families had; ``fused`` whether branches were
    joined first; ``refused`` says why there is no figure; ``error`` why the model could not be
    traced;
    ``at_least`` that something was not counted, so that ``macs`` is a lower bound; ``leaves`` which
    kinds of operations leave a neural processor, by runtime.
    """

    model: str
    device: str
    batch: int
    predicted_latency_s: dict[str, Any] | None = None
    throughput: float | None = None
    by_class: dict[str, float] = field(default_factory=dict)
    macs: int | None = None
    novelty: float | None = None
    fused: bool = False
    refused: str | None = None
    error: str | None = None
    at_least: bool = False
    leaves: dict[str, tuple[str, ...]] = field(default_factory=dict)


def predict_trace(model: str, traced: BatchTrace, fit: Fit, batch: int) -> Prediction:
    """Predict from a forward trace."""
    from gadprof.prediction.features import features_of

    features = features_of(traced.trace.forward, fit.way, traced.batch)
    return _with_counts(predict_features(model, features, fit, batch), traced)


def _with_counts(row: Prediction, traced: BatchTrace) -> Prediction:
    """A prediction with what the trace alone tells."""
    return replace(
        row, macs=traced.macs * row.batch, fused=traced.fused, at_least=traced.trace.at_least
    )


def predict_features(model: str, features: ModelFeatures, fit: Fit, batch: int) -> Prediction:
    """Predict from a model's features, taken as the fit's device runs it."""
    from gadprof.prediction.features import CLASSES
    from gadprof.prediction.gaussian_process import together
    from gadprof.prediction.model import mean_seconds
    from gadprof.prediction.novelty import novelty
    from gadprof.prediction.placement import leaving

    seconds = mean_seconds(fit.members, features, batch)
    leaves = leaving(features, fit.placements)
    refused = _refusal(features, seconds, fit, batch)
    if refused is not None:
        return Prediction(model, fit.key, batch, refused=refused, leaves=leaves)
    novel = novelty(features, seconds, fit.cells)
    width = float(fit.cv["log_error_95"]) * (1 + float(fit.cv.get("novelty_slope", 0)) * novel)
    total, shares = float(seconds.sum()), {}
    if fit.host is not None:
        from gadprof.prediction.launch import timeline

        each = seconds / features.counts
        run = timeline(features, each, fit.host)
        total, seconds = run.total_s, each * run.counts
        waits = run.host_s / total
        shares[HOST] = waits
        width += waits * max(0.0, fit.host.log_error_95 - width)
    for index, value in zip(features.classes.tolist(), seconds.tolist(), strict=True):
        if value:
            shares[CLASSES[index]] = shares.get(CLASSES[index], 0.0) + value / total
    if fit.process is not None:
        total = together(total, fit.process.seconds(features))
    spread = math.exp(width)
    return Prediction(
        model,
        fit.key,
        batch,
        {"value": total, "interval95": [total / spread, total * spread]},
        batch / total,
        dict(sorted(shares.items(), key=lambda item: -item[1])),
        novelty=novel,
        leaves=leaves,
    )


def _refusal(features: ModelFeatures, seconds: Any, fit: Fit, batch: int) -> str | None:
    import numpy as np

    from gadprof.prediction.features import CLASSES

    if not seconds.sum() > 0:
        return "it runs no operation on the device, so that there is nothing to predict"
    share = float(seconds[features.unmeasured].sum() / seconds.sum())
    if share > LITTLE:
        return (
            f"operations of a kind never measured would take about {100 * share:.0f} % of the "
            "time, if they ran as known ones of their work and bytes do: "
            f"{', '.join(features.unknown)}"
        )
    rare = np.isin(features.classes, [i for i, n in enumerate(fit.seen) if n < LEAST_SEEN])
    share = float(seconds[rare].sum() / seconds.sum())
    if share > LITTLE:
        names = sorted({CLASSES[i] for i in features.classes[rare].tolist()})
        return (
            f"operations that fewer than {LEAST_SEEN} measured families had would take about "
            f"{100 * share:.0f} % of the time: {', '.join(names)}"
        )
    if fit.kind != "gpu" and batch > fit.most_batch:
        return (
            f"every measurement of {fit.device} is of batch {fit.most_batch} or less; give "
            f"--batch {fit.most_batch}"
        )
    mean = float(seconds.sum() / features.counts.sum())
    if fit.host is None and mean < fit.least_kernel_s:
        enough = enough_batch(features, fit, batch)
        way_out = f"try --batch {enough}" if enough else "no batch would do"
        return (
            f"batch {batch} gives {1e6 * mean:.0f} µs a kernel; under "
            f"{1e6 * fit.least_kernel_s:.0f} µs the host that launches them sets the pace, and the "
            f"measurements are of larger batches; {way_out}"
        )
    return None


def kernel_seconds(features: ModelFeatures, fit: Fit, batch: int) -> float:
    """The mean predicted time of a kernel (s)."""
    from gadprof.prediction.model import mean_seconds

    total = float(mean_seconds(fit.members, features, batch).sum())
    return total / float(features.counts.sum())


def enough_batch(features: ModelFeatures, fit: Fit, batch: int) -> int | None:
    """The smallest batch, a power of two times 1, 1.25, 1.5 or 1.75, whose kernels last enough."""
    for exponent in range(batch.bit_length() - 1, MOST_BATCH.bit_length()):
        for quarter in (4, 5, 6, 7):
            tried = (1 << exponent) * quarter // 4
            if tried > batch and kernel_seconds(features, fit, tried) >= fit.least_kernel_s:
                return tried
    return None


def predict(
    models: Sequence[str],
    device: str | None = None,
    *,
    batch: int | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    shapes: tuple[tuple[int, ...], ...] = (),
    coefficients: str | None = None,
    reparam: str = "auto",
    mode: str | None = None,
    bounds: Mapping[str, Any] | None = None,
    timed: Sequence[tuple[str, float]] = (),
    power_w: float | None = None,
    clock_mhz: float | None = None,
) -> tuple[list[Prediction], Fit]:
    """Predict several models; one that cannot be traced fills its own row's ``error``.

    ``coefficients`` is a file that ``gadprof calibrate`` wrote, instead of gadprof's own.
    ``reparam`` joins a model's branches: as the device's table was measured (auto), yes or no.
    ``mode`` is eager, compiled or train; ``bounds`` are as in ``trace_of``. ``timed`` are models
    with seconds measured there at this batch and input, which set the device's speed; ``power_w``
    and ``clock_mhz`` are a card's limits (``limited``). Raises DataError for such a file that
    cannot be read, UnknownNameError for a device without a fit, SettingError for a limit that it
    has not, SpecError for a format that it was not measured in.
    """
    fit = limited(find_fit(device, layout, coefficients, mode, dtype), power_w, clock_mhz)
    chosen = batch if batch is not None else default_batch(fit)
    joined = joins(fit, reparam)

    def trace(model: str) -> BatchTrace:
        return trace_of(model, shapes, reparam=joined, bounds=bounds)

    if timed:
        fit = at_speed(fit, timed, chosen, trace)
    rows = []
    for model in models:
        try:
            rows.append(predict_trace(model, trace(model), fit, chosen))
        except GadprofError as error:
            rows.append(Prediction(model, fit.key, chosen, error=str(error)))
    return rows, fit


def at_speed(
    fit: Fit, timed: Sequence[tuple[str, float]], batch: int, trace: Callable[[str], BatchTrace]
) -> Fit:
    """The fit with every time multiplied by what timed models took over what was predicted.

    Raises SpecError where one of them is refused, and what ``trace`` raises.
    """
    logs = []
    for model, seconds in timed:
        row = predict_trace(model, trace(model), fit, batch)
        if row.predicted_latency_s is None:
            raise SpecError(f"{model} cannot set the speed of {fit.key}: {row.refused}")
        logs.append(math.log(seconds / row.predicted_latency_s["value"]))
    return fit.times(math.exp(sum(logs) / len(logs)), len(logs))


def joins(fit: Fit, reparam: str) -> bool:
    """Whether branches are joined before a model is predicted. Raises SpecError."""
    if reparam not in REPARAM:
        raise SpecError(f"reparam {reparam!r} is none of {', '.join(REPARAM)}")
    return fit.reparam if reparam == "auto" else reparam == "yes"


def default_batch(fit: Fit) -> int:
    """256, or the nearest batch that was measured."""
    return min(max(256, fit.least_batch), fit.most_batch)


def predict_everywhere(
    models: Sequence[str],
    *,
    batch: int | None = None,
    shapes: tuple[tuple[int, ...], ...] = (),
    reparam: str = "auto",
    bounds: Mapping[str, Any] | None = None,
) -> list[tuple[Fit, list[Prediction]]]:
    """Every model on every fitted device, each traced once (twice where a device joins branches).

    Each device at its own batch where ``batch`` is None.
    """
    traces: dict[tuple[str, bool], BatchTrace | GadprofError] = {}
    features: dict[Any, Any] = {}
    found = []
    for fit in fits().values():
        chosen = batch if batch is not None else default_batch(fit)
        rows = []
        for model in models:
            key = (model, joins(fit, reparam))
            if key not in traces:
                traces[key] = _traced(model, shapes, key[1], bounds)
            traced = traces[key]
            if isinstance(traced, GadprofError):
                rows.append(Prediction(model, fit.key, chosen, error=str(traced)))
                continue
            if (key, fit.way) not in features:
                from gadprof.prediction.features import features_of

                features[key, fit.way] = features_of(traced.trace.forward, fit.way, traced.batch)
            row = predict_features(model, features[key, fit.way], fit, chosen)
            rows.append(_with_counts(row, traced))
        found.append((fit, rows))
    return found


def _traced(
    model: str,
    shapes: tuple[tuple[int, ...], ...],
    reparam: bool,
    bounds: Mapping[str, Any] | None,
) -> BatchTrace | GadprofError:
    try:
        return trace_of(model, shapes, reparam=reparam, bounds=bounds)
    except GadprofError as error:
        return error


def predict_models(
    models: Sequence[tuple[str, tuple[int, ...]]], device: str, batch: int
) -> list[float | None]:
    """Seconds for each (model string, input shape), None where refused."""
    found: list[float | None] = []
    for model, shape in models:
        rows, _ = predict([model], device, batch=batch, shapes=(shape,))
        latency = rows[0].predicted_latency_s
        found.append(None if latency is None else float(latency["value"]))
    return found
