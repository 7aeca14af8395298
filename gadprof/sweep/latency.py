"""A sweep with a device's predicted latency among its front's quantities or its filters.

Latency is predicted from a design's operations, one design after another, so that the costs are
swept first and only what passes their filters is predicted. Promises the exact front of what was
predicted; a killed sweep with a store goes on. Refuses more designs than ``LARGEST``, a front of
latency alone, and a batch or a family of designs that the device's measurements do not carry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadprof.errors import SpecError
from gadprof.sweep import chunks, run
from gadprof.sweep.front import Front, empty_front, merge
from gadprof.sweep.run import Filters, Objective, SweepResult
from gadprof.sweep.space import Space

LATENCY = "latency"
COLUMN = "predicted_latency_s"
LARGEST = 20_000
PART_DESIGNS = 64  # designs predicted between two writes of a store


@dataclass(frozen=True)
class Timed:
    """What is predicted: a device's latency (s) of a whole ``batch``.

    ``on_front`` makes it a quantity of the front, ``longest_s`` a filter.
    """

    device: str
    batch: int
    on_front: bool = True
    longest_s: float | None = None

    def describe(self) -> dict[str, Any]:
        """As plain values, for the identity of a sweep's file."""
        return {"device": self.device, "batch": self.batch, "largest_s": self.longest_s}


def split_objectives(text: str) -> tuple[str, Objective | None]:
    """The quantities of ``--front`` that are costs, as text, and latency where it is one of them.

    Raises SpecError.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    timed = [part for part in parts if part.partition(":")[0] == LATENCY]
    if not timed:
        return text, None
    if len(timed) > 1 or timed[0] not in (LATENCY, f"{LATENCY}:min"):
        raise SpecError(f"--front {text!r}: latency is minimised, and named once")
    costs = [part for part in parts if part not in timed]
    if not 1 <= len(costs) <= 2:
        raise SpecError(f"--front {text!r} is not two or three quantities; type latency,params:max")
    return ",".join(costs), Objective(COLUMN)


def passing_designs(
    space: Space, limits: Filters, *, sample: int | None, seed: int
) -> tuple[Any, int, int]:
    """The numbers of the designs that pass, how many were costed, and how many of them checked.

    Raises SpecError where more than ``LARGEST`` pass.
    """
    limits.check()
    total = run.total_designs(space, sample)
    wanted = run.wanted_quantities((), limits, every=True)
    found: list[Any] = []
    positions = run.checked_positions(total, seed)
    passed = checked = done = 0
    for chunk in run.chunks_of(space, wanted, sample=sample, seed=seed):
        count = len(chunk.designs)
        offsets = [spot - done for spot in positions if done <= spot < done + count]
        checked += chunks.check_chunk(space, chunk, wanted, offsets)
        done += count
        mask = run.keep_mask(chunk.columns, limits)
        kept = chunk.designs if mask is None else chunk.designs[np.flatnonzero(mask)]
        found.append(kept)
        passed += len(kept)
        if passed > LARGEST:
            raise SpecError(
                f"more than {LARGEST:,} of {total:,} designs pass, and latency is predicted one by "
                "one; tighten --max, or type --sample 2000"
            )
    return np.concatenate([np.empty(0, np.int64), *found]), total, checked


def latency_sweep(
    space: Space,
    costs: tuple[Objective, ...],
    limits: Filters,
    timed: Timed,
    *,
    sample: int | None,
    seed: int,
    store: Any = None,
    on_progress: Callable[[run.Progress], None] | None = None,
) -> SweepResult:
    """Cost a space, predict the latency of what passes, filter by it, and keep the front.

    ``store`` is as in ``run_sweep``. A design whose latency is refused passes no filter and is on
    no front. Raises SpecError, UnknownNameError.
    """
    objectives = (*costs, *([Objective(COLUMN)] if timed.on_front else []))
    shown = limits
    if timed.longest_s is not None:
        shown = Filters({**limits.largest, COLUMN: timed.longest_s}, limits.smallest)
    if store is not None and (known := store.finished()) is not None:
        return SweepResult(
            space, objectives, shown, **known, elapsed_s=0.0, sampled=sample,
            resumed=known["designs"],
        )  # fmt: skip
    started = time.perf_counter()
    designs, costed, checked = passing_designs(space, limits, sample=sample, seed=seed)
    state = store.resume() if store is not None else None
    front: Front = state.front if state else empty_front(len(objectives))
    done, passed = (state.done, state.passed) if state else (0, 0)
    resumed = done
    wanted = run.wanted_quantities(costs, limits, every=True)
    why = ""
    for first in range(done, len(designs), PART_DESIGNS):
        some = designs[first : first + PART_DESIGNS]
        seconds, refused = _predicted(space, some, timed)
        why = why or refused
        columns: dict[str, Any] = chunks.plain_columns(space, some.tolist(), wanted)
        columns[COLUMN] = seconds
        longest = np.inf if timed.longest_s is None else timed.longest_s
        mask = seconds <= longest  # never where the prediction is refused
        front = _extended(front, some, columns, mask, objectives)
        done += len(some)
        passed += int(np.count_nonzero(mask))
        if store is not None:
            chunk = chunks.Chunk(some, columns)
            store.add(chunk, mask, done=done, passed=passed, checked=checked, front=front)
        if on_progress is not None:
            elapsed = time.perf_counter() - started
            on_progress(
                run.Progress(done - resumed, len(designs) - resumed, passed, front.size, elapsed)
            )
    if why and not passed and timed.longest_s is None:
        raise SpecError(f"no design's latency can be predicted: {why}")
    rows = run.front_rows(space, front)
    ours, _ = _predicted(space, front.designs, timed)
    result = SweepResult(
        space, objectives, shown, costed, passed, checked,
        tuple({**row, COLUMN: float(value)} for row, value in zip(rows, ours, strict=True)),
        time.perf_counter() - started, sampled=sample, predicted=len(designs),
    )  # fmt: skip
    if store is not None:
        store.finish(result, front)
    return result


def _predicted(space: Space, designs: Any, timed: Timed) -> tuple[Any, str]:
    """Seconds of each design, NaN where refused, and the first reason of a refusal."""
    from gadprof.prediction.api import predict

    seconds, why = np.full(len(designs), np.nan), ""
    for index, design in enumerate(designs.tolist()):
        spec, shape = space.spec_at(design)
        rows, _ = predict([spec.name], timed.device, batch=timed.batch, shapes=(tuple(shape),))
        latency = rows[0].predicted_latency_s
        if latency is None:
            why = why or rows[0].refused or rows[0].error or ""
        else:
            seconds[index] = float(latency["value"])
    return seconds, why


def _extended(
    front: Front,
    designs: Any,
    columns: Mapping[str, Any],
    mask: Any,
    objectives: tuple[Objective, ...],
) -> Front:
    chosen = np.flatnonzero(mask)
    if len(chosen) == 0:
        return front
    points = np.stack(
        [
            columns[item.quantity][chosen].astype(np.float64) * (-1 if item.maximise else 1)
            for item in objectives
        ],
        axis=1,
    )
    return merge(front, points, designs[chosen])
