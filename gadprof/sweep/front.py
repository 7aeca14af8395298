"""The Pareto front of a stream of designs, kept exact while chunks arrive.

A design is on the front when no other is at least as good in every quantity and better in one.
Equal designs share a place: the one with the smallest number stays. Every quantity is minimised;
the caller negates what is to be maximised.
"""

from __future__ import annotations

from bisect import bisect_right
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


def survivors(
    front: Front, columns: list[Ints], chosen: NDArray[np.intp], *, equals: bool = False
) -> NDArray[np.intp]:
    """Which of the chosen designs of a chunk no killer of the front beats: a cheap first sieve.

    ``columns`` (chunk,) are the quantities. A design that equals a front point is beaten too, since
    that place is taken by a smaller number; with ``equals`` it stays.
    """
    if front.size == 0:
        return chosen
    some = columns if len(chosen) == len(columns[0]) else [column[chosen] for column in columns]
    killers = [] if equals and len(some) == 2 else _spread(front.size)
    for index in killers:
        point = front.points[index]
        alive = some[0] < point[0]
        for column, value in zip(some[1:], point[1:], strict=True):
            np.logical_or(alive, column < value, out=alive)
        if equals:
            alive |= np.all([c == value for c, value in zip(some, point, strict=True)], axis=0)
        if 4 * np.count_nonzero(alive) < 3 * len(chosen):
            chosen = chosen[alive]
            some = [column[alive] for column in some]
        if len(chosen) == 0:
            return chosen
    return chosen[_under_the_stairs(front, some, equals)] if len(some) == 2 else chosen


def _under_the_stairs(front: Front, columns: list[Ints], equals: bool) -> NDArray[np.bool_]:
    """Which designs no point of a front of two quantities beats: all of them, not some."""
    first, second = front.points.T
    place = np.searchsorted(first, columns[0], side="right") - 1
    step = np.maximum(place, 0)
    alive = (place < 0) | (columns[1] < second[step])
    if equals:
        alive |= (columns[0] == first[step]) & (columns[1] == second[step])
    return np.asarray(alive, dtype=bool)


def _spread(size: int) -> list[int]:
    """Up to ``KILLERS`` places of a front, the middle first, then ever finer."""
    places = [(2 * k + 1) * size // (2 << level) for level in range(10) for k in range(1 << level)]
    return list(dict.fromkeys(places))[:KILLERS]


def merge(front: Front, points: Ints, designs: Ints) -> Front:
    """The front of the old front and new points (n, quantities)."""
    if len(designs) == 0:
        return front
    everything = np.concatenate([front.points, points])
    numbers = np.concatenate([front.designs, designs])
    order = np.lexsort((numbers, *everything.T[::-1]))
    everything, numbers = everything[order], numbers[order]
    keep = _two(everything) if everything.shape[1] == 2 else _three(everything)
    return Front(everything[keep], numbers[keep])


def _two(points: Ints) -> NDArray[np.bool_]:
    """Sorted by the first then the second: on the front where the second reaches a new low."""
    second = points[:, 1]
    best = np.minimum.accumulate(second)
    keep = np.ones(len(points), dtype=bool)
    keep[1:] = second[1:] < best[:-1]
    return keep


def _three(points: Ints) -> NDArray[np.bool_]:
    """Sorted lexicographically: a point is beaten only by one before it, in its last two.

    Those that are beaten by none before them form stairs, y rising and z falling, that only the
    step before a point's y need be asked.
    """
    keep = np.zeros(len(points), dtype=bool)
    stairs_y: list[float] = []
    stairs_z: list[float] = []
    for index, (y, z) in enumerate(points[:, 1:].tolist()):
        place = bisect_right(stairs_y, y)
        if place and stairs_z[place - 1] <= z:
            continue
        keep[index] = True
        first = place - 1 if place and stairs_y[place - 1] == y else place
        last = first
        while last < len(stairs_z) and stairs_z[last] >= z:
            last += 1
        stairs_y[first:last] = [y]
        stairs_z[first:last] = [z]
    return keep
