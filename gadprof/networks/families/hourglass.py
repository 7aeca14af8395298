"""Stacked Hourglass networks: pre-activated residual blocks in a nest of halvings, as plans.

Promises the parameters and MACs of the authors' Lua code (pose-hg-train, ``hg.lua``, with one
residual block at each place); ``residuals`` repeats the blocks as its ``nModules`` does. The module
returns a list of heatmaps (N, joints, H / 4, W / 4), one a stack, of which the last is the answer
and the others are for intermediate supervision. Refuses an input whose sides do not divide by four
times 2^depth: the two sides of an hourglass would not meet.
"""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.plan import RELU
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTHS = (64, 128, 128)


class Hourglass(p.Residual):
    """Features at this size, plus those made at half of it and enlarged again by ``body``."""

    kind: str = "Hourglass"


class StackedHourglass(p.Node):
    """A list of heatmaps, one a stack; what follows stack i reads
    x + from_features[i](features) + from_heatmaps[i](heatmaps)."""

    stem: p.Node
    hourglasses: tuple[p.Node, ...]
    features: tuple[p.Node, ...]
    heads: tuple[p.Node, ...]
    from_features: tuple[p.Node, ...]
    from_heatmaps: tuple[p.Node, ...]

    def forward(self: Any, x: Any) -> list[Any]:
        made: list[Any] = []
        x = self.stem(x)
        for index, hourglass in enumerate(self.hourglasses):
            y = hourglass(x)
            y = self.features[index](y)
            maps = self.heads[index](y)
            made.append(maps)
            if index < len(self.from_features):
                x = x + self.from_features[index](y)
                x = x + self.from_heatmaps[index](maps)
            del y
        return made


def plan(spec: ModelSpec) -> StackedHourglass:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    c, joints, stacks = spec.features, spec.joints, spec.stacks
    first, second, third = STEM_WIDTHS
    stem = (
        p.Conv(3, first, 7, 2, bias=True),
        p.BatchNorm(first),
        RELU,
        _residual(first, second),
        p.MaxPool(2, 2),
        _residual(second, third),
        _residual(third, c),
    )
    block = _residual(c, c)
    linear = (p.Conv(c, c, 1, bias=True), p.BatchNorm(c), RELU)
    features = p.Sequence((*((block,) * spec.residuals), *linear))
    return StackedHourglass(
        stem=p.Sequence(stem),
        hourglasses=(_hourglass(spec.depth, (block,) * spec.residuals),) * stacks,
        features=(features,) * stacks,
        heads=(p.Conv(c, joints, 1, bias=True),) * stacks,
        from_features=(p.Conv(c, c, 1, bias=True),) * (stacks - 1),
        from_heatmaps=(p.Conv(joints, c, 1, bias=True),) * (stacks - 1),
    )


def _residual(c_in: int, c_out: int) -> p.Residual:
    """Normalise, activate, convolve: 1×1 to half the channels, 3×3, 1×1; biases throughout."""
    half = c_out // 2
    body = (
        p.BatchNorm(c_in), RELU, p.Conv(c_in, half, 1, bias=True),
        p.BatchNorm(half), RELU, p.Conv(half, half, 3, bias=True),
        p.BatchNorm(half), RELU, p.Conv(half, c_out, 1, bias=True),
    )  # fmt: skip
    shortcut = None if c_in == c_out else p.Conv(c_in, c_out, 1, bias=True)
    return p.Residual(p.Sequence(body), shortcut)


def _hourglass(depth: int, blocks: tuple[p.Node, ...]) -> Hourglass:
    inner = (_hourglass(depth - 1, blocks),) if depth > 1 else blocks
    body = (p.MaxPool(2, 2), *blocks, *inner, *blocks, p.Upsample(2))
    return Hourglass(p.Sequence(body), p.Sequence(blocks))


def multiple(spec: ModelSpec) -> int:
    """What both sides of the input must divide by: the stem's 4, and 2 a level."""
    return int(4 * 2**spec.depth)


def check(spec: ModelSpec) -> None:
    """Refuse knob values that fit no module. Raises SpecError."""
    from gadprof.errors import SpecError

    if spec.features < 2:
        raise SpecError(
            f"features={spec.features} leaves no channel in a residual block; try features=256"
        )


_NEWELL = "Newell et al., Stacked Hourglass Networks, ECCV 2016"

FAMILIES: tuple[Family, ...] = (
    Family(
        "hourglass",
        (
            Knob("stacks", "int", 8, "hourglasses one after another"),
            Knob("features", "int", 256, "channels inside the hourglasses"),
            Knob("joints", "int", 17, "heatmaps of each stack"),
            Knob("depth", "int", 4, "halvings of an hourglass"),
            Knob("residuals", "int", 1, "residual blocks at each place"),
        ),
        tuple(
            Preset(f"hourglass{n}", f"Stacked Hourglass, {n} stack{'s'[: n > 1]}", _NEWELL,
                   {"stacks": n})
            for n in (8, 2, 1)
        ),
        "gadprof.networks.families.hourglass:plan",
        "gadprof.networks.families.hourglass:multiple",
        check="gadprof.networks.families.hourglass:check",
    ),
)  # fmt: skip
