"""Seeded random designs of a space, different ones, in ascending order, in bounded memory.

A sample of up to ``STRATUM`` designs is drawn from the whole space. A larger one is drawn in runs
of ``STRATUM`` positions, each from its proportional share of the design numbers (a sample
stratified by number), so that only one run is ever in memory. Promises the same designs for the
same space, count and seed. Refuses a space whose designs int64 cannot number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from gadprof.errors import SpecError
from gadprof.sweep.front import Ints
from gadprof.sweep.space import Space

STRATUM = 1 << 22


def check_sample(space: Space) -> None:
    """Refuse a space with too many designs to number. Raises SpecError."""
    if space.size > 2**62:
        raise SpecError(f"a space of {space.size:,} designs has too many to number; drop a knob")


def sampled(
    space: Space, count: int, seed: int, start: int = 0, stop: int | None = None
) -> Iterator[Ints]:
    """The numbers at positions ``start`` to ``stop`` of a sample of ``count``, run by run.

    A count beyond the space is the space. Raises SpecError.
    """
    check_sample(space)
    count = min(count, space.size)
    stop = count if stop is None else min(stop, count)
    for first in range(start - start % STRATUM, stop, STRATUM):
        numbers = _run(space.size, count, seed, first)
        yield numbers[max(start - first, 0) : stop - first]


def choose_sample(space: Space, count: int, seed: int) -> Ints:
    """All ``count`` different design numbers at once, in order. Raises SpecError."""
    return np.concatenate([np.empty(0, np.int64), *sampled(space, count, seed)])


@lru_cache(maxsize=1)  # the ranges of a worker lie in one run after another
def _run(size: int, count: int, seed: int, first: int) -> Ints:
    last = min(first + STRATUM, count)
    low, high = size * first // count, size * last // count
    generator = np.random.default_rng(seed if count <= STRATUM else (seed, first))
    numbers = _draw(high - low, last - first, generator) + low
    numbers.flags.writeable = False
    return numbers


def _draw(size: int, count: int, generator: np.random.Generator) -> Ints:
    """``count`` different numbers below ``size``, in order."""
    if count * 2 >= size:
        return np.sort(generator.permutation(size)[:count]).astype(np.int64)
    found = np.empty(0, np.int64)
    while len(found) < count:
        more = generator.integers(0, size, size=count - len(found), dtype=np.int64)
        joined = np.concatenate([found, more])
        _, firsts = np.unique(joined, return_index=True)
        found = joined[np.sort(firsts)]
    return np.sort(found)
