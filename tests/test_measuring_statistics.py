"""Claims about intervals, quantiles, drift, warm-up and the order of turns."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from gadprof.measuring import schedule, statistics, verdict, warmup
from gadprof.measuring.result import Ratio


def correlated(count: int, rho: float, seed: int) -> list[float]:
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.02, count)
    series = np.zeros(count)
    for index in range(1, count):
        series[index] = rho * series[index - 1] + noise[index]
    return list(series)


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_the_interval_of_a_ratio_of_one_holds_one_also_with_autocorrelation(rho: float) -> None:
    held = 0
    for seed in range(60):
        estimate = statistics.ratio_of_paired(correlated(80, rho, seed), seed=seed)
        assert estimate is not None
        held += estimate.ci95[0] <= 1 <= estimate.ci95[1]
    assert held >= 51  # 95 % wanted; fewer than 85 % would happen once in thousands of tries


def test_treating_autocorrelated_blocks_as_independent_would_miss_far_more_often() -> None:
    held = 0
    for seed in range(60):
        estimate = statistics.ratio_of_paired(correlated(80, 0.7, seed), seed=seed, batch_blocks=1)
        assert estimate is not None
        held += estimate.ci95[0] <= 1 <= estimate.ci95[1]
    assert held <= 48


def test_a_true_ratio_is_found_within_its_interval() -> None:
    generator = np.random.default_rng(3)
    logs = list(math.log(0.7) + generator.normal(0, 0.01, 60))
    estimate = statistics.ratio_of_paired(logs)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.7, rel=0.01)
    assert estimate.ci95[0] < 0.7 < estimate.ci95[1]
    assert estimate.half_width < 0.01


def test_one_interrupted_block_does_not_move_the_ratio() -> None:
    logs = [0.0] * 30 + [3.0]
    estimate = statistics.ratio_of_paired(logs)
    assert estimate is not None
    assert estimate.value == pytest.approx(1.0)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_blocks_give_no_interval(count: int) -> None:
    assert statistics.ratio_of_paired([0.0] * count) is None


def test_equal_samples_give_an_interval_of_no_width() -> None:
    estimate = statistics.median_of_turns([[2.0, 2.0]] * 10)
    assert estimate is not None
    assert estimate.ci95 == (2.0, 2.0)


def test_the_median_of_turns_is_the_median_of_all_samples() -> None:
    turns = [[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]] * 4
    estimate = statistics.median_of_turns(turns)
    assert estimate is not None
    assert estimate.value == float(np.median(list(itertools.chain(*turns))))
    assert estimate.ci95[0] <= estimate.value <= estimate.ci95[1]


def test_independent_values_have_an_autocorrelation_time_near_one() -> None:
    values = list(np.random.default_rng(0).normal(size=400))
    assert statistics.autocorrelation_time(values) < 1.6
    assert statistics.autocorrelation_time(correlated(400, 0.8, 0)) > 4


def test_spread_is_the_deviation_of_normal_samples_and_ignores_outliers() -> None:
    values = list(np.random.default_rng(0).normal(1.0, 0.05, 4000)) + [50.0] * 20
    assert statistics.robust_spread(values) == pytest.approx(0.05, rel=0.1)


def test_a_steady_rise_is_drift_and_noise_is_not() -> None:
    noise = np.random.default_rng(1).normal(1.0, 0.01, 60)
    assert statistics.drift(list(noise)).p_value > 0.01
    risen = statistics.drift(list(noise + np.linspace(0, 0.1, 60)))
    assert risen.p_value < 0.001
    assert risen.relative == pytest.approx(0.1, rel=0.2)


def test_every_block_gives_every_model_one_turn_in_changing_order() -> None:
    orders = list(itertools.islice(schedule.blocks(["a", "b", "c"], seed=1), 200))
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) == 6
    first = sum(order[0] == "a" for order in orders)
    assert 40 < first < 95


def test_the_same_seed_gives_the_same_order() -> None:
    take = lambda seed: list(itertools.islice(schedule.blocks(["a", "b"], seed), 20))  # noqa: E731
    assert take(5) == take(5)
    assert take(5) != take(6)


def test_no_names_cannot_be_scheduled() -> None:
    with pytest.raises(ValueError, match="at least one"):
        next(schedule.blocks([]))


@pytest.mark.parametrize(
    ("latency_s", "samples"), [(1.0, 1), (0.02, 2), (0.001, 40), (1e-6, 400), (0.0, 400)]
)
def test_a_turn_lasts_about_forty_milliseconds(latency_s: float, samples: int) -> None:
    assert schedule.turn_samples(latency_s) == samples


def test_short_models_get_an_untimed_run_and_long_ones_do_not() -> None:
    assert schedule.refresh_runs(0.001) == 1
    assert schedule.refresh_runs(0.5) == 0


def test_warm_up_goes_on_while_samples_fall_and_ends_when_they_stop() -> None:
    generator = random.Random(0)
    falling = [1.0 / (1 + index) for index in range(30)]
    assert not warmup.settled(falling)
    flat = falling + [1 / 31 + generator.gauss(0, 0.0002) for _ in range(12)]
    assert warmup.settled(flat)


def test_warm_up_ends_when_samples_rise_since_waiting_does_not_cool_a_machine() -> None:
    assert warmup.settled([1.0 + 0.05 * index for index in range(20)])


def test_a_model_that_never_settles_ends_at_the_limit_and_says_so() -> None:
    falling = [1.0 / (1 + index) for index in range(30)]
    assert not warmup.finished(falling, elapsed_s=1.0, limit_s=10.0)
    assert warmup.finished(falling, elapsed_s=10.0, limit_s=10.0)
    assert not warmup.summarise(falling, 10.0).settled


def ratio(value: float, low: float, high: float) -> Ratio:
    return Ratio(value, (low, high), "reference", 20, 1)


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        (ratio(0.8, 0.79, 0.81), "faster"),
        (ratio(1.3, 1.28, 1.31), "slower"),
        (ratio(1.0, 0.98, 1.01), "cannot tell"),
        (ratio(0.97, 0.93, 1.004), "cannot tell"),
    ],
)
def test_a_difference_is_claimed_only_where_the_interval_lies_beyond_one(
    measured: Ratio, outcome: str
) -> None:
    assert verdict.judge(measured)[0] == outcome


def test_what_cannot_be_told_is_named_as_a_share() -> None:
    assert verdict.judge(ratio(1.0, 0.97, 1.02))[1] == "cannot tell below 3.1 %"


def test_a_null_that_missed_one_takes_small_claims_away() -> None:
    null = ratio(1.03, 1.02, 1.04)
    assert verdict.judge(ratio(0.98, 0.97, 0.99), null)[0] == "cannot tell"
    assert verdict.judge(ratio(0.80, 0.79, 0.81), null)[0] == "faster"
    assert verdict.judge(ratio(0.98, 0.97, 0.99), ratio(1.0, 0.99, 1.01))[0] == "faster"


def test_a_launch_no_slower_than_an_earlier_one_is_warm_at_once() -> None:
    samples = [0.9, 0.101, 0.1, 0.1]
    assert warmup.finished(samples, elapsed_s=1.2, limit_s=10, known_s=0.1)
    assert not warmup.finished(samples, elapsed_s=1.2, limit_s=10)
    assert not warmup.finished(samples, elapsed_s=1.2, limit_s=10, known_s=0.09)


def test_few_launches_give_a_wide_interval_and_many_a_narrow_one() -> None:
    few = statistics.ratio_of_launches([[0.01] * 20, [-0.01] * 20, [0.0] * 20])
    many = statistics.ratio_of_launches([[0.01] * 20, [-0.01] * 20, [0.0] * 20] * 6)
    assert few is not None
    assert many is not None
    assert few.launches == 3
    assert many.launches == 18
    assert few.ci95[0] < math.exp(-0.01)
    assert few.ci95[1] > math.exp(0.01)
    assert many.half_width < 0.01
    assert many.ci95[0] <= 1 <= many.ci95[1]
