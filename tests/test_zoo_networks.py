"""Pose networks with designs of their own: exact to the official code, built, trained, exported."""

from __future__ import annotations

import csv
import warnings

import pytest
import torch
from test_cost import assert_cost_is_what_is_built_and_traced

import gadprof
from gadprof.errors import InputShapeError, SpecError
from gadprof.networks.cost import breakdown
from gadprof.networks.spec import make_spec, parse_spec, plan_of, presets

# model string -> row of the measured official implementations
MEASURED = {
    "hourglass8": "hourglass8_lua_rebuild_k17@256x192",
    "litehrnet18": "litehrnet18_official@256x192",
    "litehrnet30": "litehrnet30_official@256x192",
    "naive-litehrnet18": "naive_litehrnet18_official@256x192",
    "wider-naive-litehrnet18": "wider_naive_litehrnet18_official@256x192",
    "cpn50": "cpn50_tf-cpn_rebuild@256x192",
    "cpn50-torch": "cpn50_pytorch-cpn@256x192",
    "small-hrnet16": "small_hrnet_w16_v1cfg_rebuild@256x192",
}
NAMES = [
    name
    for name, (family, _) in presets().items()
    if family.name in ("hourglass", "lite-hrnet", "cpn", "hourglass-residual")
    or name == "small-hrnet16"
]
# small enough to run: model string, input
SMALL = [
    ("hourglass2:depth=1,features=6,joints=3", (3, 24, 16)),
    ("hourglass1:depth=2,features=31,residuals=2", (3, 32, 48)),
    ("litehrnet18:width=8,r=3,modules=1-1-1,blocks=1", (3, 64, 32)),
    ("naive-litehrnet18:width=6,joints=5,blocks=1,modules=1-1-1", (3, 32, 64)),
    ("cpn50:blocks=1-1-1-1,width=8,inner=4,joints=3", (3, 32, 64)),
    ("hourglass52:widths=4-5-6-7-8-9,blocks=1-2-1-1-1-2,features=3", (3, 128, 128)),
    ("cpn50-torch:blocks=1-1-1-1,width=6,inner=4,refine=one,levels=3", (3, 32, 32)),
]


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("hourglass8", 25_437_960, 20_591_935_488),
        ("litehrnet18", 1_130_769, 242_345_088),
        ("litehrnet30", 1_763_717, 386_103_648),
        ("naive-litehrnet18", 760_365, 211_049_088),
        ("wider-naive-litehrnet18", 1_318_625, 346_050_048),
        ("cpn50", 27_009_770, 7_230_615_552),
        ("cpn50-torch", 27_406_826, 7_315_550_208),
        ("cpn101", 46_001_898, 10_867_077_120),
        ("small-hrnet16", 1_284_961, 570_703_872),
    ],
)
def test_a_preset_has_the_official_codes_parameters_and_macs(name, params, macs):
    cost = gadprof.cost(name, input=(3, 256, 192))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.data
@pytest.mark.parametrize("name", MEASURED)
def test_a_preset_agrees_with_the_measured_implementation(name, data_folder):
    with (data_folder / "published" / "measured.csv").open(newline="") as file:
        row = {row["name"]: row for row in csv.DictReader(file)}[MEASURED[name]]
    cost = gadprof.cost(name, input=(3, 256, 192))
    assert cost.params == int(row["params_exact"])
    assert cost.macs == int(row["macs_conv_linear_executed"])
    assert cost.bias_adds == int(row["bias_adds"])
    assert cost.elementwise["batch_norm"] == int(row["bn_elements"])


@pytest.mark.parametrize("name", NAMES)
def test_a_presets_cost_is_what_is_built_and_traced(name):
    width = 128 if name == "hourglass52" else 192
    assert_cost_is_what_is_built_and_traced(parse_spec(name), (3, 128, width))


@pytest.mark.parametrize(("name", "shape"), SMALL)
def test_changed_knobs_still_cost_what_is_built(name, shape):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), shape)


@pytest.mark.parametrize(("name", "shape"), SMALL)
def test_the_leaves_of_a_breakdown_add_up_even_where_a_module_runs_twice(name, shape):
    plan = plan_of(parse_spec(name))
    leaves = [row for row in breakdown(plan, shape) if row.leaf]
    cost = gadprof.cost(name, input=shape)
    for group, total in (("params.", cost.params), ("macs.", cost.macs)):
        parts = (value for row in leaves for key, value in row.counts.items() if group in key)
        assert sum(parts) == total


@pytest.mark.parametrize(("name", "shape"), SMALL)
def test_a_network_trains_exports_and_gives_the_same_heatmaps(name, shape):
    torch.manual_seed(0)
    module = gadprof.build(name)
    spec = parse_spec(name)
    output = module(torch.randn(2, *shape))
    every = output if isinstance(output, list) else [output]
    for heatmaps in every:
        assert heatmaps.shape == (2, spec.joints, shape[1] // 4, shape[2] // 4)
    sum(heatmaps.square().sum() for heatmaps in every).backward()
    missing = [key for key, value in module.named_parameters() if value.grad is None]
    assert missing == []
    module.eval()
    sample = torch.randn(1, *shape)
    with torch.no_grad():
        exported = torch.export.export(module, (sample,)).module()
        torch.testing.assert_close(exported(sample), module(sample))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), [SMALL[0], SMALL[2], SMALL[4]])
def test_a_network_exports_to_onnx(name, shape, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")
    pytest.importorskip("onnxscript", reason="needs gadprof[onnx]")
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            gadprof.build(name).eval(), (torch.zeros(1, *shape),), str(path),
            dynamo=True, verbose=False,
        )  # fmt: skip
    graph = onnx.load(str(path), load_external_data=False).graph
    assert any(node.op_type == "Conv" for node in graph.node)


def test_hourglass52_lacks_the_published_parameters_that_never_run():
    cost = gadprof.cost("hourglass52", input=(3, 256, 256))
    unused = 2 * (256 * 256 * 9 + 2 * 256)  # one residual block
    assert round((cost.params + unused) / 1e6, 2) == 94.85


def test_an_hourglass_returns_a_map_for_each_stack_and_the_last_reads_them_all():
    torch.manual_seed(0)
    module = gadprof.build("hourglass2:depth=1,features=6,joints=3").double().eval()
    with torch.no_grad():
        sample = torch.randn(1, 3, 16, 16, dtype=torch.float64)
        before = module(sample)
        module.heads[0].bias.add_(1.0)
        after = module(sample)
    assert len(before) == 2
    assert not torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_lite_hrnets_exchange_adds_the_first_term_twice_and_passes_its_sum_on():
    from gadprof.networks import plan as p
    from gadprof.networks.build import build
    from gadprof.networks.families.lite_hrnet import LiteExchange

    rows = (
        (p.Identity(), p.Upsample(2)),
        (p.MaxPool(2, 2), p.Identity()),
    )
    module = build(LiteExchange(p.Sequence((), kind="Stage"), rows))
    large, small = torch.ones(1, 1, 2, 2), torch.full((1, 1, 1, 1), 5.0)
    first, second = module([large, small])
    assert first.tolist() == [[[[7.0, 7.0], [7.0, 7.0]]]]  # 2 * 1 + 5
    assert second.tolist() == [[[[19.0]]]]  # 2 * 7 + 5
    assert large.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hourglass8:features=1", "try features=256"),
        ("litehrnet18:width=9", "try width=10"),
        ("litehrnet18:width=6", "try width=8"),
        ("litehrnet18:width=8,r=13", "try r=12"),
        ("hourglass52:widths=4-5", "type 6 positive integers"),
        ("cpn50:levels=5", "try levels=4"),
        ("litehrnet18:block=shufle", "did you mean 'shuffle'"),
    ],
)
def test_knobs_that_fit_no_module_are_refused_with_a_way_out(text, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(text)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("hourglass8", (3, 256, 160), "width 160 is not a multiple of 64; try 192"),
        ("hourglass8:depth=5", (3, 192, 256), "height 192 is not a multiple of 128; try 256"),
        ("litehrnet18", (3, 250, 192), "height 250 is not a multiple of 32; try 256"),
    ],
)
def test_an_input_whose_maps_would_not_meet_is_refused(name, shape, words):
    with pytest.raises(InputShapeError, match=words):
        parse_spec(name).check_input(shape)


@pytest.mark.parametrize(("family", "side"), [("hourglass", 64), ("lite-hrnet", 32), ("cpn", 32)])
def test_the_smallest_input_that_a_family_takes_costs_what_is_built(family, side):
    assert_cost_is_what_is_built_and_traced(make_spec(family, {}), (3, side, side))
