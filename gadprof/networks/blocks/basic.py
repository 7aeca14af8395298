"""The ordinary, Ghost, Ga and Gd blocks, as plan nodes.

Channels follow the paper: m = ceil(c_out / s) intrinsic maps and g = c_out - m ghost maps.
``block_names`` says what ``block=`` accepts.
"""

from __future__ import annotations

from dataclasses import dataclass

from gadprof.networks import plan as p


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


RELU = p.Activation("relu", inplace=True)


def conv_bn(
    c_in: p.Number, c_out: p.Number, k: int = 3, stride: int = 1, *, relu: bool = True
) -> p.Sequence:
    """Convolution without bias, batch normalisation, and ReLU unless told otherwise."""
    items: tuple[p.Node, ...] = (p.Conv(c_in, c_out, k, stride), p.BatchNorm(c_out))
    return p.Sequence((*items, RELU) if relu else items)


def split_channels(c_out: p.Number, s: p.Number) -> tuple[p.Number, p.Number]:
    """Intrinsic and ghost channels (m, g) of ``c_out`` at ratio ``s``."""
    m = p.ceil_div(c_out, s)
    return m, c_out - m


def se_block(c: p.Number, knobs: BlockKnobs) -> p.SEBlock:
    """Squeeze-and-excitation on ``c`` channels with ceil(c / r) hidden units."""
    return p.SEBlock(c, p.ceil_div(c, knobs.r), knobs.se_bias)


def _is_none(g: p.Number) -> bool:
    """Whether there are no ghost channels, in an array for no design."""
    return g == 0 if isinstance(g, int) else not g.any()


def ghost_module(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1, relu: bool = True
) -> p.GhostModule:
    """The Ghost module of Han et al. 2020, with batch normalisation after both parts."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride, relu=relu)
    cheap = None if _is_none(g) else p.CheapOperation(m, g, knobs.d, 1, relu)
    return p.GhostModule(primary, cheap)


def ghost_se_module(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A Ghost module followed by squeeze-and-excitation on all its output maps."""
    return p.Sequence((ghost_module(c_in, c_out, knobs, stride=stride), se_block(c_out, knobs)))


def ga_block(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.GaBlock:
    """GaBlock: the cheap operation reads the attended intrinsic maps (figures 5 and 6)."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride)
    if _is_none(g):
        return p.GaBlock(primary, None, None, knobs.shortcut)
    return p.GaBlock(primary, se_block(m, knobs), p.CheapOperation(m, g, knobs.d), knobs.shortcut)


def gd_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 2, relu: bool = True
) -> p.GdBlock:
    """GdBlock: primary and cheap operation both read the input, attention on the ghost maps
    (figures 7 and 8)."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride, relu=relu)
    if _is_none(g):
        return p.GdBlock(primary, None, None)
    cheap = p.CheapOperation(c_in, g, knobs.d, stride, relu)
    return p.GdBlock(primary, cheap, se_block(g, knobs))


def basic_block(c: p.Number, knobs: BlockKnobs) -> p.BasicBlock:
    """Two k×k convolutions with a shortcut."""
    return p.BasicBlock(
        p.Conv(c, c, knobs.k), p.BatchNorm(c), p.Conv(c, c, knobs.k), p.BatchNorm(c)
    )


def ghost_block(c: p.Number, knobs: BlockKnobs) -> p.GhostBlock:
    """A BasicBlock whose two convolutions are Ghost modules; the second has no ReLU."""
    return p.GhostBlock(ghost_module(c, c, knobs), ghost_module(c, c, knobs, relu=False))


def ghost_se_block(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    """A GhostBlock followed by squeeze-and-excitation (figure 9)."""
    return p.Sequence((ghost_block(c, knobs), se_block(c, knobs)))


def branch_ga_block(c: p.Number, knobs: BlockKnobs) -> p.GaBlock:
    """A GaBlock that keeps its channels."""
    return ga_block(c, c, knobs)


def conv_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """The ordinary convolution with batch normalisation and ReLU."""
    return conv_bn(c_in, c_out, knobs.k, stride)
