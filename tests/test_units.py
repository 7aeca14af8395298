"""Units: what a node costs is what its module holds and does, to the byte of the peak."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
from torch import nn

from gadprof.counting.count import count
from gadprof.networks import plan as p
from gadprof.networks.blocks.calibrated import SelfCalibration
from gadprof.networks.blocks.cbam import ChannelAttention, ChannelStatistics
from gadprof.networks.blocks.selective import SelectiveKernel
from gadprof.networks.blocks.shuffle import ChannelShuffle, ChannelSlice
from gadprof.networks.blocks.spatial_transformer import SpatialTransformer
from gadprof.networks.blocks.split import SplitAttention
from gadprof.networks.blocks.weighting import ConditionalChannelWeighting, CrossResolutionWeighting
from gadprof.networks.build import build
from gadprof.networks.cost import Folder, elementwise_flops, size_of


def squeeze(c: int, hidden: int, out: int) -> p.Sequence:
    return p.Sequence((p.Conv(c, hidden, 1), p.Activation("relu"), p.Conv(hidden, out, 1)))


def cross(channels: tuple[int, ...], hidden: int) -> CrossResolutionWeighting:
    return CrossResolutionWeighting(
        channels, p.Sequence((squeeze(sum(channels), hidden, sum(channels)), p.SIGMOID))
    )


def one_map(draw: random.Random) -> dict[str, tuple[p.Node, tuple[tuple[int, ...], ...]]]:
    c, h, w = draw.randint(2, 20), draw.randint(1, 17), draw.randint(1, 17)
    groups = draw.choice([g for g in range(1, c + 1) if c % g == 0])
    start = draw.randint(0, c - 1)
    stop = draw.randint(start + 1, c)
    hidden = draw.randint(1, 9)
    radix, parts, pool = draw.randint(1, 3), draw.choice((1, groups)), draw.randint(1, min(h, w))
    shape = ((c, h, w),)
    cut = ChannelSlice(start, stop)
    locate = p.Sequence(
        (p.Conv(c, hidden, 3), p.AdaptivePool(4, 4), p.Flatten(), p.Linear(16 * hidden, 6))
    )
    return {
        "slice": (p.Sequence((cut, p.Conv(stop - start, 5, 3))), shape),
        "shuffle": (ChannelShuffle(groups), shape),
        "pool": (p.AdaptivePool(draw.randint(1, 9), draw.randint(1, 9)), shape),
        "statistics": (ChannelStatistics(), shape),
        "channel gate": (
            p.Gate(p.Sequence((p.GlobalPool(), squeeze(c, hidden, c), p.SIGMOID))),
            shape,
        ),
        "spatial gate": (
            p.Gate(p.Sequence((ChannelStatistics(), p.Conv(2, 1, 7), p.SIGMOID))),
            shape,
        ),
        "sum": (p.PathSum((p.Conv(c, c, 1), p.Identity(), p.Conv(c, c, 3))), shape),
        "channel attention": (ChannelAttention(c, hidden, draw.random() < 0.5), shape),
        "selective kernel": (
            SelectiveKernel(
                hidden,
                tuple(p.Conv(c, hidden, 3, padding=d, dilation=d) for d in (1, 2, 3)),
                squeeze(hidden, 4, 3 * hidden),
            ),
            shape,
        ),
        "split attention": (
            SplitAttention(c, radix, parts, squeeze(c, hidden, radix * c)),
            ((radix * c, h, w),),
        ),
        "self-calibration": (
            SelfCalibration(p.Conv(c, c, 3), p.Sequence((p.AvgPool(pool, pool), p.Conv(c, c, 3)))),
            shape,
        ),
        "spatial transformer": (SpatialTransformer(locate), shape),
    }


def several_maps(draw: random.Random) -> dict[str, tuple[p.Node, tuple[tuple[int, ...], ...]]]:
    h, w = draw.randint(1, 4), draw.randint(1, 4)
    n = draw.randint(1, 4)
    channels = tuple(draw.randint(2, 15) for _ in range(n))
    halves = tuple(c // 2 for c in channels)
    shapes = tuple((c, h * 2 ** (n - 1 - i), w * 2 ** (n - 1 - i)) for i, c in enumerate(channels))
    even = tuple((2 * c, *shape[1:]) for c, shape in zip(halves, shapes, strict=True))
    branches = tuple(p.Sequence((p.Conv(c, c, 3, groups=c), p.BatchNorm(c))) for c in halves)
    return {
        "cross resolution": (cross(channels, 3), shapes),
        "conditional": (
            ConditionalChannelWeighting(halves, cross(halves, 3), branches),
            even,
        ),
    }


class Listed(nn.Module):
    """Calls a module of a list of maps with its arguments as that list."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *maps):
        return self.module(list(maps))


def assert_node_costs_what_it_does(node: p.Node, shapes: tuple[tuple[int, ...], ...]) -> None:
    folded = Folder().visit("", node, shapes)
    with torch.device("meta"):
        module = build(node).eval()
        samples = tuple(torch.empty(1, *shape) for shape in shapes)
    several = isinstance(node, (CrossResolutionWeighting, ConditionalChannelWeighting))
    trace = count(Listed(module) if several else module, samples)
    counts = folded.counts
    params = sum(value for key, value in counts.items() if key.startswith("params."))
    macs = sum(value for key, value in counts.items() if key.startswith("macs."))
    start = len("elementwise.")
    elementwise = {k[start:]: v for k, v in counts.items() if k.startswith("elementwise.")}
    assert trace.uncovered == {}
    assert tuple(shape[1:] for shape in trace.output_shapes) == folded.outputs
    assert trace.params == params
    assert trace.macs == macs
    assert trace.activations == counts.get("activations", 0)
    assert trace.elementwise() == elementwise
    assert trace.flops == 2 * macs + counts.get("bias_adds", 0) + elementwise_flops(counts)
    inputs = sum(size_of(shape) for shape in shapes)
    assert trace.peak_activation_bytes == 4 * (inputs + folded.peak)


@pytest.mark.parametrize("name", list(one_map(random.Random(0))))
@pytest.mark.parametrize("seed", range(8))
def test_a_units_cost_is_what_is_built_and_traced(name, seed):
    assert_node_costs_what_it_does(*one_map(random.Random(seed))[name])


@pytest.mark.parametrize("name", list(several_maps(random.Random(0))))
@pytest.mark.parametrize("seed", range(12))
def test_a_unit_over_several_maps_costs_what_is_built_and_traced(name, seed):
    assert_node_costs_what_it_does(*several_maps(random.Random(seed))[name])


@pytest.mark.parametrize("name", list(one_map(random.Random(0))))
def test_a_traced_unit_gives_the_same_maps(name):
    torch.manual_seed(0)
    node, shapes = one_map(random.Random(3))[name]
    module, x = build(node).eval(), torch.randn(2, *shapes[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, which is what tracing is
        traced = torch.jit.trace(module, (x,))
    torch.testing.assert_close(traced(x), module(x))


def test_a_shuffle_reads_one_channel_of_each_group_in_turn():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    shuffled = build(ChannelShuffle(2))(x).flatten().tolist()
    assert shuffled == [0, 3, 1, 4, 2, 5]


def test_a_spatial_transformer_starts_as_the_identity():
    node, shapes = one_map(random.Random(1))["spatial transformer"]
    x = torch.randn(2, *shapes[0])
    torch.testing.assert_close(build(node)(x), x, atol=1e-5, rtol=1e-5)


def test_weights_over_the_paths_of_a_selective_kernel_sum_to_one():
    torch.manual_seed(0)
    node, shapes = one_map(random.Random(1))["selective kernel"]
    module = build(node)
    maps = [path(torch.randn(2, *shapes[0])) for path in module.paths]
    total = module.weights(maps).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
