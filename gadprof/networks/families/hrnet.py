"""HRNet's skeleton and its light variants: HRNet, Ghost-HRNet and GADNet, as plans.

One planner serves all: a variant is a choice of block, down-sampler and repeats. With the default
knobs the names and shapes of the built module's state are those of the official HRNet pose code
(Sun et al., CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from gadprof.networks import plan as p
from gadprof.networks.blocks.gadnet import gd_block
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
from gadprof.networks.blocks.names import BLOCK_NOTES, BRANCH_BLOCKS, MODULE_BLOCKS, check_branch
from gadprof.networks.blocks.residual import Bottleneck
from gadprof.networks.blocks.weighting import conditional_weighting
from gadprof.networks.plan import RELU
from gadprof.networks.spec import Family, Knob, ModelSpec, Preset

STEM_WIDTH = 64
BOTTLENECK_EXPANSION = 4


class Fusion(p.Node):
    """The sum over j of item_j(map_j), the maps brought to one size by the items."""

    items: tuple[p.Node, ...]
    base: ClassVar[Literal["ModuleList"]] = "ModuleList"
    several: ClassVar[bool] = True
    inner: ClassVar[bool] = True

    def children(self) -> Mapping[str, Any]:
        return {str(index): item for index, item in enumerate(self.items)}

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, maps: list[Any]) -> Any:
        y = maps[0]
        for index, layer in enumerate(self):
            y = layer(y) if index == 0 else y + layer(maps[index])
        return y


class HighResolutionModule(p.Node):
    """Parallel branches, then an exchange: output i = relu(sum over j of rows[i][j](branch j)).

    A row may be shorter than the number of branches (no up-sampling); ``kind`` names the class.
    """

    branches: tuple[p.Node, ...]
    rows: tuple[tuple[p.Node, ...], ...]
    kind: str = "HighResolutionModule"
    several: ClassVar[bool] = True

    def children(self) -> Mapping[str, Any]:
        return {
            "branches": self.branches,
            "fuse_layers": tuple(Fusion(row) for row in self.rows),
            "relu": RELU,
            # a lone term may be the branch's own map, which other rows still read
            "relu_apart": p.Activation("relu", inplace=False),
        }

    def settings(self) -> Mapping[str, Any]:
        return {"terms": tuple(len(row) for row in self.rows)}

    def forward(self: Any, x: list[Any]) -> list[Any]:
        maps: list[Any] = []
        for index, branch in enumerate(self.branches):
            maps.append(branch(x[index]))
        made: list[Any] = []
        for row, terms in zip(self.fuse_layers, self.terms, strict=True):
            y = row(maps)
            made.append(self.relu(y) if terms > 1 else self.relu_apart(y))
        return made


class HighResolutionNet(p.Node):
    """HRNet's skeleton for heatmaps: stem, layer1, three transitions and stages, a 1×1 head."""

    conv1: p.Node
    bn1: p.Node
    conv2: p.Node
    bn2: p.Node
    layer1: p.Node
    transition1: p.Transition
    stage2: p.Node
    transition2: p.Transition
    stage3: p.Node
    transition3: p.Transition
    stage4: p.Node
    final_layer: p.Node
    kind: str = "PoseHighResolutionNet"

    def children(self) -> Mapping[str, Any]:
        stem = {name: getattr(self, name) for name in ("conv1", "bn1", "conv2", "bn2")}
        names = (
            "layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4",
            "final_layer",
        )  # fmt: skip
        return {**stem, "relu": RELU, **{name: getattr(self, name) for name in names}}

    def forward(self: Any, x: Any) -> Any:
        maps = self.transition1([self.features(x)])
        maps = self.stage2(maps)
        maps = self.transition2(maps)
        maps = self.stage3(maps)
        maps = self.transition3(maps)
        maps = self.stage4(maps)
        return self.final_layer(maps[0])

    def features(self: Any, x: Any) -> Any:
        """The stem and stage 1: (N, 3, H, W) to (N, 256, H / 4, W / 4)."""
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.relu(x)
        return self.layer1(x)


def plan(spec: ModelSpec) -> HighResolutionNet:
    """Plan the network of a spec (see FAMILIES for its knobs)."""
    knobs = block_knobs(spec)
    widths = tuple(spec.width * 2**level for level in range(4))
    wide = spec.stage1 * BOTTLENECK_EXPANSION if spec.bottlenecks else STEM_WIDTH
    module_kind = "ADModule" if spec.block == "ga" else "HighResolutionModule"
    together = spec.block in MODULE_BLOCKS
    branches = tuple(
        p.Identity()
        if together
        else p.Sequence((BRANCH_BLOCKS[spec.block](width, knobs),) * repeats)
        for width, repeats in zip(widths, spec.blocks, strict=True)
    )
    down = {(i, j): _down(i, j, widths, spec.down, knobs) for i in range(4) for j in range(i)}
    up = {(i, j): _up(i, j, widths) for i in range(4) for j in range(i + 1, 4)}

    def exchange(count: int, *, last: bool) -> p.Node:
        def row(i: int) -> tuple[p.Node, ...]:
            below = tuple(down[i, j] for j in range(i))
            above = tuple(up[i, j] for j in range(i + 1, count))
            return (*below, p.Identity(), *(above if spec.up or last else ()))

        rows = tuple(row(i) for i in range(1 if last else count))
        module = HighResolutionModule(branches[:count], rows, module_kind)
        if not together:
            return module
        unit = conditional_weighting(widths[:count], knobs)
        return p.Sequence((*((unit,) * spec.blocks[0]), module), kind="Stage")

    def stage(count: int, repeats: int, *, final: bool = False) -> p.Sequence:
        repeated = exchange(count, last=False)
        if not final:
            return p.Sequence((repeated,) * repeats, kind="Stage")
        modules = (*((repeated,) * (repeats - 1)), exchange(count, last=True))
        return p.Sequence(modules, kind="Stage")

    def new_branch(c_in: p.Number, c_out: p.Number) -> p.Sequence:
        if spec.transition == "gd":
            return p.Sequence((gd_block(c_in, c_out, knobs),), kind="GDModule")
        return p.Sequence((conv_bn(c_in, c_out, 3, 2),))

    def keep(c_in: p.Number, c_out: p.Number) -> p.Node:
        same = isinstance(c_in, int) and isinstance(c_out, int) and c_in == c_out
        return p.Identity() if same else conv_bn(c_in, c_out, 3, 1)

    def grow(level: int) -> p.Transition:
        same = tuple(p.Identity() for _ in range(level))
        return p.Transition((*same, new_branch(widths[level - 1], widths[level])))

    two, three, four = spec.modules
    return HighResolutionNet(
        conv1=p.Conv(3, STEM_WIDTH, 3, 2),
        bn1=p.BatchNorm(STEM_WIDTH),
        conv2=p.Conv(STEM_WIDTH, STEM_WIDTH, 3, 2),
        bn2=p.BatchNorm(STEM_WIDTH),
        layer1=_bottlenecks(spec.bottlenecks, spec.stage1),
        transition1=p.Transition((keep(wide, widths[0]), new_branch(wide, widths[1]))),
        stage2=stage(2, two),
        transition2=grow(2),
        stage3=stage(3, three),
        transition3=grow(3),
        stage4=stage(4, four, final=True),
        final_layer=p.Conv(widths[0], spec.joints, 1, bias=True),
        kind="GADNet" if spec.family == "gadnet" else "PoseHighResolutionNet",
    )


def block_knobs(spec: ModelSpec) -> BlockKnobs:
    """The numbers of a spec that its blocks share."""
    return BlockKnobs(
        spec.k, spec.d, spec.s, spec.r, spec.se_bias, spec.shortcut,
        spec.groups, spec.t, spec.layers, spec.q,
    )  # fmt: skip


def _bottlenecks(count: int, c: p.Number) -> p.Sequence:
    wide = c * BOTTLENECK_EXPANSION

    def bottleneck(c_in: p.Number, downsample: p.Node | None) -> Bottleneck:
        return Bottleneck(
            p.Conv(c_in, c, 1), p.BatchNorm(c), p.Conv(c, c, 3), p.BatchNorm(c),
            p.Conv(c, wide, 1), p.BatchNorm(wide), downsample,
        )  # fmt: skip

    if count == 0:
        return p.Sequence(())
    first = bottleneck(STEM_WIDTH, conv_bn(STEM_WIDTH, wide, 1, relu=False))
    return p.Sequence((first, *((bottleneck(wide, None),) * (count - 1))))


def _down(i: int, j: int, widths: tuple[p.Number, ...], kind: str, knobs: BlockKnobs) -> p.Sequence:
    """Branch j to the size and channels of branch i; only the last step changes the channels and
    has no ReLU."""
    last = i - j - 1
    if kind == "gd":
        steps: list[p.Node] = [gd_block(widths[j], widths[j], knobs) for _ in range(last)]
        steps.append(gd_block(widths[j], widths[i], knobs, relu=False))
        return p.Sequence(tuple(steps), kind="GDModule")
    steps = [conv_bn(widths[j], widths[j], 3, 2) for _ in range(last)]
    steps.append(conv_bn(widths[j], widths[i], 3, 2, relu=False))
    return p.Sequence(tuple(steps))


def _up(i: int, j: int, widths: tuple[p.Number, ...]) -> p.Sequence:
    """Branch j to the channels and size of branch i: 1×1 convolution, then nearest up-sampling."""
    return p.Sequence(
        (p.Conv(widths[j], widths[i], 1), p.BatchNorm(widths[i]), p.Upsample(2 ** (j - i)))
    )


def _knobs(**defaults: object) -> tuple[Knob, ...]:
    knobs = (
        Knob("width", "int", 32, "channels of the first branch; branch i has width · 2^i"),
        Knob("joints", "int", 17, "heatmaps that the head gives"),
        Knob("bottlenecks", "count", 4, "Bottlenecks of stage 1"),
        Knob("stage1", "int", 64, "inner channels of stage 1's Bottlenecks"),
        Knob("modules", "ints", (1, 4, 3), "exchange modules of stages 2, 3 and 4", length=3),
        Knob("blocks", "ints", (4, 4, 4, 4), "blocks of each branch in a module", length=4),
        Knob(
            "block",
            "choice",
            "basic",
            "the branches' block",
            tuple(BLOCK_NOTES),
            notes=tuple(BLOCK_NOTES.values()),
        ),
        Knob("down", "choice", "conv", "down-sampler between branches", ("conv", "gd")),
        Knob("transition", "choice", "conv", "down-sampler between stages", ("conv", "gd")),
        Knob("up", "flag", True, "up-sampling fusion (the last exchange always has it)"),
        Knob("k", "int", 3, "kernel of the blocks' convolutions (odd)"),
        Knob("d", "int", 3, "kernel of the cheap operation (odd)"),
        Knob("s", "int", 2, "ratio of all maps to intrinsic maps"),
        Knob("r", "int", 16, "reduction of squeeze-and-excitation and other attention"),
        Knob("se_bias", "flag", False, "biases in squeeze-and-excitation"),
        Knob("shortcut", "flag", False, "add a GaBlock's input to its output"),
        Knob("groups", "int", 4, "groups of block=grouped, shuffle1 and sk"),
        Knob("t", "int", 6, "widening of block=inverted"),
        Knob("layers", "int", 4, "layers of block=dense and dam"),
        Knob("q", "int", 4, "channels to growth of block=dense and dam"),
    )
    return tuple(
        Knob(
            knob.name, knob.kind, defaults.get(knob.name, knob.default), knob.help,
            knob.choices, knob.length, knob.notes,
        )
        for knob in knobs
    )  # fmt: skip


def check(spec: ModelSpec) -> None:
    """Refuse knob values that fit no module. Raises SpecError."""
    from gadprof.errors import SpecError

    for name in ("k", "d"):
        value = getattr(spec, name)
        if value % 2 == 0:
            raise SpecError(
                f"{name}={value} is even and would change the size; try {name}={value + 1}"
            )
    check_branch(spec.block, spec.width, block_knobs(spec))
    if spec.block in MODULE_BLOCKS and len(set(spec.blocks)) > 1:
        raise SpecError(
            f"blocks={'-'.join(map(str, spec.blocks))} differs between branches, which "
            f"block={spec.block} takes together; try blocks={spec.blocks[0]}"
        )


_HRNET_PAPER = "Sun et al., Deep High-Resolution Representation Learning, CVPR 2019"
_SMALL_PAPER = "Yu et al., Lite-HRNet, CVPR 2021 (its baseline; stages of W18-small-v1)"
_EDGE_SEARCH = (
    "gadprof search hrnet by latency in ONNX Runtime and OpenVINO (reports/edge-search.md); its "
    "accuracy on COCO is unknown"
)
_GADNET_PAPER = "Liu et al., Ghost attentional down network, J. Intell. Fuzzy Syst. 46, 2024"


def _pair(name: str, summary: str, source: str) -> tuple[Preset, ...]:
    return tuple(
        Preset(f"{name}{width}", f"{summary}, width {width}", source, {"width": width})
        for width in (32, 48)
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "hrnet",
        _knobs(),
        (
            *_pair("hrnet", "HRNet pose network", _HRNET_PAPER),
            Preset(
                "edge-hrnet32",
                "found by measured time on CPUs, under gadnet32's cost",
                _EDGE_SEARCH,
                {
                    "bottlenecks": 3,
                    "stage1": 32,
                    "modules": (1, 1, 1),
                    "blocks": (3, 2, 3, 6),
                },
            ),
            Preset(
                "small-hrnet16",
                "Small HRNet: few and narrow blocks, width 16",
                _SMALL_PAPER,
                {
                    "width": 16,
                    "bottlenecks": 1,
                    "stage1": 32,
                    "modules": (1, 1, 1),
                    "blocks": (2, 2, 2, 2),
                },
            ),
        ),
        "gadprof.networks.families.hrnet:plan",
        32,
        check="gadprof.networks.families.hrnet:check",
    ),
    Family(
        "ghost-hrnet",
        _knobs(block="ghost"),
        _pair("ghost-hrnet", "HRNet with GhostBlocks (ablation)", _GADNET_PAPER),
        "gadprof.networks.families.hrnet:plan",
        32,
        check="gadprof.networks.families.hrnet:check",
    ),
    Family(
        "ghost-se-hrnet",
        _knobs(block="ghost-se"),
        _pair("ghost-se-hrnet", "HRNet with GhostBlocks and SE (ablation)", _GADNET_PAPER),
        "gadprof.networks.families.hrnet:plan",
        32,
        check="gadprof.networks.families.hrnet:check",
    ),
    Family(
        "gadnet",
        _knobs(block="ga", down="gd", transition="gd", bottlenecks=3, blocks=(3, 3, 6, 6), d=5),
        _pair("gadnet", "GaBlocks and GdBlocks on HRNet's skeleton", _GADNET_PAPER),
        "gadprof.networks.families.hrnet:plan",
        32,
        check="gadprof.networks.families.hrnet:check",
    ),
)
