"""The largest batch that fits a card, found from the trace without running.

``largest_batch`` promises three batches: the largest whose predicted process peak fits, the largest
that fits even at the upper end of the 95 % interval, and the smallest that surely does not fit. The
first grows with the batch but for fragmentation, which a search by halves may step over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gadprof.memory.peaks import Optimizer, Peaks, predict_peaks
from gadprof.memory.step import Step

MOST = 1 << 16  # no card holds more


@dataclass(frozen=True)
class Largest:
    """What fits ``capacity_bytes``: batches, 0 where not even one sample does.

    ``peaks`` are of ``batch``, or of one sample where that does not fit. ``impossible_batch`` is
    the smallest that surely does not fit.
    """

    model: str
    device: str
    capacity_bytes: int
    batch: int
    sure_batch: int
    impossible_batch: int
    peaks: Peaks


def largest_batch(
    step: Step, capacity_bytes: int, optimizer: Optimizer = "sgd-momentum", *, device: str = ""
) -> Largest:
    """The largest batch of a step within a card's memory."""
    known: dict[int, Peaks] = {}

    def peaks(batch: int) -> Peaks:
        if batch not in known:
            known[batch] = predict_peaks(step, batch, optimizer)
        return known[batch]

    batch = _last(lambda b: peaks(b).process_peak_bytes <= capacity_bytes)
    sure = _last(lambda b: peaks(b).interval95[1] <= capacity_bytes)
    possible = _last(lambda b: peaks(b).least_bytes <= capacity_bytes)
    return Largest(
        model=step.model,
        device=device,
        capacity_bytes=capacity_bytes,
        batch=batch,
        sure_batch=sure,
        impossible_batch=possible + 1,
        peaks=peaks(max(batch, 1)),
    )


def _last(fits: Callable[[int], bool]) -> int:
    """The largest batch of which a predicate is true, 0 where it is of none."""
    low, high = 0, 1
    while high <= MOST and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
