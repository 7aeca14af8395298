"""The residual blocks of He et al., Deep Residual Learning, CVPR 2016, and grouped ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs
from gadprof.networks.plan import RELU


class BasicBlock(p.Node):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x))."""

    conv1: p.Node
    bn1: p.Node
    conv2: p.Node
    bn2: p.Node
    downsample: p.Node | None = None

    def children(self) -> Mapping[str, Any]:
        return {
            "conv1": self.conv1,
            "bn1": self.bn1,
            "relu": RELU,
            "conv2": self.conv2,
            "bn2": self.bn2,
            "downsample": self.downsample,
        }

    def forward(self: Any, x: Any) -> Any:
        y = self.conv1(x)
        y = self.bn1(y)
        y = self.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)


class Bottleneck(p.Node):
    """The 1×1, 3×3, 1×1 residual block."""

    conv1: p.Node
    bn1: p.Node
    conv2: p.Node
    bn2: p.Node
    conv3: p.Node
    bn3: p.Node
    downsample: p.Node | None = None

    def children(self) -> Mapping[str, Any]:
        names = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
        convs = {name: getattr(self, name) for name in names}
        return {**convs, "relu": RELU, "downsample": self.downsample}

    def forward(self: Any, x: Any) -> Any:
        y = self.conv1(x)
        y = self.bn1(y)
        y = self.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        y = self.relu(y)
        y = self.conv3(y)
        y = self.bn3(y)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)


def basic_block(c: p.Number, knobs: BlockKnobs) -> BasicBlock:
    """Two k×k convolutions with a shortcut."""
    return BasicBlock(p.Conv(c, c, knobs.k), p.BatchNorm(c), p.Conv(c, c, knobs.k), p.BatchNorm(c))


def grouped_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A convolution in ``groups`` groups (Xie et al., ResNeXt, 2017)."""
    conv = p.Conv(c_in, c_out, knobs.k, stride, groups=knobs.groups)
    return p.Sequence((conv, p.BatchNorm(c_out), RELU))


def grouped_block(c: p.Number, knobs: BlockKnobs) -> BasicBlock:
    """A basic block of grouped convolutions."""
    conv = p.Conv(c, c, knobs.k, groups=knobs.groups)
    return BasicBlock(conv, p.BatchNorm(c), conv, p.BatchNorm(c))
