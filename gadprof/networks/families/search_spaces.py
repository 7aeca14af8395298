"""The networks of two search spaces that were measured on many devices, as plans.

Promises the parameters of NAS-Bench-201's own figures and of FBNet-C's public weights. An
architecture is written as its space writes it: ``nasbench201:arch=|skip_connect~0|+|…|`` or with -
between the six operations; ``fbnet:arch=k3_e1-skip-…`` with a word for each of 22 layers. One word
stands for all. Both classify pictures of any size, NAS-Bench-201 of sides that divide by 4.
"""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks import cell
from gadprof.networks.blocks.knobs import conv_bn, depthwise, pointwise
from gadprof.networks.blocks.shuffle import ChannelShuffle
from gadprof.networks.plan import RELU
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STAGES = 3  # of cells, each twice as wide as the one before


def plan_nasbench201(spec: ModelSpec) -> p.Sequence:
    """Plan a NAS-Bench-201 network: stem, stages of equal cells, two residual blocks between."""
    stem = p.Sequence((p.Conv(3, spec.width, 3), p.BatchNorm(spec.width)))
    cells: list[p.Node] = []
    for stage in range(STAGES):
        c = spec.width * 2**stage
        if stage:
            cells.append(_reduction(c // 2, c))
        made = cell.InferCell(tuple(cell.edge(operation, c) for operation in spec.arch))
        cells += [made] * spec.blocks
    items = (
        stem, p.Sequence(tuple(cells)), p.Sequence((p.BatchNorm(c), RELU)), p.GlobalPool(),
        p.Flatten(), p.Linear(c, spec.classes),
    )  # fmt: skip
    names = ("stem", "cells", "lastact", "global_pooling", "flatten", "classifier")
    return p.Sequence(items, names=names)


def _reduction(c_in: p.Number, c: p.Number) -> p.Node:
    """The residual block of stride 2 whose shortcut pools first."""
    body = p.Sequence((cell.relu_conv_bn(c_in, c, 3, 2), cell.relu_conv_bn(c, c, 3)))
    shortcut = p.Sequence((p.AvgPool(2, 2), p.Conv(c_in, c, 1)))
    return p.Residual(body, shortcut, kind="ResNetBasicblock")


CHANNELS = (16, 24, 32, 64, 112, 184, 352)
REPEATS = (1, 4, 4, 4, 4, 4, 1)
LAYERS = sum(REPEATS)
CHOICES = (
    "k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip",
)  # fmt: skip
FBNET_C = (
    "k3_e1", "k3_e6", "skip", "k3_e1", "k3_e1", "k5_e6", "k5_e3", "k5_e6", "k3_e6", "k5_e6",
    "k5_e3", "k5_e6", "k5_e6", *["k5_e6"] * 3, "k5_e3", *["k5_e6"] * 4, "k3_e6",
)  # fmt: skip


def plan_fbnet(spec: ModelSpec) -> p.Sequence:
    """Plan an FBNet design: stem, 22 chosen layers, a 1×1 convolution and the classifier."""
    layers: list[p.Node] = []
    c_in = CHANNELS[0]
    words = iter(spec.arch)
    for c, repeats, stride in zip(CHANNELS, REPEATS, spec.strides, strict=True):
        for index in range(repeats):
            layers.append(_fbnet_layer(next(words), c_in, c, 1 if index else stride))
            c_in = c
    last = spec.last_width
    items = (
        conv_bn(3, CHANNELS[0], 3, spec.stem_stride), p.Sequence(tuple(layers)),
        conv_bn(c_in, last, 1), p.GlobalPool(), p.Flatten(), p.Linear(last, spec.classes),
    )  # fmt: skip
    return p.Sequence(items, names=("stem", "layers", "header", "pool", "flatten", "classifier"))


def _fbnet_layer(word: str, c_in: int, c: int, stride: int) -> p.Node:
    keeps = stride == 1 and c_in == c
    if word == "skip":
        return p.Identity() if keeps else conv_bn(c_in, c, 1, stride)
    kernel, widening, *grouped = word.split("_")
    wide, groups = c_in * int(widening[1:]), 2 if grouped else 1
    items = (
        *pointwise(c_in, wide, groups), RELU, *([ChannelShuffle(groups)] if grouped else []),
        *depthwise(wide, int(kernel[1:]), stride), RELU, *pointwise(wide, c, groups),
    )  # fmt: skip
    body = p.Sequence(items)
    return p.Residual(body, kind="InvertedResidual") if keeps else body


_HERE = "gadprof.networks.families.search_spaces"
_CELLS = "Dong and Yang, NAS-Bench-201, ICLR 2020"
_FBNET = "Wu et al., FBNet, CVPR 2019"
_HW_NAS = f"{_FBNET}; for small pictures Li et al., HW-NAS-Bench, ICLR 2021"


def _fbnet_family(
    name: str, strides: tuple[int, ...], stem_stride: int, classes: int, side: int, source: str
) -> Family:
    return Family(
        name,
        (
            Knob("arch", "words", FBNET_C, "each layer", choices=CHOICES, length=LAYERS),
            Knob("strides", "ints", strides, "stride of each stage", length=len(CHANNELS)),
            Knob("stem_stride", "int", stem_stride, "stride of the first convolution"),
            Knob("last_width", "int", 1984, "channels before the classifier"),
            Knob("classes", "int", classes, "outputs"),
        ),
        (Preset(name, f"FBNet-C, or the design that arch names, {side} pixels", source, {}),),
        f"{_HERE}:plan_fbnet",
        1,
        default_input=(3, side, side),
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "nasbench201",
        (
            Knob(
                "arch", "words", ("nor_conv_3x3",) * cell.EDGES, "operation of each edge",
                choices=cell.OPERATIONS, length=cell.EDGES,
            ),
            Knob("width", "int", 16, "channels of the first stage"),
            Knob("blocks", "int", 5, "cells of each stage"),
            Knob("classes", "int", 10, "outputs"),
        ),
        (Preset("nasbench201", "NAS-Bench-201 network of a cell", _CELLS, {}),),
        f"{_HERE}:plan_nasbench201",
        4,
        default_input=(3, 32, 32),
        smallest=4,
    ),
    _fbnet_family("fbnet", (1, 2, 2, 2, 1, 2, 1), 2, 1000, 224, _FBNET),
    _fbnet_family("fbnet-cifar", (1, 1, 2, 2, 1, 2, 1), 1, 100, 32, _HW_NAS),
)  # fmt: skip
