"""A ratio in words: faster, slower, or "cannot tell below x %".

Promises: a difference is claimed only where the whole 95 % interval lies beyond 1, and beyond what
the null of the same run (a model against itself) showed. Refuses to call two models equal: it says
below which difference this run cannot tell.
"""

from __future__ import annotations

import math
from typing import Literal

from gadprof.measuring.result import Ratio

Outcome = Literal["faster", "slower", "cannot tell"]


def null_floor(null: Ratio | None) -> float:
    """The log-ratio that the null shows where there is no difference: 0 where it holds 1."""
    if null is None:
        return 0.0
    low, high = null.ci95
    if low <= 1 <= high:
        return 0.0
    return max(abs(math.log(low)), abs(math.log(high)))


def judge(ratio: Ratio, null: Ratio | None = None) -> tuple[Outcome, str]:
    """The outcome and a sentence for it."""
    floor = null_floor(null)
    low, high = (math.log(end) for end in ratio.ci95)
    if high < -floor:
        return "faster", (
            f"faster: takes {ratio.value:.3g} x the time of {ratio.to} "
            f"({_per_cent(1 - ratio.value)} less)"
        )
    if low > floor:
        return "slower", (
            f"slower: takes {ratio.value:.3g} x the time of {ratio.to} "
            f"({_per_cent(ratio.value - 1)} more)"
        )
    resolution = max(abs(low), abs(high), floor)
    return "cannot tell", f"cannot tell below {_per_cent(math.expm1(resolution))}"


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
