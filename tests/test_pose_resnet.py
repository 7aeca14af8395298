"""SimpleBaseline networks: equal to the official code's counts, and to what is built."""

from __future__ import annotations

import csv

import pytest
from test_cost import assert_cost_is_what_is_built_and_traced

import gadprof
from gadprof.errors import SpecError
from gadprof.spec import parse_spec, presets

NAMES = [name for name, (family, _) in presets().items() if family.name == "pose-resnet"]
ROWS = {
    "pose_resnet50": "pose_resnet50_official@256x192",
    "pose_resnet101": "pose_resnet101_official@256x192",
    "pose_resnet152": "pose_resnet152_official@256x192",
    "pose_seresnet50": "mmpose_seresnet50@256x192",
    "pose_resnext50": "mmpose_resnext50@256x192",
    "pose_resnext101": "mmpose_resnext101@256x192",
    "pose_resnext152": "mmpose_resnext152@256x192",
}


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("pose_resnet50", 33_999_697, 5_426_380_800),
        ("pose_resnet101", 52_991_825, 9_062_842_368),
        ("pose_resnet152", 68_635_473, 12_699_303_936),
        ("pose_seresnet50", 36_530_689, 5_428_895_744),
        ("pose_resnext50", 33_471_569, 5_564_792_832),
    ],
)
def test_a_preset_has_the_official_codes_parameters_and_macs(name, params, macs):
    cost = gadprof.cost(name, input=(3, 256, 192))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.data
def test_every_preset_agrees_with_the_measured_implementations(data_folder):
    with (data_folder / "published" / "measured.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(ROWS) == set(NAMES)
    for name, row_name in ROWS.items():
        row = rows[row_name]
        cost = gadprof.cost(name, input=(3, 256, 192))
        assert cost.params == int(row["params_exact"]), name
        assert cost.macs == int(row["macs_conv_linear_executed"]), name
        assert cost.bias_adds == int(row["bias_adds"]), name


@pytest.mark.parametrize("name", NAMES)
def test_a_presets_cost_is_what_is_built_and_traced(name):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), (3, 256, 192))


@pytest.mark.parametrize(
    "text",
    [
        "pose_resnet50:joints=21",
        "pose_resnet50:deconvs=0",
        "pose_seresnet50:r=5",
        "pose_resnext50:groups=8,group_width=3",
    ],
)
def test_odd_inputs_and_changed_knobs_still_cost_what_is_built(text):
    assert_cost_is_what_is_built_and_traced(parse_spec(text), (3, 101, 67))


def test_groups_without_a_channel_are_refused():
    with pytest.raises(SpecError):
        parse_spec("pose_resnext50:group_width=0")
