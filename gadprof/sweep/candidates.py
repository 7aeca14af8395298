"""The designs of a space that a search by measured time may choose from.

Promises designs that meet every limit of cost exactly, as the sweep counts them, and the least
receptive field, as the trace of their plan says; a space with more of them than ``POOL`` is drawn
from with a seed. Refuses a space in which no design meets the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadprof.errors import SpecError
from gadprof.sweep import chunks, run
from gadprof.sweep.run import Filters
from gadprof.sweep.space import Places, Space

POOL = 200


@dataclass(frozen=True)
class Candidate:
    """A design: its number and model string, exact costs, receptive field (pixels), features."""

    number: int
    model: str
    params: int
    macs: int
    receptive_field: int
    features: Any


@dataclass(frozen=True)
class Wish:
    """What a design must have: limits of cost, and the least receptive field in pixels."""

    limits: Filters
    receptive_field: int = 1


def passing(
    space: Space,
    limits: Filters,
    *,
    seed: int,
    pool: int = POOL,
    on_done: Callable[[int, int], None] | None = None,
) -> tuple[list[int], int, int]:
    """Numbers of designs within the limits, at most ``pool`` of them drawn at random; how many
    were costed, and how many pass. Raises SpecError where none does."""
    limits.check()
    total = run.total_designs(space, None)
    wanted = run.wanted_quantities((), limits, every=True)
    draw = np.random.default_rng(seed)
    kept, keys = np.empty(0, np.int64), np.empty(0)
    passed = done = 0
    for chunk in run.chunks_of(space, wanted, sample=None, seed=seed):
        mask = run.keep_mask(chunk.columns, limits)
        some = chunk.designs if mask is None else chunk.designs[np.flatnonzero(mask)]
        passed += len(some)
        done += len(chunk.designs)
        kept, keys = np.concatenate([kept, some]), np.concatenate([keys, draw.random(len(some))])
        if len(kept) > pool:
            least = np.argpartition(keys, pool)[:pool]
            kept, keys = kept[least], keys[least]
        if on_done is not None:
            on_done(done, total)
    if not passed:
        raise SpecError(
            f"none of {total:,} designs meets the limits; loosen --max or --min, or give knobs "
            "more values"
        )
    return np.sort(kept).tolist(), total, passed


def candidate(space: Space, number: int, wish: Wish) -> Candidate | None:
    """One design with its features, or None where it does not meet the wish."""
    from gadprof.networks.plan_trace import count_plan
    from gadprof.networks.receptive import receptive_field
    from gadprof.prediction.surrogate import features_of_design

    wanted = run.wanted_quantities((), wish.limits, every=True)
    columns = chunks.plain_columns(space, [number], wanted)
    mask = run.keep_mask(columns, wish.limits)
    if mask is not None and not bool(np.all(mask)):
        return None
    spec, shape = space.spec_at(number)
    trace = count_plan(spec, shape)
    if trace is None:
        return None
    field = min(receptive_field(trace))
    if field < wish.receptive_field:
        return None
    costs = (int(columns["params"][0]), int(columns["macs"][0]))
    return Candidate(number, spec.name, *costs, field, features_of_design(trace.forward))


def places_of(space: Space, number: int) -> tuple[int, ...]:
    """A design's place on every axis, one for each place of a tuple of integers."""
    found: list[int] = []
    for axis in reversed(space.axes):
        number, position = divmod(number, len(axis.values))
        if isinstance(axis.values, Places):
            for place in reversed(axis.values.places):
                position, at = divmod(position, len(place))
                found.append(at)
        else:
            found.append(position)
    return tuple(reversed(found))


def lengths_of(space: Space) -> tuple[int, ...]:
    """How many values each place has, in the order of ``places_of``."""
    found: list[int] = []
    for axis in space.axes:
        values = axis.values
        found += map(len, values.places) if isinstance(values, Places) else [len(values)]
    return tuple(found)


def neighbours(space: Space, number: int) -> Iterator[int]:
    """The designs that differ by one step in one place."""
    places, lengths = places_of(space, number), lengths_of(space)
    for index, (place, length) in enumerate(zip(places, lengths, strict=True)):
        for step in (-1, 1):
            if 0 <= place + step < length:
                moved = (*places[:index], place + step, *places[index + 1 :])
                made = 0
                for at, size in zip(moved, lengths, strict=True):
                    made = made * size + at
                yield made


def spread(space: Space, numbers: Sequence[int], count: int) -> list[int]:
    """``count`` designs that lie far from each other, the first of ``numbers`` among them."""
    from gadprof.prediction.informative import far_apart

    lengths = np.array(lengths_of(space), dtype=float)
    at = np.array([places_of(space, number) for number in numbers]) / np.maximum(lengths - 1, 1)
    return [numbers[index] for index in far_apart(at, count)]
