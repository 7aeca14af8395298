"""Memory that lives as long as something refers to it, without torch."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage is looked for meanwhile.

    A count makes tens of thousands of small objects and no cycle; each search that they set off
    would pass over all that the process holds.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Level:
    """How many bytes are alive now, and the most that ever were."""

    __slots__ = ("live", "next", "peak")

    def __init__(self, live: int, peak: int, next_number: int) -> None:
        self.live = live
        self.peak = peak
        self.next = next_number


class Storage:
    """The memory behind stand-ins: it lives as long as one of them does."""

    __slots__ = ("level", "nbytes", "number")

    def __init__(self, level: Level, nbytes: int) -> None:
        self.level = level
        self.nbytes = nbytes
        self.number = level.next
        level.next += 1
        level.live += nbytes
        if level.live > level.peak:
            level.peak = level.live

    def __del__(self) -> None:
        # every map of a count ends here, where entering a context would cost more than the rest
        try:  # noqa: SIM105
            self.level.live -= self.nbytes
        except AttributeError:  # made by a compiler, which began none
            pass


class OwnStorage:
    """The memory behind a parameter or buffer: it is no activation and stays."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a plain row-major tensor, as torch writes them."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
