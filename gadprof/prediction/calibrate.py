"""A fit of a user's own device: from nothing where the measurements are many, else from another's.

Promises the error by leaving families out, with every choice (which device to begin from, too)
made again without them. Under ``LEAST_MODELS`` different models it refuses; under ``ENOUGH_MODELS``
it begins from the device whose predictions are nearest up to one factor, and moves its
coefficients as far as the rows carry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadprof.errors import DataError, GadprofError
from gadprof.prediction.errors import error_summary
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fit import Fit, key_of
from gadprof.prediction.fits import fits
from gadprof.prediction.fitting import (
    Measured,
    fit_coefficients,
    left_out_errors,
    predict_rows,
)
from gadprof.prediction.measurements import Line, family_of
from gadprof.prediction.model import Coefficients
from gadprof.prediction.novelty import families_by_cell, known_cells
from gadprof.prediction.way import Way

LEAST_MODELS = 5
ENOUGH_MODELS, ENOUGH_FAMILIES = 300, 30
MOST_FOLDS = 10


@dataclass(frozen=True)
class Device:
    """What is calibrated: its name, layout, number format, gpu or cpu, compiled or not."""

    name: str
    layout: str = "nchw"
    dtype: str = "fp32"
    kind: str = "cpu"
    compiled: bool = False

    @property
    def way(self) -> Way:
        """How it runs a model, with a torch of today."""
        return Way(
            amp=self.dtype == "amp",
            compiled=self.compiled,
            channels_last=self.layout == "nhwc",
            wide_attention=True,
            gpu=self.kind == "gpu",
            width=2 if self.dtype in ("fp16", "bf16") else 4,
        )


def measured_rows(
    lines: Sequence[Line], device: Device
) -> tuple[list[Measured], list[tuple[str, str]]]:
    """Every line with its model's features, and the models that could not be traced and why."""
    from gadprof.prediction.tracing import trace_of

    known: dict[tuple[str, tuple[int, ...]], Any] = {}
    failed: list[tuple[str, str]] = []
    rows = []
    for line in lines:
        key = (line.model, line.shape)
        if key not in known:
            try:
                traced = trace_of(line.model, (line.shape,) if line.shape else ())
                known[key] = features_of(traced.trace.forward, device.way, traced.batch)
            except GadprofError as error:
                known[key] = None
                failed.append((line.model, str(error)))
        found = known[key]
        if found is not None:
            family = family_of(line.model)
            rows.append(Measured(line.model, family, line.batch, line.seconds, found))
    return rows, failed


def calibrate(
    rows: Sequence[Measured],
    device: Device,
    source: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fit:
    """A fit to the rows. Raises DataError where they are too few."""
    models = sorted({row.model for row in rows})
    families = sorted({row.family for row in rows})
    if len(models) < LEAST_MODELS:
        raise DataError(
            f"{len(models)} model{'s' * (len(models) != 1)} could be used and a calibration needs "
            f"{LEAST_MODELS} different ones; measure more, of several families"
        )
    groups = rows
    by = "families"
    if len(families) < LEAST_MODELS:  # too few to leave whole families out
        groups = [Measured(r.model, r.model, r.batch, r.seconds, r.features) for r in rows]
        by = "models"
    many = len(models) >= ENOUGH_MODELS and len(families) >= ENOUGH_FAMILIES
    count = len({row.family for row in groups})
    folds = min(count, MOST_FOLDS)

    def fit(inside: Sequence[Measured]) -> Coefficients:
        if many:
            return fit_coefficients(inside, device.kind)
        return fit_coefficients(inside, device.kind, nearest_fit(inside, device).members[0])

    gaps = left_out_errors(groups, fit, folds, progress)
    left_out = f"leave-one-out over {count} {by}" if folds == count else f"{folds} folds over {by}"
    method = "fitted" if many else f"scaled from {nearest_fit(rows, device).key}"
    seen = tuple(
        len({row.family for row in rows if (row.features.classes == index).any()})
        for index in range(len(CLASSES))
    )
    if not many:
        before = nearest_fit(rows, device).seen
        seen = tuple(max(mine, theirs) for mine, theirs in zip(seen, before, strict=True))
    cells = known_cells(
        families_by_cell([row.features for row in rows], [row.family for row in rows])
    )
    if not many:
        cells |= nearest_fit(rows, device).cells
    batches = [row.batch for row in rows]
    kernels = [row.seconds / float(row.features.counts.sum()) for row in rows]
    return Fit(
        key=key_of(device.name, device.layout, device.way, device.kind),
        device=device.name,
        layout=device.layout,
        dtype=device.dtype,
        kind=device.kind,
        way=device.way,
        reparam=False,
        members=(fit(rows),),
        seen=seen,
        cells=cells,
        least_batch=min(batches),
        most_batch=max(batches),
        least_kernel_s=0.8 * min(kernels),
        models=len(models),
        families=len(families),
        source=source,
        method=method,
        cv=error_summary(gaps, [row.family for row in groups], left_out),
    )


def nearest_fit(rows: Sequence[Measured], device: Device) -> Fit:
    """The carried fit whose predictions scatter least around the rows, up to one factor."""
    measured = np.log([row.seconds for row in rows])
    inference = [fit for fit in fits().values() if not fit.way.train]
    same = [fit for fit in inference if fit.kind == device.kind] or inference

    def scatter(fit: Fit) -> float:
        gap = predict_rows(fit.members[0], rows) - measured
        return float(np.abs(gap - np.median(gap)).mean())

    return min(same, key=scatter)


def chosen_models(device: Device, batch: int, count: int) -> list[str]:
    """The candidates whose times tell most about a device, the most telling first."""
    from gadprof.prediction import informative

    lines = [Line(model, batch, (), 1.0) for model in informative.CANDIDATES]
    rows, _ = measured_rows(lines, device)
    usual = [fit for fit in fits().values() if fit.kind == device.kind and not fit.way.train]
    same = [fit for fit in usual if fit.way.compiled == device.compiled] or usual
    return [rows[index].model for index in informative.informative(rows, same[0].members[0], count)]
