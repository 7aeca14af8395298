"""SimpleBaseline's head on networks without shortcuts, AlexNet and VGG, as plans.

Promises the parameters and MACs of the public re-implementation of these pose networks. AlexNet's
three unpadded poolings need 63 pixels a side, VGG's five need 32; any larger size is taken. The
heatmaps are 2^deconvs times the last map's size.
"""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.families.heatmap_head import HEAD_KNOBS, PAPER, Parts, network
from gadprof.networks.plan import RELU
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset


def plan_alexnet(spec: ModelSpec) -> p.Sequence:
    """Plan AlexNet's convolutions with the head."""
    a, b, c, d, e = spec.widths
    items = (
        p.Conv(3, a, 11, 4, 2, bias=True), RELU, p.MaxPool(3, 2),
        p.Conv(a, b, 5, bias=True), RELU, p.MaxPool(3, 2),
        p.Conv(b, c, 3, bias=True), RELU,
        p.Conv(c, d, 3, bias=True), RELU,
        p.Conv(d, e, 3, bias=True), RELU, p.MaxPool(3, 2),
    )  # fmt: skip
    return network([("features", p.Sequence(items))], e, spec)


def plan_vgg(spec: ModelSpec) -> p.Sequence:
    """Plan VGG's convolutions, with batch normalisation, and the head."""
    parts: Parts = []
    c_in = 3
    for stage, (c, repeats) in enumerate(zip(spec.widths, spec.blocks, strict=True), start=1):
        items: list[p.Node] = []
        for _ in range(repeats):
            items += [p.Conv(c_in, c, 3, bias=True), *_norm(c, spec), RELU]
            c_in = c
        parts.append((f"layer{stage}", p.Sequence((*items, p.MaxPool(2, 2)))))
    return network(parts, c_in, spec)


def _norm(c: int, spec: ModelSpec) -> tuple[p.Node, ...]:
    return (p.BatchNorm(c),) if spec.norm else ()


_HERE = "gadprof.networks.families.pose_plain"
_ALEX = f"{PAPER}; Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012"
_VGG = f"{PAPER}; Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015"

FAMILIES: tuple[Family, ...] = (
    Family(
        "pose-alexnet",
        (
            Knob("widths", "ints", (64, 192, 384, 256, 256), "channels of the layers", length=5),
            *HEAD_KNOBS,
        ),
        (Preset("pose_alexnet", "SimpleBaseline head on AlexNet", _ALEX, {}),),
        f"{_HERE}:plan_alexnet",
        1,
        smallest=63,
    ),
    Family(
        "pose-vgg",
        (
            Knob("widths", "ints", (64, 128, 256, 512, 512), "channels of each stage", length=5),
            Knob("blocks", "ints", (2, 2, 3, 3, 3), "convolutions of each stage", length=5),
            Knob("norm", "flag", True, "batch normalisation, beside the biases"),
            *HEAD_KNOBS,
        ),
        (Preset("pose_vgg16", "SimpleBaseline head on VGG-16 with batch norm", _VGG, {}),),
        f"{_HERE}:plan_vgg",
        1,
        smallest=32,
    ),
)
