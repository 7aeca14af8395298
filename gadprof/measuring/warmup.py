"""When a model is warm: decided by its samples, not by a number fixed beforehand.

Promises: pure functions of the samples so far. A model is settled when the newest window of
samples is no faster than the one before it, beyond what the samples' own spread explains.
Refuses nothing; a model that never settles is reported so by the caller.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = 5
TOLERANCE = 0.02
AGAIN = 3
MINIMUM_S = 0.05
# the first sample and two windows: with fewer, nothing can be said
RUNS_TO_SETTLE = 2 * WINDOW + 1


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up of one model went."""

    runs: int
    seconds: float
    settled: bool
    first_s: float
    last_median_s: float


def settled(samples: Sequence[float], window: int = WINDOW, tolerance: float = TOLERANCE) -> bool:
    """Whether the last ``window`` samples are as slow as the ``window`` before them.

    The first sample (allocation, autotuning, compilation) is never part of either window. Samples
    that got slower end the warm-up too: waiting does not make a throttled machine fast.
    """
    if len(samples) < 2 * window + 1:
        return False
    older, newer = samples[-2 * window : -window], samples[-window:]
    older_median, newer_median = statistics.median(older), statistics.median(newer)
    spread = statistics.median([abs(sample - newer_median) for sample in newer])
    # the standard error of a median of `window` samples, from the median absolute deviation
    noise = 1.4826 * 1.2533 * spread / window**0.5
    return bool(older_median - newer_median <= max(tolerance * newer_median, 2 * noise))


def finished(
    samples: Sequence[float],
    *,
    elapsed_s: float,
    limit_s: float,
    minimum_s: float = MINIMUM_S,
    known_s: float | None = None,
) -> bool:
    """Whether the warm-up may stop: settled after at least ``minimum_s``, or out of time.

    ``known_s`` is the median of an earlier launch of the same model: a launch whose last samples
    are no slower has nothing left to warm, and needs no second window to show it.
    """
    if elapsed_s >= limit_s:
        return len(samples) >= 1
    if elapsed_s < minimum_s:
        return False
    if known_s is not None and len(samples) > AGAIN:
        return statistics.median(samples[-AGAIN:]) <= (1 + TOLERANCE) * known_s or settled(samples)
    return settled(samples)


def summarise(samples: Sequence[float], elapsed_s: float) -> WarmUp:
    """The record of a finished warm-up."""
    return WarmUp(
        runs=len(samples),
        seconds=elapsed_s,
        settled=settled(samples),
        first_s=samples[0],
        last_median_s=statistics.median(samples[-WINDOW:]),
    )
