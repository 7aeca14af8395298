"""SimpleBaseline's head: transposed convolutions that double the size, then a 1×1 convolution.

Promises heatmaps of 2^deconvs times the size of the backbone's last map, for any size of it, and
the children's names of the official code (``deconv_layers``, ``final_layer``).
Source: Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018.
"""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.spec import Knob, ModelSpec

PAPER = "Xiao et al., Simple Baselines for Human Pose Estimation, ECCV 2018"

HEAD_KNOBS: tuple[Knob, ...] = (
    Knob("joints", "int", 17, "heatmaps that the head gives"),
    Knob("deconvs", "count", 3, "transposed convolutions, each doubles the size"),
    Knob("deconv_width", "int", 256, "channels of the transposed convolutions"),
)

HEAD_NAMES = ("deconv_layers", "final_layer")


def head(c_in: int, spec: ModelSpec) -> tuple[p.Node, p.Node]:
    """The head on a map of ``c_in`` channels, as the two children that HEAD_NAMES names."""
    items: list[p.Node] = []
    for _ in range(spec.deconvs):
        items += [
            p.ConvTranspose(c_in, spec.deconv_width, 4, 2, 1),
            p.BatchNorm(spec.deconv_width),
            p.Activation("relu"),
        ]
        c_in = spec.deconv_width
    return p.Sequence(tuple(items)), p.Conv(c_in, spec.joints, 1, bias=True)


# a backbone's children, by name
Parts = list[tuple[str, p.Node]]


def network(parts: Parts, c: int, spec: ModelSpec) -> p.Sequence:
    """A backbone whose last map has ``c`` channels, followed by the head."""
    names = tuple(name for name, _ in parts)
    return p.Sequence((*(node for _, node in parts), *head(c, spec)), names=(*names, *HEAD_NAMES))
