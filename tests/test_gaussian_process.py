"""The second estimate of a network's time, from totals of its operations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gadprof.prediction.api import predict_features
from gadprof.prediction.features import ModelFeatures, features_of
from gadprof.prediction.fits import fits
from gadprof.prediction.gaussian_process import (
    UNEXPLAINED,
    fit_process,
    plain_process,
    read_process,
    together,
    totals,
)
from gadprof.prediction.tracing import trace_of
from gadprof.prediction.way import Way

WIDTHS = (8, 12, 16, 20, 24)
SECONDS = (1e-3, 1.7e-3, 2e-3, 3.1e-3, 4e-3)


def _features(width: int) -> ModelFeatures:
    traced = trace_of(f"gadnet32:width={width}", ((3, 64, 64),))
    return features_of(traced.trace.forward, Way(compiled=True, width=2), traced.batch)


@pytest.fixture(scope="module")
def networks() -> list[ModelFeatures]:
    return [_features(width) for width in WIDTHS]


def test_a_measured_network_is_missed_by_its_weight_times_what_is_unexplained(networks):
    process = fit_process(networks, SECONDS)
    for one, seconds, weight in zip(networks, SECONDS, process.weights, strict=True):
        assert process.seconds(one) == pytest.approx(seconds * np.exp(-UNEXPLAINED * weight))
    assert process.weights.sum() == pytest.approx(0, abs=1e-6)


def test_a_network_between_two_measured_ones_takes_a_time_between_theirs(networks):
    process = fit_process(networks, SECONDS)
    assert SECONDS[0] < process.seconds(_features(14)) < SECONDS[-1]


def test_a_device_twice_as_slow_takes_twice_as_long(networks):
    process = fit_process(networks, SECONDS)
    assert process.times(2).seconds(networks[1]) == pytest.approx(2 * process.seconds(networks[1]))


def test_the_totals_of_two_networks_side_by_side_have_both_their_work(networks):
    one = networks[0]
    twice = replace(one, counts=2 * one.counts)
    gained = totals(twice) - totals(one)
    assert gained[:3] == pytest.approx(np.log(2))
    assert gained[3] == pytest.approx(0)


def test_a_process_is_read_as_it_was_written(networks):
    process = fit_process(networks, SECONDS)
    again = read_process(plain_process(process))
    assert again.seconds(networks[2]) == pytest.approx(process.seconds(networks[2]), rel=0.01)


@pytest.mark.parametrize(
    ("name", "value"), [("weights", [1.0]), ("seen", [1.0, 2.0]), ("mean", [float("nan")] * 14)]
)
def test_a_damaged_process_is_refused(networks, name, value):
    plain = plain_process(fit_process(networks, SECONDS)) | {name: value}
    with pytest.raises(ValueError, match="process"):
        read_process(plain)


def test_a_phone_in_half_precision_is_predicted_by_the_geometric_mean_of_both(networks):
    fit = next(one for one in fits().values() if one.process is not None)
    assert (fit.kind, fit.dtype) == ("npu", "fp16")

    def seconds(of: object) -> float:
        return predict_features("x", networks[0], of, 1).predicted_latency_s["value"]

    alone = seconds(replace(fit, process=None))
    assert seconds(fit) == pytest.approx(together(alone, fit.process.seconds(networks[0])))
    assert seconds(fit.times(3, 1)) == pytest.approx(3 * seconds(fit))
