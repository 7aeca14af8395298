"""Costs runs of designs as columns of int64: a grid in fixed chunks, or chosen designs in blocks.

Promises the scalar cost, exactly, within memory that does not grow with the space: a chunk holds
at most about ``CHUNK`` designs, and so do the part tables that it is combined from. Where a chunk
ends depends on the space alone, so that a sweep can be resumed and shared out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from gadprof.errors import CheckFailedError
from gadprof.networks.spec import families
from gadprof.sweep import tables
from gadprof.sweep.front import Ints
from gadprof.sweep.space import ARRAYS, DISCRETE, SKELETON_PLANNER, STRUCTURE, Places, Space

CHUNK = 1 << 18
SAMPLE_CHUNK = 1 << 16
ALONE = 4096  # designs of a chunk where a family has no tables
PEAKS_KEPT = 1 << 24  # peaks of classes of structures that are kept at once


@dataclass(frozen=True)
class Chunk:
    """A run of designs: their numbers, and a column a quantity."""

    designs: Ints
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Radix:
    """How a space's numbers fall apart: outer (discrete), structures, inner (arrays)."""

    outers: int
    structures: int
    inner: int

    @property
    def step(self) -> int:
        """Structures that a chunk holds; where one has more than a chunk, it is cut instead."""
        return max(1, CHUNK // self.inner)


def radix(space: Space) -> Radix:
    """The radix of a space with tables."""
    return Radix(
        prod(len(axis.values) for axis in space.axes if axis.name in DISCRETE),
        prod(len(space.axis(name).values) for name in STRUCTURE),
        prod(len(space.axis(name).values) for name in ARRAYS),
    )


def is_tabulated(space: Space) -> bool:
    """Whether a family is costed by tables; others are costed one design at a time."""
    return families()[space.family].planner == SKELETON_PLANNER


def plain_columns(space: Space, designs: Sequence[int], wanted: Sequence[str]) -> dict[str, Ints]:
    """The scalar cost of designs, one by one."""
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import plan_of

    rows = []
    for design in designs:
        spec, shape = space.spec_at(int(design))
        cost = cost_of(plan_of(spec), shape)
        rows.append([getattr(cost, name) for name in wanted])
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(wanted))
    return {name: table[:, index] for index, name in enumerate(wanted)}


def chunk_ends(space: Space, start: int = 0) -> Iterator[int]:
    """Where each chunk of a grid ends, from design ``start`` (a chunk's first) on."""
    if not is_tabulated(space):
        for first in range(start, space.size, ALONE):
            yield min(first + ALONE, space.size)
        return
    parts = radix(space)
    whole = parts.structures * parts.inner
    for outer in range(start // whole, parts.outers):
        base = outer * whole
        if parts.inner > CHUNK:
            first_row, cut = divmod(max(start - base, 0), parts.inner)
            for row in range(first_row, parts.structures):
                for spot in range(cut if row == first_row else 0, parts.inner, CHUNK):
                    yield base + row * parts.inner + min(spot + CHUNK, parts.inner)
            continue
        begin = max(start - base, 0) // parts.inner
        for first in range(begin, parts.structures, parts.step):
            yield base + min(first + parts.step, parts.structures) * parts.inner


def grid_chunks(space: Space, wanted: Sequence[str], start: int) -> Iterator[Chunk]:
    """Every design from number ``start`` (a chunk's first) on, in order, in fixed chunks."""
    tabulated = is_tabulated(space)
    known: dict[Any, Ints] = {}
    kept = -1
    for end in chunk_ends(space, start):
        designs = np.arange(start, end, dtype=np.int64)
        if not tabulated:
            yield Chunk(designs, plain_columns(space, designs.tolist(), wanted))
        else:
            parts = radix(space)
            whole = parts.structures * parts.inner
            outer = start // whole
            if parts.inner > CHUNK or outer != kept:
                known, kept = {}, outer
            yield Chunk(designs, _grid_columns(space, wanted, start, end, known))
        start = end


def _grid_columns(
    space: Space, wanted: Sequence[str], start: int, end: int, known: dict[Any, Ints]
) -> dict[str, Any]:
    """A chunk's columns; ``known`` are the peaks of classes met before under the same level."""
    parts = radix(space)
    row, spot = divmod(start, parts.inner)
    outer, first = divmod(row, parts.structures)
    last = min(spot + (end - start), parts.inner)
    rows = np.arange(first, first + max(1, (end - start) // parts.inner), dtype=np.int64)
    linear = tuple(name for name in wanted if name in tables.LINEAR)
    level = _level(space, outer, linear, spot, last)
    axes = [space.axis(name) for name in STRUCTURE]
    times = tables.occurrences(_structure_columns(axes, rows))
    made: dict[str, Any] = {
        name: tables.combine(times, level.parts[name]).reshape(-1) for name in linear
    }
    if "peak_activation_bytes" in wanted:
        found = []
        for structure in rows.tolist():
            key = tables.peak_class(_structure_at(axes, structure))
            if key not in known:
                if len(known) * (last - spot) >= PEAKS_KEPT:
                    known.clear()
                known[key] = tables.peaks(space, level.discrete, level.arrays, key)
            found.append(known[key])
        made["peak_activation_bytes"] = np.concatenate(found)
    return made


@lru_cache(maxsize=1)  # consecutive chunks share a level
def _level(
    space: Space, outer: int, linear: tuple[str, ...], first: int, last: int
) -> tables.Level:
    arrays = _array_columns(space, np.arange(first, last, dtype=np.int64))
    return tables.tabulate(space, discrete_at(space, outer), arrays, linear)


def discrete_at(space: Space, outer: int) -> dict[str, Any]:
    """The discrete knobs of a combination by number."""
    found: dict[str, Any] = {}
    for axis in reversed([axis for axis in space.axes if axis.name in DISCRETE]):
        outer, position = divmod(outer, len(axis.values))
        found[axis.name] = axis.values[position]
    return found


def _structure_at(axes: Sequence[Any], row: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for axis in reversed(axes):
        row, position = divmod(row, len(axis.values))
        values[axis.name] = axis.values[position]
    return values


def _structure_columns(axes: Sequence[Any], rows: Ints) -> dict[str, Ints]:
    """The structure knobs of structures by number, decoded as arrays."""
    columns: dict[str, Ints] = {}
    rest = rows
    for axis in reversed(axes):
        rest, position = np.divmod(rest, len(axis.values))
        if axis.name in ("modules", "blocks"):
            letter, shift = ("m", 2) if axis.name == "modules" else ("b", 1)
            for place, column in enumerate(place_columns(axis.values, position)):
                columns[f"{letter}{place + shift}"] = column
        else:
            columns[axis.name] = np.array([int(v) for v in axis.values], np.int64)[position]
    return columns


def place_columns(values: Sequence[tuple[int, ...]], position: Ints) -> list[Ints]:
    """The places of tuples by number, an array a place."""
    if not isinstance(values, Places):
        table = np.array(values, dtype=np.int64)
        return [table[position, place] for place in range(table.shape[1])]
    found = []
    for place in reversed(values.places):
        position, spot = np.divmod(position, len(place))
        found.append(np.array(place, dtype=np.int64)[spot])
    return found[::-1]


def _array_columns(space: Space, places: Ints) -> dict[str, Ints]:
    columns: dict[str, Ints] = {}
    rest = places
    for name in reversed(ARRAYS):
        values = np.array(space.axis(name).values, dtype=np.int64)
        rest, position = np.divmod(rest, len(values))
        columns[name] = values[position]
    return columns


def chosen_chunks(space: Space, wanted: Sequence[str], designs: Ints) -> Iterator[Chunk]:
    """Chosen designs, in ascending order of their numbers, in blocks of ``SAMPLE_CHUNK``."""
    tabulated = is_tabulated(space)
    size = SAMPLE_CHUNK if tabulated else ALONE
    for first in range(0, len(designs), size):
        block = designs[first : first + size]
        if tabulated:
            yield Chunk(block, _chosen_columns(space, wanted, block))
        else:
            yield Chunk(block, plain_columns(space, block.tolist(), wanted))


def _chosen_columns(space: Space, wanted: Sequence[str], designs: Ints) -> dict[str, Any]:
    parts = radix(space)
    axes = [space.axis(name) for name in STRUCTURE]
    linear = [name for name in wanted if name in tables.LINEAR]
    made: dict[str, Any] = {name: np.empty(len(designs), np.int64) for name in wanted}
    rows, places = np.divmod(designs, parts.inner)
    outers, structures = np.divmod(rows, parts.structures)
    for outer in np.unique(outers).tolist():
        some = np.flatnonzero(outers == outer)
        discrete = discrete_at(space, outer)
        arrays = _array_columns(space, places[some])
        if parts.inner <= min(CHUNK, 8 * len(some)):  # look up rather than fold each anew
            whole = _level(space, outer, tuple(linear), 0, parts.inner).parts
            found = {name: table[:, places[some]] for name, table in whole.items()}
        else:
            found = dict(tables.tabulate(space, discrete, arrays, linear).parts)
        times = tables.occurrences(_structure_columns(axes, structures[some]))
        for name in linear:
            made[name][some] = tables.combine_pairs(times, found[name])
        if "peak_activation_bytes" in wanted:
            made["peak_activation_bytes"][some] = _chosen_peaks(
                space, discrete, arrays, axes, structures[some]
            )
    return made


def _chosen_peaks(
    space: Space, discrete: Mapping[str, Any], arrays: Mapping[str, Ints], axes: Any, rows: Ints
) -> Ints:
    """The peaks of designs, folded together where their structures are of one class."""
    classes: dict[Any, list[int]] = {}
    for index, row in enumerate(rows.tolist()):
        classes.setdefault(tables.peak_class(_structure_at(axes, row)), []).append(index)
    found = np.empty(len(rows), np.int64)
    for key, members in classes.items():
        some = {name: values[members] for name, values in arrays.items()}
        found[members] = tables.peaks(space, discrete, some, key)
    return found


def check_chunk(space: Space, chunk: Chunk, wanted: Sequence[str], offsets: Sequence[int]) -> int:
    """Cost some designs of a chunk one by one and compare. Raises CheckFailedError."""
    if not offsets:
        return 0
    designs = [int(chunk.designs[offset]) for offset in offsets]
    alone = plain_columns(space, designs, wanted)
    for row, offset in enumerate(offsets):
        for name in wanted:
            if int(chunk.columns[name][offset]) != int(alone[name][row]):
                raise CheckFailedError(
                    f"design {designs[row]} ({space.spec_at(designs[row])[0].name}): {name} is "
                    f"{int(chunk.columns[name][offset]):,} by table and {int(alone[name][row]):,} "
                    "alone; please report this"
                )
    return len(designs)
