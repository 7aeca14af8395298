"""Every feature map of a network: channels and size, by stage and branch, from its plan."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gadprof.networks.cost import Row, breakdown
from gadprof.networks.spec import ModelSpec, plan_of
from gadprof.results.table import Column, Table


@dataclass(frozen=True)
class FeatureMap:
    """One map, (channels, height, width) without the batch, and the module that makes it.

    ``stage`` is the part of the network, ``branch`` counts from 1 (None where there is one path),
    ``part`` says what the module does there: block, exchange, transition, …
    """

    stage: str
    module: int | None
    branch: int | None
    part: str
    path: str
    kind: str
    channels: int
    height: int
    width: int


def feature_maps(
    spec: ModelSpec, input_shape: tuple[int, ...], *, every: bool = False
) -> tuple[FeatureMap, ...]:
    """The maps at the ends of stages, branches and exchanges; ``every`` gives each module's.

    Raises InputShapeError.
    """
    spec.check_input(input_shape)
    rows = breakdown(plan_of(spec), input_shape)
    chosen = [row for row in in_order(rows) if row.path and (every or is_landmark(row.path))]
    return tuple(item for row in chosen for item in _maps(row))


def maps_table(
    maps: tuple[FeatureMap, ...], key: str = "maps", title: str = "", *, folded: bool = False
) -> Table:
    """A row a map."""
    columns = (
        Column("stage", "stage", rank=1),
        Column("module", "module", "count", rank=3),
        Column("branch", "branch", "count", rank=1),
        Column("part", "part", rank=2),
        Column("path", "path", rank=0),
        Column("kind", "kind", rank=3),
        Column("channels", "channels", "count", rank=0),
        Column("height", "height", "count", rank=0),
        Column("width", "width", "count", rank=0),
    )
    rows = tuple(
        (m.stage, m.module, m.branch, m.part, m.path, m.kind, m.channels, m.height, m.width)
        for m in maps
    )
    return Table(key, title, columns, rows, folded=folded)


def in_order(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Rows in the order in which their maps appear: what a module holds before the module."""
    done: list[Row] = []
    open_rows: list[Row] = []
    for row in rows:
        while open_rows and open_rows[-1].depth >= row.depth:
            done.append(open_rows.pop())
        open_rows.append(row)
    return (*done, *reversed(open_rows))


_LANDMARKS = (
    r"conv\d|layer\d|final_layer|head",
    r"transition\d\.\d+",
    r"stage\d\.\d+\.branches\.\d+",
    r"stage\d\.\d+",
    r"[a-z_]+\d*",
)


def is_landmark(path: str) -> bool:
    """Whether a module path is one that the paper's tables list."""
    return any(re.fullmatch(pattern, path) for pattern in _LANDMARKS[:-1]) or (
        re.fullmatch(_LANDMARKS[-1], path) is not None
        and not re.fullmatch(r"(bn\d|relu|stage\d|transition\d)", path)
    )


def stage_of(path: str) -> str:
    """The stage that a module path belongs to; what comes before the first is the stem."""
    head = path.split(".", 1)[0]
    if head in ("conv1", "bn1", "conv2", "bn2", "relu", "maxpool"):
        return "stem"
    if head == "final_layer":
        return "head"
    return re.sub(r"^layer(\d)$", r"stage\1", head)


def _maps(row: Row) -> list[FeatureMap]:
    module = re.match(r"stage\d\.(\d+)", row.path)
    branch = re.search(r"(?:branches|fuse_layers|transition\d)\.(\d+)", row.path)
    made = []
    for index, shape in enumerate(row.outputs):
        if len(shape) != 3:
            continue
        several = len(row.outputs) > 1
        made.append(
            FeatureMap(
                stage=stage_of(row.path),
                module=int(module.group(1)) + 1 if module else None,
                branch=int(branch.group(1)) + 1 if branch else index + 1 if several else None,
                part=_part(row.path),
                path=row.path,
                kind=row.kind,
                channels=shape[0],
                height=shape[1],
                width=shape[2],
            )
        )
    return made


def _part(path: str) -> str:
    if "branches" in path:
        return "branch"
    if "fuse_layers" in path:
        return "fusion"
    if path.startswith("transition"):
        return "transition"
    if re.fullmatch(r"stage\d\.\d+", path):
        return "exchange"
    return "layer"
