"""Builders of the units' nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from gadprof.networks import plan as p
from gadprof.networks.blocks import unit_modules as m
from gadprof.networks.blocks import unit_nodes as u
from gadprof.networks.build import build

# classes that a sequence's or a residual's kind may name
KINDS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        m.DepthwiseSeparable, m.InvertedResidual, m.ShuffleUnitV1, m.ShuffleUnitV2, m.SEBasicBlock,
        m.CBAM, m.CBAMBasicBlock, m.SKUnit, m.DenseBlock, m.DenseAttention, m.MultiscaleAttention,
    )
}  # fmt: skip


def _cross(node: u.CrossResolutionWeighting) -> m.CrossResolutionWeighting:
    return m.CrossResolutionWeighting(list(node.channels), build(node.weigh))


BUILDERS: dict[type[p.Node], Callable[[Any], nn.Module]] = {
    u.ChannelSlice: lambda n: m.ChannelSlice(n.start, n.stop),
    u.ChannelShuffle: lambda n: m.ChannelShuffle(n.groups),
    u.AdaptivePool: lambda n: nn.AdaptiveAvgPool2d((n.height, n.width)),
    u.ChannelStatistics: lambda n: m.ChannelStatistics(),
    u.Gate: lambda n: m.Gate(build(n.body)),
    u.PathSum: lambda n: m.PathSum([build(path) for path in n.paths]),
    u.ChannelAttention: lambda n: m.ChannelAttention(n.c, n.hidden, bias=n.bias),
    u.SelectiveKernel: lambda n: m.SelectiveKernel(
        [build(path) for path in n.paths], build(n.weigh)
    ),
    u.SplitAttention: lambda n: m.SplitAttention(n.radix, n.groups, build(n.weigh)),
    u.SelfCalibration: lambda n: m.SelfCalibration(build(n.body), build(n.look)),
    u.SpatialTransformer: lambda n: m.SpatialTransformer(build(n.locate)),
    u.CrossResolutionWeighting: _cross,
    u.ConditionalChannelWeighting: lambda n: m.ConditionalChannelWeighting(
        list(n.halves), _cross(n.cross), [build(branch) for branch in n.branches]
    ),
}
