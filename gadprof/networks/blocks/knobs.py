"""The numbers that blocks share, and the small pieces that most are made of."""

from __future__ import annotations

from dataclasses import dataclass

from gadprof.networks import plan as p
from gadprof.networks.plan import RELU


@dataclass(frozen=True)
class BlockKnobs:
    """The numbers that blocks share: kernel k, cheap kernel d, ratio s, reduction r.

    ``groups`` of grouped convolutions, widening ``t`` of inverted residuals, ``layers`` of a dense
    block and ``q``, what its channels are divided by to give its growth; ``branches`` of a unit
    over several maps, where no skeleton says how many.
    """

    k: int = 3
    d: int = 3
    s: int = 2
    r: int = 16
    se_bias: bool = False
    shortcut: bool = False
    groups: int = 4
    t: int = 6
    layers: int = 4
    q: int = 4
    branches: int = 2


def conv_bn(
    c_in: p.Number, c_out: p.Number, k: int = 3, stride: int = 1, *, relu: bool = True
) -> p.Sequence:
    """Convolution without bias, batch normalisation, and ReLU unless told otherwise."""
    items: tuple[p.Node, ...] = (p.Conv(c_in, c_out, k, stride), p.BatchNorm(c_out))
    return p.Sequence((*items, RELU) if relu else items)


def conv_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """The ordinary convolution with batch normalisation and ReLU."""
    return conv_bn(c_in, c_out, knobs.k, stride)


def depthwise(c: p.Number, k: int, stride: int = 1) -> tuple[p.Node, p.Node]:
    """A depthwise convolution with its normalisation."""
    return p.Conv(c, c, k, stride, groups=c), p.BatchNorm(c)


def pointwise(c_in: p.Number, c_out: p.Number, groups: p.Number = 1) -> tuple[p.Node, p.Node]:
    """A 1×1 convolution with its normalisation."""
    return p.Conv(c_in, c_out, 1, groups=groups), p.BatchNorm(c_out)


def at_least(a: p.Number, b: int) -> p.Number:
    """The larger of a number or an int64 array and an int."""
    return (a + b + abs(a - b)) // 2


def keeps(c_in: p.Number, c_out: p.Number, stride: int) -> bool:
    """Whether a block keeps size and channels; arrays do when they are one object."""
    ints = isinstance(c_in, int) and isinstance(c_out, int)
    return stride == 1 and (c_in is c_out or (ints and c_in == c_out))


def attended(c: p.Number, knobs: BlockKnobs, attention: p.Node, kind: str) -> p.Residual:
    """A basic block whose residual goes through attention."""
    convs = (conv_bn(c, c, knobs.k), conv_bn(c, c, knobs.k, relu=False))
    return p.Residual(p.Sequence((*convs, attention)), None, RELU, kind=kind)
