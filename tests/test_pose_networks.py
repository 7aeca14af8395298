"""SimpleBaseline's head on other backbones: equal to the public code's counts, and to what is
built."""

from __future__ import annotations

import csv
import random

import pytest
import torch
from test_cost import assert_cost_is_what_is_built_and_traced

import gadprof
from gadprof.counting.count import count
from gadprof.errors import InputShapeError, SpecError
from gadprof.measuring.runtimes.onnx_export import export
from gadprof.models.sources import load
from gadprof.networks.build import build_spec
from gadprof.networks.spec import make_spec, parse_spec, presets

FAMILIES = (
    "pose-resnet",
    "pose-alexnet",
    "pose-vgg",
    "pose-mobilenetv2",
    "pose-shufflenetv1",
    "pose-shufflenetv2",
)
NAMES = [name for name, (family, _) in presets().items() if family.name in FAMILIES]
DEPTHS = (50, 101, 152)
# presets whose counts are public, and the row that holds them
ROWS = {
    **{f"pose_resnet{n}": f"mmpose_res{n}" for n in DEPTHS},
    **{f"pose_resnetv1d{n}": f"mmpose_resnetv1d{n}" for n in DEPTHS},
    **{f"pose_resnext{n}": f"mmpose_resnext{n}" for n in DEPTHS},
    **{f"pose_resnest{n}": f"mmpose_resnest{n}" for n in (50, 101, 200)},
    **{
        f"pose_{name}": f"mmpose_{name}"
        for name in (
            "seresnet50",
            "scnet50",
            "alexnet",
            "mobilenetv2",
            "shufflenetv1",
            "shufflenetv2",
        )
    },
}
# presets without a row; their rounded figures are public, but for SKNet
UNMEASURED = {
    "pose_seresnet101",
    "pose_seresnet152",
    "pose_scnet101",
    "pose_vgg16",
    "pose_sknet50",
}
# a small design of each kind of block
SMALL = {
    "pose_resnet50": "blocks=1-2-1-1,width=6,deconv_width=5",
    "pose_resnetv1d50": "blocks=1-1-1-2,width=6,stem=6,deconv_width=5",
    "pose_seresnet50": "blocks=1-2-1-1,width=6,r=5,deconv_width=5",
    "pose_resnext50": "blocks=1-1-2-1,width=16,groups=4,deconv_width=5",
    "pose_sknet50": "blocks=1-1-2-1,width=16,groups=4,deconvs=1,joints=4",
    "pose_scnet50": "blocks=1-1-1-2,width=7,deconv_width=5",
    "pose_resnest50": "blocks=1-2-1-1,width=16,radix=3,groups=2,group_width=24,deconv_width=5",
    "pose_alexnet": "widths=5-6-7-8-9,deconvs=2,deconv_width=5",
    "pose_vgg16": "widths=3-4-5-6-7,blocks=1-2-1-1-1,deconv_width=5",
    "pose_mobilenetv2": "width=35,expansion=3,deconvs=0",
    "pose_shufflenetv1": "channels=32-64-128,blocks=1-3-2,groups=4,stem=16,deconv_width=5",
    "pose_shufflenetv2": "channels=22-30-50-33,blocks=2-1-3,stem=7,deconv_width=5",
}
# the last map of 128x160 where it is not a 32nd
SHRINKS = {"pose_alexnet": (3, 4)}


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
        ("pose_scnet50", 34_007_249, 5_271_257_088),
        ("pose_resnest50", 35_925_905, 6_682_232_832),
        ("pose_alexnet", 5_621_329, 1_421_063_872),
        ("pose_mobilenetv2", 9_569_809, 1_565_042_688),
        ("pose_shufflenetv1", 6_939_945, 1_342_460_928),
        ("pose_shufflenetv2", 7_550_965, 1_362_276_480),
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


@pytest.mark.data
def test_every_figure_of_the_public_speed_table_is_reached_to_its_last_digit(data_folder):
    """That table counts bias, normalisation twice, ReLU and what a pooling reads, through hooks."""
    presets = {name.removeprefix("pose_"): name for name in NAMES}
    met = set()
    with (data_folder / "published" / "published.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            plain = row["variant"].lower().replace("-", "")
            name = presets.get(plain)
            if name is None or row["system"] != f"mmpose {row['variant']}":
                continue
            height, width = map(int, row["input_hw"].split("x"))
            cost = gadprof.cost(name, input=(3, height, width))
            work = cost.elementwise
            hooked = (
                cost.macs + cost.bias_adds + 2 * work.get("batch_norm", 0) + work.get("pool", 0)
            )
            hooked += work.get("relu", 0) + work.get("hardtanh", 0)
            for figure, exact in (
                (row["gflops"], hooked / 1e9),
                (row["params_m"], cost.params / 1e6),
            ):
                digit = 0.1 ** len(figure.partition(".")[2])
                assert abs(float(figure) - exact) <= 0.501 * digit, (name, figure, exact)
            met.add(name)
    assert {"pose_seresnet101", "pose_seresnet152", "pose_scnet101", "pose_vgg16"} <= met
    assert len(met) == 13


@pytest.mark.parametrize(
    "name", ["pose_alexnet", "pose_scnet50", "pose_scnet50:blocks=1", "pose_vgg16"]
)
def test_an_input_too_small_to_pool_is_refused_with_the_least_that_is_not(name):
    spec = parse_spec(name)
    least = {"pose_alexnet": 63, "pose_scnet50": 97, "pose_vgg16": 32}.get(name, 49)
    spec.check_input((3, least, least))
    assert_cost_is_what_is_built_and_traced(spec, (3, least, least))
    with pytest.raises(InputShapeError, match=f"try {least} or more"):
        spec.check_input((3, 256, least - 1))
    with torch.device("meta"), pytest.raises(RuntimeError):
        build_spec(spec).eval()(torch.empty(1, 3, least - 1, least - 1))


def test_sknet_has_the_papers_size_as_a_classifier():
    cost = gadprof.cost("pose_sknet50:deconvs=0,joints=1000", input=(3, 224, 224))
    # the paper classifies one position, the head here each of 7x7
    macs = cost.macs - 48 * 2048 * 1000
    assert abs(cost.params / 27.5e6 - 1) < 0.002
    assert abs(macs / 4.47e9 - 1) < 0.002


@pytest.mark.parametrize(
    ("design", "other"),
    [
        ("pose_sknet50", "timm:skresnext50_32x4d"),
        ("pose_resnest101:stem=128", "timm:resnest101e"),
        ("pose_seresnet101:stride_first=yes", "timm:legacy_seresnet101"),
        ("pose_seresnet152:stride_first=yes", "timm:legacy_seresnet152"),
        ("pose_shufflenetv2:channels=48-96-192-1024", "torchvision:shufflenet_v2_x0_5"),
        ("pose_mobilenetv2", "torchvision:mobilenet_v2"),
    ],
)
def test_a_backbone_has_the_parameters_and_macs_of_the_library_that_keeps_it(design, other):
    pytest.importorskip(other.partition(":")[0])
    shape = (3, 96, 96)
    known = load(other, shapes=(shape,), device="meta")
    trace = count(known.module, known.args)
    text = f"{design}{',' if ':' in design else ':'}deconvs=0,joints=1000"
    cost = gadprof.cost(text, input=shape)
    last = {"pose_shufflenetv2": 1024, "pose_mobilenetv2": 1280}.get(design.partition(":")[0], 2048)
    assert cost.params == trace.params
    # they classify the mean of the last map, the head here each of its 3x3 positions
    assert cost.macs - 8 * last * 1000 == trace.macs


@pytest.mark.parametrize(
    ("design", "other"),
    [
        ("pose_resnest50:radix=4,groups=2,group_width=40", "timm:resnest50d_4s2x40d"),
        ("pose_seresnet50", "timm:legacy_seresnet50"),
    ],
)
def test_a_backbone_that_strides_elsewhere_still_has_the_librarys_parameters(design, other):
    pytest.importorskip("timm")
    module = load(other, device="meta").module
    text = f"{design}{',' if ':' in design else ':'}deconvs=0,joints=1000"
    assert gadprof.cost(text).params == sum(weight.numel() for weight in module.parameters())


def test_weights_carry_the_official_names():
    models = pytest.importorskip("torchvision").models
    with torch.device("meta"):
        backbone = {key for key in models.resnet50().state_dict() if not key.startswith("fc.")}
        own = set(build_spec(parse_spec("pose_resnet50")).state_dict())
    assert {key for key in own if not key.startswith(("deconv_layers", "final_layer"))} == backbone
    assert {"deconv_layers.0.weight", "deconv_layers.7.running_var", "final_layer.bias"} <= own


@pytest.mark.parametrize("percent", [35, 75, 140])
def test_mobilenets_widths_are_rounded_as_torchvision_does(percent):
    models = pytest.importorskip("torchvision").models
    with torch.device("meta"):
        features = models.mobilenet_v2(width_mult=percent / 100).features
    last = features[-1][0].out_channels
    cost = gadprof.cost(f"pose_mobilenetv2:width={percent},deconvs=0,joints=1")
    assert cost.params - last - 1 == sum(weight.numel() for weight in features.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_a_presets_cost_is_what_is_built_and_traced(name):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), (3, 256, 192))


@pytest.mark.parametrize("shape", [(3, 101, 167), (3, 97, 130), (3, 224, 224)])
@pytest.mark.parametrize("name", SMALL)
def test_odd_inputs_and_changed_knobs_still_cost_what_is_built(name, shape):
    assert_cost_is_what_is_built_and_traced(small(name), shape)


def random_design(draw):
    """A family and a value for each of its knobs, not all of which go together."""

    def ints(count, low, high):
        return tuple(draw.randint(low, high) for _ in range(count))

    def flag():
        return draw.random() < 0.5

    head = {"joints": draw.randint(1, 9), "deconvs": draw.randint(0, 3)}
    head["deconv_width"] = draw.randint(1, 9)
    groups = draw.choice((1, 1, 2, 3, 4))
    match draw.choice(FAMILIES):
        case "pose-resnet" as family:
            knobs = {
                "blocks": ints(4, 1, 2), "width": draw.randint(2, 20), "stem": draw.randint(1, 9),
                "block": draw.choice(("plain", "se", "sk", "sc", "split")),
                "r": draw.randint(1, 20), "radix": draw.randint(1, 3), "groups": groups,
                "group_width": draw.randint(1, 40), "stride_first": draw.random() < 0.2,
                "deep_stem": flag(), "avg_down": flag(),
            }  # fmt: skip
        case "pose-alexnet" as family:
            knobs = {"widths": ints(5, 1, 9)}
        case "pose-vgg" as family:
            knobs = {"widths": ints(5, 1, 9), "blocks": ints(5, 1, 2), "norm": flag()}
        case "pose-mobilenetv2" as family:
            knobs = {"width": draw.randint(1, 60), "expansion": draw.randint(1, 4)}
        case "pose-shufflenetv1" as family:
            grown = sorted(draw.sample(range(2, 9), 3))
            knobs = {"channels": tuple(4 * groups * c for c in grown), "groups": groups}
            knobs |= {"blocks": ints(3, 1, 3), "stem": draw.randint(1, 2) * groups}
        case "pose-shufflenetv2" as family:
            channels = (*(2 * c for c in ints(3, 1, 9)), draw.randint(1, 20))
            knobs = {"channels": channels, "blocks": ints(3, 1, 3), "stem": draw.randint(1, 9)}
    return family, {**knobs, **head}


@pytest.mark.parametrize("seed", range(40))
def test_a_random_designs_cost_is_what_is_built_and_traced(seed):
    draw = random.Random(seed)
    while True:
        try:
            spec = make_spec(*random_design(draw))
            break
        except SpecError:  # knobs that do not go together
            continue
    shape = (3, draw.randint(97, 150), draw.randint(97, 150))
    assert_cost_is_what_is_built_and_traced(spec, shape)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_design_gives_a_heatmap_a_joint_and_every_weight_a_gradient(name):
    torch.manual_seed(0)
    spec = small(name)
    module = build_spec(spec).train()
    heatmaps = module(torch.randn(2, 3, 128, 160))
    height, width = SHRINKS.get(name, (4, 5))
    assert heatmaps.shape == (2, spec.joints, height * 2**spec.deconvs, width * 2**spec.deconvs)
    heatmaps.square().sum().backward()
    assert all(weight.grad is not None for weight in module.parameters())


def awake(spec):
    """A design in eval mode whose maps are not lost in the smallness of its first weights."""
    torch.manual_seed(0)
    module = build_spec(spec).eval()
    for weight in module.parameters():
        if weight.dim() > 1:
            torch.nn.init.kaiming_normal_(weight)
    return module


@pytest.mark.parametrize("name", SMALL)
def test_a_small_design_is_exported_by_torch(name):
    module, x = awake(small(name)), torch.randn(1, 3, 128, 128)
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x))


# one of each kind of operation; the others are made of the same
@pytest.mark.parametrize(
    "name",
    ["pose_resnetv1d50", "pose_seresnet50", "pose_sknet50", "pose_scnet50", "pose_resnest50",
     "pose_shufflenetv2"],
)  # fmt: skip
def test_a_small_design_gives_the_same_heatmaps_from_onnx(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    module, x = awake(small(name)), torch.randn(1, 3, 128, 128)
    path = export(module, (x,), {}, str(tmp_path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input_0": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), module(x), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pose_resnext50:group_width=0", "group_width"),
        ("pose_resnext50:width=8", "less than one channel a group"),
        ("pose_resnetv1d50:stem=33", "try 34"),
        ("pose_resnet50:block=cbam", "it is one of"),
        ("pose_resnest50:width=7", "try width=8"),
        ("pose_resnest50:groups=5,group_width=2", "hidden units cannot be cut"),
        ("pose_scnet50:width=1", "cannot be halved"),
        ("pose_scnet50:stride_first=yes", "block=plain"),
        ("pose_shufflenetv1:groups=5", "multiples of 20"),
        ("pose_shufflenetv1:channels=24-48-96", "do not grow"),
        ("pose_shufflenetv2:channels=116-231-464-1024", "try 232"),
        ("pose_mobilenetv2:width=0", "positive integer"),
        ("pose_resnet50:joints=0", "joints"),
    ],
)
def test_a_knob_that_cannot_be_built_is_refused(text, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(text)
