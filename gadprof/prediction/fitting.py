"""Fitting the latency model to measurements, and its error on families that were left out.

Promises coefficients that depend on the rows, their weights and the prior alone, by damped
Gauss-Newton steps on Huber's loss with a ridge. With a prior (another device's coefficients) every
coefficient is held near it, except for one common factor of speed, which is free. Errors come from
rows of families that the fit never saw. Needs numpy alone.
(Levenberg, Q. Appl. Math. 2, 1944; Huber, Ann. Math. Stat. 35, 1964.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.features import CLASSES, ModelFeatures
from gadprof.prediction.model import (
    GROUP_OF,
    GROUPS,
    REACH,
    TERMS,
    Coefficients,
    amounts,
)

Floats = NDArray[np.float64]
START = {"gpu": (4e13, 6e11, 5e-6), "cpu": (5e11, 3e10, 5e-6), "npu": (3e12, 3e10, 3e-6)}
# an npu's rows are few and scattered: how much wider a gap counts as an outlier
SCATTER = {"npu": 5.0}
BEND = 0.04  # Huber's loss: linear beyond 4 %
# ridge against a squared log-error: an inverse variance, in units of BEND's square
HELD = {"base": 1e-4, "offset": 0.02, "shape": 0.04, "shared": 0.01}
FREE = 1e4  # the variance of a factor that is free
HELD_BASE = 0.5  # where there is a prior: the ratio of its three rates
FAMILY_POWER = 0.3  # a row of a family of n weighs n to minus this
STEPS, ENOUGH = 20, 4e-3  # at most so many steps; the relative gain that is too little to go on
DAMPING, LEAST_HELD = 3.0, 0.02
LEAST_PART = 300  # rows that are fitted first
SIZES = (3, len(CLASSES) * 2, len(CLASSES) * TERMS * 2, GROUPS * TERMS * 2)
PLACES = np.cumsum((0, *SIZES))


@dataclass(frozen=True)
class Measured:
    """One measurement: seconds of a forward pass of the whole batch, and the model's features."""

    model: str
    family: str
    batch: int
    seconds: float
    features: ModelFeatures


@dataclass(frozen=True)
class Prepared:
    """All rows' operations, sorted by class and then by row; ``owner`` is the row of each.

    ``starts`` (classes + 1,) is where each class begins; ``place`` is where an operation was before
    it was sorted.
    """

    rows: int
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]
    terms: Floats
    log_work: Floats
    log_bytes: Floats
    counts: Floats
    place: NDArray[np.int64]


def prepare(rows: Sequence[Measured]) -> Prepared:
    """What a fit reads, for all rows."""
    at = [amounts(row.features, row.batch) for row in rows]
    classes = np.concatenate([row.features.classes for row in rows])
    owner = np.repeat(np.arange(len(rows)), [len(row.features.classes) for row in rows])
    order = np.lexsort((owner, classes))
    return Prepared(
        len(rows),
        np.searchsorted(classes[order], np.arange(len(CLASSES) + 1)),
        owner[order],
        np.concatenate([a.terms for a in at])[order],
        np.concatenate([a.log_work for a in at])[order],
        np.concatenate([a.log_bytes for a in at])[order],
        np.concatenate([row.features.counts for row in rows])[order],
        order,
    )


def subset(data: Prepared, keep: NDArray[np.bool_]) -> Prepared:
    """The same of the rows that are kept, (rows,)."""
    inside = keep[data.owner]
    counts = np.add.reduceat(np.r_[inside, False], np.minimum(data.starts[:-1], len(inside)))
    counts = np.where(np.diff(data.starts) > 0, counts, 0)
    return Prepared(
        int(keep.sum()),
        np.concatenate([[0], np.cumsum(counts)]),
        (np.cumsum(keep) - 1)[data.owner[inside]],
        data.terms[inside],
        data.log_work[inside],
        data.log_bytes[inside],
        data.counts[inside],
        data.place[inside],
    )


def with_counts(data: Prepared, counts: Sequence[Floats]) -> Prepared:
    """The same with other counts, one array of feature rows for each row of measurements.

    The operations of a row of measurements lie by class and then as its features have them.
    """
    places = np.concatenate(list(counts))
    return replace(data, counts=places[data.place])


def each_seconds(found: Coefficients, data: Prepared) -> Floats:
    """What one occurrence of each operation takes, in the order of the rows' features, (n,)."""
    each = np.empty(len(data.place))
    each[data.place] = _times(vector(found), data).each
    return each


def predicted_logs(found: Coefficients, data: Prepared) -> Floats:
    """Predicted log-seconds of prepared rows, (rows,)."""
    return np.asarray(np.log(_times(vector(found), data).totals), dtype=np.float64)


def vector(found: Coefficients) -> Floats:
    """All coefficients as one vector."""
    return np.concatenate(
        [found.base, found.offset.ravel(), found.shape.ravel(), found.shared.ravel()]
    )


def coefficients(values: Floats) -> Coefficients:
    """The coefficients of a vector."""
    base, offset, shape, shared = (values[start:end] for start, end in pairwise(PLACES))
    return Coefficients(
        base,
        offset.reshape(len(CLASSES), 2),
        shape.reshape(len(CLASSES), TERMS, 2),
        shared.reshape(GROUPS, TERMS, 2),
    )


@dataclass(frozen=True)
class _Times:
    by_work: Floats
    by_bytes: Floats
    roofline: Floats
    slope: Floats  # of the bounded form, (n, 2)
    each: Floats  # of one occurrence, (n,)
    totals: Floats


def _times(values: Floats, data: Prepared) -> _Times:
    found = coefficients(values)
    form = np.empty((len(data.owner), 2))
    for index, (start, end) in enumerate(pairwise(data.starts)):
        if start < end:
            weights = found.shape[index] + found.shared[GROUP_OF[index]]
            form[start:end] = data.terms[start:end] @ weights + found.offset[index]
    bounded = np.tanh(form / REACH)
    by_work = np.exp(data.log_work - found.base[0] - REACH * bounded[:, 0])
    by_bytes = np.exp(data.log_bytes - found.base[1] - REACH * bounded[:, 1])
    roofline = np.sqrt(by_work**2 + by_bytes**2 + 1e-30)
    each = roofline + np.exp(found.base[2])
    totals = np.bincount(data.owner, weights=each * data.counts, minlength=data.rows)
    return _Times(by_work, by_bytes, roofline, 1 - bounded**2, each, totals.astype(np.float64))


def _slopes(values: Floats, data: Prepared) -> NDArray[np.float32]:
    """How every row's log-seconds move with every coefficient, (rows, coefficients)."""
    at = _times(values, data)
    share = data.counts / at.totals[data.owner]
    part = np.stack([at.by_work**2, at.by_bytes**2], axis=1)
    part = -part / at.roofline[:, None] * share[:, None]
    found = np.zeros((data.rows, int(PLACES[-1])), dtype=np.float32)
    for place, weights in enumerate((part[:, 0], part[:, 1], np.exp(values[2]) * share)):
        found[:, place] = np.bincount(data.owner, weights=weights, minlength=data.rows)
    part *= at.slope
    offset, shape, shared = (found[:, start:end] for start, end in pairwise(PLACES[1:]))
    for index, (start, end) in enumerate(pairwise(data.starts)):
        if start == end:
            continue
        owner = data.owner[start:end]
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        rows = owner[first]
        for side in (0, 1):
            of_class = part[start:end, side]
            offset[rows, 2 * index + side] = np.add.reduceat(of_class, first)
            moved = np.add.reduceat(of_class[:, None] * data.terms[start:end], first, axis=0)
            terms = 2 * np.arange(TERMS) + side
            shape[rows[:, None], 2 * TERMS * index + terms] = moved
            shared[rows[:, None], 2 * TERMS * int(GROUP_OF[index]) + terms] += moved
    return found


def start_of(kind: str) -> Coefficients:
    """Coefficients to begin from where there is no other device's."""
    values = np.zeros(int(PLACES[-1]))
    values[:3] = np.log(START[kind])
    return coefficients(values)


def family_weights(families: Sequence[str]) -> Floats:
    """What each row weighs: less where its family has many; 1 on average."""
    count = Counter(families)
    weights = np.array([count[family] ** -FAMILY_POWER for family in families])
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def fit_coefficients(
    rows: Sequence[Measured],
    kind: str,
    prior: Coefficients | None = None,
    stiffness: float = 1.0,
) -> Coefficients:
    """Coefficients fitted to all rows, from a prior or from nothing."""
    wanted = np.log([row.seconds for row in rows])
    families = [row.family for row in rows]
    return fit_prepared(prepare(rows), wanted, families, kind, prior, stiffness=stiffness)


def fit_prepared(
    data: Prepared,
    wanted: Floats,
    families: Sequence[str],
    kind: str,
    prior: Coefficients | None = None,
    start: Coefficients | None = None,
    stiffness: float = 1.0,
) -> Coefficients:
    """The same from prepared rows and their log-seconds, (rows,).

    From nothing, a part of the rows is fitted first, which is a start for all of them; ``start``
    are coefficients to begin from, beside a prior. ``stiffness`` is how much closer than usual
    all but the three bases are held.
    """
    weights = family_weights(families)
    held = np.repeat([HELD[name] for name in ("base", "offset", "shape", "shared")], SIZES)
    held[3:] *= stiffness
    bend = BEND * SCATTER.get(kind, 1.0)
    mean = vector(prior or start_of(kind))
    first = mean
    if prior is not None:
        common = float(np.median(np.log(_times(mean, data).totals) - wanted))
        mean[:3] += np.array([1.0, 1.0, -1.0]) * common
        held[:3] = HELD_BASE
    elif len(wanted) > LEAST_PART:
        part = np.arange(len(wanted)) % (len(wanted) // LEAST_PART + 1) == 0
        first = _descend(mean, mean, subset(data, part), wanted[part], weights[part], held, bend)
    if start is not None:
        first = vector(start)
    return coefficients(_descend(first, mean, data, wanted, weights, held, bend))


def _descend(
    start: Floats,
    mean: Floats,
    data: Prepared,
    wanted: Floats,
    weights: Floats,
    held: Floats,
    bend: float,
) -> Floats:
    """Damped Gauss-Newton steps to the prior's mode; each solved in the space of the rows."""

    def loss(values: Floats, gap: Floats) -> float:
        size = np.abs(gap)
        huber = np.where(size < bend, gap**2 / 2, bend * (size - bend / 2))
        return float((weights * huber).sum() + (held * (values - mean) ** 2).sum() / 2)

    values: Floats = start.copy()
    damping = DAMPING if start is mean else 0.0
    gap = wanted - np.log(_times(values, data).totals)
    before = loss(values, gap)
    for _ in range(STEPS):
        slopes = _slopes(values, data)
        moving = np.abs(slopes).max(axis=0) > 0
        slopes, here = slopes[:, moving], held[moving]
        trust = weights * np.minimum(1, bend / np.maximum(np.abs(gap), 1e-9))
        while damping < 1e6:
            give = 1 / (here + damping * np.maximum(here, LEAST_HELD))
            back = give * here * (mean - values)[moving]
            half = slopes * np.sqrt(give).astype(np.float32)
            inner = (half @ half.T).astype(np.float64)
            inner[np.diag_indices(len(inner))] += 1 / trust
            step = give * (slopes.T @ np.linalg.solve(inner, gap - slopes @ back)) + back
            tried = values.copy()
            tried[moving] += step
            tried_gap = wanted - np.log(_times(tried, data).totals)
            after = loss(tried, tried_gap)
            if after < before:
                break
            damping = max(6 * damping, 0.3)
        else:
            break
        gain = (before - after) / before
        values, gap, before = tried, np.asarray(tried_gap, dtype=np.float64), after
        damping = damping / 4 if damping > 0.02 else 0.0
        if gain < ENOUGH:
            break
    return values


def variances(prior: Coefficients, rows: Sequence[Measured]) -> Floats:
    """How a calibration from ``prior`` leaves the rows' log-times to vary together, (n, n).

    In units of ``BEND`` squared; the one common factor of speed is free.
    """
    slopes = _slopes(vector(prior), prepare(rows)).astype(np.float64)
    held = np.repeat([HELD[name] for name in ("base", "offset", "shape", "shared")], SIZES)
    held[:3] = HELD_BASE
    common = slopes[:, :3] @ np.array([1.0, 1.0, -1.0])
    free = FREE * np.outer(common, common)
    return np.asarray((slopes / held) @ slopes.T + free, dtype=np.float64)


def predict_rows(found: Coefficients, rows: Sequence[Measured]) -> Floats:
    """Predicted log-seconds of every row."""
    return predicted_logs(found, prepare(rows))


def folds_of(families: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Which fold each row is left out in; a family is never split."""
    names = sorted(set(families))
    order = np.random.default_rng(0).permutation(len(names))
    fold = {names[place]: index % folds for index, place in enumerate(order)}
    return np.array([fold[name] for name in families], dtype=np.int64)


def left_out_errors(
    rows: Sequence[Measured],
    fit: Callable[[Sequence[Measured]], Coefficients],
    folds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """log(predicted / measured) of each row by a fit that saw no row of its family, (n,)."""
    fold = folds_of([row.family for row in rows], folds)
    gaps = np.zeros(len(rows))
    measured = np.log([row.seconds for row in rows])
    for index in range(int(fold.max()) + 1):
        inside = [row for row, place in zip(rows, fold, strict=True) if place != index]
        outside = [row for row, place in zip(rows, fold, strict=True) if place == index]
        gaps[fold == index] = predict_rows(fit(inside), outside) - measured[fold == index]
        progress(index + 1, int(fold.max()) + 1)
    return gaps
