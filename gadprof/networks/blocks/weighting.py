"""Conditional channel weighting (Yu et al., Lite-HRNet, CVPR 2021): a unit over several maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, depthwise, pointwise
from gadprof.networks.blocks.shuffle import ChannelShuffle
from gadprof.networks.maps import adaptive_avg_pool2d, cat, interpolate
from gadprof.networks.plan import RELU, SIGMOID


class CrossResolutionWeighting(p.Node):
    """Each of several maps times weights found in all of them.

    All maps are pooled to the last one's size and concatenated; ``weigh`` keeps the shape; its
    output is cut back into ``channels`` and enlarged to each map's size.
    """

    channels: tuple[p.Number, ...]
    weigh: p.Node
    several: ClassVar[bool] = True

    def forward(self: Any, maps: list[Any]) -> list[Any]:
        w = self.weigh(self.gathered(maps))
        made: list[Any] = []
        start = 0
        for index, channels in enumerate(self.channels):
            x = maps[index]
            part = w[:, start : start + channels]
            made.append(x * interpolate(part, x.shape[-2:]))
            start += channels
        return made

    def gathered(self: Any, maps: list[Any]) -> Any:
        """All maps at the last one's size, (N, sum of C_i, H, W)."""
        h, w = maps[-1].shape[-2:]
        pooled = [adaptive_avg_pool2d(x, (h, w)) for x in maps[:-1]]
        return cat([*pooled, maps[-1]])


class ConditionalChannelWeighting(p.Node):
    """Lite-HRNet's unit over all maps of a module: half of each map's channels is kept, the other
    half goes through ``cross`` and the map's own ``branch``; concatenation, shuffle.

    ``halves`` is how many channels of each map are kept.
    """

    halves: tuple[p.Number, ...]
    cross: CrossResolutionWeighting
    branches: tuple[p.Node, ...]
    several: ClassVar[bool] = True

    def children(self) -> Mapping[str, Any]:
        return {"cross": self.cross, "branches": self.branches, "shuffle": ChannelShuffle(2)}

    def forward(self: Any, maps: list[Any]) -> list[Any]:
        second: list[Any] = []
        for index, half in enumerate(self.halves):
            second.append(maps[index][:, half:])
        second = self.cross(second)
        made: list[Any] = []
        for index, branch in enumerate(self.branches):
            kept = maps[index][:, : self.halves[index]]
            made.append(self.shuffle(cat([kept, branch(second[index])])))
        return made


def conditional_weighting(
    channels: tuple[p.Number, ...], knobs: BlockKnobs
) -> ConditionalChannelWeighting:
    """Lite-HRNet's unit over the maps of all branches of a module.

    Cross-resolution weighting reduces by r, spatial weighting by r / 2 (8 and 4 in the paper).
    """
    halves = tuple(c // 2 for c in channels)
    total = sum(halves[1:], start=halves[0])
    hidden = p.ceil_div(total, knobs.r)
    weigh = p.Sequence((*pointwise(total, hidden), RELU, *pointwise(hidden, total), SIGMOID))

    def branch(c: p.Number) -> p.Sequence:
        few = p.ceil_div(2 * c, knobs.r)
        spatial = (
            p.GlobalPool(),
            p.Conv(c, few, 1, bias=True),
            RELU,
            p.Conv(few, c, 1, bias=True),
            SIGMOID,
        )
        return p.Sequence((*depthwise(c, knobs.k), p.Gate(p.Sequence(spatial))))

    cross = CrossResolutionWeighting(halves, weigh)
    return ConditionalChannelWeighting(halves, cross, tuple(branch(c) for c in halves))


def conditional_weighting_alone(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> ConditionalChannelWeighting:
    """The unit over ``branches`` maps, each of twice the channels and half the size of the last."""
    return conditional_weighting(tuple(c_in * 2**i for i in range(knobs.branches)), knobs)
