"""Exact cost of many skeleton designs at once: part tables times how often each part occurs.

A network of HRNet's skeleton is a sum of parts (a block on a branch, an exchange, a Bottleneck …),
each of which depends on few knobs, times how often it occurs, which depends on the others. The
parts come from folding the very plan that a single design is costed by, with int64 arrays for
width, k, d and r. A matrix product of both gives every combination. Sums that float64 cannot hold
exactly are multiplied as int64, and what int64 cannot hold is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.errors import SpecError
from gadprof.networks import plan as p
from gadprof.networks.cost import Folder, cost_of, elementwise_flops
from gadprof.networks.families.hrnet import (
    BOTTLENECK_EXPANSION,
    HighResolutionModule,
    HighResolutionNet,
)
from gadprof.networks.layers import Counts
from gadprof.networks.spec import ModelSpec, plan_of
from gadprof.sweep.space import ARRAYS, Space

Ints = NDArray[np.int64]

LINEAR = ("params", "macs", "flops", "activations", "weight_bytes")
QUANTITIES = (*LINEAR, "peak_activation_bytes")
FLOAT64_EXACT = 2**53
INT64_SAFE = 2**62

PART_NAMES = (
    "fixed", "bottleneck_first", "bottleneck_more", "transition_wide", "transition_narrow",
    "joint", "block1", "block2", "block3", "block4",
    "exchange2", "up2", "exchange3", "up3", "exchange4", "up4",
)  # fmt: skip


@dataclass(frozen=True)
class Level:
    """The part tables of one combination of discrete knobs: quantity -> (parts, designs)."""

    parts: Mapping[str, Ints]
    arrays: Mapping[str, Ints]
    discrete: Mapping[str, Any]


def level_values(space: Space) -> dict[str, Ints]:
    """The array knobs of every combination, flattened in the space's order."""
    lists = [space.axis(name).values for name in ARRAYS]
    grids = np.meshgrid(*(np.array(values, dtype=np.int64) for values in lists), indexing="ij")
    return {name: grid.reshape(-1) for name, grid in zip(ARRAYS, grids, strict=True)}


def tabulate(
    space: Space,
    discrete: Mapping[str, Any],
    arrays: Mapping[str, Ints],
    quantities: Sequence[str],
) -> Level:
    """Fold the parts of one combination of discrete knobs with arrays of the others.

    Raises SpecError when a count does not fit 64 bits.
    """
    # a single channel leaves no ghost map, which changes the block itself: those are folded alone
    alone = np.flatnonzero(arrays["width"] == 1)
    usual = {**arrays, "width": np.maximum(arrays["width"], 2)}
    parts = _parts(space.family, discrete, usual, quantities)
    corner = _corner(arrays)
    exact = _parts(
        space.family, discrete, {name: int(v[corner]) for name, v in arrays.items()}, quantities
    )
    count = len(next(iter(arrays.values())))
    tables = {}
    for quantity in quantities:
        rows = [np.broadcast_to(np.asarray(row, np.int64), count) for row in parts[quantity]]
        table = np.stack(rows)
        if any(
            value > INT64_SAFE or (arrays["width"][corner] > 1 and int(table[i, corner]) != value)
            for i, value in enumerate(exact[quantity])
        ):
            raise SpecError(
                "the largest design does not fit 64-bit integers; lower the width or the input"
            )
        tables[quantity] = table
    for index in alone:
        single = {name: int(values[index]) for name, values in arrays.items()}
        for quantity, column in _parts(space.family, discrete, single, quantities).items():
            tables[quantity][:, index] = column
    return Level(tables, dict(arrays), dict(discrete))


def _corner(arrays: Mapping[str, Ints]) -> int:
    """The combination with the largest costs: the largest width and kernels, the smallest r."""
    keys = (-arrays["r"], arrays["d"], arrays["k"], arrays["width"])
    return int(np.lexsort(keys)[-1])


def _parts(
    family: str,
    discrete: Mapping[str, Any],
    arrays: Mapping[str, Any],
    quantities: Sequence[str],
) -> dict[str, list[Any]]:
    values = {
        **{name: value for name, value in discrete.items() if name != "input"},
        **arrays,
        "joints": 1,
        "modules": (1, 1, 2),
        "blocks": (1, 1, 1, 1),
        "up": True,
    }
    shape = discrete["input"]

    def planned(bottlenecks: int) -> HighResolutionNet:
        items = tuple({**values, "bottlenecks": bottlenecks}.items())
        net = plan_of(ModelSpec(family, "", items))
        assert isinstance(net, HighResolutionNet)
        return net

    wide, narrow = planned(2), planned(0)
    folder = Folder()
    width = arrays["width"]
    quarter = (shape[1] // 4, shape[2] // 4)
    stage1 = BOTTLENECK_EXPANSION * discrete["stage1"]
    maps = tuple((width * 2**i, quarter[0] // 2**i, quarter[1] // 2**i) for i in range(4))
    relu = p.Activation("relu")

    def fold(node: p.Node, *shapes: tuple[Any, ...]) -> Counts:
        return folder.visit("", node, shapes).counts

    stem = p.Sequence((wide.conv1, wide.bn1, relu, wide.conv2, wide.bn2, relu))
    assert isinstance(wide.layer1, p.Sequence)
    first, more = wide.layer1.items

    def transition1(net: HighResolutionNet, channels: int) -> Counts:
        keep, new = net.transition1.items
        source = (channels, *quarter)
        kept = {
            key: value * np.where(np.asarray(width) == channels, 0, 1)
            if isinstance(width, np.ndarray)
            else value
            for key, value in fold(keep, source).items()
        }
        return _sum(kept, fold(new, source))

    stages = [_modules(stage) for stage in (wide.stage2, wide.stage3, wide.stage4)]
    last = stages[2][1]
    fixed = _sum(
        fold(stem, shape),
        *(
            fold(net.items[-1], maps[i])
            for i, net in ((1, wide.transition2), (2, wide.transition3))
        ),
        fold(_exchange(last, last.rows, 4), *maps),
    )
    exchanges = []
    for module, count in ((stages[0][0], 2), (stages[1][0], 3), (stages[2][0], 4)):
        full = fold(_exchange(module, module.rows, count), *maps[:count])
        down_rows = tuple(row[: i + 1] for i, row in enumerate(module.rows))
        down = fold(_exchange(module, down_rows, count), *maps[:count])
        exchanges += [down, _difference(full, down)]
    blocks = [
        fold(stages[2][0].branches[i].items[0], maps[i])  # type: ignore[attr-defined]
        for i in range(4)
    ]
    counts = [
        fixed,
        fold(first, (64, *quarter)),
        fold(more, (stage1, *quarter)),
        transition1(wide, stage1),
        transition1(narrow, 64),
        fold(wide.final_layer, maps[0]),
        *blocks,
        *exchanges,
    ]
    return {quantity: [_quantity(part, quantity) for part in counts] for quantity in quantities}


def _modules(stage: p.Node) -> tuple[HighResolutionModule, ...]:
    assert isinstance(stage, p.Sequence)
    return tuple(item for item in stage.items if isinstance(item, HighResolutionModule))


def _exchange(
    module: HighResolutionModule, rows: tuple[tuple[p.Node, ...], ...], count: int
) -> HighResolutionModule:
    return HighResolutionModule((p.Identity(),) * count, rows, module.kind)


def _sum(*counts: Counts) -> Counts:
    total: Counts = {}
    for part in counts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total


def _difference(larger: Counts, smaller: Counts) -> Counts:
    return {key: value - smaller.get(key, 0) for key, value in larger.items()}


def _quantity(counts: Counts, quantity: str) -> Any:
    def group(name: str) -> Any:
        return sum(value for key, value in counts.items() if key.startswith(name + "."))

    match quantity:
        case "params":
            return group("params")
        case "weight_bytes":
            return 4 * group("params")
        case "macs":
            return group("macs")
        case "activations":
            return counts.get("activations", 0)
        case "flops":
            return 2 * group("macs") + counts.get("bias_adds", 0) + elementwise_flops(counts)
    raise TypeError(f"no linear rule for {quantity}")


@dataclass(frozen=True)
class Structures:
    """How often each part occurs: (structures, parts), and the knobs of each structure."""

    occurrences: Ints
    knobs: tuple[dict[str, Any], ...] | None
    columns: Mapping[str, Ints]


def occurrences(columns: Mapping[str, Ints]) -> Ints:
    """How often each part occurs, (n, parts), from arrays of the structure knobs.

    ``columns``: joints, bottlenecks, up (0 or 1), m2 … m4 (modules) and b1 … b4 (blocks).
    """
    bottlenecks, up = columns["bottlenecks"], columns["up"]
    m2, m3, m4 = columns["m2"], columns["m3"], columns["m4"]
    some = (bottlenecks > 0).astype(np.int64)
    each = (m2 + m3 + m4, m2 + m3 + m4, m3 + m4, m4)
    rows = [
        np.ones_like(bottlenecks),
        some,
        np.maximum(bottlenecks - 1, 0),
        some,
        1 - some,
        columns["joints"],
        *(columns[f"b{i + 1}"] * each[i] for i in range(4)),
        m2,
        m2 * up,
        m3,
        m3 * up,
        m4 - 1,
        (m4 - 1) * up,
    ]
    return np.stack(rows, axis=1)


def structure_columns(values: Sequence[Mapping[str, Any]]) -> dict[str, Ints]:
    """Structure knobs of several designs as columns for ``occurrences``."""

    def column(read: Any) -> Ints:
        return np.array([read(value) for value in values], dtype=np.int64)

    columns = {
        name: column(lambda v, n=name: int(v[n])) for name in ("joints", "bottlenecks", "up")
    }
    for i in range(3):
        columns[f"m{i + 2}"] = column(lambda v, i=i: v["modules"][i])
    for i in range(4):
        columns[f"b{i + 1}"] = column(lambda v, i=i: v["blocks"][i])
    return columns


def combine(counts: Ints, table: Ints) -> Ints | NDArray[np.float64]:
    """(structures, parts) times (parts, designs): exact, as float64 while that holds every sum.

    Raises SpecError when a sum could leave 64 bits.
    """
    bound = sum(int(a) * int(b) for a, b in zip(counts.max(axis=0), table.max(axis=1), strict=True))
    if bound < FLOAT64_EXACT:
        return counts.astype(np.float64) @ table.astype(np.float64)
    if bound > INT64_SAFE:
        raise SpecError("a design's count does not fit 64-bit integers; lower the width or input")
    return counts @ table


def combine_pairs(counts: Ints, table: Ints) -> Ints:
    """Row by row: (n, parts) with (parts, n). Raises SpecError like ``combine``."""
    bound = sum(int(a) * int(b) for a, b in zip(counts.max(axis=0), table.max(axis=1), strict=True))
    if bound > INT64_SAFE:
        raise SpecError("a design's count does not fit 64-bit integers; lower the width or input")
    pairs: Ints = np.einsum("np,pn->n", counts, table)
    return pairs


# beyond these repeats the peak no longer changes: a second block or module already holds all that
# any later one holds
PEAK_MODULES = (2, 2, 3)
PEAK_BLOCKS = (2, 2, 2, 2)
PEAK_BOTTLENECKS = 3


def peak_class(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a structure the peak depends on."""
    modules = tuple(min(pair) for pair in zip(values["modules"], PEAK_MODULES, strict=True))
    blocks = tuple(min(pair) for pair in zip(values["blocks"], PEAK_BLOCKS, strict=True))
    bottlenecks = min(values["bottlenecks"], PEAK_BOTTLENECKS)
    return modules, blocks, bottlenecks, bool(values["up"]), values["joints"]


def peaks(
    space: Space, discrete: Mapping[str, Any], arrays: Mapping[str, Ints], known: tuple[Any, ...]
) -> Ints:
    """The peak of live activations in bytes for every array combination of one peak class."""
    modules, blocks, bottlenecks, up, joints = known
    count = len(arrays["width"])
    values = {
        **{name: value for name, value in discrete.items() if name != "input"},
        "modules": modules,
        "blocks": blocks,
        "bottlenecks": bottlenecks,
        "up": up,
        "joints": joints,
    }

    def cost(knobs: Mapping[str, Any]) -> Any:
        spec = ModelSpec(space.family, "", tuple({**values, **knobs}.items()))
        return cost_of(plan_of(spec), discrete["input"]).peak_activation_bytes

    usual = {**arrays, "width": np.maximum(arrays["width"], 2)}
    found = np.array(np.broadcast_to(cost(usual), count), dtype=np.int64)
    # a branch as wide as stage 1 needs no convolution, which an array of widths cannot say,
    # and groups of one channel leave nothing to shuffle, so that nothing is copied
    wide = BOTTLENECK_EXPANSION * discrete["stage1"] if bottlenecks else 64
    apart = (wide, 1, 4 * values["groups"])
    special = np.flatnonzero(np.isin(arrays["width"], apart))
    for index in special:
        found[index] = cost({name: int(values[index]) for name, values in arrays.items()})
    return found
