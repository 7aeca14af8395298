"""Hourglass-52 of CornerNet as a pose network, as a plan: one stack of ordinary residual blocks.

Built after mmpose's configuration and equal to its published complexity at two inputs. Its
published 94.85 M parameters hold one residual block more (1 180 672) than ever runs: with a single
stack the layer between stacks is made and not used; it is left out here. Unlike the first Hourglass
it halves by strides, widens on the way down and has no intermediate supervision, so that the module
returns heatmaps (N, joints, H / 4, W / 4). Refuses an input whose sides do not divide by 128: the
two sides of the hourglass would not meet.
"""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import conv_bn
from gadprof.networks.blocks.residual import BasicBlock
from gadprof.networks.families.hourglass import Hourglass
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTH = 128


def plan(spec: ModelSpec) -> p.Sequence:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    c = spec.widths[0]
    return p.Sequence(
        (
            conv_bn(3, STEM_WIDTH, 7, 2),
            _layer(STEM_WIDTH, c, 1, stride=2),
            _hourglass(spec.widths, spec.blocks),
            conv_bn(c, spec.features, 3),
            p.Conv(spec.features, spec.joints, 1, bias=True),
        ),
        names=("stem", "layer", "hourglass", "out_conv", "final_layer"),
    )


def _hourglass(widths: tuple[int, ...], blocks: tuple[int, ...]) -> Hourglass:
    """One level: half the size at the next width, what is inside it, and back."""
    c, inner = widths[0], widths[1]
    last = len(widths) == 2
    inside = _layer(inner, inner, blocks[1]) if last else _hourglass(widths[1:], blocks[1:])
    body = (
        _layer(c, inner, blocks[0], stride=2),
        inside,
        _layer(inner, c, blocks[0], change_last=True),
        p.Upsample(2),
    )
    return Hourglass(p.Sequence(body), _layer(c, c, blocks[0]))


def _layer(
    c_in: int, c_out: int, repeats: int, *, stride: int = 1, change_last: bool = False
) -> p.Sequence:
    """Residual blocks of which the first (or the last) changes size and channels."""
    if change_last:
        first = [_block(c_in, c_in, 1) for _ in range(repeats - 1)]
        return p.Sequence((*first, _block(c_in, c_out, stride)))
    rest = (_block(c_out, c_out, 1),) * (repeats - 1)
    return p.Sequence((_block(c_in, c_out, stride), *rest))


def _block(c_in: int, c_out: int, stride: int) -> BasicBlock:
    same = c_in == c_out and stride == 1
    return BasicBlock(
        p.Conv(c_in, c_out, 3, stride), p.BatchNorm(c_out), p.Conv(c_out, c_out, 3),
        p.BatchNorm(c_out), None if same else conv_bn(c_in, c_out, 1, stride, relu=False),
    )  # fmt: skip


_LAW = "Law and Deng, CornerNet, ECCV 2018; as a pose network in mmpose (OpenMMLab)"

FAMILIES: tuple[Family, ...] = (
    Family(
        "hourglass-residual",
        (
            Knob("widths", "ints", (256, 256, 384, 384, 384, 512), "channels of each level",
                 length=6),
            Knob("blocks", "ints", (2, 2, 2, 2, 2, 4), "residual blocks of each level", length=6),
            Knob("features", "int", 256, "channels that the head reads"),
            Knob("joints", "int", 17, "heatmaps that the head gives"),
        ),
        (Preset("hourglass52", "Hourglass-52 of residual blocks, one stack", _LAW, {}),),
        "gadprof.networks.families.hourglass_residual:plan",
        128,
        default_input=(3, 256, 256),
    ),
)  # fmt: skip
