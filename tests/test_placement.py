"""What leaves a phone's neural processor: kinds that no network had which stayed there whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gadprof
from gadprof.prediction.api import predict_features
from gadprof.prediction.features import features_of
from gadprof.prediction.fits import find_fit, fits
from gadprof.prediction.placement import (
    Placement,
    kinds_of,
    leaving,
    plain_placement,
    read_placement,
)
from gadprof.prediction.predictions import Predictions
from gadprof.prediction.way import Way

PHONE = Way(compiled=True, width=1)


def features(*parts: nn.Module):
    with torch.device("meta"):
        module = nn.Sequential(*parts).eval()
    return features_of(gadprof.count(module, (1, 3, 16, 16)).forward, PHONE)


def test_kinds_that_nobody_saw_stay_leave_and_the_others_stay():
    seen = frozenset({"stem", "conv", "activation"})
    runs = [Placement(name, frozenset(), kinds, 3, 3) for name, kinds in
            (("a", seen), ("b", seen | {"gelu"}))]  # fmt: skip
    found = features(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3))
    assert kinds_of(found) == {"stem", "gelu", "conv"}
    assert leaving(found, runs) == {"a": ("gelu",), "b": ()}


def test_a_kind_outside_the_latency_model_leaves_by_its_own_name():
    found = features(nn.Conv2d(3, 8, 3), nn.Unflatten(1, (1, 8)), nn.Conv3d(1, 2, 3))
    assert "conv3d" in kinds_of(found)
    assert leaving(found, [Placement("a", frozenset(), frozenset({"stem"}), 1, 1)])["a"] == (
        "conv3d",
    )


@pytest.mark.parametrize(
    ("device", "leaves"),
    [("dragonwing-q-7790", ("gelu", "layer_norm")), ("samsung-galaxy-s24", ())],
)
def test_processors_without_half_precision_pass_on_gelu_and_norms_in_tensorflow_lite(
    device, leaves
):
    fit = find_fit(device, None, dtype="w8a8")
    found = features(nn.Conv2d(3, 64, 3, 2, 1), nn.LayerNorm((64, 8, 8)), nn.GELU())
    row = predict_features("net", found, fit, 1)
    assert set(row.leaves) == {"qnn_dlc", "onnx", "tflite"}
    assert row.leaves["tflite"] == leaves
    assert row.leaves["qnn_dlc"] == row.leaves["onnx"] == ()
    notes = " ".join(Predictions((row,), fit).page().sections[0].tables[0].notes)
    assert ("gelu, layer_norm would leave in tflite" in notes) == bool(leaves)
    assert "stays whole in qnn_dlc" in notes


def test_every_phone_says_what_leaves_and_was_told_right_for_nine_of_ten_networks():
    for fit in fits().values():
        assert bool(fit.placements) == (fit.kind == "npu")
        for one in fit.placements:
            assert one.right >= 0.9 * one.networks
            assert plain_placement(read_placement(plain_placement(one))) == plain_placement(one)
