"""``gadprof count``: rows that add up, honest refusals, and quick shapes equal to torch's own."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

import gadprof
from gadprof.counting.count import count
from gadprof.counting.summary import lines

NETWORKS = ["hrnet32:width=8", "gadnet32:width=9,s=4", "ghost-se-hrnet32:width=8"]


@pytest.mark.parametrize("by", ["op", "type", "stage"])
def test_the_rows_of_a_division_add_up_to_the_whole(by):
    with torch.device("meta"):
        module = gadprof.build("gadnet32:width=8").eval()
    trace = gadprof.count(module, (1, 3, 64, 64))
    rows = lines(trace, by)
    for name in ("macs", "flops", "activations"):
        assert sum(getattr(row, name) for row in rows) == getattr(trace, name)
    if by != "op":
        assert sum(row.params for row in rows) == trace.params


def test_a_module_row_holds_everything_below_it():
    with torch.device("meta"):
        module = gadprof.build("gadnet32:width=8").eval()
    trace = gadprof.count(module, (1, 3, 64, 64))
    rows = lines(trace, "module", depth=1)
    assert (rows[0].macs, rows[0].params) == (trace.macs, trace.params)
    assert sum(row.macs for row in rows if row.depth == 1) == trace.macs


@pytest.mark.parametrize("name", NETWORKS)
def test_quick_shapes_give_the_trace_that_torchs_kernels_give(name):
    with torch.device("meta"):
        module = gadprof.build(name).eval()
        sample = torch.empty(1, 3, 64, 64)
    assert_same_trace(module, sample)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224", "convnext_atto"]
)
def test_quick_shapes_give_the_same_trace_of_other_networks(name):
    timm = pytest.importorskip("timm", reason="needs gadprof[zoo]")
    with torch.device("meta"):
        module = timm.create_model(name, pretrained=False).eval()
        sample = torch.empty(2, 3, 224, 224)
    assert_same_trace(module, sample)


def assert_same_trace(module, sample):
    quick, slow = count(module, (sample,)), count(module, (sample,), fast=False)
    assert quick.device == "meta"
    for field in dataclasses.fields(quick):
        assert getattr(quick, field.name) == getattr(slow, field.name), field.name


def test_the_json_has_its_keys_at_the_top(run_cli):
    code, out, err = run_cli("count", "hrnet32:width=8", "--input", "64x64", "--format", "json")
    payload = json.loads(out)
    assert (code, err) == (0, "")
    cost = gadprof.cost("hrnet32:width=8", input=(3, 64, 64))
    assert payload["params"] == cost.params
    assert payload["macs"] == cost.macs
    assert payload["flops"] == cost.flops
    assert payload["activations"] == cost.activations
    assert payload["uncovered"] == {}
    assert payload["modules"][0]["macs"] == cost.macs


def test_training_costs_more_than_twice_the_forward_pass(run_cli):
    _, forward, _ = run_cli("count", "hrnet32:width=8", "--input", "64x64", "--format", "json")
    _, both, _ = run_cli(
        "count", "hrnet32:width=8", "--input", "64x64", "--train", "--format", "json"
    )
    ratio = json.loads(both)["macs"] / json.loads(forward)["macs"]
    assert 2.5 < ratio < 3.0  # the first convolution needs no gradient of its input


USER = """
import torch
class Odd(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.matrix_exp(x[..., :4, :4]) if MODE == "odd" else misbehave(x)
def misbehave(x):
    raise ValueError("no way")
MODE = "odd"
def odd():
    return Odd()
def raises():
    global MODE
    MODE = "raise"
    return Odd()
def exits():
    import sys
    sys.exit(3)
def prints():
    print("noise")
    return torch.nn.Conv2d(3, 4, 1)
def hangs():
    import threading
    threading.Event().wait()
"""


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER)
    return path


def test_a_model_that_prints_does_not_spoil_the_json(run_cli, user_file):
    code, out, _ = run_cli("count", f"{user_file}:prints", "--format", "json")
    assert code == 0
    assert json.loads(out)["params"] == 16


@pytest.mark.parametrize(
    ("function", "words"),
    [("raises", "ValueError: no way"), ("exits", "sys.exit(3)")],
)
def test_a_model_that_misbehaves_is_one_line(function, words, run_cli, user_file):
    code, out, err = run_cli("count", f"{user_file}:{function}")
    assert code in (1, 2)
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_a_model_that_hangs_is_given_up(run_cli, user_file):
    code, _, err = run_cli("count", f"{user_file}:hangs", "--timeout", "6")
    assert code == 1
    assert "gave no answer within 6 s" in err


def test_strict_fails_where_an_operation_has_no_rule(run_cli, user_file):
    code, out, err = run_cli("count", f"{user_file}:odd", "--strict", "--input", "3x8x8")
    assert code == 1
    assert "without a rule" in err
    assert "not counted" in out
