"""Predicted latency of models on a fitted device, with an interval, shares, or a refusal.

Promises a refusal, never a guess, where the measurements do not carry: a batch smaller than any
that was measured, an operation of a kind that too few measured families had. The interval is that
of unseen model families in cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gadprof.errors import GadprofError, SpecError
from gadprof.prediction.fits import Fit, find_fit
from gadprof.prediction.tracing import trace_of

LEAST_SEEN = 3  # families


@dataclass(frozen=True)
class Prediction:
    """One model on one device, for a whole batch.

    ``predicted_latency_s`` has ``value`` and ``interval95`` (s); ``throughput`` is samples a
    second; ``by_class`` the share of each operation class; ``refused`` says why there is no
    figure; ``error`` why the model could not be traced.
    """

    model: str
    device: str
    batch: int
    predicted_latency_s: dict[str, Any] | None = None
    throughput: float | None = None
    by_class: dict[str, float] = field(default_factory=dict)
    macs: int | None = None
    refused: str | None = None
    error: str | None = None


def predict_trace(model: str, trace: Any, fit: Fit, batch: int) -> Prediction:
    """Predict from a batch-1 forward trace."""
    from gadprof.prediction.features import CLASSES, features_of
    from gadprof.prediction.model import mean_seconds

    features = features_of(
        trace.forward,
        amp=fit.dtype == "amp",
        compiled=fit.compiled,
        channels_last=fit.layout == "nhwc",
        wide_attention=fit.wide_attention,
    )
    refused = _refusal(features, fit, batch)
    if refused is not None:
        return Prediction(model, fit.key, batch, macs=trace.macs * batch, refused=refused)
    seconds = mean_seconds(fit.members, features, batch)
    total = float(seconds.sum())
    shares: dict[str, float] = {}
    for index, value in zip(features.classes.tolist(), seconds.tolist(), strict=True):
        shares[CLASSES[index]] = shares.get(CLASSES[index], 0.0) + value / total
    spread = math.exp(float(fit.cv["log_error_95"]))
    return Prediction(
        model,
        fit.key,
        batch,
        {"value": total, "interval95": [total / spread, total * spread]},
        batch / total,
        dict(sorted(shares.items(), key=lambda item: -item[1])),
        trace.macs * batch,
    )


def _refusal(features: Any, fit: Fit, batch: int) -> str | None:
    from gadprof.prediction.features import CLASSES

    if features.unknown:
        return f"operations of a kind never measured: {', '.join(features.unknown)}"
    rare = sorted({CLASSES[i] for i in features.classes.tolist() if fit.seen[i] < LEAST_SEEN})
    if rare:
        return f"operations that fewer than {LEAST_SEEN} measured families had: {', '.join(rare)}"
    if fit.kind == "cpu" and batch > fit.most_batch:
        return (
            f"every measurement of {fit.device} is of batch {fit.most_batch} or less; give "
            f"--batch {fit.most_batch}"
        )
    if batch < fit.least_batch:
        return (
            f"batch {batch} is below the smallest that the measurements carry, {fit.least_batch}; "
            "launch costs cannot be told from them"
        )
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
) -> tuple[list[Prediction], Fit]:
    """Predict several models; one that cannot be traced fills its own row's ``error``.

    ``coefficients`` is a file that ``gadprof calibrate`` wrote, instead of gadprof's own. Raises
    DataError for such a file that cannot be read, UnknownNameError for a device without a fit,
    SpecError for a format that it was not measured in.
    """
    fit = find_fit(device, layout, coefficients)
    if dtype is not None and dtype != fit.dtype:
        raise SpecError(f"{fit.key} was measured in {fit.dtype}, not {dtype}; leave --dtype out")
    chosen = batch if batch is not None else default_batch(fit)
    rows = []
    for model in models:
        try:
            rows.append(predict_trace(model, trace_of(model, shapes), fit, chosen))
        except GadprofError as error:
            rows.append(Prediction(model, fit.key, chosen, error=str(error)))
    return rows, fit


def default_batch(fit: Fit) -> int:
    """256, or the nearest batch that was measured."""
    return min(max(256, fit.least_batch), fit.most_batch)


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
