"""A front with a device's predicted latency among its quantities.

Latency is predicted from a design's operations, one design after another, so that the costs are
swept first and only what passes the filters is predicted. Promises the exact front of what was
predicted. Refuses more designs than ``LARGEST``, and a front of latency alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gadprof.errors import SpecError
from gadprof.sweep import run
from gadprof.sweep.front import empty_front, merge
from gadprof.sweep.run import Limits, Objective, SweepResult
from gadprof.sweep.space import Space

LATENCY = "latency"
_COLUMN = "predicted_latency_s"
LARGEST = 20_000
_BATCH_OF_PREDICTIONS = 16


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
    return ",".join(costs), Objective(_COLUMN)


def passing_designs(
    space: Space, limits: Limits, *, sample: int | None, seed: int
) -> tuple[Any, int, int]:
    """The numbers of the designs that pass, how many were costed, and how many of them checked.

    Raises SpecError where more than ``LARGEST`` pass.
    """
    limits.check()
    total = run.total_designs(space, sample)
    wanted = run.wanted_quantities((), limits, every=True)
    if sample is not None:
        chunks = run.sample_chunks(space, wanted, run.choose_sample(space, sample, seed))
    else:
        chunks = run.grid_chunks(space, wanted, 0)
    found: list[Any] = []
    passed = checked = 0
    for chunk in chunks:
        checked += run.check_chunk(space, chunk, wanted, [0, len(chunk.designs) // 2])
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
    limits: Limits,
    *,
    device: str,
    batch: int,
    sample: int | None,
    seed: int,
    on_progress: Callable[[run.Progress], None] | None = None,
) -> SweepResult:
    """Cost a space, predict the latency (s, of the whole ``batch``) of what passes, keep the front.

    A design whose latency is refused is on no front. Raises SpecError, UnknownNameError.
    """
    from gadprof.prediction.api import predict_models

    started = time.perf_counter()
    objectives = (*costs, Objective(_COLUMN))
    designs, costed, checked = passing_designs(space, limits, sample=sample, seed=seed)
    front = empty_front(len(objectives))
    seconds: dict[int, float] = {}
    for first in range(0, len(designs), _BATCH_OF_PREDICTIONS):
        some = designs[first : first + _BATCH_OF_PREDICTIONS].tolist()
        specs = [space.spec_at(design) for design in some]
        predicted = predict_models(
            [(spec.name, tuple(shape)) for spec, shape in specs], device, batch
        )
        table = run.plain_columns(space, some, [item.quantity for item in costs])
        points, kept = [], []
        for index, (design, value) in enumerate(zip(some, predicted, strict=True)):
            if value is None:
                continue
            seconds[design] = value
            row = [
                float(table[item.quantity][index]) * (-1 if item.maximise else 1) for item in costs
            ]
            points.append([*row, value])
            kept.append(design)
        if kept:
            front = merge(front, np.array(points), np.array(kept, dtype=np.int64))
        if on_progress is not None:
            done = first + len(some)
            elapsed = time.perf_counter() - started
            on_progress(run.Progress(done, len(designs), len(seconds), front.size, elapsed))
    rows = tuple(
        {**row, _COLUMN: seconds[row["design"]]} for row in run.front_rows(space, front, costs)
    )
    result = SweepResult(
        space, objectives, limits, costed, len(designs), checked, rows,
        time.perf_counter() - started, sampled=sample,
    )  # fmt: skip
    return dataclasses.replace(result, predicted=len(seconds))
