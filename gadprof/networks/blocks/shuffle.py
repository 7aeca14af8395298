"""ShuffleNet's units: few channels, mixed by reading them across groups."""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, depthwise, pointwise
from gadprof.networks.plan import RELU


class ChannelSlice(p.Node):
    """Channels ``start`` to ``stop`` (not included) of a map, as a view of its memory."""

    start: p.Number
    stop: p.Number

    def forward(self: Any, x: Any) -> Any:
        return x[:, self.start : self.stop]


class ChannelShuffle(p.Node):
    """Channels read across ``groups`` groups (Zhang et al., ShuffleNet, 2018); groups divides c."""

    groups: int

    def forward(self: Any, x: Any) -> Any:
        n, c, h, w = x.shape
        y = x.reshape(n, self.groups, c // self.groups, h, w)
        return y.transpose(1, 2).reshape(n, c, h, w)


def shuffle_unit_v1(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Node:
    """ShuffleNet's unit: grouped 1×1 to c_out / 4, shuffle, depthwise, grouped 1×1.

    The input is added at stride 1 and, pooled, concatenated at stride 2.
    """
    middle, groups = c_out // 4, knobs.groups
    made = c_out if stride == 1 else c_out - c_in
    body = p.Sequence(
        (
            *pointwise(c_in, middle, groups), RELU, ChannelShuffle(groups),
            *depthwise(middle, knobs.k, stride), *pointwise(middle, made, groups),
        )
    )  # fmt: skip
    if stride == 1:
        return p.Residual(body, None, RELU, kind="ShuffleUnitV1")
    return p.Sequence((p.Concat((p.AvgPool(3, stride, 1), body)), RELU))


def shuffle_unit_v2(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """ShuffleNet V2's unit: half of the channels pass, half are filtered; concatenate, shuffle (Ma
    et al., 2018).

    At stride 2 both halves are made from all input channels.
    """
    half = c_out // 2

    def filtered(c: p.Number) -> tuple[p.Node, ...]:
        return (
            *pointwise(c, half), RELU, *depthwise(half, knobs.k, stride),
            *pointwise(half, half), RELU,
        )  # fmt: skip

    if stride == 1:
        rest = p.Sequence((ChannelSlice(half, c_in), *filtered(half)))
        paths: tuple[p.Node, ...] = (ChannelSlice(0, half), rest)
    else:
        down = (*depthwise(c_in, knobs.k, stride), *pointwise(c_in, half), RELU)
        paths = (p.Sequence(down), p.Sequence(filtered(c_in)))
    return p.Sequence((p.Concat(paths), ChannelShuffle(2)), kind="ShuffleUnitV2")
