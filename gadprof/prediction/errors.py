"""What left-out errors amount to: their size, and an interval that holds for a new family.

Promises an interval only where there are families enough for one (19 for 95 %), by conformal
prediction over families: each family counts as one, however many models it has, and one more that
could be arbitrarily wrong is added. Its coverage is measured by leaving each family out of the
quantile. With fewer, the interval is Student's, over the families' mean errors, and says so.
(R. Dunn, L. Wasserman, A. Ramdas, "Distribution-free prediction sets for two-layer hierarchical
models", JASA 118, 2023.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95


def conformal_width(gaps: Floats, families: Sequence[str], level: float = LEVEL) -> float:
    """The half width of the interval of a new family's log-error; infinite with too few."""
    names, place, sizes = np.unique(list(families), return_inverse=True, return_counts=True)
    weights = 1.0 / (len(names) + 1) / sizes[place]
    order = np.argsort(np.abs(gaps))
    reached = np.cumsum(weights[order]) >= level - 1e-12
    return float(np.abs(gaps)[order][reached][0]) if reached.any() else math.inf


def coverage(gaps: Floats, families: Sequence[str], level: float = LEVEL) -> float:
    """The share of rows inside an interval that their own family had no part in, by families."""
    names = np.array(list(families))
    shares = []
    for name in sorted(set(families)):
        own = names == name
        width = conformal_width(gaps[~own], names[~own].tolist(), level)
        shares.append(float((np.abs(gaps[own]) <= width).mean()))
    return float(np.mean(shares))


def error_summary(gaps: Floats, families: Sequence[str], method: str) -> dict[str, Any]:
    """The errors of rows that were left out, relative to the measured time, and the interval."""
    errors = np.abs(np.expm1(gaps))
    width = conformal_width(gaps, families)
    found: dict[str, Any] = {
        "method": method,
        "mean_absolute_error": round(float(errors.mean()), 4),
        "median_absolute_error": round(float(np.median(errors)), 4),
        "within_10_percent": round(float((errors < 0.1).mean()), 4),
    }
    if math.isfinite(width):
        found["log_error_95"] = round(width, 4)
        found["interval_method"] = "conformal by families"
        found["interval_coverage"] = round(coverage(gaps, families), 4)
        return found
    from scipy import stats

    means = [
        float(np.mean([g for g, f in zip(gaps, families, strict=True) if f == name]))
        for name in sorted(set(families))
    ]
    spread = math.sqrt(sum(g * g for g in gaps) / len(gaps))
    factor = float(stats.t.ppf(0.975, max(1, len(means) - 1)))
    found["log_error_95"] = round(factor * spread * math.sqrt(1 + 1 / len(means)), 4)
    found["interval_method"] = f"Student's t over {len(means)} families"
    return found
