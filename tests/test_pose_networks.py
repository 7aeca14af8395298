"""SimpleBaseline's head on other backbones: equal to the public code's counts, and to what is
built."""

from __future__ import annotations

import csv

import pytest
import torch
from test_cost import assert_cost_is_what_is_built_and_traced

import gadprof
from gadprof.build import build_spec
from gadprof.errors import SpecError
from gadprof.measuring.runtimes.onnx_export import export
from gadprof.spec import parse_spec, presets

FAMILIES = ("pose-resnet",)
NAMES = [name for name, (family, _) in presets().items() if family.name in FAMILIES]
DEPTHS = (50, 101, 152)
# presets whose counts are public, and the row that holds them
ROWS = {
    **{f"pose_resnet{n}": f"mmpose_res{n}" for n in DEPTHS},
    **{f"pose_resnetv1d{n}": f"mmpose_resnetv1d{n}" for n in DEPTHS},
    **{f"pose_resnext{n}": f"mmpose_resnext{n}" for n in DEPTHS},
    "pose_seresnet50": "mmpose_seresnet50",
}
# presets that nobody published counts of
UNMEASURED = {"pose_seresnet101", "pose_seresnet152", "pose_sknet50"}
# a small design of each kind of block
SMALL = {
    "pose_resnet50": "blocks=1-2-1-1,width=6,deconv_width=5",
    "pose_resnetv1d50": "blocks=1-1-1-2,width=6,stem=6,deconv_width=5",
    "pose_seresnet50": "blocks=1-2-1-1,width=6,r=5,deconv_width=5",
    "pose_resnext50": "blocks=1-1-2-1,width=16,groups=4,deconv_width=5",
    "pose_sknet50": "blocks=1-1-2-1,width=16,groups=4,deconvs=1,joints=4",
}


def small(name):
    return parse_spec(f"{name}:{SMALL[name]}")


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("pose_resnet50", 33_999_697, 5_426_380_800),
        ("pose_resnet101", 52_991_825, 9_062_842_368),
        ("pose_resnet152", 68_635_473, 12_699_303_936),
        ("pose_resnetv1d50", 34_018_929, 5_661_130_752),
        ("pose_seresnet50", 36_530_689, 5_428_895_744),
        ("pose_resnext50", 33_471_569, 5_564_792_832),
    ],
)
def test_a_preset_has_the_public_codes_parameters_and_macs(name, params, macs):
    cost = gadprof.cost(name, input=(3, 256, 192))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.data
def test_every_preset_agrees_with_the_measured_implementations(data_folder):
    with (data_folder / "published" / "measured.csv").open(newline="") as file:
        rows = {row["name"].partition("@")[0]: row for row in csv.DictReader(file)}
    assert set(ROWS) | UNMEASURED == set(NAMES)
    official = {f"pose_resnet{n}": f"pose_resnet{n}_official" for n in DEPTHS}
    for name, row_name in (*ROWS.items(), *official.items()):
        row = rows[row_name]
        assert row["input_hw"] == "256x192"
        cost = gadprof.cost(name, input=(3, 256, 192))
        assert cost.params == int(row["params_exact"]), name
        assert cost.macs == int(row["macs_conv_linear_executed"]), name
        assert cost.bias_adds == int(row["bias_adds"]), name
        assert cost.elementwise["batch_norm"] == int(row["bn_elements"]), name


def test_sknet_has_the_papers_size_as_a_classifier():
    cost = gadprof.cost("pose_sknet50:deconvs=0,joints=1000", input=(3, 224, 224))
    # the paper classifies one position, the head here each of 7x7
    macs = cost.macs - 48 * 2048 * 1000
    assert abs(cost.params / 27.5e6 - 1) < 0.002
    assert abs(macs / 4.47e9 - 1) < 0.002


@pytest.mark.parametrize("name", SMALL)
def test_a_presets_cost_is_what_is_built_and_traced(name):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), (3, 256, 192))


@pytest.mark.parametrize("shape", [(3, 101, 167), (3, 97, 130), (3, 224, 224)])
@pytest.mark.parametrize("name", SMALL)
def test_odd_inputs_and_changed_knobs_still_cost_what_is_built(name, shape):
    assert_cost_is_what_is_built_and_traced(small(name), shape)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_design_gives_a_heatmap_a_joint_and_every_weight_a_gradient(name):
    torch.manual_seed(0)
    spec = small(name)
    module = build_spec(spec).train()
    heatmaps = module(torch.randn(2, 3, 128, 160))
    assert heatmaps.shape == (2, spec.joints, 4 * 2**spec.deconvs, 5 * 2**spec.deconvs)
    heatmaps.square().sum().backward()
    assert all(weight.grad is not None for weight in module.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_a_small_design_is_exported_by_torch_and_to_onnx(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    module, x = build_spec(small(name)).eval(), torch.randn(1, 3, 128, 128)
    for weight in module.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    expected = module(x)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)
    exported = export(module, (x,), {})
    try:
        session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
        (got,) = session.run(None, exported.feed)
    finally:
        exported.close()
    torch.testing.assert_close(torch.from_numpy(got), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pose_resnext50:group_width=0", "group_width"),
        ("pose_resnext50:width=8", "less than one channel a group"),
        ("pose_resnetv1d50:stem=33", "try 34"),
        ("pose_resnet50:block=cbam", "it is one of"),
        ("pose_resnet50:joints=0", "joints"),
    ],
)
def test_a_knob_that_cannot_be_built_is_refused(text, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(text)
