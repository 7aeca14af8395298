"""The Pareto front of a stream of designs, kept exact while chunks arrive.

A design is on the front when no other is at least as good in every quantity and better in one.
Equal designs share a place: the one with the smallest number stays. Every quantity is minimised;
the caller negates what is to be maximised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

KILLERS = 24  # front points that a chunk is tried against before it is sorted


@dataclass(frozen=True)
class Front:
    """Points (n, quantities) and their design numbers (n,), sorted by the first quantity."""

    points: NDArray[np.float64] | Ints
    designs: Ints

    @property
    def size(self) -> int:
        """How many designs are on the front."""
        return len(self.designs)


def empty_front(quantities: int) -> Front:
    """A front without designs."""
    return Front(np.empty((0, quantities), np.int64), np.empty(0, np.int64))


def candidates(front: Front, columns: list[Ints]) -> NDArray[np.bool_]:
    """Which designs of a chunk no chosen front point beats: a cheap first sieve."""
    keep = np.ones(len(columns[0]), dtype=bool)
    if front.size == 0:
        return keep
    chosen = np.unique(np.linspace(0, front.size - 1, KILLERS).astype(int))
    for index in chosen:
        point = front.points[index]
        beaten = columns[0] >= point[0]
        for column, value in zip(columns[1:], point[1:], strict=True):
            np.logical_and(beaten, column >= value, out=beaten)
        # the point itself, met again, is beaten too; it is already on the front
        np.logical_and(keep, ~beaten, out=keep)
    return keep


def merge(front: Front, points: Ints, designs: Ints) -> Front:
    """The front of the old front and new points (n, quantities)."""
    if len(designs) == 0:
        return front
    everything = np.concatenate([front.points, points])
    numbers = np.concatenate([front.designs, designs])
    order = np.lexsort((numbers, *everything.T[::-1]))
    everything, numbers = everything[order], numbers[order]
    keep = _two(everything) if everything.shape[1] == 2 else _many(everything)
    return Front(everything[keep], numbers[keep])


def _two(points: Ints) -> NDArray[np.bool_]:
    """Sorted by the first then the second: on the front where the second reaches a new low."""
    second = points[:, 1]
    best = np.minimum.accumulate(second)
    keep = np.ones(len(points), dtype=bool)
    keep[1:] = second[1:] < best[:-1]
    return keep


def _many(points: Ints) -> NDArray[np.bool_]:
    """Sorted lexicographically: a point is beaten only by one before it."""
    keep = np.zeros(len(points), dtype=bool)
    block = 4096
    for start in range(0, len(points), block):
        own = points[start : start + block]
        alive = np.ones(len(own), dtype=bool)
        for point in points[:start][keep[:start]]:
            alive &= ~np.all(own >= point, axis=1)
        indices = np.flatnonzero(alive)
        inside: list[int] = []
        for index in indices:
            if inside and np.any(np.all(own[index] >= own[inside], axis=1)):
                continue
            inside.append(int(index))
        keep[start + np.array(inside, dtype=int)] = True
    return keep
