"""Runs a sweep in chunks: cost, filter, front; resumable, with bounded memory.

Promises: the same space, filters and front give the same result whatever the number of
interruptions; a seeded sample of the designs is costed again one by one and must agree exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gadprof.errors import SpecError, UnknownNameError, nearest
from gadprof.sweep.chunks import (
    Chunk,
    check_chunk,
    chosen_chunks,
    grid_chunks,
    is_tabulated,
    plain_columns,
)
from gadprof.sweep.front import Front, empty_front, merge, survivors
from gadprof.sweep.sampling import check_sample, sampled
from gadprof.sweep.space import Space
from gadprof.sweep.tables import QUANTITIES

LARGEST_GRID = 10**10
CHECKED = 32
FIRST = 1024  # designs that a front begins with


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
class Filters:
    """Filters: quantity -> the largest (smallest) value that passes."""

    largest: Mapping[str, float] = field(default_factory=dict)
    smallest: Mapping[str, float] = field(default_factory=dict)

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
    costed again one by one and agreed; ``predicted`` have a latency, where it was asked for;
    ``resumed`` of the designs were costed by earlier runs, before ``elapsed_s`` began."""

    space: Space
    objectives: tuple[Objective, ...]
    limits: Filters
    designs: int
    passed: int
    checked: int
    front: tuple[dict[str, Any], ...]
    elapsed_s: float
    sampled: int | None = None
    predicted: int | None = None
    resumed: int = 0

    @property
    def rate(self) -> float:
        """Designs a second of this run."""
        return (self.designs - self.resumed) / self.elapsed_s if self.elapsed_s > 0 else 0.0


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


def keep_mask(columns: Mapping[str, Any], limits: Filters) -> Any:
    """Which designs pass the filters, or None when there are none."""
    mask = None
    for name, high in limits.largest.items():
        passing = columns[name] <= high
        mask = passing if mask is None else mask & passing
    for name, low in limits.smallest.items():
        passing = columns[name] >= low
        mask = passing if mask is None else mask & passing
    return mask


def total_designs(space: Space, sample: int | None) -> int:
    """How many designs a sweep costs. Raises SpecError when a grid is too large to enumerate."""
    if sample is not None:
        check_sample(space)
        return min(sample, space.size)
    if space.size > LARGEST_GRID:
        raise SpecError(
            f"the space has {space.size:,} designs, too many for a grid; "
            "type --sample 1000000 to draw some at random"
        )
    return space.size


def chunks_of(
    space: Space, wanted: Sequence[str], *, sample: int | None, seed: int, start: int = 0
) -> Iterator[Chunk]:
    """The chunks of a grid or of a sample from a position (a chunk's first) on."""
    if sample is None:
        yield from grid_chunks(space, wanted, start)
        return
    for numbers in sampled(space, sample, seed, start):
        yield from chosen_chunks(space, wanted, numbers)


def checked_positions(total: int, seed: int) -> tuple[int, ...]:
    """Which of ``total`` designs are costed again one by one."""
    drawn = np.random.default_rng(seed).integers(0, total, size=CHECKED)
    return tuple(sorted(set(drawn.tolist())))


def run_sweep(
    space: Space,
    objectives: tuple[Objective, ...],
    limits: Filters | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    store: Any = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Cost every design (or a seeded sample), filter, and keep the exact front.

    ``store`` (gadprof.sweep.parquet.PartStore) keeps the designs that pass and lets a killed sweep
    go on; one that is whole already is not run again. Raises SpecError, CheckFailedError.
    """
    limits = limits or Filters()
    limits.check()
    total = total_designs(space, sample)
    wanted = wanted_quantities(objectives, limits, every=store is not None)
    if store is not None and (known := store.finished()) is not None:
        return SweepResult(
            space, objectives, limits, **known, elapsed_s=0.0, sampled=sample,
            resumed=known["designs"],
        )  # fmt: skip
    positions = checked_positions(total, seed)
    state = store.resume() if store is not None else None
    front = state.front if state else empty_front(len(objectives))
    done, passed = (state.done, state.passed) if state else (0, 0)
    checked = state.checked if state else 0
    started = time.perf_counter()
    resumed = done
    for chunk in chunks_of(space, wanted, sample=sample, seed=seed, start=done):
        count = len(chunk.designs)
        offsets = [spot - done for spot in positions if done <= spot < done + count]
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
    rows = front_rows(space, front)
    result = SweepResult(
        space, objectives, limits, done, passed, checked, rows,
        time.perf_counter() - started, sampled=sample, resumed=resumed,
    )  # fmt: skip
    if store is not None:
        store.finish(result, front)
    return result


def wanted_quantities(
    objectives: Sequence[Objective], limits: Filters, *, every: bool
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
    chosen = np.arange(len(chunk.designs)) if mask is None else np.flatnonzero(mask)
    begun = front.size > 0
    if not begun:  # with some of the chunk, so that the rest need not be sorted
        front = _with(front, chunk, columns, chosen[:: max(1, len(chosen) // FIRST)])
    return _with(front, chunk, columns, survivors(front, columns, chosen, equals=not begun))


def _with(front: Front, chunk: Chunk, columns: list[Any], chosen: Any) -> Front:
    if len(chosen) == 0:
        return front
    points = np.stack([column[chosen] for column in columns], axis=1).astype(np.int64)
    return merge(front, points, chunk.designs[chosen])


def front_rows(space: Space, front: Front) -> tuple[dict[str, Any], ...]:
    """The front as plain rows: model string, input, and every quantity.

    Few are costed one by one; of many, the tables give the costs and ``CHECKED`` are costed again.
    Raises CheckFailedError.
    """
    designs = front.designs
    if is_tabulated(space) and len(designs) > CHECKED:
        order = np.argsort(designs)
        columns = {name: np.empty(len(designs), np.int64) for name in QUANTITIES}
        done = 0
        for chunk in chosen_chunks(space, QUANTITIES, designs[order]):
            count = len(chunk.designs)
            step = -(-len(designs) // CHECKED)
            check_chunk(space, chunk, QUANTITIES, range(0, count, step))
            for name in QUANTITIES:
                columns[name][order[done : done + count]] = chunk.columns[name]
            done += count
    else:
        columns = plain_columns(space, designs.tolist(), QUANTITIES)
    rows = []
    for index, design in enumerate(designs.tolist()):
        spec, shape = space.spec_at(design)
        rows.append(
            {
                "design": design,
                "model": spec.name,
                "input": "x".join(map(str, shape)),
                **{name: int(columns[name][index]) for name in QUANTITIES},
            }
        )
    return tuple(rows)
