"""The reconstruction search: every design of a grid, the text's rows it obeys, its distance.

Promises exact parameters and MACs of each design, from the part tables of ``gadprof.sweep``
(without torch). A design's distance is the larger of its two errors, in percentage points,
against the claimed reductions. The claims decide the ranking, so that a small distance is a fit
and confirms nothing: a grid with many designs holds some that agree by chance, and the counts
below say how many. ``se_bias`` and ``shortcut`` are not varied; they move the parameters by little
and the MACs not at all.

Two Ghost operations a block with attention in each are 2n blocks of one operation, and so no
design of their own; with attention in the second alone they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.networks.cost import cost_of
from gadprof.networks.spec import parse_spec, plan_of
from gadprof.paper.claims import value_of
from gadprof.sweep.front import empty_front, merge
from gadprof.sweep.space import ARRAYS, STRUCTURE, Space, make_space
from gadprof.sweep.tables import combine, level_values, occurrences, structure_columns, tabulate

Ints = NDArray[np.int64]

REFERENCE = "hrnet32"
DEFAULT = "gadnet32"
INPUT = (3, 256, 192)
WITHIN_POINTS = 1.0

# the grid: what the text leaves open, and what it fixes with the value that it does not fix
AXES: Mapping[str, tuple[Any, ...]] = {
    "n": (1, 2, 3, 4, 5, 6, 7, 8),
    "modules": tuple(itertools.product((1, 2, 3, 4), repeat=3)),
    "up": (True, False),
    "s": (2, 3, 4),
    "down": ("gd", "conv"),
    "transition": ("gd", "conv"),
    "operations": (1, 2),
    "k": (1, 3, 5),
    "d": (1, 3, 5, 7),
    "r": (8, 16, 32),
}

# what the networks that GADNet is made of have of their own: HRNet's, GhostNet's
OWN: Mapping[str, Any] = {"modules": (1, 4, 3), "s": 2, "k": 3, "d": 3, "operations": 1}

# rows of the text that hold for every design of the grid, by construction
BY_CONSTRUCTION: Mapping[str, str] = {
    "1": "HRNet's skeleton of base width 32, branch i with 32 · 2^i channels, four branches",
    "2": "a stem of two 3×3 convolutions and three Bottlenecks",
    "4": "GaBlocks a branch (n, n, 2n, 2n)",
    "6": "the GdBlock of figure 7",
    "7": "a chain of GdBlocks of which the last alone changes the channels",
}

# rows of the text that a design of the grid may break
RULES: Mapping[str, str] = {
    "3": "GdBlocks down-sample between branches and between stages (down=gd, transition=gd)",
    "5": "the GaBlock of figure 6, reduction 16 (r=16)",
    "8": "down- and up-sampling fusion (up=yes)",
}


@dataclass(frozen=True)
class Design:
    """One design: its knobs, exact cost, change against HRNet32 in per cent, and distance.

    ``params_error`` and ``macs_error`` are percentage points against the claims, ``distance`` the
    larger of the two sizes; ``broken`` are rows of RULES, ``departures`` knobs that differ from
    OWN. ``model`` is the model string, empty where no knob says it (two operations a block).
    """

    n: int
    modules: tuple[int, int, int]
    s: int
    k: int
    d: int
    r: int
    operations: int
    down: str
    transition: str
    up: bool
    params: int
    macs: int
    params_percent: float
    macs_percent: float
    params_error: float
    macs_error: float
    distance: float
    broken: tuple[str, ...]
    departures: tuple[str, ...]
    model: str


@dataclass(frozen=True)
class Scope:
    """The designs of one reading of the text, ranked.

    ``ranked`` are the nearest, nearest first; ``front`` is the Pareto front of the two errors'
    sizes; ``default_rank`` counts from 1. ``within`` is how many lie within WITHIN_POINTS of both
    claims, and ``share`` that over ``designs``; ``close`` are those designs.
    """

    key: str
    title: str
    designs: int
    within: int
    share: float
    default_rank: int
    ranked: tuple[Design, ...]
    close: tuple[Design, ...]
    front: tuple[Design, ...]


@dataclass(frozen=True)
class Search:
    """The whole search: both scopes, the default, its neighbours in d, and each row let go."""

    grid: int
    obeying: int
    default: Design
    hrnet: Scope
    any_modules: Scope
    kernels: tuple[Design, ...]
    relaxed: tuple[tuple[str, Design], ...]


@dataclass(frozen=True)
class Grid:
    """Every design's cost as arrays over AXES in order, and what follows from them."""

    params: Ints
    macs: Ints
    params_error: NDArray[np.float64]
    macs_error: NDArray[np.float64]
    distance: NDArray[np.float64]
    broken: Mapping[str, NDArray[np.bool_]]
    departures: Ints
    own_modules: NDArray[np.bool_]

    @property
    def obeys(self) -> NDArray[np.bool_]:
        """Which designs break no row."""
        broken: NDArray[np.bool_] = np.any(list(self.broken.values()), axis=0)
        return ~broken


def run_search(nearest: int = 10) -> Search:
    """Enumerate the grid and rank it; ``nearest`` designs a scope are kept."""
    grid = make_grid()
    default_index = index_of(_default_values())
    hrnet = _scope(
        grid, grid.obeys & grid.own_modules, default_index, nearest,
        "hrnet", "HRNet's own modules, 1-4-3",
    )  # fmt: skip
    wide = _scope(
        grid, grid.obeys, default_index, nearest, "any", "one to four modules in each stage"
    )
    base = _default_values()
    kernels = tuple(design_at(grid, index_of({**base, "d": d})) for d in AXES["d"])
    relaxed = []
    for row in RULES:
        others = np.any([flags for name, flags in grid.broken.items() if name != row], axis=0)
        alone = np.flatnonzero(grid.broken[row] & ~others & grid.own_modules)
        # several broken ways lie in one row; the nearest design that keeps all else as HRNet's and
        # GhostNet's own tells what the row costs
        plain = alone[grid.departures[alone] == grid.departures[alone].min()]
        relaxed.append((row, design_at(grid, int(plain[np.argmin(grid.distance[plain])]))))
    return Search(
        grid=len(grid.params),
        obeying=int(grid.obeys.sum()),
        default=design_at(grid, default_index),
        hrnet=hrnet,
        any_modules=wide,
        kernels=kernels,
        relaxed=tuple(relaxed),
    )


def make_grid() -> Grid:
    """The exact cost of every design, in the order of AXES (the last runs fastest)."""
    structures = [
        {
            "joints": 17,
            "bottlenecks": 3,
            "up": up,
            "modules": modules,
            "blocks": (n, n, 2 * n, 2 * n),
        }
        for n, modules, up in itertools.product(AXES["n"], AXES["modules"], AXES["up"])
    ]
    counts = occurrences(structure_columns(structures))
    space = make_space("gadnet", {name: ",".join(map(str, AXES[name])) for name in ("k", "d", "r")})
    arrays = level_values(space)
    fixed = discrete_knobs(space)
    found: dict[str, list[Any]] = {"params": [], "macs": []}
    for s, down, transition in itertools.product(AXES["s"], AXES["down"], AXES["transition"]):
        level = {**fixed, "s": s, "down": down, "transition": transition}
        one = tabulate(space, {**level, "block": "ga"}, arrays, tuple(found)).parts
        ghost = tabulate(space, {**level, "block": "ghost"}, arrays, tuple(found)).parts
        for quantity, rows in found.items():
            # a GhostBlock is two Ghost modules: half of it is the operation without attention
            two = one[quantity].copy()
            two[BLOCK_PARTS] += ghost[quantity][BLOCK_PARTS] // 2
            for table in (one[quantity], two):
                rows.append(np.asarray(combine(counts, table), dtype=np.int64))
    shape = tuple(len(AXES[name]) for name in ("n", "modules", "up"))
    costs = {}
    for quantity, rows in found.items():
        levels = tuple(len(AXES[name]) for name in ("s", "down", "transition", "operations"))
        stacked = np.stack(rows).reshape(*levels, *shape, -1)
        # levels before structures, as they were folded: back to the order of AXES
        costs[quantity] = np.moveaxis(stacked, (4, 5, 6), (0, 1, 2)).reshape(-1)
    reference = _reference()
    errors = {
        "params": 100 * (costs["params"] / reference[0] - 1) + value_of("params"),
        "macs": 100 * (costs["macs"] / reference[1] - 1) + value_of("macs"),
    }
    column = _columns()
    broken = {
        "3": (column["down"] != AXES["down"].index("gd"))
        | (column["transition"] != AXES["transition"].index("gd")),
        "5": column["r"] != AXES["r"].index(16),
        "8": column["up"] != AXES["up"].index(True),
    }
    differs = [column[name] != AXES[name].index(value) for name, value in OWN.items()]
    return Grid(
        params=costs["params"],
        macs=costs["macs"],
        params_error=errors["params"],
        macs_error=errors["macs"],
        distance=np.maximum(np.abs(errors["params"]), np.abs(errors["macs"])),
        broken=broken,
        departures=np.sum(differs, axis=0).astype(np.int64),
        own_modules=column["modules"] == AXES["modules"].index(OWN["modules"]),
    )


def discrete_knobs(space: Space) -> dict[str, Any]:
    """The first value of every axis that a part table is made anew for, the input included."""
    return {
        axis.name: axis.values[0] for axis in space.axes if axis.name not in (*STRUCTURE, *ARRAYS)
    }


BLOCK_PARTS = slice(6, 10)  # block1 … block4 of gadprof.sweep.tables.PART_NAMES


def _columns() -> dict[str, Ints]:
    """The position on each axis of every design."""
    sizes = [len(values) for values in AXES.values()]
    positions = np.unravel_index(np.arange(int(np.prod(sizes))), sizes)
    return dict(zip(AXES, (np.asarray(item, np.int64) for item in positions), strict=True))


def index_of(values: Mapping[str, Any]) -> int:
    """The number of the design with these values of AXES. Raises ValueError off the grid."""
    sizes = [len(axis) for axis in AXES.values()]
    place = tuple(axis.index(values[name]) for name, axis in AXES.items())
    return int(np.ravel_multi_index(place, sizes))


def _default_values() -> dict[str, Any]:
    spec = parse_spec(DEFAULT)
    values = {name: spec.values[name] for name in AXES if name not in ("n", "operations")}
    return {**values, "n": spec.blocks[0], "operations": 1}


def _reference() -> tuple[int, int]:
    cost = cost_of(plan_of(parse_spec(REFERENCE)), INPUT)
    return cost.params, cost.macs


def design_at(grid: Grid, index: int) -> Design:
    """One design of the grid as a record."""
    sizes = [len(axis) for axis in AXES.values()]
    place = np.unravel_index(index, sizes)
    values = {
        name: axis[int(position)]
        for (name, axis), position in zip(AXES.items(), place, strict=True)
    }
    n = values["n"]
    knobs = {name: value for name, value in values.items() if name not in ("n", "operations")}
    spec = parse_spec(DEFAULT).replace(**knobs, blocks=(n, n, 2 * n, 2 * n))
    params_error, macs_error = float(grid.params_error[index]), float(grid.macs_error[index])
    return Design(
        **values,
        params=int(grid.params[index]),
        macs=int(grid.macs[index]),
        params_percent=round(params_error - value_of("params"), 4),
        macs_percent=round(macs_error - value_of("macs"), 4),
        params_error=round(params_error, 4),
        macs_error=round(macs_error, 4),
        distance=round(float(grid.distance[index]), 4),
        broken=tuple(row for row, flags in grid.broken.items() if flags[index]),
        departures=tuple(name for name, own in OWN.items() if values[name] != own),
        model=spec.name if values["operations"] == 1 else "",
    )


def _scope(
    grid: Grid,
    chosen: NDArray[np.bool_],
    default_index: int,
    nearest: int,
    key: str,
    title: str,
) -> Scope:
    numbers = np.flatnonzero(chosen)
    distance = grid.distance[numbers]
    order = numbers[np.lexsort((numbers, grid.departures[numbers], distance))]
    within = int((distance <= WITHIN_POINTS).sum())
    sizes = np.stack([np.abs(grid.params_error), np.abs(grid.macs_error)], axis=1)[numbers]
    # the front takes integers: errors in millionths of a point
    front = merge(empty_front(2), np.rint(sizes * 1e6).astype(np.int64), numbers)
    return Scope(
        key=key,
        title=title,
        designs=len(numbers),
        within=within,
        share=within / len(numbers),
        default_rank=1 + int((distance < grid.distance[default_index]).sum()),
        ranked=tuple(design_at(grid, int(index)) for index in order[:nearest]),
        close=tuple(design_at(grid, int(index)) for index in order[:within]),
        front=tuple(design_at(grid, int(index)) for index in front.designs),
    )
