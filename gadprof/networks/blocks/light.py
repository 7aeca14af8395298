"""Light and attention blocks of other papers, as plan nodes.

Each function takes (c_in, c_out, knobs, stride=…) and gives the block that a closed form speaks of
and that a branch of the skeleton may be made of. ``block_names`` says what the channels must
divide by; these functions trust it.
"""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks import unit_nodes as u
from gadprof.networks.blocks.basic import RELU, BlockKnobs, conv_bn, se_block

RELU6 = p.Activation("relu6")
SIGMOID = p.Activation("sigmoid", inplace=False)


def at_least(a: p.Number, b: int) -> p.Number:
    """The larger of a number or an int64 array and an int."""
    return (a + b + abs(a - b)) // 2


def keeps(c_in: p.Number, c_out: p.Number, stride: int) -> bool:
    """Whether a block keeps size and channels; arrays do when they are one object."""
    ints = isinstance(c_in, int) and isinstance(c_out, int)
    return stride == 1 and (c_in is c_out or (ints and c_in == c_out))


def depthwise(c: p.Number, k: int, stride: int = 1) -> tuple[p.Node, p.Node]:
    """A depthwise convolution with its normalisation."""
    return p.Conv(c, c, k, stride, groups=c), p.BatchNorm(c)


def pointwise(c_in: p.Number, c_out: p.Number, groups: p.Number = 1) -> tuple[p.Node, p.Node]:
    """A 1×1 convolution with its normalisation."""
    return p.Conv(c_in, c_out, 1, groups=groups), p.BatchNorm(c_out)


def grouped_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A convolution in ``groups`` groups (Xie et al., ResNeXt, 2017)."""
    conv = p.Conv(c_in, c_out, knobs.k, stride, groups=knobs.groups)
    return p.Sequence((conv, p.BatchNorm(c_out), RELU))


def dwsep_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1, relu: bool = True
) -> p.Sequence:
    """Depthwise, then pointwise convolution, each with BN and ReLU (Howard et al., 2017)."""
    items = (*depthwise(c_in, knobs.k, stride), RELU, *pointwise(c_in, c_out))
    return p.Sequence((*items, RELU) if relu else items, kind="DepthwiseSeparable")


def inverted_residual(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Node:
    """MobileNetV2's block: widen by t, filter depthwise, narrow without activation.

    Nothing is widened when t = 1; the input is added when neither size nor channels change.
    """
    wide = c_in * knobs.t
    widen = (*pointwise(c_in, wide), RELU6) if knobs.t > 1 else ()
    items = (*widen, *depthwise(wide, knobs.k, stride), RELU6, *pointwise(wide, c_out))
    body = p.Sequence(items)
    if keeps(c_in, c_out, stride):
        return p.Residual(body, kind="InvertedResidual")
    return body


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
            *pointwise(c_in, middle, groups), RELU, u.ChannelShuffle(groups),
            *depthwise(middle, knobs.k, stride), *pointwise(middle, made, groups),
        )
    )  # fmt: skip
    if stride == 1:
        return p.Residual(body, None, RELU, kind="ShuffleUnitV1")
    return p.Sequence((p.Concat((p.AvgPool(3, stride, 1), body)), RELU))


def shuffle_unit_v2(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """ShuffleNet V2's unit: half of the channels pass, half are filtered; concatenate, shuffle.

    At stride 2 both halves are made from all input channels.
    """
    half = c_out // 2

    def filtered(c: p.Number) -> tuple[p.Node, ...]:
        return (
            *pointwise(c, half), RELU, *depthwise(half, knobs.k, stride),
            *pointwise(half, half), RELU,
        )  # fmt: skip

    if stride == 1:
        rest = p.Sequence((u.ChannelSlice(half, c_in), *filtered(half)))
        paths: tuple[p.Node, ...] = (u.ChannelSlice(0, half), rest)
    else:
        down = (*depthwise(c_in, knobs.k, stride), *pointwise(c_in, half), RELU)
        paths = (p.Sequence(down), p.Sequence(filtered(c_in)))
    return p.Sequence((p.Concat(paths), u.ChannelShuffle(2)), kind="ShuffleUnitV2")


def se_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A convolution whose output is weighed by squeeze-and-excitation (Hu et al., 2018)."""
    return p.Sequence((conv_bn(c_in, c_out, knobs.k, stride), se_block(c_out, knobs)))


SPATIAL_KERNEL = 7


def cbam(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    """Channel, then spatial attention; the spatial convolution is 7×7 (Woo et al., 2018)."""
    channel = u.ChannelAttention(c, p.ceil_div(c, knobs.r), knobs.se_bias)
    weigh = p.Sequence((u.ChannelStatistics(), p.Conv(2, 1, SPATIAL_KERNEL), SIGMOID))
    return p.Sequence((channel, u.Gate(weigh)), kind="CBAM")


def cbam_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A convolution whose output goes through CBAM."""
    return p.Sequence((conv_bn(c_in, c_out, knobs.k, stride), cbam(c_out, knobs)))


SK_PATHS = 2
SK_LEAST = 32  # the least units of the squeezed description


def sk_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> u.SelectiveKernel:
    """SKNet's convolution: two grouped k×k paths, the second with dilation 2."""

    def path(dilation: int) -> p.Sequence:
        reach = dilation * (knobs.k // 2)
        conv = p.Conv(c_in, c_out, knobs.k, stride, reach, knobs.groups, dilation=dilation)
        return p.Sequence((conv, p.BatchNorm(c_out), RELU))

    paths = tuple(path(dilation) for dilation in range(1, SK_PATHS + 1))
    hidden = at_least(p.ceil_div(c_out, knobs.r), SK_LEAST)
    weigh = p.Sequence((*pointwise(c_out, hidden), RELU, p.Conv(hidden, SK_PATHS * c_out, 1)))
    return u.SelectiveKernel(c_out, paths, weigh)


DENSE_WIDENING = 4  # a dense layer's 1×1 convolution gives 4 × growth maps


def _dense_layers(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs
) -> tuple[tuple[p.Node, ...], p.Number]:
    """The layers of a dense block, and how many channels they end with."""
    growth = p.ceil_div(c_out, knobs.q)
    layers: list[p.Node] = []
    c = c_in
    for _ in range(knobs.layers):
        wide = DENSE_WIDENING * growth
        added = p.Sequence(
            (
                p.BatchNorm(c), RELU, p.Conv(c, wide, 1),
                p.BatchNorm(wide), RELU, p.Conv(wide, growth, knobs.k),
            )
        )  # fmt: skip
        layers.append(p.Concat((p.Identity(), added)))
        c = c + growth
    return tuple(layers), c


def _dense_end(c: p.Number, c_out: p.Number, stride: int) -> tuple[p.Node, ...]:
    pool = () if stride == 1 else (p.AvgPool(stride, stride),)
    return (p.BatchNorm(c), RELU, p.Conv(c, c_out, 1), *pool)


def dense_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """DenseNet-BC's block with its transition: ``layers`` layers of growth ceil(c_out / q)."""
    layers, c = _dense_layers(c_in, c_out, knobs)
    return p.Sequence((*layers, *_dense_end(c, c_out, stride)), kind="DenseBlock")


def dense_attention(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A dense block whose maps are weighed by channel attention before the transition (DAM-Net)."""
    layers, c = _dense_layers(c_in, c_out, knobs)
    attention = p.SEBlock(c, p.ceil_div(c, knobs.r), knobs.se_bias)
    return p.Sequence((*layers, attention, *_dense_end(c, c_out, stride)), kind="DenseAttention")


LOCATION_CELLS = 4  # the localisation network ends in 4×4 cells


def spatial_transformer(c: p.Number, knobs: BlockKnobs) -> u.SpatialTransformer:
    """A map warped by an affine transformation found in it (Jaderberg et al., 2015).

    The paper leaves the localisation network open: here a k×k convolution to ceil(c / r) maps, BN,
    ReLU, pooling to 4×4 and a fully connected layer to the six numbers.
    """
    hidden = p.ceil_div(c, knobs.r)
    cells = LOCATION_CELLS
    locate = p.Sequence(
        (
            conv_bn(c, hidden, knobs.k), u.AdaptivePool(cells, cells), p.Flatten(),
            p.Linear(hidden * cells * cells, 6),
        )
    )  # fmt: skip
    return u.SpatialTransformer(locate)


def stn_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A spatial transformer, then a convolution."""
    return p.Sequence((spatial_transformer(c_in, knobs), conv_bn(c_in, c_out, knobs.k, stride)))


def multiscale_attention(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Residual:
    """Multi-scale residual attention: k×k and (k+2)×(k+2) paths, fused, weighed, added (MRA-UNet).

    Each path gives ceil(c_out / 2) maps; a 1×1 convolution is the shortcut where size or channels
    change.
    """
    half = p.ceil_div(c_out, 2)
    paths = p.Concat(tuple(conv_bn(c_in, half, k, stride) for k in (knobs.k, knobs.k + 2)))
    body = p.Sequence((paths, *pointwise(2 * half, c_out), se_block(c_out, knobs)))
    shortcut = None if keeps(c_in, c_out, stride) else conv_bn(c_in, c_out, 1, stride, relu=False)
    return p.Residual(body, shortcut, RELU, kind="MultiscaleAttention")


def conditional_weighting(
    channels: tuple[p.Number, ...], knobs: BlockKnobs
) -> u.ConditionalChannelWeighting:
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
        return p.Sequence((*depthwise(c, knobs.k), u.Gate(p.Sequence(spatial))))

    cross = u.CrossResolutionWeighting(halves, weigh)
    return u.ConditionalChannelWeighting(halves, cross, tuple(branch(c) for c in halves))
