"""SimpleBaseline: a ResNet, three transposed convolutions and a 1×1 head, as plans.

Promises the parameters and MACs of the official pose code for ResNet-50, 101 and 152, and of the
same head on SE-ResNet and ResNeXt; with the default knobs the children carry the official names.
Any positive input size is taken: the residual sums meet at one resolution alone, and the heatmaps
are eight times the last stage's size, ceil(size / 32).
"""

from __future__ import annotations

from gadprof import plan as p
from gadprof.architectures.blocks import conv_bn
from gadprof.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTH = 64
STAGE_WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
# a group has group_width channels where the block has 64, and more in proportion
BASE_WIDTH = 64


def plan(spec: ModelSpec) -> p.Sequence:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    layers: list[p.Node] = []
    c_in = STEM_WIDTH
    for level, (c, repeats) in enumerate(zip(STAGE_WIDTHS, spec.blocks, strict=True)):
        layers.append(_layer(c_in, c, repeats, 1 if level == 0 else 2, spec))
        c_in = c * EXPANSION
    items = (
        p.Conv(3, STEM_WIDTH, 7, 2),
        p.BatchNorm(STEM_WIDTH),
        p.Activation("relu"),
        p.MaxPool(3, 2, 1),
        *layers,
        _deconvolutions(c_in, spec),
        p.Conv(spec.deconv_width if spec.deconvs else c_in, spec.joints, 1, bias=True),
    )
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return p.Sequence(items, names=(*names, "deconv_layers", "final_layer"))


def _layer(c_in: int, c: int, repeats: int, stride: int, spec: ModelSpec) -> p.Sequence:
    first = _block(c_in, c, stride, conv_bn(c_in, c * EXPANSION, 1, stride, relu=False), spec)
    rest = _block(c * EXPANSION, c, 1, None, spec)
    return p.Sequence((first, *((rest,) * (repeats - 1))))


def _block(c_in: int, c: int, stride: int, shortcut: p.Node | None, spec: ModelSpec) -> p.Node:
    """A Bottleneck whose 3×3 convolution strides; with ``se``, attention before the sum."""
    wide = c * EXPANSION
    inner = c * spec.group_width // BASE_WIDTH * spec.groups if spec.groups > 1 else c
    conv1, bn1 = p.Conv(c_in, inner, 1), p.BatchNorm(inner)
    conv2 = p.Conv(inner, inner, 3, stride, groups=spec.groups)
    bn2 = p.BatchNorm(inner)
    conv3, bn3 = p.Conv(inner, wide, 1), p.BatchNorm(wide)
    if not spec.se:
        return p.Bottleneck(conv1, bn1, conv2, bn2, conv3, bn3, shortcut)
    relu = p.Activation("relu")
    attention = p.SEBlock(wide, p.ceil_div(wide, spec.r), bias=True)
    items = (conv1, bn1, relu, conv2, bn2, relu, conv3, bn3, attention)
    names = ("conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3", "se_layer")
    return p.Residual(p.Sequence(items, names=names), shortcut, relu)


def _deconvolutions(c_in: int, spec: ModelSpec) -> p.Sequence:
    items: list[p.Node] = []
    for _ in range(spec.deconvs):
        items += [
            p.ConvTranspose(c_in, spec.deconv_width, 4, 2, 1),
            p.BatchNorm(spec.deconv_width),
            p.Activation("relu"),
        ]
        c_in = spec.deconv_width
    return p.Sequence(tuple(items))


_XIAO = "Xiao et al., Simple Baselines for Human Pose Estimation, ECCV 2018"
_SE = f"{_XIAO}; Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
_NEXT = f"{_XIAO}; Xie et al., Aggregated Residual Transformations, CVPR 2017"
_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

FAMILIES: tuple[Family, ...] = (
    Family(
        "pose-resnet",
        (
            Knob("blocks", "ints", (3, 4, 6, 3), "Bottlenecks of each stage", length=4),
            Knob("joints", "int", 17, "heatmaps that the head gives"),
            Knob("deconvs", "count", 3, "transposed convolutions, each doubles the size"),
            Knob("deconv_width", "int", 256, "channels of the transposed convolutions"),
            Knob("se", "flag", False, "squeeze-and-excitation in every Bottleneck"),
            Knob("r", "int", 16, "reduction of squeeze-and-excitation"),
            Knob("groups", "int", 1, "groups of the 3×3 convolutions"),
            Knob("group_width", "int", 4, "channels of a group in the first stage, if groups > 1"),
        ),
        (
            *(
                Preset(f"pose_resnet{n}", f"SimpleBaseline, ResNet-{n}", _XIAO, {"blocks": blocks})
                for n, blocks in _DEPTHS.items()
            ),
            Preset("pose_seresnet50", "SimpleBaseline, SE-ResNet-50", _SE, {"se": True}),
            *(
                Preset(
                    f"pose_resnext{n}", f"SimpleBaseline, ResNeXt-{n} 32×4d", _NEXT,
                    {"blocks": blocks, "groups": 32},
                )
                for n, blocks in _DEPTHS.items()
            ),
        ),
        "gadprof.zoo.pose_resnet:plan",
        1,
    ),
)  # fmt: skip
