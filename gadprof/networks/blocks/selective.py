"""Selective kernels (Li et al., Selective Kernel Networks, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, at_least, conv_bn, pointwise
from gadprof.networks.maps import softmax
from gadprof.networks.plan import RELU

PATHS = 2
LEAST_HIDDEN = 32  # the least units of the squeezed description


class SelectiveKernel(p.Node):
    """The sum of several paths' maps, each channel weighed by a softmax over the paths.

    The weights come from ``weigh``, a node from (c, 1, 1), the mean of the paths' sum, to
    (len(paths)·c, 1, 1).
    """

    c: p.Number
    paths: tuple[p.Node, ...]
    weigh: p.Node

    def children(self) -> Mapping[str, Any]:
        return {"paths": self.paths, "pool": p.GlobalPool(), "weigh": self.weigh}

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, x: Any) -> Any:
        maps = [path(x) for path in self.paths]
        w = self.weights(maps)
        y = maps[0] * w[:, 0]
        for index in range(1, len(maps)):
            y = y + maps[index] * w[:, index]
        return y

    def weights(self: Any, maps: list[Any]) -> Any:
        """Weights of every path's channels, (N, paths, C, 1, 1)."""
        total = maps[0]
        for index in range(1, len(maps)):
            total = total + maps[index]
        w = self.weigh(self.pool(total))
        return softmax(w.reshape(w.shape[0], len(maps), -1, 1, 1), 1)


def sk_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> SelectiveKernel:
    """SKNet's convolution: two grouped k×k paths, the second with dilation 2."""

    def path(dilation: int) -> p.Sequence:
        reach = dilation * (knobs.k // 2)
        conv = p.Conv(c_in, c_out, knobs.k, stride, reach, knobs.groups, dilation=dilation)
        return p.Sequence((conv, p.BatchNorm(c_out), RELU))

    paths = tuple(path(dilation) for dilation in range(1, PATHS + 1))
    hidden = at_least(p.ceil_div(c_out, knobs.r), LEAST_HIDDEN)
    weigh = p.Sequence((*pointwise(c_out, hidden), RELU, p.Conv(hidden, PATHS * c_out, 1)))
    return SelectiveKernel(c_out, paths, weigh)


def sk_unit(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    """A bottleneck of half the channels whose middle convolution selects its kernel."""
    middle = c // 2
    body = p.Sequence(
        (
            conv_bn(c, middle, 1), sk_conv(middle, middle, knobs),
            conv_bn(middle, c, 1, relu=False),
        )
    )  # fmt: skip
    return p.Residual(body, None, RELU, kind="SKUnit")
