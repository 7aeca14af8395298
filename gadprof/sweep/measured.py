"""A search by measured time: build some designs, measure them, learn, and choose the next ones.

Candidates come from the exact sweep; what a runtime makes of them is measured against one reference
that every round measures too, and learned by a ``surrogate`` that says its own error. Each round
measures the designs that are predicted best, and one drawn at random. The best are measured again
together, more tightly. Promises the same choices for the same seed and the same measurements, so
that a search whose measurements were kept goes on where it stopped. Measures nothing itself:
``measure`` is handed in. Refuses limits that no design meets.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gadprof.errors import DataError, ModelFailedError, SpecError
from gadprof.prediction.surrogate import LEAST, Surrogate, features_of_block, learn
from gadprof.sweep.candidates import Candidate, Wish, candidate, neighbours, passing, spread
from gadprof.sweep.space import Space

ROUND = 5  # designs measured between two lessons
PARENTS = 3  # designs whose neighbours become candidates after a round


@dataclass(frozen=True)
class Goal:
    """What is minimised: the latency of one runtime at one precision."""

    runtime: str
    precision: str = "fp32"

    @property
    def text(self) -> str:
        """As it is typed."""
        return f"latency:{self.runtime}" + (f":{self.precision}" * (self.precision != "fp32"))


@dataclass(frozen=True)
class Timing:
    """A model's measured time over the reference's, with its 95 % interval, and both medians (s).

    ``error`` says in one line why there is none.
    """

    ratio: float | None
    ci95: tuple[float, float] | None = None
    latency_s: float | None = None
    reference_s: float | None = None
    error: str | None = None


# models, what of them is timed, and whether tightly -> a timing for each model that was measured
Measure = Callable[[Sequence[str], Goal, bool], Mapping[str, Timing]]


@dataclass(frozen=True)
class MeasuredDesign:
    """A design that was measured: exact costs, a timing for each goal, and over all goals the
    geometric mean of its ratios (None where one failed). ``predicted`` is that mean as the
    surrogate had it before the measurement."""

    model: str
    params: int
    macs: int
    receptive_field: int
    timings: Mapping[str, Timing]
    ratio: float | None
    predicted: float | None = None


@dataclass(frozen=True)
class MeasuredSearch:
    """What a search by measured time found; ``designs`` by their ratio, the fastest first.

    Of ``costed`` designs ``passed`` met the limits of cost. ``best`` are the timings of the
    reference, of the models beside it and of the best designs, measured again together, by goal and
    model. ``surrogates`` by goal say what the predictions rest on.
    """

    space: Space
    goals: tuple[Goal, ...]
    wish: Wish
    reference: str
    costed: int
    passed: int
    designs: tuple[MeasuredDesign, ...]
    best: Mapping[str, Mapping[str, Timing]]
    surrogates: Mapping[str, Surrogate]
    interrupted: bool = False


@dataclass
class _State:
    """What is known while a search runs."""

    candidates: dict[int, Candidate | None] = field(default_factory=dict)
    timings: dict[str, dict[str, Timing]] = field(default_factory=dict)
    predicted: dict[int, float] = field(default_factory=dict)
    chosen: list[int] = field(default_factory=list)
    surrogates: dict[str, Surrogate] = field(default_factory=dict)


def run_measured(
    space: Space,
    goals: tuple[Goal, ...],
    wish: Wish,
    *,
    reference: str,
    measure: Measure,
    known: Mapping[str, Mapping[str, Timing]] | None = None,
    blocks: Mapping[str, Mapping[str, float]] | None = None,
    beside: Sequence[str] = (),
    count: int = 24,
    again: int = 3,
    seed: int = 0,
    on_step: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> MeasuredSearch:
    """Search a space for the design of the least latency over all goals, ``count`` measured.

    ``known`` are earlier timings by goal and model, which are not measured again; ``blocks`` the
    seconds of blocks by goal and name, for the surrogate to learn from. Raises SpecError where no
    design meets the wish, ModelFailedError where none can be measured.
    """
    on_step("costing designs", 0, count)
    numbers, costed, passed = passing(space, wish.limits, seed=seed)
    state = _State(timings={goal.text: dict((known or {}).get(goal.text, {})) for goal in goals})
    search = _Searching(space, goals, wish, reference, measure, blocks or {}, state)
    able = [number for number in numbers if search.is_able(number)]
    if not able:
        raise SpecError(
            f"{passed:,} designs meet the limits of cost, but none of {len(numbers)} looked at "
            f"sees {wish.receptive_field} pixels; lower --receptive-field"
        )
    draw = random.Random(seed)
    interrupted = False
    best: dict[str, Mapping[str, Timing]] = {}
    try:
        while len(state.chosen) < count:
            some = search.next_designs(able, min(ROUND, count - len(state.chosen)), draw)
            if not some:
                break
            state.chosen += some
            on_step("measuring designs", len(state.chosen) - len(some), count)
            search.measure_round([search.at(number).model for number in some])
            able += search.widened(able)
        search.lesson()
        fastest = [row.model for row in search.rows() if row.ratio is not None][:again]
        if not fastest:
            raise ModelFailedError(f"no design could be measured: {search.first_error()}")
        on_step("measuring the best again", count, count)
        others = [name for name in dict.fromkeys((*beside, *fastest)) if name != reference]
        for goal in goals:
            best[goal.text] = measure((reference, *others), goal, True)
    except KeyboardInterrupt:
        interrupted = True
    return MeasuredSearch(
        space, goals, wish, reference, costed, passed, search.rows(), best, state.surrogates,
        interrupted,
    )  # fmt: skip


@dataclass
class _Searching:
    """The steps of a search over its state."""

    space: Space
    goals: tuple[Goal, ...]
    wish: Wish
    reference: str
    measure: Measure
    blocks: Mapping[str, Mapping[str, float]]
    state: _State

    def is_able(self, number: int) -> bool:
        """Whether a design meets the wish; looked at once."""
        known = self.state.candidates
        if number not in known:
            known[number] = candidate(self.space, number, self.wish)
        return known[number] is not None

    def at(self, number: int) -> Candidate:
        """A candidate that is known to meet the wish."""
        found = self.state.candidates[number]
        assert found is not None
        return found

    def next_designs(self, able: Sequence[int], count: int, draw: random.Random) -> list[int]:
        """Far from each other at first; then those predicted fastest, and one at random."""
        left = [number for number in able if number not in self.state.chosen]
        if not self.state.chosen:
            return spread(self.space, left, min(count, LEAST))
        if not left:
            return []
        self.lesson()
        wild = draw.choice(left)
        if any(goal.text not in self.state.surrogates for goal in self.goals):
            return [wild]
        scores = self.predictions(left)
        self.state.predicted |= scores
        order = sorted((number for number in left if number != wild), key=lambda n: scores[n])
        return [*order[: count - 1], wild]

    def predictions(self, numbers: Sequence[int]) -> dict[int, float]:
        """The geometric mean of the predicted ratios of candidates."""
        features = [self.at(number).features for number in numbers]
        total = [0.0] * len(numbers)
        for goal in self.goals:
            seconds = self.state.surrogates[goal.text].seconds(features)
            usual = self.usual_s(goal)
            total = [
                sum_ + math.log(value / usual)
                for sum_, value in zip(total, seconds.tolist(), strict=True)
            ]
        each = len(self.goals)
        return {n: math.exp(value / each) for n, value in zip(numbers, total, strict=True)}

    def measure_round(self, models: Sequence[str]) -> None:
        """Time what no earlier run has timed, under every goal."""
        for goal in self.goals:
            timings = self.state.timings[goal.text]
            missing = [model for model in models if model not in timings]
            if missing:
                timings.update(self.measure((self.reference, *missing), goal, False))

    def widened(self, able: Sequence[int]) -> list[int]:
        """The neighbours of the fastest designs that meet the wish and are not candidates yet."""
        fastest = [n for _, n in sorted(self.scored())][:PARENTS]
        seen = set(able)
        found = []
        for number in fastest:
            for near in neighbours(self.space, number):
                if near not in seen:
                    seen.add(near)
                    if self.is_able(near):
                        found.append(near)
        return found

    def scored(self) -> list[tuple[float, int]]:
        """Measured designs with the geometric mean of their ratios."""
        pairs = [(self.ratio_of(self.at(number).model), number) for number in self.state.chosen]
        return [(ratio, number) for ratio, number in pairs if ratio is not None]

    def ratio_of(self, model: str) -> float | None:
        """The geometric mean over all goals, or None where a timing is missing."""
        ratios = [
            timing.ratio
            for goal in self.goals
            if (timing := self.state.timings[goal.text].get(model)) and timing.ratio
        ]
        return statistics.geometric_mean(ratios) if len(ratios) == len(self.goals) else None

    def usual_s(self, goal: Goal) -> float:
        """The reference's median seconds over all rounds: what ratios are scaled by."""
        return statistics.median(
            timing.reference_s
            for timing in self.state.timings[goal.text].values()
            if timing.reference_s
        )

    def lesson(self) -> None:
        """Fit a surrogate for each goal to everything that was measured, where it suffices."""
        by_name = {self.at(n).model: self.at(n).features for n in self.state.chosen}
        for goal in self.goals:
            timings = self.state.timings[goal.text]
            ratios = {name: t.ratio for name, t in timings.items() if t.ratio and name in by_name}
            if not ratios:
                continue
            usual = self.usual_s(goal)
            seconds = {name: ratio * usual for name, ratio in ratios.items()}
            features = dict(by_name)
            for name, value in self.blocks.get(goal.text, {}).items():
                made = features_of_block(name)
                if made is not None:
                    seconds[name], features[name] = value, made
            try:
                self.state.surrogates[goal.text] = learn(seconds, features)
            except DataError:
                continue

    def rows(self) -> tuple[MeasuredDesign, ...]:
        """Every measured design, the fastest first and those that failed last."""
        rows = []
        for number in self.state.chosen:
            item = self.at(number)
            timings = {
                goal.text: self.state.timings[goal.text][item.model]
                for goal in self.goals
                if item.model in self.state.timings[goal.text]
            }
            if timings:
                rows.append(
                    MeasuredDesign(
                        item.model,
                        item.params,
                        item.macs,
                        item.receptive_field,
                        timings,
                        self.ratio_of(item.model),
                        self.state.predicted.get(number),
                    )
                )
        return tuple(sorted(rows, key=lambda row: (row.ratio is None, row.ratio or 0.0)))

    def first_error(self) -> str:
        """Why the first design that failed did."""
        errors = [t.error for found in self.state.timings.values() for t in found.values()]
        return next((error for error in errors if error), "nothing was timed")
