"""Channel and spatial attention (Woo et al., CBAM, ECCV 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, attended, conv_bn
from gadprof.networks.maps import cat, stack
from gadprof.networks.plan import RELU, SIGMOID

SPATIAL_KERNEL = 7


class ChannelStatistics(p.Node):
    """Two maps: the maximum and the mean over the channels."""

    def forward(self: Any, x: Any) -> Any:
        return cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)])


class ChannelAttention(p.Node):
    """x · sigmoid(mlp(mean) + mlp(maximum)), one two-layer ``mlp`` for both (equation 2)."""

    c: p.Number
    hidden: p.Number
    bias: bool = False

    def children(self) -> Mapping[str, Any]:
        return {
            "pool": p.GlobalPool(),
            "fc1": p.Linear(self.c, self.hidden, self.bias),
            "relu": RELU,
            "fc2": p.Linear(self.hidden, self.c, self.bias),
            "sigmoid": SIGMOID,
        }

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, x: Any) -> Any:
        w = stack([self.pool(x).flatten(1), x.amax((2, 3))])
        w = self.fc1(w)
        w = self.relu(w)
        w = self.fc2(w)
        w = self.sigmoid(w.sum(1))
        return x * w.unsqueeze(-1).unsqueeze(-1)


def cbam(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    """Channel, then spatial attention; the spatial convolution is 7×7."""
    channel = ChannelAttention(c, p.ceil_div(c, knobs.r), knobs.se_bias)
    weigh = p.Sequence((ChannelStatistics(), p.Conv(2, 1, SPATIAL_KERNEL), SIGMOID))
    return p.Sequence((channel, p.Gate(weigh)), kind="CBAM")


def cbam_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A convolution whose output goes through CBAM."""
    return p.Sequence((conv_bn(c_in, c_out, knobs.k, stride), cbam(c_out, knobs)))


def cbam_basic_block(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    """A basic block whose residual goes through CBAM."""
    return attended(c, knobs, cbam(c, knobs), "CBAMBasicBlock")
