"""The latency model: every operation takes a rounded roofline of work and bytes, and a launch.

Promises positive times: the reachable rate and bandwidth of a class are exponentials of a base and
of a linear form in the operation's shape, held within a factor e² of the base. The form has bends
(hinges) in the logarithm of size, width, depth and inner side, since a rate levels off. Needs numpy
alone. (Roofline: Williams, Waterman, Patterson, CACM 52, 2009.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.features import CLASSES, PRODUCTS, ModelFeatures

Floats = NDArray[np.float64]
REACH = 2.0  # the most that a shape moves a log-rate from its class's base
NO_WORK = -30.0  # the logarithm that stands for no work at all
# which shared form a class has a part in: 0 of products, 1 of what only moves numbers
GROUP_OF: NDArray[np.int64] = np.array([0 if name in PRODUCTS else 1 for name in CLASSES])
GROUPS = 2


@dataclass(frozen=True)
class Coefficients:
    """What a fit found, all natural logarithms.

    ``base`` (3,): MACs a second, bytes a second, seconds of a launch; ``offset`` (classes, 2) moves
    the first two by class, ``shape`` (classes, terms, 2) by class and shape, ``shared`` (groups,
    terms, 2) by shape for all classes of a group.
    """

    base: Floats
    offset: Floats
    shape: Floats
    shared: Floats


TERMS = 39


def shape_terms(features: ModelFeatures, work: Floats, moved: Floats, batch: int) -> Floats:
    """The linear form's inputs, (n, TERMS), from feature columns and the work at a batch size."""

    def log2(values: Floats) -> Floats:
        return np.log2(np.maximum(values, 1.0))

    def bend(values: Floats, start: float, width: float) -> Floats:
        return np.clip(values - start, 0, width) / width

    column = features.column
    n, k, inner = column("n"), column("k"), column("inner")
    rows = column("rows") * np.where(column("work") > 0, batch, 1)
    log_n, log_k, log_moved = log2(n), log2(k), log2(moved)
    log_rows, log_inner = log2(rows), log2(inner)
    wide, deep = np.maximum(n, 1.0), np.maximum(k, 1.0)
    tall, log_channels = np.maximum(column("m"), 1.0), log2(column("channels"))
    return np.stack(
        [
            np.minimum(log_n, 10) / 5 - 1,
            np.minimum(log_k, 13) / 6 - 1,
            np.minimum(log_rows, 22) / 10 - 1,
            np.minimum(log2(column("rows")), 14) / 7 - 1,
            log2(column("kernel")) / 2,
            (column("stride") > 1) * 1.0,
            log_inner / 5 - 1,
            (n % 8 == 0) - 1.0,
            (k % 8 == 0) - 1.0,
            np.clip(log_moved / 10 - 2, -1, 2),
            # what is lost where a tile of 64 columns or 32 terms is not full
            np.log2(np.ceil(wide / 64) * 64 / wide) / 3,
            np.log2(np.ceil(deep / 32) * 32 / deep) / 3,
            np.clip(np.log2(np.maximum(work, 1) / np.maximum(moved, 1)) / 5 - 1, -2, 2),
            np.minimum(log_channels, 12) / 5 - 1,
            column("strided"),
            column("sliced"),
            # beyond a cache: 4 MiB, 64 MiB
            bend(log_moved, 22, 4),
            bend(log_moved, 26, 4),
            np.maximum(log_n - 6, 0) / 4,
            np.maximum(log_k - 8, 0) / 4,
            inner % 2,
            np.maximum(n, k) % 2,
            # what is lost where a tile of 64 rows or a power of two is not full; many channels
            np.where(column("m") > 0, np.log2(np.ceil(tall / 64) * 64 / tall) / 3, 0.0),
            np.ceil(np.log2(wide)) - np.log2(wide),
            bend(log_channels, 6.5, 1),
            # beyond what 32 bits can number
            (column("largest") * batch > 2**31) * 1.0,
            bend(log_moved, 14, 4) - 1,
            bend(log_moved, 18, 4) - 1,
            bend(log_moved, 30, 4),
            bend(log_n, 4, 2),
            bend(log_n, 8, 2),
            bend(log_n, 10, 3),
            bend(log_k, 5, 2),
            bend(log_k, 7, 2),
            bend(log_k, 10, 3),
            bend(log_inner, 3, 2),
            bend(log_inner, 5, 2),
            bend(log_rows, 14, 4),
            bend(log_rows, 18, 4),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class Amounts:
    """Operations at one batch size: ``terms`` (n, TERMS), logarithms of work and bytes (n,)."""

    terms: Floats
    log_work: Floats
    log_bytes: Floats


def amounts(features: ModelFeatures, batch: int) -> Amounts:
    """The work, the bytes and the shape terms of a model's operations for a whole batch."""
    column = features.column
    work = column("work") * batch + column("fixed_work")
    moved = column("bytes") * batch + column("fixed_bytes")
    return Amounts(
        shape_terms(features, work, moved, batch),
        np.where(work > 0, np.log(np.maximum(work, 1)), NO_WORK),
        np.log(np.maximum(moved, 1)),
    )


def operation_seconds(found: Coefficients, features: ModelFeatures, batch: int) -> Floats:
    """The time of each feature row, its occurrences together, in seconds for the whole batch."""
    at = amounts(features, batch)
    weights = found.shape + found.shared[GROUP_OF]
    form = np.einsum("nt,nto->no", at.terms, weights[features.classes])
    form = REACH * np.tanh((form + found.offset[features.classes]) / REACH)
    by_work = np.exp(at.log_work - found.base[0] - form[:, 0])
    by_bytes = np.exp(at.log_bytes - found.base[1] - form[:, 1])
    roofline = np.sqrt(by_work**2 + by_bytes**2 + 1e-30)
    return np.asarray((roofline + np.exp(found.base[2])) * features.counts, dtype=np.float64)


def mean_seconds(members: Sequence[Coefficients], features: ModelFeatures, batch: int) -> Floats:
    """``operation_seconds``, the mean over several fits."""
    return np.asarray(
        np.mean([operation_seconds(member, features, batch) for member in members], axis=0)
    )
