"""A second estimate of a network's time: a Gaussian process over totals of its operations.

Promises a time from how a network's totals (work, bytes, operations, what they are made of) compare
with those of the networks that were measured. Where few networks were measured its errors are other
ones than the roofline's, so that the geometric mean of both is nearer than either. Far from all
that was measured it follows its linear part. Needs numpy alone.
(Rasmussen, Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gadprof.prediction.features import CLASSES, Floats, ModelFeatures

# in squared log-seconds: what likeness and the totals' linear form explain, and what neither does
ALIKE, LINEAR, UNEXPLAINED = 3.0, 1.0, 0.1
NEAR = 2.0  # standardised totals within which networks are alike
LEAST_SPREAD = 1e-3
# the shares of the bytes, then of the work, that kinds of classes have
BY_BYTES = (
    tuple(name for name in CLASSES if name.startswith("conv_depthwise")),
    ("matmul", "attention", "softmax", "attention_masked", "attention_math"),
    ("layer_norm", "layer_norm_strided"),
    ("resize", "cat", "copy", "copy_strided"),
)
BY_WORK = (("conv1x1",), ("linear",))
_PLACES = {name: index for index, name in enumerate(CLASSES)}


def totals(features: ModelFeatures) -> Floats:
    """What networks are compared by, (14,), at batch 1: logarithms of totals, and shares.

    Raises ValueError where nothing works or moves.
    """
    column, counts = features.column, features.counts
    work, moved, fixed = (column(name) * counts for name in ("work", "bytes", "fixed_bytes"))
    if not (work.sum() > 0 and moved.sum() > 0):
        raise ValueError("a network that computes or moves nothing has no totals")

    def shares(groups: Sequence[Sequence[str]], amounts: Floats) -> list[float]:
        places = [[_PLACES[name] for name in names] for names in groups]
        return [float(amounts[np.isin(features.classes, p)].sum() / amounts.sum()) for p in places]

    every = moved + fixed
    return np.array(
        [
            math.log(work.sum()),
            math.log(every.sum()),
            math.log(counts.sum()),
            math.log(work.sum() / every.sum()),
            math.log(column("largest").max()),
            math.log(fixed.sum() + 1),
            math.log(work.max() / work.sum()),
            math.log(moved.max() / every.sum()),
            *shares(BY_BYTES, every),
            *shares(BY_WORK, work),
        ]
    )


@dataclass(frozen=True)
class GaussianProcess:
    """``seen`` (networks, totals) are the measured networks, standardised by ``mean``, ``spread``.

    ``weights`` (networks,) is each one's part in a prediction, ``level`` the log-seconds of a
    network in the middle of them.
    """

    mean: Floats
    spread: Floats
    seen: Floats
    weights: Floats
    level: float

    def seconds(self, features: ModelFeatures) -> float:
        """The time of a network's pass at batch 1 (s)."""
        at = (totals(features) - self.mean) / self.spread
        return math.exp(self.level + float(_likeness(at[None], self.seen)[0] @ self.weights))

    def times(self, factor: float) -> GaussianProcess:
        """The same with every time multiplied."""
        return replace(self, level=self.level + math.log(factor))


def _likeness(one: Floats, other: Floats) -> Floats:
    distances = ((one[:, None] - other[None]) ** 2).sum(axis=-1)
    return np.asarray(ALIKE * np.exp(-distances / (2 * NEAR**2)) + LINEAR * (one @ other.T))


def fit_process(networks: Sequence[ModelFeatures], seconds: Sequence[float]) -> GaussianProcess:
    """The process of measured networks, at least two, and their times (s)."""
    found = np.array([totals(one) for one in networks])
    mean, spread = found.mean(axis=0), found.std(axis=0)
    spread = np.where(spread > LEAST_SPREAD, spread, 1.0)  # what all have alike tells nothing
    seen, logs = (found - mean) / spread, np.log(seconds)
    inverse = np.linalg.inv(_likeness(seen, seen) + UNEXPLAINED * np.eye(len(seen)))
    level = float((inverse @ logs).sum() / inverse.sum())
    weights = np.asarray(inverse @ (logs - level), dtype=np.float64)
    return GaussianProcess(mean, spread, seen, weights, level)


def together(by_operations: float, by_totals: float) -> float:
    """One time from the roofline's and the process's: their geometric mean."""
    return math.sqrt(by_operations * by_totals)


def read_process(plain: Mapping[str, Any]) -> GaussianProcess:
    """A process from its JSON object. Raises KeyError, TypeError or ValueError."""
    parts = {
        name: np.array(plain[name], dtype=np.float64)
        for name in ("mean", "spread", "seen", "weights")
    }
    shape = parts["seen"].shape
    if shape != (*parts["weights"].shape, *parts["mean"].shape) or len(shape) != 2:
        raise ValueError(f"a process has seen {shape}, weights {parts['weights'].shape}")
    if not all(np.isfinite(part).all() for part in parts.values()):
        raise ValueError("a number of a process is not finite")
    return GaussianProcess(**parts, level=float(plain["level"]))


def plain_process(process: GaussianProcess) -> dict[str, Any]:
    """The JSON object of a process, as ``read_process`` takes it."""
    return {
        "mean": np.round(process.mean, 4).tolist(),
        "spread": np.round(process.spread, 4).tolist(),
        "seen": np.round(process.seen, 3).tolist(),
        "weights": np.round(process.weights, 4).tolist(),
        "level": round(process.level, 4),
    }
