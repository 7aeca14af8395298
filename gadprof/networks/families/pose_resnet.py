"""SimpleBaseline pose networks on ResNet and its relatives, as plans.

Promises the parameters and MACs of the official code for ResNet-50, 101 and 152, and of the public
re-implementation of the same head on ResNet-V1d, SE-ResNet, ResNeXt, SCNet and ResNeSt; SKNet is
built after its paper and has timm's counts, since nobody published any of it as a pose network.
With the default knobs the children carry the official names. Any positive input size is taken
(SCNet: one whose last maps fill a pooling window, 97 pixels a side), since the sums meet at one
resolution alone; the heatmaps are eight times the last stage's size, ceil(size / 32).
"""

from __future__ import annotations

from gadprof.errors import SpecError
from gadprof.networks import plan as p
from gadprof.networks.blocks.calibrated import SelfCalibration
from gadprof.networks.blocks.knobs import conv_bn
from gadprof.networks.blocks.residual import Bottleneck
from gadprof.networks.blocks.selective import SelectiveKernel
from gadprof.networks.blocks.split import SplitAttention
from gadprof.networks.blocks.squeeze import SEBlock
from gadprof.networks.families.heatmap_head import HEAD_KNOBS, PAPER, Parts, network
from gadprof.networks.plan import RELU
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

EXPANSION = 4
# a group has group_width channels where a plain block has 64, and more in proportion
BASE_WIDTH = 64
# the fewest hidden units of attention over paths or splits
LEAST_HIDDEN = 32
# the window of a self-calibrated convolution's wider look
POOL = 4


def plan(spec: ModelSpec) -> p.Sequence:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    parts: Parts = [*_stem(spec), ("maxpool", p.MaxPool(3, 2, 1))]
    c_in = spec.stem
    for level, repeats in enumerate(spec.blocks):
        c = spec.width * 2**level
        parts.append((f"layer{level + 1}", _layer(c_in, c, repeats, 2 if level else 1, spec)))
        c_in = c * EXPANSION
    return network(parts, c_in, spec)


def check(spec: ModelSpec) -> None:
    """Refuse widths that groups or a deep stem cannot divide. Raises SpecError."""
    if spec.deep_stem and spec.stem % 2:
        raise SpecError(f"stem={spec.stem} is odd, deep_stem halves it; try {spec.stem + 1}")
    if spec.stride_first and spec.block not in ("plain", "se"):
        raise SpecError(
            f"stride_first=yes has no meaning for block={spec.block}; type block=plain or block=se"
        )
    if spec.groups > 1 and _inner(spec.width, spec) < spec.groups:
        raise SpecError(
            f"width={spec.width} with group_width={spec.group_width} leaves less than one channel "
            f"a group; type group_width={p.ceil_div(BASE_WIDTH, spec.width)} or more"
        )

    for level in range(len(spec.blocks)):
        _check_parts(spec, _inner(spec.width * 2**level, spec))


def _check_parts(spec: ModelSpec, inner: int) -> None:
    parts = spec.groups * spec.radix
    if spec.block == "split" and inner % parts:
        raise SpecError(
            f"{inner} channels cannot be cut into groups={spec.groups} times radix={spec.radix}; "
            f"try width={p.ceil_div(spec.width, parts) * parts}"
        )
    if spec.block == "split" and _hidden(inner * spec.radix, spec) % spec.groups:
        raise SpecError(
            f"{_hidden(inner * spec.radix, spec)} hidden units cannot be cut into "
            f"groups={spec.groups}; try another r or groups=1"
        )
    if spec.block == "sc" and inner < 2:
        raise SpecError(f"width={spec.width} cannot be halved for block=sc; try width=2")


def _hidden(c: int, spec: ModelSpec) -> int:
    """Hidden units of attention over splits of ``c`` channels in all."""
    return max(int(c // spec.r), LEAST_HIDDEN)


def smallest(spec: ModelSpec) -> int:
    """The least height or width of the input, in pixels."""
    if spec.block != "sc":
        return 1
    # the last map that is pooled: the first block of a stage pools before it strides
    reduction = 32 if spec.blocks[-1] > 1 else 16
    return (POOL - 1) * reduction + 1


def _stem(spec: ModelSpec) -> Parts:
    """7×7 with stride 2, or three 3×3 convolutions of which the first strides (He et al. 2019)."""
    if not spec.deep_stem:
        return [
            ("conv1", p.Conv(3, spec.stem, 7, 2)),
            ("bn1", p.BatchNorm(spec.stem)),
            ("relu", RELU),
        ]
    half = spec.stem // 2
    first, second, third = conv_bn(3, half, 3, 2), conv_bn(half, half), conv_bn(half, spec.stem)
    return [("stem", p.Sequence((*first.items, *second.items, *third.items)))]


def _layer(c_in: int, c: int, repeats: int, stride: int, spec: ModelSpec) -> p.Sequence:
    first = _block(c_in, c, stride, _shortcut(c_in, c * EXPANSION, stride, spec), spec)
    rest = _block(c * EXPANSION, c, 1, None, spec)
    return p.Sequence((first, *((rest,) * (repeats - 1))))


def _shortcut(c_in: int, c_out: int, stride: int, spec: ModelSpec) -> p.Sequence:
    """The projection; with ``avg_down`` the mean of stride × stride elements is projected."""
    if not spec.avg_down or stride == 1:
        return conv_bn(c_in, c_out, 1, stride, relu=False)
    projection = conv_bn(c_in, c_out, 1, relu=False)
    return p.Sequence((p.AvgPool(stride, stride, ceil=True), *projection.items))


def _inner(c: int, spec: ModelSpec) -> int:
    """Channels of a block's 3×3 convolution, given those of a plain block."""
    per_group: int = c * spec.group_width // BASE_WIDTH
    return per_group * int(spec.groups) if spec.groups > 1 else c


def _block(c_in: int, c: int, stride: int, shortcut: p.Node | None, spec: ModelSpec) -> p.Node:
    """A Bottleneck whose 3×3 convolution strides, in the variant that ``block`` names."""
    wide, inner = c * EXPANSION, _inner(c, spec)
    conv1, bn1 = p.Conv(c_in, inner, 1), p.BatchNorm(inner)
    conv3, bn3 = p.Conv(inner, wide, 1), p.BatchNorm(wide)
    if spec.block == "split":
        return _split_block(c_in, c, stride, shortcut, spec)
    if spec.block == "sc":
        paths = _calibrated(c_in, inner // 2, stride)
        conv3 = p.Conv(2 * (inner // 2), wide, 1)
        return p.Residual(p.Sequence((paths, conv3, bn3)), shortcut, RELU)
    if spec.block == "sk":
        kernel = _selective(inner, stride, spec)
        return p.Residual(p.Sequence((conv1, bn1, RELU, kernel, conv3, bn3)), shortcut, RELU)
    if spec.stride_first:
        conv1, stride = p.Conv(c_in, inner, 1, stride), 1
    conv2 = p.Conv(inner, inner, 3, stride, groups=spec.groups)
    bn2 = p.BatchNorm(inner)
    if spec.block == "plain":
        return Bottleneck(conv1, bn1, conv2, bn2, conv3, bn3, shortcut)
    attention = SEBlock(wide, p.ceil_div(wide, spec.r), bias=True)
    items = (conv1, bn1, RELU, conv2, bn2, RELU, conv3, bn3, attention)
    names = ("conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3", "se_layer")
    return p.Residual(p.Sequence(items, names=names), shortcut, RELU)


def _selective(c: int, stride: int, spec: ModelSpec) -> SelectiveKernel:
    """Two 3×3 convolutions, one dilated to see 5×5, weighed by attention over both."""
    paths = tuple(
        p.Sequence(
            (
                p.Conv(c, c, 3, stride, dilation, groups=spec.groups, dilation=dilation),
                p.BatchNorm(c),
                RELU,
            )
        )
        for dilation in (1, 2)
    )
    hidden = max(p.ceil_div(c, spec.r), LEAST_HIDDEN)
    weigh = (*conv_bn(c, hidden, 1).items, p.Conv(hidden, len(paths) * c, 1))
    return SelectiveKernel(c, paths, p.Sequence(weigh))


def _calibrated(c_in: int, c: int, stride: int) -> p.Concat:
    """Half of the channels filtered plainly, half self-calibrated (Liu et al. 2020, figure 2)."""
    plain = conv_bn(c_in, c, 1), conv_bn(c, c, 3, stride)
    look = p.Sequence((p.AvgPool(POOL, POOL), *conv_bn(c, c, relu=False).items))
    calibrated = SelfCalibration(conv_bn(c, c, relu=False), look)
    return p.Concat(
        (
            p.Sequence(plain),
            p.Sequence((conv_bn(c_in, c, 1), calibrated, conv_bn(c, c, 3, stride))),
        )
    )


def _split_block(
    c_in: int, c: int, stride: int, shortcut: p.Node | None, spec: ModelSpec
) -> p.Node:
    """Split attention at the block's own size, then average pooling where the block strides."""
    wide, inner = c * EXPANSION, _inner(c, spec)
    split = inner * spec.radix
    hidden = _hidden(split, spec)
    weigh = p.Sequence(
        (
            p.Conv(inner, hidden, 1, groups=spec.groups, bias=True),
            p.BatchNorm(hidden),
            RELU,
            p.Conv(hidden, split, 1, groups=spec.groups, bias=True),
        )
    )
    items: list[p.Node] = [
        *conv_bn(c_in, inner, 1).items,
        p.Conv(inner, split, 3, groups=spec.groups * spec.radix),
        p.BatchNorm(split),
        RELU,
        SplitAttention(inner, spec.radix, spec.groups, weigh),
        *([p.AvgPool(3, stride, 1)] if stride > 1 else []),
        *conv_bn(inner, wide, 1, relu=False).items,
    ]
    return p.Residual(p.Sequence(tuple(items)), shortcut, RELU)


_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_SE = f"{PAPER}; Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
_NEXT = f"{PAPER}; Xie et al., Aggregated Residual Transformations, CVPR 2017"
_V1D = f"{PAPER}; He et al., Bag of Tricks for Image Classification, CVPR 2019"
_BLOCKS = ("plain", "se", "sk", "sc", "split")
_SC = f"{PAPER}; Liu et al., Self-Calibrated Convolutions, CVPR 2020"
_NEST = f"{PAPER}; Zhang et al., ResNeSt: Split-Attention Networks, CVPRW 2022"
# the pose networks keep a stem of 64 channels, where the paper's deeper classifiers have 128
_NESTS = ((50, _DEPTHS[50]), (101, _DEPTHS[101]), (200, (3, 24, 36, 3)))
_SK = f"{PAPER}; Li et al., Selective Kernel Networks, CVPR 2019"


def _presets(
    name: str,
    summary: str,
    source: str,
    depths: tuple[int, ...] = tuple(_DEPTHS),
    **values: object,
) -> tuple[Preset, ...]:
    return tuple(
        Preset(f"{name}{n}", summary.format(n), source, {"blocks": _DEPTHS[n], **values})
        for n in depths
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "pose-resnet",
        (
            Knob("blocks", "ints", (3, 4, 6, 3), "Bottlenecks of each stage", length=4),
            Knob("width", "int", 64, "channels of the first stage's 3×3 convolutions"),
            Knob("stem", "int", 64, "channels of the stem"),
            Knob("block", "choice", "plain", "the Bottleneck's variant", _BLOCKS),
            Knob("r", "int", 16, "reduction of the block's attention"),
            Knob("radix", "int", 2, "parts that split attention weighs"),
            Knob("groups", "int", 1, "groups of the 3×3 convolutions"),
            Knob("group_width", "int", 4, "channels of a group in a first stage of 64, if grouped"),
            Knob("stride_first", "flag", False, "plain, se: stride in the first 1×1, not the 3×3"),
            Knob("deep_stem", "flag", False, "three 3×3 convolutions in the stem, not one of 7×7"),
            Knob("avg_down", "flag", False, "average pooling in the shortcuts, not a stride"),
            *HEAD_KNOBS,
        ),
        (
            *_presets("pose_resnet", "SimpleBaseline, ResNet-{}", PAPER),
            *_presets(
                "pose_resnetv1d", "SimpleBaseline, ResNet-V1d-{}", _V1D,
                deep_stem=True, avg_down=True,
            ),
            *_presets("pose_seresnet", "SimpleBaseline, SE-ResNet-{}", _SE, block="se"),
            *_presets("pose_resnext", "SimpleBaseline, ResNeXt-{} 32×4d", _NEXT, groups=32),
            Preset(
                "pose_sknet50", "SimpleBaseline head on SKNet-50", _SK,
                {"block": "sk", "groups": 32},
            ),
            *_presets("pose_scnet", "SimpleBaseline, SCNet-{}", _SC, depths=(50, 101), block="sc"),
            *(
                Preset(
                    f"pose_resnest{depth}", f"SimpleBaseline, ResNeSt-{depth}", _NEST,
                    {
                        "blocks": blocks, "block": "split", "r": 4,
                        "deep_stem": True, "avg_down": True,
                    },
                )
                for depth, blocks in _NESTS
            ),
        ),
        "gadprof.networks.families.pose_resnet:plan",
        1,
        check="gadprof.networks.families.pose_resnet:check",
        smallest="gadprof.networks.families.pose_resnet:smallest",
    ),
)  # fmt: skip
