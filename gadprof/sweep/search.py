"""Multi-objective search of a design space with Optuna's NSGA-II, seeded, beside the exact front.

Promises the same designs for the same seed. Where the space is small enough to enumerate, the
exact front is computed too and the share of its hypervolume that the search reached is stated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadprof.errors import MissingExtraError, SpecError
from gadprof.sweep.front import empty_front, merge
from gadprof.sweep.run import Filters, Objective, SweepResult, front_rows, run_sweep
from gadprof.sweep.space import Places, Space
from gadprof.sweep.tables import QUANTITIES

ENUMERABLE = 2_000_000


@dataclass(frozen=True)
class SearchResult:
    """The front that a search found after ``trials`` designs (``distinct`` different ones).

    ``exact`` is the front of the whole space where it was enumerated, and ``reached`` the search's
    share of its hypervolume (1 is all of it); both None otherwise.
    """

    space: Space
    objectives: tuple[Objective, ...]
    limits: Filters
    trials: int
    distinct: int
    seed: int
    front: tuple[dict[str, Any], ...]
    exact: tuple[dict[str, Any], ...] | None
    reached: float | None
    elapsed_s: float


def run_search(
    space: Space,
    objectives: tuple[Objective, ...],
    limits: Filters | None = None,
    *,
    trials: int = 2000,
    population: int = 64,
    seed: int = 0,
    on_trial: Callable[[int], None] | None = None,
) -> SearchResult:
    """Search a space for the front of two or three quantities under limits.

    Raises MissingExtraError without Optuna, SpecError when no design tried meets the limits.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep", "'gadprof search'") from error
    limits = limits or Filters()
    limits.check()
    started = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seen: dict[int, dict[str, int]] = {}

    def objective(trial: Any) -> tuple[float, ...]:
        design = _suggest(trial, space)
        if design not in seen:
            seen[design] = _costs(space, design)
        costs = seen[design]
        for name, violation in _violations(costs, limits).items():
            if hasattr(trial, "set_constraint"):
                trial.set_constraint(name, violation)
        trial.set_user_attr("constraints", list(_violations(costs, limits).values()))
        return tuple(
            float(-costs[item.quantity] if item.maximise else costs[item.quantity])
            for item in objectives
        )

    options: dict[str, Any] = {"population_size": population, "seed": seed}
    if not hasattr(optuna.trial.Trial, "set_constraint"):  # before Optuna 5
        options["constraints_func"] = lambda trial: trial.user_attrs["constraints"]
    sampler = optuna.samplers.NSGAIISampler(**options)
    study = optuna.create_study(directions=["minimize"] * len(objectives), sampler=sampler)
    callbacks = [] if on_trial is None else [lambda _study, trial: on_trial(trial.number + 1)]
    study.optimize(objective, n_trials=trials, callbacks=callbacks)
    rows = _front(space, objectives, limits, seen)
    exact = reached = None
    if space.size <= ENUMERABLE:
        whole: SweepResult = run_sweep(space, objectives, limits)
        exact = whole.front
        reached = hypervolume_share(rows, exact, objectives)
    return SearchResult(
        space, objectives, limits, trials, len(seen), seed, rows, exact, reached,
        time.perf_counter() - started,
    )  # fmt: skip


def _suggest(trial: Any, space: Space) -> int:
    """A design number from one suggestion an axis (one a place for tuples)."""
    design = 0
    for axis in space.axes:
        if isinstance(axis.values, Places):
            position = 0
            for place, values in enumerate(axis.values.places):
                spot = trial.suggest_int(f"{axis.name}_{place}", 0, len(values) - 1)
                position = position * len(values) + spot
        elif len(axis.values) > 1:
            position = trial.suggest_int(axis.name, 0, len(axis.values) - 1)
        else:
            position = 0
        design = design * len(axis.values) + position
    return design


def _costs(space: Space, design: int) -> dict[str, int]:
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import plan_of

    spec, shape = space.spec_at(design)
    cost = cost_of(plan_of(spec), shape)
    return {name: int(getattr(cost, name)) for name in QUANTITIES}


def _violations(costs: dict[str, int], limits: Filters) -> dict[str, float]:
    """How far each limit is exceeded, relative to it; at most 0 when it holds."""
    over = {f"max {name}": costs[name] / high - 1.0 for name, high in limits.largest.items()}
    under = {
        f"min {name}": 1.0 - costs[name] / max(low, 1) for name, low in limits.smallest.items()
    }
    return over | under


def _front(
    space: Space,
    objectives: Sequence[Objective],
    limits: Filters,
    seen: dict[int, dict[str, int]],
) -> tuple[dict[str, Any], ...]:
    good = sorted(
        design
        for design, costs in seen.items()
        if all(value <= 0 for value in _violations(costs, limits).values())
    )
    if not good:
        raise SpecError(
            "no design that the search tried meets the limits; loosen --max or --min, or type "
            "more --trials"
        )
    points = np.array(
        [
            [(-1 if item.maximise else 1) * seen[design][item.quantity] for item in objectives]
            for design in good
        ],
        dtype=np.int64,
    )
    front = merge(empty_front(len(objectives)), points, np.array(good, dtype=np.int64))
    return front_rows(space, front)


def hypervolume_share(
    found: Sequence[dict[str, Any]],
    exact: Sequence[dict[str, Any]],
    objectives: Sequence[Objective],
) -> float:
    """The hypervolume of one front over that of another, both scaled to the exact front's box."""
    ours, theirs = _points(found, objectives), _points(exact, objectives)
    low, high = theirs.min(axis=0), np.maximum(theirs.max(axis=0), ours.max(axis=0))
    span = np.where(high > low, high - low, 1.0)
    whole = _hypervolume((theirs - low) / span)
    return _hypervolume((ours - low) / span) / whole if whole else 1.0


def _points(rows: Sequence[dict[str, Any]], objectives: Sequence[Objective]) -> Any:
    return np.array(
        [[(-1.0 if o.maximise else 1.0) * row[o.quantity] for o in objectives] for row in rows]
    )


REFERENCE = 1.1  # the corner that hypervolumes are measured from, in units of the box


def _hypervolume(points: Any) -> float:
    """The volume that points dominate below the reference corner, in two or three dimensions."""
    inside = points[np.all(points < REFERENCE, axis=1)]
    if points.shape[1] == 2:
        return _area(inside)
    total, best = 0.0, inside[np.argsort(inside[:, 2], kind="stable")]
    levels = [*best[:, 2].tolist(), REFERENCE]
    for index in range(len(best)):
        height = levels[index + 1] - levels[index]
        if height > 0:
            total += height * _area(best[: index + 1, :2])
    return total


def _area(points: Any) -> float:
    total, lowest = 0.0, REFERENCE
    for x, y in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if y < lowest:
            total += (REFERENCE - x) * (lowest - y)
            lowest = y
    return total
