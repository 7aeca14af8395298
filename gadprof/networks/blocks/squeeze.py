"""Squeeze-and-excitation (Hu et al., Squeeze-and-Excitation Networks, CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, attended, conv_bn
from gadprof.networks.plan import RELU, SIGMOID


class SEBlock(p.Node):
    """x · sigmoid(fc2(relu(fc1(mean(x))))): channel weights from the mean of each map.

    ``hidden`` = ceil(c / r) units; the two layers have no bias unless ``bias``.
    """

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
        w = self.pool(x).flatten(1)
        w = self.fc1(w)
        w = self.relu(w)
        w = self.fc2(w)
        w = self.sigmoid(w)
        return x * w.unsqueeze(-1).unsqueeze(-1)


def se_block(c: p.Number, knobs: BlockKnobs) -> SEBlock:
    """Squeeze-and-excitation on ``c`` channels with ceil(c / r) hidden units."""
    return SEBlock(c, p.ceil_div(c, knobs.r), knobs.se_bias)


def se_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A convolution whose output is weighed by squeeze-and-excitation."""
    return p.Sequence((conv_bn(c_in, c_out, knobs.k, stride), se_block(c_out, knobs)))


def se_basic_block(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    """A basic block whose residual is weighed by squeeze-and-excitation."""
    return attended(c, knobs, se_block(c, knobs), "SEBasicBlock")
