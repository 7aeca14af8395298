"""What can be said from samples: medians, quantiles, bootstrap intervals, spread, drift.

Promises: intervals come from scipy's bootstrap over *batches* of neighbouring blocks, long enough
that the batches are nearly independent, because samples taken one after another are not. Intervals
are widened for few batches (the expanded percentile interval of T. Hesterberg, "What teachers
should know about the bootstrap", Am. Statistician 69, 2015, section 4). Refuses to give an
interval from fewer than ``MIN_BATCHES`` batches: it returns None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

MIN_BATCHES = 6
RESAMPLES = 999
TRIM = 0.2


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and how far the samples were from independent."""

    value: float
    ci95: tuple[float, float]
    batches: int
    batch_blocks: int
    launches: int = 1

    @property
    def half_width(self) -> float:
        """Half of the interval's width, relative to the value."""
        return (self.ci95[1] - self.ci95[0]) / 2 / abs(self.value) if self.value else math.inf


def quantile(samples: Sequence[float], share: float) -> float:
    """The ``share`` quantile of samples (linear interpolation)."""
    import numpy as np

    return float(np.quantile(np.asarray(samples, dtype=float), share))


def robust_spread(samples: Sequence[float]) -> float:
    """Relative spread: 1.4826 x the median absolute deviation, over the median."""
    import numpy as np

    values = np.asarray(samples, dtype=float)
    median = float(np.median(values))
    if median == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(values - median)) / median)


def autocorrelation_time(values: Sequence[float]) -> float:
    """The integrated autocorrelation time in steps; 1 for independent values.

    Sums pairs of neighbouring autocorrelations while they stay positive (the initial positive
    sequence of C. Geyer, "Practical Markov chain Monte Carlo", Stat. Sci. 7, 1992).
    """
    import numpy as np

    series = np.asarray(values, dtype=float)
    count = len(series)
    if count < 8:
        return 1.0
    # ranks instead of values, so that one interrupted run does not hide the correlation
    ranks = series.argsort().argsort().astype(float)
    ranks -= ranks.mean()
    variance = float(ranks @ ranks)
    if variance == 0:
        return 1.0
    total = 1.0
    for lag in range(1, count // 2, 2):
        pair = sum(
            float(ranks[: count - step] @ ranks[step:]) / variance for step in (lag, lag + 1)
        )
        if pair <= 0:
            break
        total += 2 * pair
    return max(1.0, min(total, count / 2))


def batch_length(values: Sequence[float]) -> int:
    """How many neighbouring blocks make one batch: two autocorrelation times, at least one.

    Never so long that fewer than ``MIN_BATCHES`` batches would remain of a series that has them.
    """
    time = autocorrelation_time(values)
    # a time near 1 is what independent values give by chance
    wanted = 1 if time < 1.5 else math.ceil(2 * time)
    return max(1, min(wanted, len(values) // MIN_BATCHES))


def _expanded(low: float, high: float, value: float, batches: int) -> tuple[float, float]:
    """Widen a bootstrap interval for the small number of batches behind it."""
    from scipy import stats

    factor = math.sqrt(batches / (batches - 1)) * float(
        stats.t.ppf(0.975, batches - 1) / stats.norm.ppf(0.975)
    )
    return value - (value - low) * factor, value + (high - value) * factor


def _bootstrap(data: Any, statistic: Any, value: float, seed: int) -> tuple[float, float]:
    """scipy's bias-corrected and accelerated interval, or the percentile one where the former is
    undefined (all batches equal, or the jackknife degenerate)."""
    import warnings

    import numpy as np
    from scipy import stats

    if np.ptp(data) == 0:
        return value, value
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = stats.bootstrap(
                (data,),
                statistic,
                n_resamples=RESAMPLES,
                method=method,
                vectorized=True,
                rng=np.random.default_rng(seed),
            )
        low, high = (float(end) for end in result.confidence_interval)
        if math.isfinite(low) and math.isfinite(high):
            return min(low, value), max(high, value)
    return value, value


def ratio_of_paired(
    logs: Sequence[float], *, seed: int = 0, batch_blocks: int | None = None
) -> Estimate | None:
    """The ratio behind paired per-block log-ratios, with its 95 % interval.

    ``logs[i]`` is log(time of the model in block i / time of the reference in block i). The ratio
    is exp of their 20 % trimmed mean: one interrupted block does not move it.
    """
    import numpy as np
    from scipy import stats

    series = np.asarray(logs, dtype=float)
    length = batch_blocks or batch_length(list(series))
    batches = len(series) // length
    if batches < MIN_BATCHES:
        return None
    # the oldest blocks are left out of the interval where the series does not divide
    means = series[len(series) - batches * length :].reshape(batches, length)
    per_batch = stats.trim_mean(means, TRIM, axis=1) if length > 4 else means.mean(axis=1)

    def trimmed(sample: Any, axis: int = -1) -> Any:
        return stats.trim_mean(sample, TRIM, axis=axis)

    value = float(trimmed(per_batch))
    low, high = _bootstrap(per_batch, trimmed, value, seed)
    low, high = _expanded(low, high, value, batches)
    return Estimate(math.exp(value), (math.exp(low), math.exp(high)), batches, length)


def ratio_of_launches(launches: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """The ratio behind paired log-ratios of several launches, each model in a new process in each.

    What differs between two processes of one model stays the same while they live, so that within
    a launch no number of samples shows it: the launches are the batches. From ``MIN_BATCHES``
    launches on, the interval is that of ``ratio_of_paired`` over the launches' trimmed means. With
    fewer it is the wider of two: Student's over the launches' means, and the one over blocks.
    """
    import numpy as np
    from scipy import stats

    groups = [list(launch) for launch in launches if launch]
    if len(groups) < 2:
        return ratio_of_paired(groups[0], seed=seed) if groups else None
    means = [float(stats.trim_mean(group, TRIM)) for group in groups]
    count = len(means)
    if count >= MIN_BATCHES:
        found = ratio_of_paired(means, seed=seed, batch_blocks=1)
        return None if found is None else replace(found, launches=count)
    pooled = ratio_of_paired([value for group in groups for value in group], seed=seed)
    if pooled is None:
        return None
    middle = float(np.mean(means))
    half = float(stats.t.ppf(0.975, count - 1)) * float(np.std(means, ddof=1)) / math.sqrt(count)
    low = min(middle - half, math.log(pooled.ci95[0]))
    high = max(middle + half, math.log(pooled.ci95[1]))
    return replace(
        pooled, value=math.exp(middle), ci95=(math.exp(low), math.exp(high)), launches=count
    )


def median_of_launches(
    launches: Sequence[Sequence[Sequence[float]]], *, seed: int = 0
) -> Estimate | None:
    """The median of all samples, its 95 % interval by resampling launches where there are enough.

    ``launches`` holds the turns of each launch. With fewer than ``MIN_BATCHES`` launches it is
    ``median_of_turns``'s interval.
    """
    import numpy as np

    groups = [launch for launch in launches if launch]
    pooled = median_of_turns([turn for launch in groups for turn in launch], seed=seed)
    if pooled is None or len(groups) < MIN_BATCHES:
        return pooled

    def median(sample: Any, axis: int = -1) -> Any:
        return np.median(sample, axis=axis)

    middles = np.asarray([float(np.median(np.concatenate(launch))) for launch in groups])
    centre = float(np.median(middles))
    low, high = _bootstrap(middles, median, centre, seed)
    low, high = _expanded(low, high, centre, len(middles))
    return replace(
        pooled, ci95=(min(low, pooled.value), max(high, pooled.value)), launches=len(groups)
    )


def median_of_turns(turns: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """The median of all samples with its 95 % interval, resampling whole batches of turns."""
    import numpy as np

    if not turns:
        return None
    everything = np.concatenate([np.asarray(turn, dtype=float) for turn in turns])
    value = float(np.median(everything))
    middles = np.asarray([float(np.median(turn)) for turn in turns])
    length = batch_length(list(middles))
    batches = len(middles) // length
    if batches < MIN_BATCHES:
        return None
    grouped = middles[len(middles) - batches * length :].reshape(batches, length)
    per_batch = np.median(grouped, axis=1)

    def median(sample: Any, axis: int = -1) -> Any:
        return np.median(sample, axis=axis)

    centre = float(np.median(per_batch))
    low, high = _bootstrap(per_batch, median, centre, seed)
    low, high = _expanded(low, high, centre, batches)
    # turns differ in length by nothing but the last one: the shift is small, and kept in view
    return Estimate(value, (min(low, value), max(high, value)), batches, length)


@dataclass(frozen=True)
class Drift:
    """A change over the run that is common to all models."""

    relative: float
    p_value: float


def drift(series: Sequence[float]) -> Drift:
    """The relative change from start to end of a run (Theil-Sen slope) and its p-value.

    The p-value is Kendall's, with the count of values reduced by their autocorrelation time.
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(series, dtype=float)
    count = len(values)
    if count < 10 or np.ptp(values) == 0:
        return Drift(0.0, 1.0)
    positions = np.arange(count, dtype=float)
    slope = float(stats.theilslopes(values, positions).slope)
    detrended = values - slope * positions
    effective = max(8.0, count / autocorrelation_time(list(detrended)))
    tau = float(stats.kendalltau(positions, values).statistic)
    deviation = math.sqrt(2 * (2 * effective + 5) / (9 * effective * (effective - 1)))
    p_value = float(2 * stats.norm.sf(abs(tau) / deviation))
    return Drift(slope * (count - 1) / float(np.median(values)), p_value)
