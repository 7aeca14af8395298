"""The page's sections on the paper's equations and tables: 1 and 3, 4, 5, regenerated.

Promises figures of the specs and plans that are built now; table 2, COCO's keypoints, is data of
``gadprof.pose``.
"""

from __future__ import annotations

from collections.abc import Sequence

from gadprof.networks.shapes import FeatureMap, feature_maps
from gadprof.networks.spec import parse_spec
from gadprof.paper.equations import GRID, Checked, TracedPoint
from gadprof.paper.search import DEFAULT, INPUT, REFERENCE
from gadprof.paper.systems import ABLATION, GIBI, PUBLISHED, built_in, exact, missing
from gadprof.results.page import Section
from gadprof.results.table import Column, Table

WIDTHS = ("gadnet32", "gadnet48")


def equation_section(equations: Sequence[Checked], traced: Sequence[TracedPoint]) -> Section:
    """Equations 1 and 5 to 7 on a grid of integers."""
    columns = (
        Column("equation", "equation"), Column("states", "rebuilt as"),
        Column("against", "checked against"), Column("points", "points", "count"),
        Column("equal", "equal", "count"), Column("first_difference", "first that differs"),
    )  # fmt: skip
    rows = [tuple(getattr(item, column.key) for column in columns) for item in equations]
    for block in dict.fromkeys(item.block for item in traced):
        own = [item for item in traced if item.block == block]
        bad = next((f"{block} at {item}" for item in own if not item.equal), "")
        rows.append(
            (
                "1" if block == "ghost" else "5, 6",
                f"GP and GG of {block}",
                "a trace of the built block",
                len(own),
                sum(item.equal for item in own),
                bad,
            )
        )
    point = tuple(TracedPoint.__dataclass_fields__)
    grid = "; ".join(
        f"{name} in {{{', '.join(_grid_value(value) for value in values)}}}"
        for name, values in GRID.items()
    )
    return Section(
        "equations",
        "Equations 1 and 5 to 7",
        (
            "m = ceil(Cout/s) intrinsic and g = Cout - m ghost maps; c is m for a GaBlock and g "
            "for a GdBlock; H×W is the output's size. The bodies are rebuilt from the "
            "text's words.",
            f"Grid against the plan, every combination: {grid}.",
        ),
        (
            Table("equations", "Closed form against plan and trace", columns, tuple(rows)),
            Table(
                "traced", "Every traced block", tuple(Column(name, name) for name in point),
                tuple(tuple(getattr(item, name) for name in point) for item in traced),
                folded=True,
            ),
        ),
        commands=("gadprof formula --block ga --c-in 64 --c-out 64 --verify",),
    )  # fmt: skip


def _grid_value(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def branch_rows() -> tuple[tuple[object, ...], ...]:
    """Table 1: the channels of each branch and of the maps that GDModules make between branches."""
    rows = []
    for branch in range(1, 5):
        row: list[object] = [branch]
        size = ""
        for model in WIDTHS:
            maps = [m for m in _maps(model) if m.part == "branch" and m.branch == branch]
            row.append(maps[-1].channels)
            size = f"{maps[-1].height}×{maps[-1].width}"
        spec = parse_spec(WIDTHS[0])
        row += [size, spec.blocks[branch - 1]]
        for model in WIDTHS:
            row.append(_down_channels(model, branch))
        rows.append(tuple(row))
    return tuple(rows)


def _maps(model: str) -> tuple[FeatureMap, ...]:
    return feature_maps(parse_spec(model), INPUT)


def _down_channels(model: str, branch: int) -> str:
    """Channels after each GdBlock of the modules that lead into a branch in stage 4."""
    chains = []
    for source in range(1, branch):
        prefix = f"stage4.0.fuse_layers.{branch - 1}.{source - 1}."
        steps = [
            item.channels
            for item in feature_maps(parse_spec(model), INPUT, every=True)
            if item.path.startswith(prefix) and item.path[len(prefix) :].isdigit()
        ]
        chains.append(f"{source}: {'→'.join(map(str, steps))}")
    return "; ".join(chains)


def map_section() -> Section:
    """Tables 1 and 3: channels of the branches, and every feature map."""
    small, large = (_maps(model) for model in WIDTHS)
    wide = {item.path + str(item.branch): item.channels for item in large}
    return Section(
        "maps",
        "Tables 1 and 3: feature maps",
        (
            "Table 1 shows the channels of branches and of the down-sampling maps between them, "
            "table 3 all feature maps. Both are read off the plan at 256×192; sizes do not depend "
            "on the base width.",
        ),
        (
            Table(
                "table1", "Table 1: channels of the branches",
                (
                    Column("branch", "branch"), Column("channels_32", "channels, GADNet32"),
                    Column("channels_48", "channels, GADNet48"), Column("size", "size"),
                    Column("blocks", "GaBlocks a module"),
                    Column("down_32", "from branch: after each GdBlock, GADNet32"),
                    Column("down_48", "from branch: after each GdBlock, GADNet48"),
                ),
                branch_rows(),
            ),
            Table(
                "table3", "Table 3: sizes of all feature maps",
                (
                    Column("stage", "stage"), Column("module", "module"),
                    Column("branch", "branch"), Column("part", "part"),
                    Column("path", "module path"),
                    Column("kind", "kind"), Column("channels_32", "channels, GADNet32"),
                    Column("channels_48", "channels, GADNet48"), Column("height", "height"),
                    Column("width", "width"),
                ),
                tuple(
                    (
                        item.stage, item.module, item.branch, item.part, item.path, item.kind,
                        item.channels, wide[item.path + str(item.branch)], item.height, item.width,
                    )
                    for item in small
                ),
                folded=True,
            ),
        ),
        commands=("gadprof shapes gadnet32",),
    )  # fmt: skip


def system_section() -> Section:
    """Table 4: published figures of every compared system beside exact counts."""
    reference = exact(REFERENCE)
    rows = []
    for item in PUBLISHED:
        name = built_in(item)
        cost = exact(name) if name else None
        rows.append(
            (
                item.system, item.params_m, item.gflops, item.ap, item.ap50, item.source, name,
                cost.params if cost else None, cost.macs if cost else None,
                cost.macs / GIBI if cost else None,
                cost.params / reference.params if cost else None,
                cost.macs / reference.macs if cost else None,
            )
        )  # fmt: skip
    absent = missing()
    words = [
        "Published figures are their sources' own, in their sources' units (most print MACs / "
        "2^30 as GFLOPs); the cells of GADNet's table 4 could not be read. Accuracies are as "
        "published and not tested here. Counts are exact, at 256×192; by which convention a "
        "published figure was counted is not judged on this page ('gadprof reconcile' looks).",
    ]
    if absent:
        words.append(f"Not built in, so not counted: {'; '.join(absent)}.")
    return Section(
        "systems",
        "Table 4: the compared systems",
        tuple(words),
        (
            Table(
                "table4", "Published beside counted",
                (
                    Column("system", "system", rank=0),
                    Column("published_params_m", "published params, M", rank=0),
                    Column("published_gflops", "published GFLOPs", rank=0),
                    Column("ap", "AP", rank=2), Column("ap50", "AP50", rank=3),
                    Column("source", "published by", rank=3),
                    Column("model", "built in as", rank=2),
                    Column("params", "exact params", "count", rank=0),
                    Column("macs", "exact MACs", "count", rank=0),
                    Column("macs_gibi", "MACs / 2^30", "ratio"),
                    Column("params_to_hrnet32", "params to HRNet32", "change", digits=2),
                    Column("macs_to_hrnet32", "MACs to HRNet32", "change", digits=2),
                ),
                tuple(rows),
            ),
        ),
    )  # fmt: skip


def ablation_section() -> Section:
    """Table 5: the four networks of the ablation, counted."""
    reference, ours = exact(REFERENCE), exact(DEFAULT)
    rows = tuple(
        (
            name, block, cost.params, cost.params / reference.params,
            cost.macs, cost.macs / reference.macs,
            cost.params / ours.params, cost.macs / ours.macs,
            cost.peak_activation_bytes,
        )
        for name, block in ABLATION.items()
        for cost in (exact(name),)
    )  # fmt: skip
    return Section(
        "ablation",
        "Table 5: the ablation",
        (
            "What replaces HRNet32's BasicBlock, at 256×192. The mAP column of the paper's table "
            "is not tested here; 'gadprof ablate --data DIR' trains and evaluates all four.",
        ),
        (
            Table(
                "table5", "Four networks, exact",
                (
                    Column("model", "model"), Column("block", "BasicBlock becomes"),
                    Column("params", "parameters", "count"),
                    Column("params_to_hrnet32", "to HRNet32", "change", digits=2),
                    Column("macs", "MACs", "count"),
                    Column("macs_to_hrnet32", "to HRNet32 (MACs)", "change", digits=2),
                    Column("params_ratio", "× GADNet32's parameters", "ratio"),
                    Column("macs_ratio", "× GADNet32's MACs", "ratio"),
                    Column("peak_activation_bytes", "peak activations", "bytes"),
                ),
                rows,
            ),
        ),
        commands=("gadprof ablate",),
    )  # fmt: skip
