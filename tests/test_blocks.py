"""Drop-in blocks: exact on the skeleton, trainable, exportable, refused where they do not fit."""

from __future__ import annotations

import json

import pytest
import torch
from random_specs import OTHER_BLOCKS, random_block_spec, random_input
from test_cost import assert_cost_is_what_is_built_and_traced
from torch import nn

import gadprof
from gadprof.counting.count import count
from gadprof.errors import SpecError
from gadprof.networks.blocks.knobs import BlockKnobs
from gadprof.networks.blocks.names import BRANCH_BLOCKS, MODULE_BLOCKS
from gadprof.networks.blocks.weighting import conditional_weighting
from gadprof.networks.build import build, build_spec
from gadprof.networks.cost import cost_of
from gadprof.networks.spec import parse_spec, plan_of


@pytest.mark.parametrize("block", OTHER_BLOCKS)
@pytest.mark.parametrize("seed", range(2))
def test_a_random_design_of_a_block_costs_what_is_built_and_traced(block, seed):
    assert_cost_is_what_is_built_and_traced(random_block_spec(block, seed), random_input(seed))


def block_alone(block: str) -> tuple[nn.Module, torch.Tensor]:
    """A branch's block on 16 channels, and a batch of two for it; the unit of a module wrapped."""
    torch.manual_seed(0)
    knobs = BlockKnobs()
    if block in MODULE_BLOCKS:
        unit = build(conditional_weighting((16, 16), knobs))
        return Halved(unit), torch.randn(2, 16, 8, 8)
    return build(BRANCH_BLOCKS[block](16, knobs)), torch.randn(2, 16, 8, 8)


class Halved(nn.Module):
    """Feeds a unit of two resolutions a map and its half, and adds up what comes out."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.unit([x, x[:, :, ::2, ::2]])
        return made[0] + made[1].mean((2, 3), keepdim=True)


@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_a_batch_of_a_block_costs_what_is_traced_in_training_and_evaluation(block):
    spec = parse_spec(f"hrnet32:block={block},width=16,modules=1-1-1,blocks=1")
    cost = cost_of(plan_of(spec), (3, 32, 64), batch=3)
    with torch.device("meta"):
        module, sample = build_spec(spec).eval(), torch.empty(3, 3, 32, 64)
    trace = count(module, (sample,))
    assert (cost.macs, cost.flops) == (trace.macs, trace.flops)
    assert cost.peak_activation_bytes == trace.peak_activation_bytes
    assert count(module, (sample,), train=True).uncovered == {}


def torchvisions(block: str, stride: int) -> nn.Module:
    """torchvision's or timm's own module of a block from 16 to 24 channels (16 at stride 1)."""
    out = 16 if stride == 1 else 24
    if block == "inverted":
        models = pytest.importorskip("torchvision.models.mobilenetv2")
        return models.InvertedResidual(16, out, stride, 6)
    if block == "shuffle2":
        models = pytest.importorskip("torchvision.models.shufflenetv2")
        return models.InvertedResidual(16, out, stride)
    if block == "dense":
        models = pytest.importorskip("torchvision.models.densenet")
        growth = -(-out // 4)
        layers = models._DenseBlock(4, 16, 4, growth, 0.0)
        end = models._Transition(16 + 4 * growth, out)
        if stride == 1:
            end.pool = nn.Identity()
        return nn.Sequential(layers, end)
    layers = pytest.importorskip("timm.layers")
    return layers.SelectiveKernel(
        16, out, stride=stride, groups=4, rd_channels=32, split_input=False, keep_3x3=True
    )


@pytest.mark.parametrize("block", ["inverted", "shuffle2", "dense", "sk"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_counts_what_its_public_implementation_counts(block, stride):
    theirs = torchvisions(block, stride)
    form = gadprof.formula(block, c_in=16, c_out=16 if stride == 1 else 24, stride=stride, h=4, w=6)
    trace = count(theirs.eval(), (torch.zeros(1, 16, 4 * stride, 6 * stride),))
    assert (form.params, form.GG) == (trace.params, trace.macs)


@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_every_parameter_of_a_block_gets_a_gradient(block):
    module, x = block_alone(block)
    y = module.train()(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert [key for key, value in module.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_an_exported_block_gives_the_same_maps(block):
    module, x = block_alone(block)
    with torch.no_grad():
        exported = torch.export.export(module.eval(), (x,)).module()
        torch.testing.assert_close(exported(x), module(x))


@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_a_block_is_safe_in_channels_last(block):
    module, x = block_alone(block)
    with torch.no_grad():
        expected = module.eval()(x)
        last = module.to(memory_format=torch.channels_last)
        got = last(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("block", OTHER_BLOCKS)
@pytest.mark.parametrize("seed", range(2, 12))
def test_another_random_design_of_a_block_costs_what_is_built_and_traced(block, seed):
    assert_cost_is_what_is_built_and_traced(random_block_spec(block, seed), random_input(seed))


@pytest.mark.slow
@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_a_network_of_a_block_trains_and_exports(block):
    torch.manual_seed(0)
    module = gadprof.build(f"hrnet32:block={block},width=16,modules=1-1-1,blocks=1")
    heatmaps = module(torch.randn(2, 3, 64, 64))
    heatmaps.square().sum().backward()
    assert [key for key, value in module.named_parameters() if value.grad is None] == []
    sample = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(module.eval(), (sample,)).module()
        torch.testing.assert_close(exported(sample), module(sample))


@pytest.mark.slow
@pytest.mark.parametrize("block", OTHER_BLOCKS)
def test_a_block_exports_to_onnx(block, tmp_path):
    import warnings

    onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")
    pytest.importorskip("onnxscript", reason="needs gadprof[onnx]")
    module, sample = block_alone(block)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (sample,), str(path), dynamo=True, verbose=False, opset_version=20
        )
    graph = onnx.load(str(path), load_external_data=False).graph
    assert any(node.op_type == "Conv" for node in graph.node)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hrnet32:block=grouped,width=30", "width=30 does not divide by 4 = groups, .* width=32"),
        ("hrnet32:block=shuffle1,width=24", "by 16 = 4 x groups, .* try width=32"),
        ("hrnet32:block=shuffle2,width=31", "by 2, as half of the channels pass by, .* width=32"),
        ("hrnet32:block=sk,width=12", "by 8 = 2 x groups, .* try width=16"),
        ("hrnet32:block=ccw,width=31", "by 2, as half of the channels pass by"),
        ("gadnet32:block=ccw", "blocks=3-3-6-6 differs between branches, .* try blocks=3"),
        ("hrnet32:block=cbarn", "did you mean 'cbam'"),
    ],
)
def test_a_block_that_does_not_fit_is_refused_with_what_does(text, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(text)


def test_blocks_are_compared_without_torch(run_cli):
    names = [f"hrnet32:block={block}" for block in OTHER_BLOCKS]
    code, out, err = run_cli("compare", "hrnet32", *names, "--format", "json")
    assert (code, err) == (0, "")
    rows = json.loads(out)["rows"]
    assert [row["model"] for row in rows] == ["hrnet32", *names]
    assert all(row["params"] > 0 for row in rows)


@pytest.mark.parametrize("block", BRANCH_BLOCKS)
def test_arrays_of_widths_and_reductions_cost_what_each_design_costs(block):
    import numpy as np

    knobs = [(16, 4), (48, 16), (80, 5)]
    widths = np.array([width for width, _ in knobs], dtype=np.int64)
    reductions = np.array([r for _, r in knobs], dtype=np.int64)
    folded = cost_of(BRANCH_BLOCKS[block](widths, BlockKnobs(r=reductions)), (widths, 6, 4))
    for index, (width, r) in enumerate(knobs):
        single = cost_of(BRANCH_BLOCKS[block](width, BlockKnobs(r=r)), (width, 6, 4))
        for name in ("params", "macs", "flops", "activations", "peak_activation_bytes"):
            assert int(np.broadcast_to(getattr(folded, name), 3)[index]) == getattr(single, name)


def test_any_design_of_a_sweep_over_blocks_costs_what_it_costs_alone():
    from gadprof.sweep.chunks import check_chunk, chosen_chunks
    from gadprof.sweep.sampling import choose_sample
    from gadprof.sweep.space import make_space
    from gadprof.sweep.tables import QUANTITIES

    texts = {
        "block": ",".join(BRANCH_BLOCKS),
        "width": "16:96:16",
        "groups": "1,2,4",
        "t": "1,6",
        "layers": "1,3",
        "q": "3,4",
        "r": "4,16",
        "k": "1,3",
        "blocks": "1:3-1-2-1",
        "bottlenecks": "0,3",
        "se_bias": "yes,no",
    }
    space = make_space("hrnet", texts, "64x64")
    for chunk in chosen_chunks(space, QUANTITIES, choose_sample(space, 160, 7)):
        assert check_chunk(space, chunk, QUANTITIES, range(len(chunk.designs)))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"block": "basic,shuffle2", "width": "31:33"}, "width=31 does not divide by 2"),
        ({"block": "basic,grouped", "width": "32,36", "groups": "4,8"}, "width=36 .* by 8"),
        ({"block": "basic,ccw"}, "block=ccw joins the branches .* gadprof compare"),
    ],
)
def test_a_sweep_over_blocks_that_do_not_fit_is_refused(texts, words):
    from gadprof.sweep.space import make_space

    with pytest.raises(SpecError, match=words):
        make_space("hrnet", texts)


def test_the_knobs_say_what_each_block_is_made_of(run_cli):
    code, out, _ = run_cli("models", "--knobs", "hrnet32", "--format", "md")
    assert code == 0
    cells = [[cell.strip() for cell in line.split("|")] for line in out.splitlines()]
    notes = {row[2]: row[3] for row in cells if len(row) > 3 and not row[1]}
    assert set(notes) == {*BRANCH_BLOCKS, *MODULE_BLOCKS}
    assert all(len(note) > 10 for note in notes.values())
