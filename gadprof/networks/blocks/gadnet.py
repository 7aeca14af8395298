"""GADNet's blocks: Ghost modules whose ghost maps are attended (Liu et al., 2024, figures 5 to 8).

Channels follow the paper: m = ceil(c_out / s) intrinsic maps and g = c_out - m ghost maps.
"""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.ghost import CheapOperation, is_none, split_channels
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
from gadprof.networks.blocks.squeeze import SEBlock, se_block
from gadprof.networks.maps import cat


class GaBlock(p.Node):
    """concat(y, cheap(attention(y))) with y = primary(x); ``shortcut`` adds x."""

    primary: p.Node
    attention: SEBlock | None
    cheap: CheapOperation | None
    shortcut: bool = False

    def forward(self: Any, x: Any) -> Any:
        y = self.primary(x)
        if self.cheap is not None:
            if self.attention is not None:
                y = cat([y, self.cheap(self.attention(y))])
            else:
                y = cat([y, self.cheap(y)])
        return y + x if self.shortcut else y


class GdBlock(p.Node):
    """concat(primary(x), attention(cheap(x))), both at half the size."""

    primary: p.Node
    cheap: CheapOperation | None
    attention: SEBlock | None

    def forward(self: Any, x: Any) -> Any:
        y = self.primary(x)
        if self.cheap is None:
            return y
        ghost = self.cheap(x)
        if self.attention is not None:
            ghost = self.attention(ghost)
        return cat([y, ghost])


def ga_block(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> GaBlock:
    """GaBlock: the cheap operation reads the attended intrinsic maps (figures 5 and 6)."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride)
    if is_none(g):
        return GaBlock(primary, None, None, knobs.shortcut)
    return GaBlock(primary, se_block(m, knobs), CheapOperation(m, g, knobs.d), knobs.shortcut)


def branch_ga_block(c: p.Number, knobs: BlockKnobs) -> GaBlock:
    """A GaBlock that keeps its channels."""
    return ga_block(c, c, knobs)


def gd_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 2, relu: bool = True
) -> GdBlock:
    """GdBlock: primary and cheap operation both read the input, attention on the ghost maps
    (figures 7 and 8)."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride, relu=relu)
    if is_none(g):
        return GdBlock(primary, None, None)
    cheap = CheapOperation(c_in, g, knobs.d, stride, relu)
    return GdBlock(primary, cheap, se_block(g, knobs))
