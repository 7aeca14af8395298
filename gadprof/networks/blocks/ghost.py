"""Ghost modules (Han et al., GhostNet, CVPR 2020): few maps convolved, the rest made cheaply.

m = ceil(c_out / s) intrinsic maps and g = c_out - m ghost maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
from gadprof.networks.blocks.squeeze import se_block
from gadprof.networks.maps import cat
from gadprof.networks.plan import RELU


class CheapOperation(p.Node):
    """``g`` ghost maps from ``c`` maps, one d×d depthwise filter a ghost map, then BN (and ReLU).

    Ghost map j reads input map j mod c, so that the weights are g·d² for any integers: whole
    rounds (``full``) are one depthwise convolution with a multiplier, the rest another on the first
    maps. In a sweep, where c and g are arrays, both are one depthwise convolution of g filters.
    """

    c: p.Number
    g: p.Number
    d: int
    stride: int = 1
    activation: bool = True

    def children(self) -> Mapping[str, Any]:
        c, rounds, left = self.c, self.g // self.c, self.g % self.c
        if not isinstance(rounds, int):
            c, rounds, left = self.g, 1, 0

        def filters(inner: p.Number, outer: p.Number) -> p.Conv:
            return p.Conv(inner, outer, self.d, self.stride, groups=inner)

        return {
            "full": None if isinstance(rounds, int) and not rounds else filters(c, c * rounds),
            "rest": filters(left, left) if left else None,
            "bn": p.BatchNorm(self.g),
            "relu": RELU if self.activation else None,
        }

    def settings(self) -> Mapping[str, Any]:
        return {"remaining": self.g % self.c}

    def forward(self: Any, x: Any) -> Any:
        if self.full is None:
            y = self.rest(x[:, : self.remaining])
        elif self.rest is None:
            y = self.full(x)
        else:
            y = cat([self.full(x), self.rest(x[:, : self.remaining])])
        y = self.bn(y)
        return y if self.relu is None else self.relu(y)


class GhostModule(p.Node):
    """concat(y, cheap(y)) with y = primary(x); ``cheap`` None when g = 0."""

    primary: p.Node
    cheap: CheapOperation | None

    def forward(self: Any, x: Any) -> Any:
        y = self.primary(x)
        return y if self.cheap is None else cat([y, self.cheap(y)])


class GhostBlock(p.Node):
    """relu(ghost2(ghost1(x)) + x): a BasicBlock whose convolutions are Ghost modules."""

    ghost1: GhostModule
    ghost2: GhostModule

    def children(self) -> Mapping[str, Any]:
        return {"ghost1": self.ghost1, "ghost2": self.ghost2, "relu": RELU}

    def forward(self: Any, x: Any) -> Any:
        y = self.ghost1(x)
        y = self.ghost2(y)
        return self.relu(y + x)


def split_channels(c_out: p.Number, s: p.Number) -> tuple[p.Number, p.Number]:
    """Intrinsic and ghost channels (m, g) of ``c_out`` at ratio ``s``."""
    m = p.ceil_div(c_out, s)
    return m, c_out - m


def is_none(g: p.Number) -> bool:
    """Whether there are no ghost channels, in an array for no design."""
    return g == 0 if isinstance(g, int) else not g.any()


def ghost_module(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1, relu: bool = True
) -> GhostModule:
    """The Ghost module, with batch normalisation after both parts."""
    m, g = split_channels(c_out, knobs.s)
    primary = conv_bn(c_in, m, knobs.k, stride, relu=relu)
    return GhostModule(primary, None if is_none(g) else CheapOperation(m, g, knobs.d, 1, relu))


def ghost_se_module(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A Ghost module followed by squeeze-and-excitation on all its output maps."""
    return p.Sequence((ghost_module(c_in, c_out, knobs, stride=stride), se_block(c_out, knobs)))


def ghost_block(c: p.Number, knobs: BlockKnobs) -> GhostBlock:
    """A BasicBlock whose two convolutions are Ghost modules; the second has no ReLU."""
    return GhostBlock(ghost_module(c, c, knobs), ghost_module(c, c, knobs, relu=False))


def ghost_se_block(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    """A GhostBlock followed by squeeze-and-excitation (GADNet, figure 9)."""
    return p.Sequence((ghost_block(c, knobs), se_block(c, knobs)))
