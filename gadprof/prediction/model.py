"""The latency model: every operation takes a rounded roofline of work and bytes, and a launch.

Promises positive times: the reachable rate and bandwidth of a class are exponentials of a base and
of a linear form in the operation's shape, held within a factor e² of the base. Needs numpy alone.
(Roofline: Williams, Waterman, Patterson, CACM 52, 2009.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.features import COLUMNS, ModelFeatures

Floats = NDArray[np.float64]
REACH = 2.0  # the most that a shape moves a log-rate from its class's base
NO_WORK = -30.0  # the logarithm that stands for no work at all
AT: Mapping[str, int] = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Coefficients:
    """What a fit found, all natural logarithms.

    ``base`` (3,): MACs a second, bytes a second, seconds of a launch; ``offset`` (classes, 2) moves
    the first two by class, ``shape`` (classes, terms, 2) by class and shape, ``shared`` (terms, 2)
    by shape for all classes.
    """

    base: Floats
    offset: Floats
    shape: Floats
    shared: Floats


TERMS = 26


def shape_terms(columns: Floats, work: Floats, moved: Floats, rows: Floats, batch: int) -> Floats:
    """The linear form's inputs, (n, TERMS), from feature columns and the work at a batch size."""

    def log2(values: Floats) -> Floats:
        return np.log2(np.maximum(values, 1.0))

    def column(name: str) -> Floats:
        return columns[:, AT[name]]

    n, k, inner = column("n"), column("k"), column("inner")
    log_n, log_k, log_moved = log2(n), log2(k), log2(moved)
    wide, deep = np.maximum(n, 1.0), np.maximum(k, 1.0)
    tall, log_channels = np.maximum(column("m"), 1.0), log2(column("channels"))
    return np.stack(
        [
            np.minimum(log_n, 10) / 5 - 1,
            np.minimum(log_k, 13) / 6 - 1,
            np.minimum(log2(rows), 22) / 10 - 1,
            np.minimum(log2(column("rows")), 14) / 7 - 1,
            log2(column("kernel")) / 2,
            (column("stride") > 1) * 1.0,
            log2(inner) / 5 - 1,
            column("aligned_n") - 1,
            column("aligned_k") - 1,
            np.clip(log_moved / 10 - 2, -1, 2),
            # what is lost where a tile of 64 columns or 32 terms is not full
            np.log2(np.ceil(wide / 64) * 64 / wide) / 3,
            np.log2(np.ceil(deep / 32) * 32 / deep) / 3,
            np.clip(np.log2(np.maximum(work, 1) / np.maximum(moved, 1)) / 5 - 1, -2, 2),
            np.minimum(log_channels, 12) / 5 - 1,
            column("strided"),
            column("sliced"),
            # beyond a cache: 4 MiB, 64 MiB
            np.clip(log_moved - 22, 0, 4) / 4,
            np.clip(log_moved - 26, 0, 4) / 4,
            np.maximum(log_n - 6, 0) / 4,
            np.maximum(log_k - 8, 0) / 4,
            inner % 2,
            np.maximum(n, k) % 2,
            # what is lost where a tile of 64 rows or a power of two is not full; many channels
            np.where(column("m") > 0, np.log2(np.ceil(tall / 64) * 64 / tall) / 3, 0.0),
            np.ceil(np.log2(wide)) - np.log2(wide),
            np.clip(log_channels - 6.5, 0, 1),
            # beyond what 32 bits can number
            (column("largest") * batch > 2**31) * 1.0,
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
    columns = features.columns
    work = columns[:, AT["work"]] * batch + columns[:, AT["fixed_work"]]
    moved = columns[:, AT["bytes"]] * batch + columns[:, AT["fixed_bytes"]]
    rows = columns[:, AT["rows"]] * np.where(columns[:, AT["work"]] > 0, batch, 1)
    return Amounts(
        shape_terms(columns, work, moved, rows, batch),
        np.where(work > 0, np.log(np.maximum(work, 1)), NO_WORK),
        np.log(np.maximum(moved, 1)),
    )


def operation_seconds(found: Coefficients, features: ModelFeatures, batch: int) -> Floats:
    """The time of each feature row, its occurrences together, in seconds for the whole batch."""
    at = amounts(features, batch)
    form = np.einsum("nt,nto->no", at.terms, found.shape[features.classes])
    form = form + found.offset[features.classes] + at.terms @ found.shared
    form = REACH * np.tanh(form / REACH)
    by_work = np.exp(at.log_work - found.base[0] - form[:, 0])
    by_bytes = np.exp(at.log_bytes - found.base[1] - form[:, 1])
    roofline = np.sqrt(by_work**2 + by_bytes**2 + 1e-30)
    return np.asarray((roofline + np.exp(found.base[2])) * features.counts, dtype=np.float64)


def mean_seconds(members: Sequence[Coefficients], features: ModelFeatures, batch: int) -> Floats:
    """``operation_seconds``, the mean over several fits."""
    return np.asarray(
        np.mean([operation_seconds(member, features, batch) for member in members], axis=0)
    )
