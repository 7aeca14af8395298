"""SimpleBaseline's head on MobileNetV2, ShuffleNet V1 and ShuffleNet V2, as plans.

Promises the parameters and MACs of the public re-implementation of these pose networks. Any
positive input size is taken; the heatmaps are 2^deconvs times the last map's, ceil(size / 32).
"""

from __future__ import annotations

from gadprof.errors import SpecError
from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import conv_bn
from gadprof.networks.blocks.shuffle import ChannelShuffle, ChannelSlice
from gadprof.networks.families.heatmap_head import HEAD_KNOBS, PAPER, Parts, network
from gadprof.networks.plan import RELU, RELU6
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

# --- MobileNetV2 ----------------------------------------------------------------------------------

# expansion, channels, blocks, stride of each stage (Sandler et al. 2018, table 2)
_MOBILE_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_MOBILE_STEM, _MOBILE_LAST = 32, 1280


def rounded(c: int, percent: int) -> int:
    """A percentage of ``c`` channels as a multiple of 8, not more than a tenth too small."""
    exact = c * percent
    nearest = max(8, (exact + 400) // 800 * 8)
    return nearest + 8 if 10 * 100 * nearest < 9 * exact else nearest


def plan_mobilenetv2(spec: ModelSpec) -> p.Sequence:
    """Plan MobileNetV2 with the head."""
    c_in = rounded(_MOBILE_STEM, spec.width)
    parts: Parts = [("stem", _filtered(3, c_in, 3, 2))]
    for stage, (t, channels, repeats, stride) in enumerate(_MOBILE_STAGES, start=1):
        c = rounded(channels, spec.width)
        expansion = t if t == 1 else spec.expansion
        first = inverted_residual(c_in, c, stride, expansion)
        rest = inverted_residual(c, c, 1, expansion)
        parts.append((f"layer{stage}", p.Sequence((first, *[rest] * (repeats - 1)))))
        c_in = c
    last = rounded(_MOBILE_LAST, max(100, spec.width))
    return network([*parts, ("last", _filtered(c_in, last, 1))], last, spec)


def inverted_residual(c_in: int, c_out: int, stride: int, expansion: int) -> p.Node:
    """1×1 that widens, 3×3 depthwise, 1×1 without activation; a shortcut where shapes allow."""
    c = c_in * expansion
    layers: tuple[p.Node, ...] = (
        *([_filtered(c_in, c, 1)] if expansion > 1 else []),
        _filtered(c, c, 3, stride, groups=c),
        conv_bn(c, c_out, 1, relu=False),
    )
    body = p.Sequence(layers)
    return p.Residual(body) if stride == 1 and c_in == c_out else body


def _filtered(c_in: int, c_out: int, k: int, stride: int = 1, groups: int = 1) -> p.Sequence:
    return p.Sequence((p.Conv(c_in, c_out, k, stride, groups=groups), p.BatchNorm(c_out), RELU6))


# --- ShuffleNet V1 --------------------------------------------------------------------------------

_SHRINK = 4  # a unit's inner channels are a quarter of its outer ones


def plan_shufflenetv1(spec: ModelSpec) -> p.Sequence:
    """Plan ShuffleNet V1 with the head."""
    c_in = spec.stem
    parts: Parts = [("stem", conv_bn(3, c_in, 3, 2)), ("maxpool", p.MaxPool(3, 2, 1))]
    for stage, (c, repeats) in enumerate(zip(spec.channels, spec.blocks, strict=True), start=1):
        # the very first convolution reads too few channels to be worth grouping
        body = _shuffle_body(c_in, c - c_in, c, 2, spec.groups, 1 if stage == 1 else spec.groups)
        first = p.Sequence((p.Concat((p.AvgPool(3, 2, 1), body)), RELU))
        again = p.Residual(_shuffle_body(c, c, c, 1, spec.groups, spec.groups), activation=RELU)
        parts.append((f"layer{stage}", p.Sequence((first, *[again] * (repeats - 1)))))
        c_in = c
    return network(parts, c_in, spec)


def _shuffle_body(
    c_in: int, c_out: int, c: int, stride: int, groups: int, first_groups: int
) -> p.Sequence:
    """Grouped 1×1, shuffle, 3×3 depthwise, grouped 1×1; a quarter of ``c`` channels inside."""
    inner = c // _SHRINK
    return p.Sequence(
        (
            p.Conv(c_in, inner, 1, groups=first_groups), p.BatchNorm(inner), RELU,
            ChannelShuffle(groups),
            p.Conv(inner, inner, 3, stride, groups=inner), p.BatchNorm(inner),
            p.Conv(inner, c_out, 1, groups=groups), p.BatchNorm(c_out),
        )
    )  # fmt: skip


def check_shufflenetv1(spec: ModelSpec) -> None:
    """Refuse channels that the groups cannot divide. Raises SpecError."""
    before, groups = spec.stem, spec.groups
    for stage, c in enumerate(spec.channels):
        if c <= before:
            raise SpecError(
                f"channels={'-'.join(map(str, spec.channels))} after stem={spec.stem} do not grow; "
                "each stage concatenates what it gets with more"
            )
        parts = [c // _SHRINK, c - before, *([before] if stage else []), c]
        if c % _SHRINK or any(part % groups for part in parts):
            raise SpecError(
                f"channels={'-'.join(map(str, spec.channels))} with stem={spec.stem} cannot be cut "
                f"into groups={groups}: every stage, a quarter of it and what it adds have to "
                f"divide by it; try multiples of {_SHRINK * groups} and such a stem"
            )
        before = c


# --- ShuffleNet V2 --------------------------------------------------------------------------------


def plan_shufflenetv2(spec: ModelSpec) -> p.Sequence:
    """Plan ShuffleNet V2 with the head."""
    c_in = spec.stem
    parts: Parts = [("stem", conv_bn(3, c_in, 3, 2)), ("maxpool", p.MaxPool(3, 2, 1))]
    *stages, last = spec.channels
    for stage, (c, repeats) in enumerate(zip(stages, spec.blocks, strict=True), start=1):
        units = (_halving_unit(c_in, c // 2), *[_unit(c // 2)] * (repeats - 1))
        parts.append((f"layer{stage}", p.Sequence(units)))
        c_in = c
    return network([*parts, ("last", conv_bn(c_in, last, 1))], last, spec)


def _halving_unit(c_in: int, half: int) -> p.Node:
    """Both paths see all channels and stride; the output has twice ``half``."""
    straight = p.Sequence((*_depthwise(c_in, 2), *conv_bn(c_in, half, 1).items))
    return p.Sequence((p.Concat((straight, _filtering(c_in, half, 2))), ChannelShuffle(2)))


def _unit(half: int) -> p.Node:
    """The first half of the channels passes, the second is filtered; then they mix."""
    body = _filtering(half, half, 1)
    filtered = p.Sequence((ChannelSlice(half, 2 * half), *body.items))
    return p.Sequence((p.Concat((ChannelSlice(0, half), filtered)), ChannelShuffle(2)))


def _filtering(c_in: int, c: int, stride: int) -> p.Sequence:
    items = (*conv_bn(c_in, c, 1).items, *_depthwise(c, stride), *conv_bn(c, c, 1).items)
    return p.Sequence(items)


def _depthwise(c: int, stride: int) -> tuple[p.Node, ...]:
    return p.Conv(c, c, 3, stride, groups=c), p.BatchNorm(c)


def check_shufflenetv2(spec: ModelSpec) -> None:
    """Refuse a stage that cannot be halved. Raises SpecError."""
    for c in spec.channels[:-1]:
        if c % 2:
            raise SpecError(f"channels={'-'.join(map(str, spec.channels))}: {c} is odd, its units "
                            f"are two halves; try {c + 1}")  # fmt: skip


# --- all ------------------------------------------------------------------------------------------


_HERE = "gadprof.networks.families.pose_light"
_MOBILE = f"{PAPER}; Sandler et al., MobileNetV2, CVPR 2018"
_SHUFFLE1 = f"{PAPER}; Zhang et al., ShuffleNet, CVPR 2018"
_SHUFFLE2 = f"{PAPER}; Ma et al., ShuffleNet V2, ECCV 2018"
_UNITS = Knob("blocks", "ints", (4, 8, 4), "units of each stage", length=3)
_STEM = Knob("stem", "int", 24, "channels of the stem")

FAMILIES: tuple[Family, ...] = (
    Family(
        "pose-mobilenetv2",
        (
            Knob("width", "int", 100, "percent of the channels, in multiples of 8"),
            Knob("expansion", "int", 6, "how much a block widens inside"),
            *HEAD_KNOBS,
        ),
        (Preset("pose_mobilenetv2", "SimpleBaseline head on MobileNetV2", _MOBILE, {}),),
        f"{_HERE}:plan_mobilenetv2",
        1,
    ),
    Family(
        "pose-shufflenetv1",
        (
            Knob("channels", "ints", (240, 480, 960), "channels of each stage", length=3),
            _UNITS,
            Knob("groups", "int", 3, "groups of the 1×1 convolutions"),
            _STEM,
            *HEAD_KNOBS,
        ),
        (Preset("pose_shufflenetv1", "SimpleBaseline head on ShuffleNet V1", _SHUFFLE1, {}),),
        f"{_HERE}:plan_shufflenetv1",
        1,
        check=f"{_HERE}:check_shufflenetv1",
    ),
    Family(
        "pose-shufflenetv2",
        (
            Knob(
                "channels", "ints", (116, 232, 464, 1024), "channels of the stages and the end",
                length=4,
            ),
            _UNITS,
            _STEM,
            *HEAD_KNOBS,
        ),
        (Preset("pose_shufflenetv2", "SimpleBaseline head on ShuffleNet V2", _SHUFFLE2, {}),),
        f"{_HERE}:plan_shufflenetv2",
        1,
        check=f"{_HERE}:check_shufflenetv2",
    ),
)  # fmt: skip
