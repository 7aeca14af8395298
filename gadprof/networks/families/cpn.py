"""Cascaded pyramid networks: a ResNet, GlobalNet over its four stages, RefineNet over GlobalNet.

Promises the parameters and MACs of the two public codes: ``code=tf``, the authors' TensorFlow
(tf-cpn), and ``code=torch``, the re-implementation whose RefineNet projects in every Bottleneck
(pytorch-cpn). The module returns a list of heatmaps (N, joints, H / 4, W / 4): GlobalNet's four,
from the smallest map up, and RefineNet's, which is the answer. ``levels`` and ``refine`` give the
ablations of the paper. Refuses inputs whose sides do not divide by 32: the pyramid's sums would not
meet. Up-sampling is bilinear on pixel centres, where the codes align corners or the origin: the
count is the same, the position of a heatmap's maximum is not.
"""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import conv_bn
from gadprof.networks.blocks.residual import Bottleneck
from gadprof.networks.maps import cat
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTH = 64
EXPANSION = 4
REFINED = 2  # a Bottleneck of RefineNet gives twice its inner channels
LEVELS = 4


class CascadedPyramid(p.Node):
    """A list of heatmaps: GlobalNet's, from the smallest map up, and RefineNet's.

    Level i of GlobalNet is laterals[i](map) + merges[i-1](level i-1); ``refines`` read its levels
    from the largest down, and ``answer`` their concatenation.
    """

    stem: p.Node
    layers: tuple[p.Node, ...]
    laterals: tuple[p.Node, ...]
    merges: tuple[p.Node, ...]
    heads: tuple[p.Node, ...]
    refines: tuple[p.Node, ...]
    answer: p.Node

    def forward(self: Any, x: Any) -> list[Any]:
        pyramid, made = self.global_net(self.backbone(x))
        made.append(self.refine_net(pyramid))
        return made

    def backbone(self: Any, x: Any) -> list[Any]:
        """The maps of the four stages, (N, C, H / 4, W / 4) first."""
        maps: list[Any] = []
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def global_net(self: Any, maps: list[Any]) -> tuple[list[Any], list[Any]]:
        """The pyramid's levels and their heatmaps, the smallest level first."""
        pyramid: list[Any] = []
        made: list[Any] = []
        for index, lateral in enumerate(self.laterals):
            y = lateral(maps[-1 - index])
            if index > 0:
                y = y + self.merges[index - 1](pyramid[-1])
            pyramid.append(y)
            made.append(self.heads[index](y))
        return pyramid, made

    def refine_net(self: Any, pyramid: list[Any]) -> Any:
        """Heatmaps from the levels together, (N, joints, H / 4, W / 4)."""
        refined: list[Any] = []
        for index, refine in enumerate(self.refines):
            refined.append(refine(pyramid[-1 - index]))
        return self.answer(cat(refined))


def plan(spec: ModelSpec) -> CascadedPyramid:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    layers: list[p.Node] = []
    c_in = STEM_WIDTH
    for level, repeats in enumerate(spec.blocks):
        c = STEM_WIDTH * 2**level
        layers.append(_layer(c_in, c, repeats, 1 if level == 0 else 2))
        c_in = c * EXPANSION
    stem = (*conv_bn(3, STEM_WIDTH, 7, 2).items, p.MaxPool(3, 2, 1))
    widths = [STEM_WIDTH * EXPANSION * 2**level for level in range(LEVELS)]
    return CascadedPyramid(
        stem=p.Sequence(stem),
        layers=tuple(layers),
        laterals=tuple(conv_bn(width, spec.width, 1) for width in reversed(widths)),
        merges=tuple(_merge(spec) for _ in range(LEVELS - 1)),
        heads=tuple(_head(2**level, spec) for level in reversed(range(LEVELS))),
        refines=tuple(_refine(level, spec) for level in range(spec.levels)),
        answer=_answer(spec),
    )


def _layer(c_in: int, c: int, repeats: int, stride: int) -> p.Sequence:
    wide = c * EXPANSION
    first = _bottleneck(c_in, c, wide, stride, project=True)
    return p.Sequence((first, *((_bottleneck(wide, c, wide, 1, project=False),) * (repeats - 1))))


def _bottleneck(c_in: int, c: int, c_out: int, stride: int, *, project: bool) -> Bottleneck:
    return Bottleneck(
        p.Conv(c_in, c, 1), p.BatchNorm(c), p.Conv(c, c, 3, stride), p.BatchNorm(c),
        p.Conv(c, c_out, 1), p.BatchNorm(c_out),
        conv_bn(c_in, c_out, 1, stride, relu=False) if project else None,
    )  # fmt: skip


def _merge(spec: ModelSpec) -> p.Sequence:
    """A level enlarged and projected, to be added to the next."""
    c = spec.width
    if spec.code == "tf":
        return p.Sequence((p.Upsample(2, "bilinear"), p.Conv(c, c, 1, bias=True)))
    return p.Sequence((p.Upsample(2, "bilinear"), p.Conv(c, c, 1), p.BatchNorm(c)))


def _head(scale: int, spec: ModelSpec) -> p.Sequence:
    """Heatmaps of one level of GlobalNet, enlarged to the largest level's size."""
    first = conv_bn(spec.width, spec.width, 1).items
    conv, norm = p.Conv(spec.width, spec.joints, 3), p.BatchNorm(spec.joints)
    large = (p.Upsample(scale, "bilinear"),) if scale > 1 else ()
    last = (conv, norm, *large) if spec.code == "tf" else (conv, *large, norm)
    return p.Sequence((*first, *last))


def _refine(level: int, spec: ModelSpec) -> p.Sequence:
    """RefineNet's way for one level: Bottlenecks, then the largest level's size."""
    repeats = {"pyramid": level, "one": 1, "none": 0}[spec.refine]
    c, wide = spec.inner, REFINED * spec.inner
    items: list[p.Node] = []
    before = spec.width
    for _ in range(repeats):
        project = spec.code == "torch" or before != wide
        items.append(_bottleneck(before, c, wide, 1, project=project))
        before = wide
    if level:
        items.append(p.Upsample(2**level, "bilinear"))
    return p.Sequence(tuple(items))


def _answer(spec: ModelSpec) -> p.Sequence:
    """The last Bottleneck over all levels side by side, and the heatmaps."""
    wide = REFINED * spec.inner
    repeats = {"pyramid": range(spec.levels), "one": (1,) * spec.levels, "none": (0,) * spec.levels}
    c_in = sum(wide if count else spec.width for count in repeats[spec.refine])
    last = _bottleneck(c_in, spec.inner, wide, 1, project=c_in != wide or spec.code == "torch")
    return p.Sequence((last, p.Conv(wide, spec.joints, 3), p.BatchNorm(spec.joints)))


def check(spec: ModelSpec) -> None:
    """Refuse knob values that fit no module. Raises SpecError."""
    from gadprof.errors import SpecError

    if spec.levels > LEVELS:
        raise SpecError(f"levels={spec.levels} is more than GlobalNet has; try levels={LEVELS}")


_CHEN = "Chen et al., Cascaded Pyramid Network, CVPR 2018"
_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

FAMILIES: tuple[Family, ...] = (
    Family(
        "cpn",
        (
            Knob("blocks", "ints", (3, 4, 6, 3), "Bottlenecks of the ResNet's stages", length=4),
            Knob("joints", "int", 17, "heatmaps that each head gives"),
            Knob("width", "int", 256, "channels of the pyramid"),
            Knob("inner", "int", 128, "inner channels of RefineNet's Bottlenecks"),
            Knob("levels", "int", LEVELS, "levels that enter RefineNet, the largest first"),
            Knob("refine", "choice", "pyramid", "Bottlenecks a level of RefineNet: 0-1-2-3, 1 or 0",
                 ("pyramid", "one", "none")),
            Knob("code", "choice", "tf", "the public code that is followed", ("tf", "torch")),
        ),
        (
            *(
                Preset(f"cpn{n}", f"Cascaded Pyramid Network, ResNet-{n} (tf-cpn)", _CHEN,
                       {"blocks": blocks})
                for n, blocks in _DEPTHS.items()
            ),
            Preset("cpn50-torch", "Cascaded Pyramid Network, ResNet-50 (pytorch-cpn)", _CHEN,
                   {"code": "torch"}),
        ),
        "gadprof.networks.families.cpn:plan",
        32,
        check="gadprof.networks.families.cpn:check",
    ),
)  # fmt: skip
