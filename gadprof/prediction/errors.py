"""What left-out errors amount to: their size, and an interval that holds for a new family.

Promises an interval only where there are families enough for one (19 for 95 %), by conformal
prediction over families: each family counts as one, however many models it has, and one more that
could be arbitrarily wrong is added. The interval widens with a model's novelty, by the slope that
makes it narrowest for the same coverage. Its coverage is measured by leaving each family out of the
quantile. With fewer families, the interval is Student's, over the families' mean errors, and says
so.
(R. Dunn, L. Wasserman, A. Ramdas, "Distribution-free prediction sets for two-layer hierarchical
models", JASA 118, 2023.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95
SLOPES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)  # by how much full novelty may widen an interval


def conformal_width(gaps: Floats, families: Sequence[str], level: float = LEVEL) -> float:
    """The half width of the interval of a new family's log-error; infinite with too few."""
    names, place, sizes = np.unique(list(families), return_inverse=True, return_counts=True)
    weights = 1.0 / (len(names) + 1) / sizes[place]
    order = np.argsort(np.abs(gaps))
    reached = np.cumsum(weights[order]) >= level - 1e-12
    return float(np.abs(gaps)[order][reached][0]) if reached.any() else math.inf


def inside_interval(
    gaps: Floats, families: Sequence[str], level: float = LEVEL
) -> NDArray[np.bool_]:
    """Whether each row is inside an interval that its own family had no part in."""
    names = np.array(list(families))
    inside = np.zeros(len(gaps), dtype=bool)
    for name in sorted(set(families)):
        own = names == name
        width = conformal_width(gaps[~own], names[~own].tolist(), level)
        inside[own] = np.abs(gaps[own]) <= width
    return inside


def coverage(gaps: Floats, families: Sequence[str], level: float = LEVEL) -> float:
    """The share of rows inside an interval that their own family had no part in, by families."""
    return family_mean(inside_interval(gaps, families, level).astype(float), families)


def family_mean(values: Floats, families: Sequence[str]) -> float:
    """The mean over families of the means over their rows."""
    names = np.array(list(families))
    return float(np.mean([values[names == name].mean() for name in sorted(set(families))]))


def sizes(gaps: Floats, families: Sequence[str]) -> dict[str, float]:
    """How large relative errors are, over rows and over families."""
    errors = np.abs(np.expm1(gaps))
    return {
        "mean_absolute_error": round(float(errors.mean()), 4),
        "median_absolute_error": round(float(np.median(errors)), 4),
        "within_10_percent": round(float((errors < 0.1).mean()), 4),
        "mean_over_families": round(family_mean(errors, families), 4),
    }


def error_summary(gaps: Floats, families: Sequence[str], method: str) -> dict[str, Any]:
    """The errors of rows that were left out, relative to the measured time, and the interval."""
    width = conformal_width(gaps, families)
    found: dict[str, Any] = {"method": method, **sizes(gaps, families)}
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


def adaptive_summary(
    ways: Mapping[str, tuple[Floats, Sequence[str], Floats]], first: str, method: str
) -> dict[str, Any]:
    """The errors of several ways of leaving out; the interval is that of the hardest.

    ``ways`` gives, by name, the left-out log-errors, each row's family and its novelty to what was
    left. The interval of a prediction is ``log_error_95`` times (1 + ``novelty_slope`` · novelty).
    """
    gaps, families, _ = ways[first]
    found: dict[str, Any] = {"method": method, **sizes(gaps, families)}
    # the slope that makes the first way's intervals narrowest, all ways being covered
    narrowest = min(
        SLOPES,
        key=lambda slope: (
            max(_score_width(*way, slope) for way in ways.values())
            * float((1 + slope * ways[first][2]).mean())
        ),
    )
    widths = {name: _score_width(*way, narrowest) for name, way in ways.items()}
    covered = {
        name: (own / (1 + narrowest * new), groups) for name, (own, groups, new) in ways.items()
    }
    hardest = max(widths, key=lambda name: widths[name])
    found["log_error_95"] = round(widths[hardest], 4)
    found["novelty_slope"] = narrowest
    found["interval_method"] = f"conformal, by {hardest}"
    inside = {name: np.abs(scores) <= widths[hardest] for name, (scores, _) in covered.items()}
    scores, groups = covered[hardest]
    if math.isfinite(conformal_width(scores, groups)):
        inside[hardest] = inside_interval(scores, groups)
    found["interval_coverage"] = round(min(float(each.mean()) for each in inside.values()), 4)
    found["coverage_over_families"] = round(
        min(family_mean(each.astype(float), ways[name][1]) for name, each in inside.items()), 4
    )
    for name, (own, groups, _) in ways.items():
        found[f"by_{name}"] = {"groups": len(set(groups)), **sizes(own, groups)}
    return found


def _score_width(gaps: Floats, families: Sequence[str], novelties: Floats, slope: float) -> float:
    """The width at no novelty; over rows where there are too few families for a quantile."""
    scores = gaps / (1 + slope * novelties)
    width = conformal_width(scores, families)
    return width if math.isfinite(width) else float(np.quantile(np.abs(scores), LEVEL))
