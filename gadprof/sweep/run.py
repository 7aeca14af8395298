"""Runs a sweep in chunks: cost, filter, front; resumable, with bounded memory.

Promises: the same space, filters and front give the same result whatever the number of
interruptions; a seeded sample of the designs is costed again one by one and must agree exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from gadprof.errors import CheckFailedError, SpecError, UnknownNameError, nearest
from gadprof.spec import families
from gadprof.sweep import tables
from gadprof.sweep.front import Front, Ints, candidates, empty_front, merge
from gadprof.sweep.space import ARRAYS, DISCRETE, STRUCTURE, Places, Space
from gadprof.sweep.tables import QUANTITIES

CHUNK = 1 << 18
SAMPLE_CHUNK = 1 << 16
LARGEST_GRID = 10**10
CHECKED = 32


@dataclass(frozen=True)
class Objective:
    """A quantity of the front, minimised unless ``maximise``."""

    quantity: str
    maximise: bool = False

    @property
    def text(self) -> str:
        """As it is typed: ``macs`` or ``params:max``."""
        return self.quantity + (":max" if self.maximise else "")


@dataclass(frozen=True)
class Limits:
    """Filters: quantity -> the largest (smallest) value that passes."""

    largest: Mapping[str, int] = field(default_factory=dict)
    smallest: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse filters that contradict each other. Raises SpecError."""
        for name, low in self.smallest.items():
            high = self.largest.get(name)
            if high is not None and low > high:
                raise SpecError(
                    f"no design has {name} of at least {low:,} and at most {high:,}; "
                    "change --min or --max"
                )


@dataclass(frozen=True)
class Chunk:
    """A run of designs: their numbers, and a column a quantity."""

    designs: Ints
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    done: int
    total: int
    passed: int
    front: int
    elapsed_s: float

    @property
    def rate(self) -> float:
        """Designs a second."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found; ``designs`` were costed, ``passed`` met the filters, ``checked`` were
    costed again one by one and agreed; ``predicted`` have a latency, where it was asked for."""

    space: Space
    objectives: tuple[Objective, ...]
    limits: Limits
    designs: int
    passed: int
    checked: int
    front: tuple[dict[str, Any], ...]
    elapsed_s: float
    sampled: int | None = None
    predicted: int | None = None


def read_objectives(text: str, *, least: int = 2) -> tuple[Objective, ...]:
    """Read ``macs,params:max``: two or three different quantities (``least`` of them at least).

    Raises UnknownNameError, SpecError.
    """
    found: list[Objective] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, direction = part.partition(":")
        found.append(Objective(quantity(name), maximise=direction == "max"))
        if direction not in ("", "min", "max"):
            raise SpecError(f"{part!r} is neither {name}:min nor {name}:max")
    if not least <= len(found) <= 3 or len({item.quantity for item in found}) != len(found):
        raise SpecError(f"--front {text!r} is not two or three quantities; type macs,params:max")
    return tuple(found)


SHORT = {"peak": "peak_activation_bytes", "weights": "weight_bytes"}


def quantity(name: str) -> str:
    """The full name of a quantity. Raises UnknownNameError."""
    full = SHORT.get(name, name)
    if full not in QUANTITIES:
        known = (*QUANTITIES, *SHORT)
        raise UnknownNameError(
            f"unknown quantity {name!r}" + (nearest(name, known) or f"; try {', '.join(known)}")
        )
    return full


def is_tabulated(space: Space) -> bool:
    """Whether a family is costed by tables; others are costed one design at a time."""
    return families()[space.family].planner == tables.SKELETON_PLANNER


def plain_columns(space: Space, designs: Sequence[int], wanted: Sequence[str]) -> dict[str, Ints]:
    """The scalar cost of designs, one by one."""
    from gadprof.cost import cost_of
    from gadprof.spec import plan_of

    rows = []
    for design in designs:
        spec, shape = space.spec_at(int(design))
        cost = cost_of(plan_of(spec), shape)
        rows.append([getattr(cost, name) for name in wanted])
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(wanted))
    return {name: table[:, index] for index, name in enumerate(wanted)}


def grid_chunks(space: Space, wanted: Sequence[str], start: int) -> Iterator[Chunk]:
    """Every design from number ``start`` (a chunk's first) on, in order, in fixed chunks."""
    if not is_tabulated(space):
        for first in range(start, space.size, 4096):
            designs = np.arange(first, min(first + 4096, space.size), dtype=np.int64)
            yield Chunk(designs, plain_columns(space, designs.tolist(), wanted))
        return
    arrays = tables.level_values(space)
    inner = len(arrays["width"])
    structure_axes = [space.axis(name) for name in STRUCTURE]
    structures = prod(len(axis.values) for axis in structure_axes)
    step = max(1, CHUNK // inner)
    linear = [name for name in wanted if name in tables.LINEAR]
    names = [axis.name for axis in space.axes if axis.name in DISCRETE]
    for outer, discrete in enumerate(tables.discrete_combinations(space, names)):
        base = outer * structures * inner
        if base + structures * inner <= start:
            continue
        level = tables.tabulate(space, discrete, arrays, linear)
        known: dict[Any, Ints] = {}
        for first in range(0, structures, step):
            count = min(step, structures - first)
            if base + (first + count) * inner <= start:
                continue
            rows = np.arange(first, first + count, dtype=np.int64)
            columns = _structure_columns(structure_axes, rows)
            times = tables.occurrences(columns)
            made: dict[str, Any] = {
                name: tables.combine(times, level.parts[name]).reshape(-1) for name in linear
            }
            if "peak_activation_bytes" in wanted:
                made["peak_activation_bytes"] = _peak_rows(
                    space, discrete, arrays, structure_axes, rows, known
                )
            offset = base + first * inner
            yield Chunk(np.arange(offset, offset + count * inner, dtype=np.int64), made)


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


def _peak_rows(
    space: Space,
    discrete: Mapping[str, Any],
    arrays: Mapping[str, Ints],
    axes: Sequence[Any],
    rows: Ints,
    known: dict[Any, Ints],
) -> Ints:
    found = []
    for row in rows.tolist():
        values: dict[str, Any] = {}
        for axis in reversed(axes):
            row, position = divmod(row, len(axis.values))
            values[axis.name] = axis.values[position]
        key = tables.peak_class(values)
        if key not in known:
            known[key] = tables.peaks(space, discrete, arrays, key)
        found.append(known[key])
    return np.concatenate(found)


def sample_chunks(space: Space, wanted: Sequence[str], designs: Ints) -> Iterator[Chunk]:
    """Chosen designs in order of their numbers."""
    if not is_tabulated(space):
        for first in range(0, len(designs), 4096):
            some = designs[first : first + 4096]
            yield Chunk(some, plain_columns(space, some.tolist(), wanted))
        return
    names = [axis.name for axis in space.axes if axis.name in DISCRETE]
    structure_axes = [space.axis(name) for name in STRUCTURE]
    structures = prod(len(axis.values) for axis in structure_axes)
    inner = prod(len(space.axis(name).values) for name in ARRAYS)
    combinations = tables.discrete_combinations(space, names)
    linear = [name for name in wanted if name in tables.LINEAR]
    for first in range(0, len(designs), SAMPLE_CHUNK):
        block = designs[first : first + SAMPLE_CHUNK]
        outer_of = block // (structures * inner)
        for outer in np.unique(outer_of):
            some = block[outer_of == outer]
            rest = some - outer * structures * inner
            structure, place = np.divmod(rest, inner)
            arrays = _array_columns(space, place)
            level = tables.tabulate(space, combinations[int(outer)], arrays, linear)
            times = tables.occurrences(_structure_columns(structure_axes, structure))
            made = {name: tables.combine_pairs(times, level.parts[name]) for name in linear}
            if "peak_activation_bytes" in wanted:
                made.update(plain_columns(space, some.tolist(), ("peak_activation_bytes",)))
            yield Chunk(some, made)


def _array_columns(space: Space, places: Ints) -> dict[str, Ints]:
    columns: dict[str, Ints] = {}
    rest = places
    for name in reversed(ARRAYS):
        values = np.array(space.axis(name).values, dtype=np.int64)
        rest, position = np.divmod(rest, len(values))
        columns[name] = values[position]
    return columns


def choose_sample(space: Space, count: int, seed: int) -> Ints:
    """``count`` different design numbers drawn from a seed, in order. Raises SpecError."""
    if space.size > 2**62:
        raise SpecError(f"a space of {space.size:,} designs has too many to number; drop a knob")
    count = min(count, space.size)
    generator = np.random.default_rng(seed)
    if count * 2 >= space.size:
        return np.sort(generator.permutation(space.size)[:count]).astype(np.int64)
    found = np.empty(0, np.int64)
    while len(found) < count:
        more = generator.integers(0, space.size, size=count - len(found), dtype=np.int64)
        joined = np.concatenate([found, more])
        _, firsts = np.unique(joined, return_index=True)
        found = joined[np.sort(firsts)]
    return np.sort(found)


def keep_mask(columns: Mapping[str, Any], limits: Limits) -> Any:
    """Which designs pass the filters, or None when there are none."""
    mask = None
    for name, high in limits.largest.items():
        passing = columns[name] <= high
        mask = passing if mask is None else mask & passing
    for name, low in limits.smallest.items():
        passing = columns[name] >= low
        mask = passing if mask is None else mask & passing
    return mask


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


def total_designs(space: Space, sample: int | None) -> int:
    """How many designs a sweep costs. Raises SpecError when a grid is too large to enumerate."""
    if sample is not None:
        return min(sample, space.size)
    if space.size > LARGEST_GRID:
        raise SpecError(
            f"the space has {space.size:,} designs, too many for a grid; "
            "type --sample 1000000 to draw some at random"
        )
    return space.size


def run_sweep(
    space: Space,
    objectives: tuple[Objective, ...],
    limits: Limits | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    store: Any = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Cost every design (or a seeded sample), filter, and keep the exact front.

    ``store`` (gadprof.sweep.parquet.PartStore) keeps the designs that pass and lets a killed sweep
    go on. Raises SpecError, CheckFailedError.
    """
    limits = limits or Limits()
    limits.check()
    total = total_designs(space, sample)
    wanted = wanted_quantities(objectives, limits, every=store is not None)
    numbers = choose_sample(space, sample, seed) if sample is not None else None
    chosen = sorted(set(np.random.default_rng(seed).integers(0, total, size=CHECKED).tolist()))
    state = store.resume() if store is not None else None
    front = state.front if state else empty_front(len(objectives))
    done, passed = (state.done, state.passed) if state else (0, 0)
    checked = state.checked if state else 0
    started = time.perf_counter()
    resumed = done
    if numbers is not None:
        chunks = sample_chunks(space, wanted, numbers[done:])
    else:
        chunks = grid_chunks(space, wanted, done)
    for chunk in chunks:
        count = len(chunk.designs)
        offsets = [spot - done for spot in chosen if done <= spot < done + count]
        checked += check_chunk(space, chunk, wanted, offsets)
        mask = keep_mask(chunk.columns, limits)
        passing = count if mask is None else int(np.count_nonzero(mask))
        front = extend_front(front, chunk, mask, objectives)
        done += count
        passed += passing
        if store is not None:
            store.add(chunk, mask, done=done, passed=passed, checked=checked, front=front)
        if on_progress is not None:
            elapsed = time.perf_counter() - started
            on_progress(Progress(done - resumed, total - resumed, passed, front.size, elapsed))
    rows = front_rows(space, front, objectives)
    result = SweepResult(
        space, objectives, limits, done, passed, checked, rows,
        time.perf_counter() - started, sampled=sample,
    )  # fmt: skip
    if store is not None:
        store.finish(result)
    return result


def wanted_quantities(
    objectives: Sequence[Objective], limits: Limits, *, every: bool
) -> tuple[str, ...]:
    """The quantities that a sweep costs, in a fixed order."""
    names = {item.quantity for item in objectives} | set(limits.largest) | set(limits.smallest)
    if every:
        names |= {"params", "macs"}
    return tuple(name for name in QUANTITIES if name in names)


def extend_front(front: Front, chunk: Chunk, mask: Any, objectives: Sequence[Objective]) -> Front:
    """The front with the designs of a chunk that pass."""
    columns = [
        -chunk.columns[item.quantity] if item.maximise else chunk.columns[item.quantity]
        for item in objectives
    ]
    keep = candidates(front, columns)
    if mask is not None:
        keep &= mask
    chosen = np.flatnonzero(keep)
    if len(chosen) == 0:
        return front
    points = np.stack([column[chosen] for column in columns], axis=1).astype(np.int64)
    return merge(front, points, chunk.designs[chosen])


def front_rows(
    space: Space, front: Front, objectives: Sequence[Objective]
) -> tuple[dict[str, Any], ...]:
    """The front as plain rows: model string, input, and every quantity, costed one by one."""
    from gadprof.cost import cost_of
    from gadprof.spec import plan_of

    rows = []
    for design in front.designs.tolist():
        spec, shape = space.spec_at(design)
        cost = cost_of(plan_of(spec), shape)
        rows.append(
            {
                "design": design,
                "model": spec.name,
                "input": "x".join(map(str, shape)),
                **{name: getattr(cost, name) for name in QUANTITIES},
            }
        )
    return tuple(rows)
