"""Lite-HRNet: HRNet's parallel resolutions with shuffle blocks or conditional channel weighting.

Promises the parameters and MACs that the official code executes, its quirk included: in every
exchange the first branch's term is run and added twice (see ``LiteExchange``), so that a counter
that visits each module once reports less than what runs. The sum over all levels of the halves
that are weighted together must leave the squeeze a channel. Refuses inputs whose sides do not
divide by 32: the four resolutions would not meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gadprof.networks import plan as p
from gadprof.networks.blocks.shuffle import ChannelShuffle, ChannelSlice
from gadprof.networks.blocks.weighting import (
    ConditionalChannelWeighting,
    CrossResolutionWeighting,
)
from gadprof.networks.maps import interpolate
from gadprof.networks.plan import RELU, SIGMOID
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTH = 32
STAGES = 3  # of two, three and four resolutions
SPATIAL_RATIO = 4


class LiteExchange(p.Node):
    """Layers over a list of maps, then Lite-HRNet's exchange as its official code runs it.

    Output i = relu(rows[i][0](map 0) + sum over j of rows[i][j](map j)): the loop over the branches
    starts from the first branch's term and adds it again, so that it runs and counts twice; where
    that term is the branch's own map, it is added in place, so that the rows below read the sum.
    Trained weights depend on it.
    """

    layers: p.Node
    rows: tuple[tuple[p.Node, ...], ...]
    several: ClassVar[bool] = True

    def children(self) -> Mapping[str, Any]:
        apart = p.Activation("relu", inplace=False)
        return {"layers": self.layers, "fuse_layers": self.rows, "relu": apart}

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, maps: list[Any]) -> list[Any]:
        maps = self.layers(maps)
        made: list[Any] = []
        for row in self.fuse_layers:
            y = row[0](maps[0])
            for index, layer in enumerate(row):
                y = y + layer(maps[index])
            if not made:
                maps = [y, *maps[1:]]
            made.append(self.relu(y))
            del y
        return made


class IterativeHead(p.Node):
    """From the last and smallest map to the first: project_i(map + enlarged result before)."""

    projects: tuple[p.Node, ...]
    several: ClassVar[bool] = True

    def forward(self: Any, maps: list[Any]) -> Any:
        y = maps[-1]
        for index, project in enumerate(self.projects):
            if index > 0:
                x = maps[-1 - index]
                y = interpolate(y, x.shape[-2:], "bilinear")
                y = x + y
            y = project(y)
        return y


class LiteHighResolutionNet(p.Node):
    """A stem, pairs of transition and stage over a growing list of maps, and a heatmap head."""

    stem: p.Node
    transitions: tuple[p.Node, ...]
    stages: tuple[p.Node, ...]
    head_layer: IterativeHead
    final_layer: p.Node

    def forward(self: Any, x: Any) -> Any:
        maps = [self.stem(x)]
        for index, stage in enumerate(self.stages):
            maps = self.transitions[index](maps)
            maps = stage(maps)
        y = self.head_layer(maps)
        return self.final_layer(y)


def plan(spec: ModelSpec) -> LiteHighResolutionNet:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    widths = tuple(spec.width * 2**level for level in range(STAGES + 1))
    transitions: list[p.Node] = []
    stages: list[p.Node] = []
    before: tuple[int, ...] = (STEM_WIDTH,)
    for stage, repeats in enumerate(spec.modules):
        now = widths[: stage + 2]
        transitions.append(_transition(before, now))
        modules = (_module(now, spec),) * repeats
        stages.append(p.Sequence(modules, kind="Stage"))
        before = now
    projects = [
        _separable(c_in, c_out, 1)
        for c_in, c_out in zip(widths[::-1], (*widths[-2::-1], widths[0]), strict=True)
    ]
    return LiteHighResolutionNet(
        stem=_stem(),
        transitions=tuple(transitions),
        stages=tuple(stages),
        head_layer=IterativeHead(tuple(projects)),
        final_layer=p.Conv(spec.width, spec.joints, 1, bias=True),
    )


def _pointwise(c_in: int, c_out: int, *, relu: bool = True) -> tuple[p.Node, ...]:
    items = (p.Conv(c_in, c_out, 1), p.BatchNorm(c_out))
    return (*items, RELU) if relu else items


def _depthwise(c: int, stride: int) -> tuple[p.Node, ...]:
    return p.Conv(c, c, 3, stride, groups=c), p.BatchNorm(c)


def _separable(c_in: int, c_out: int, stride: int, *, relu: bool = True) -> p.Sequence:
    """Depthwise 3×3, then 1×1, each with normalisation; ReLU after the second alone."""
    return p.Sequence((*_depthwise(c_in, stride), *_pointwise(c_in, c_out, relu=relu)))


def _halves(half: int, first: tuple[p.Node, ...], second: tuple[p.Node, ...]) -> p.Concat:
    """Two paths side by side, each over its half of the channels."""
    return p.Concat(
        (
            p.Sequence((ChannelSlice(0, half), *first)),
            p.Sequence((ChannelSlice(half, 2 * half), *second)),
        )
    )


def _stem() -> p.Sequence:
    """A quarter of the size: a convolution, then half of its channels through an inverted
    bottleneck without expansion and half through a separable convolution, shuffled."""
    half = STEM_WIDTH // 2
    main = (
        *_pointwise(half, STEM_WIDTH), *_depthwise(STEM_WIDTH, 2), *_pointwise(STEM_WIDTH, half)
    )  # fmt: skip
    halves = _halves(half, _separable(half, half, 2).items, main)
    items = (p.Conv(3, STEM_WIDTH, 3, 2), p.BatchNorm(STEM_WIDTH), RELU)
    return p.Sequence((*items, halves, ChannelShuffle(2)))


def _transition(before: tuple[int, ...], now: tuple[int, ...]) -> p.Transition:
    items: list[p.Node] = []
    for level, c in enumerate(now):
        if level < len(before):
            same = before[level] == c
            items.append(p.Identity() if same else _separable(before[level], c, 1))
        else:
            items.append(p.Sequence((_separable(before[-1], c, 2),)))
    return p.Transition(tuple(items))


def _module(widths: tuple[int, ...], spec: ModelSpec) -> LiteExchange:
    if spec.block == "weighting":
        blocks = (_weighting(widths, spec.r),) * spec.blocks
        layers: p.Node = p.Sequence(blocks, kind="Stage")
    else:
        layers = p.Transition(tuple(p.Sequence((_shuffle_unit(c),) * spec.blocks) for c in widths))
    rows = tuple(
        tuple(_exchange(i, j, widths) for j in range(len(widths))) for i in range(len(widths))
    )
    return LiteExchange(layers, rows)


def _weighting(widths: tuple[int, ...], r: int) -> ConditionalChannelWeighting:
    halves = tuple(c // 2 for c in widths)
    total = sum(halves)
    weigh = (
        *_pointwise(total, total // r), *_pointwise(total // r, total, relu=False), SIGMOID
    )  # fmt: skip
    branches = tuple(p.Sequence((*_depthwise(c, 1), _spatial(c))) for c in halves)
    cross = CrossResolutionWeighting(halves, p.Sequence(weigh))
    return ConditionalChannelWeighting(halves, cross, branches)


def _spatial(c: int) -> p.Gate:
    """Each map times a weight made from the means of all, by two 1×1 convolutions with bias."""
    squeezed = c // SPATIAL_RATIO
    items = (
        p.GlobalPool(), p.Conv(c, squeezed, 1, bias=True), RELU,
        p.Conv(squeezed, c, 1, bias=True), SIGMOID,
    )  # fmt: skip
    return p.Gate(p.Sequence(items))


def _shuffle_unit(c: int) -> p.Sequence:
    """ShuffleNet V2's unit at stride 1: half of the channels pass, half are convolved."""
    half = c // 2
    body = (*_pointwise(half, half), *_depthwise(half, 1), *_pointwise(half, half))
    halves = _halves(half, (), body)
    return p.Sequence((halves, ChannelShuffle(2)))


def _exchange(i: int, j: int, widths: tuple[int, ...]) -> p.Node:
    """Branch j to the size and channels of branch i."""
    if i == j:
        return p.Identity()
    if j > i:
        items = (*_pointwise(widths[j], widths[i], relu=False), p.Upsample(2 ** (j - i)))
        return p.Sequence(items)
    steps = [_separable(widths[j], widths[j], 2) for _ in range(i - j - 1)]
    return p.Sequence((*steps, _separable(widths[j], widths[i], 2, relu=False)))


def check(spec: ModelSpec) -> None:
    """Refuse knob values that fit no module. Raises SpecError."""
    from gadprof.errors import SpecError

    if spec.width % 2:
        raise SpecError(
            f"width={spec.width} is odd and its channels are split into halves; "
            f"try width={spec.width + 1}"
        )
    if spec.block == "weighting":
        smallest = spec.width // 2
        if smallest < SPATIAL_RATIO:
            raise SpecError(
                f"width={spec.width} leaves no channel when a half is squeezed by "
                f"{SPATIAL_RATIO}; try width={2 * SPATIAL_RATIO}"
            )
        total = smallest * 3  # of the first stage's two resolutions
        if total < spec.r:
            raise SpecError(
                f"r={spec.r} leaves no channel of the {total} that are weighted together; "
                f"try r={total}"
            )


_YU = "Yu et al., Lite-HRNet: A Lightweight High-Resolution Network, CVPR 2021"

FAMILIES: tuple[Family, ...] = (
    Family(
        "lite-hrnet",
        (
            Knob("width", "int", 40, "channels of the first branch; branch i has width · 2^i"),
            Knob("joints", "int", 17, "heatmaps that the head gives"),
            Knob("modules", "ints", (2, 4, 2), "exchange modules of the three stages", length=3),
            Knob("blocks", "int", 2, "blocks of each branch in a module"),
            Knob("block", "choice", "weighting", "conditional channel weighting, or shuffle units",
                 ("weighting", "shuffle")),
            Knob("r", "int", 8, "reduction of the weighting across resolutions"),
        ),
        (
            Preset("litehrnet18", "Lite-HRNet-18", _YU, {}),
            Preset("litehrnet30", "Lite-HRNet-30", _YU, {"modules": (3, 8, 3)}),
            Preset("naive-litehrnet18", "naive Lite-HRNet-18 of shuffle units", _YU,
                   {"width": 30, "block": "shuffle"}),
            Preset("wider-naive-litehrnet18", "wider naive Lite-HRNet-18 of shuffle units", _YU,
                   {"block": "shuffle"}),
        ),
        "gadprof.networks.families.lite_hrnet:plan",
        32,
        check="gadprof.networks.families.lite_hrnet:check",
    ),
)  # fmt: skip
