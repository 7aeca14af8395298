"""How novel a model is to a fit: the share of its predicted time in shapes that few families had.

Promises a number from 0 to 1. A cell is a class of operation with the width and depth of its
product, or the inner side of what only moves numbers, each to a factor of four; a cell is known
where at least ``KNOWN_FROM`` families had an operation in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.features import ModelFeatures

KNOWN_FROM = 3
BINS = 8

Floats = NDArray[np.float64]


def cells_of(features: ModelFeatures) -> NDArray[np.int64]:
    """The cell of every feature row, (n,)."""

    def binned(name: str) -> NDArray[np.int64]:
        size = np.log2(np.maximum(features.column(name), 1.0))
        return np.asarray(np.minimum(size // 2, BINS - 1), dtype=np.int64)

    cells = (features.classes * BINS + binned("n")) * BINS + binned("k")
    return np.asarray(cells, dtype=np.int64)


def families_by_cell(
    features: Sequence[ModelFeatures], families: Sequence[str]
) -> dict[int, frozenset[str]]:
    """Which families had each cell."""
    found: dict[int, set[str]] = {}
    for one, family in zip(features, families, strict=True):
        for cell in np.unique(cells_of(one)).tolist():
            found.setdefault(cell, set()).add(family)
    return {cell: frozenset(names) for cell, names in found.items()}


def known_cells(by_cell: dict[int, frozenset[str]]) -> frozenset[int]:
    """The cells that enough families had."""
    return frozenset(cell for cell, names in by_cell.items() if len(names) >= KNOWN_FROM)


def novelty(features: ModelFeatures, seconds: Floats, known: Iterable[int]) -> float:
    """The share of the predicted ``seconds`` (n,) that lies in cells which are not known."""
    inside = np.isin(cells_of(features), list(known))
    return float(seconds[~inside].sum() / seconds.sum())
