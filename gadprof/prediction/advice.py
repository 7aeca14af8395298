"""Which changes of a built-in network's knobs save most time for the parameters that they take.

Promises that no change is named that was not measured. A few changes that differ much are measured
beside the network, interleaved; from them a ``surrogate`` learns what the runtime takes for what,
and predicts every step of every knob; the most promising are measured too, and of those that are
faster beyond their interval the best are given. A change that takes no parameter away counts as
taking one. The output keeps its size. Stages have the time that the surrogate shares out, scaled to
what was measured. Refuses a model without knobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gadprof.errors import SourceError, SpecError
from gadprof.networks.spec import Knob, ModelSpec, families, format_value

if TYPE_CHECKING:
    from gadprof.measuring.result import BenchResult, BenchRow
    from gadprof.measuring.settings import Setting
    from gadprof.prediction.surrogate import Surrogate

ADVISED, MEASURED, FIRST = 3, 6, 5
LEAST_SAVED = 0.02  # of the time, predicted: less could not be told from noise
EACH_KNOB = 2  # changes of one knob that are measured at most
FIXED = ("joints",)  # what the output is of
WIDE = 16  # channels from which a width changes by whole eights


@dataclass(frozen=True)
class Change:
    """One knob at another value: exact costs, its time over the network's with the 95 % interval.

    ``saved_s`` is of one forward pass; ``saved_per_parameter_s`` divides it by the parameters that
    go, at least one. ``predicted_ratio`` is what put it on the list, None where it was measured to
    learn from.
    """

    model: str
    knob: str
    before: str
    after: str
    params: int
    macs: int
    params_removed: int
    predicted_ratio: float | None = None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    saved_s: float | None = None
    saved_per_parameter_s: float | None = None
    error: str | None = None

    @property
    def is_faster(self) -> bool:
        """Whether it is faster beyond its interval."""
        return self.ci95 is not None and self.ci95[1] < 1


@dataclass(frozen=True)
class StageTime:
    """A stage's predicted share of the measured time, its exact parameters and MACs."""

    stage: str
    seconds: float
    share: float
    params: int
    macs: int


@dataclass(frozen=True)
class Advice:
    """What was measured of a network and its neighbours; ``changes`` the best first.

    ``considered`` steps of knobs were predicted, with the median relative ``error`` of measured
    designs that were left out; ``rejected`` were measured and are not faster, or failed, or save
    less than those given.
    """

    model: str
    setting: Setting
    latency_s: float
    ci95: tuple[float, float] | None
    params: int
    macs: int
    stages: tuple[StageTime, ...]
    changes: tuple[Change, ...]
    rejected: tuple[Change, ...]
    considered: int
    error: float | None
    interrupted: bool = False

    @property
    def words(self) -> str:
        """The answer in a sentence."""
        if not self.changes:
            return (
                f"None of {len(self.rejected)} measured changes of {self.model}'s knobs is faster "
                "beyond its interval."
            )
        first = self.changes[0]
        assert first.ratio is not None
        return (
            f"{first.knob}={first.after} saves most time for what it takes: "
            f"{100 * (1 - first.ratio):.0f} % of {self.model}'s time for "
            f"{max(first.params_removed, 0):,} parameters fewer."
        )


def advise(
    model: str,
    setting: Setting,
    *,
    precision: float,
    time_limit_s: float,
    timeout_s: float,
    folder: Path,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
    on_measured: Callable[[BenchResult], None] | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Advice:
    """Predict every step of every knob, measure the best, and say which to take.

    ``folder`` takes exported files. Raises SourceError for a model without knobs, SettingError,
    ModelFailedError where the network itself cannot be measured.
    """
    from gadprof.errors import ModelFailedError
    from gadprof.measuring.designs import Run, check_runnable, measure_designs

    check_runnable(setting)
    spec = spec_of(model)
    shape = setting.input_shapes[0] if setting.input_shapes else spec.default_input
    spec.check_input(shape)
    on_step("looking at changes")
    own = _designed(spec, shape)
    assert own is not None
    changes = _changes(spec, own, shape)
    designs = {change.model: design for change, design in changes}
    by_model = {change.model: change for change, _ in changes}

    def measured(models: Sequence[str], precision: float, share: float) -> BenchResult:
        run = Run(
            (spec.name, *models), setting, precision, share * time_limit_s, timeout_s, launches=1
        )
        result = measure_designs(run, folder, on_turn)
        if on_measured is not None:
            on_measured(result)
        if result.rows[0].latency_s is None:
            if result.interrupted:
                raise KeyboardInterrupt
            raise ModelFailedError(f"{model}: {result.rows[0].error or 'it was not measured'}")
        return result

    first = differing([spec.name, *designs], {spec.name: own, **designs}, FIRST)
    on_step(f"measuring {len(first)} changes to learn from")
    lesson = measured(first, 2 * precision, 0.4)
    rows = {row.model: row for row in lesson.rows}
    latency_s, ci95 = _latency(lesson)
    surrogate = _surrogate(rows, {spec.name: own, **designs}, latency_s)
    interrupted = lesson.interrupted
    if surrogate is not None:
        by_model = _predicted(by_model, surrogate, own, designs)
        chosen = [c.model for c in shortlist(list(by_model.values())) if c.model not in rows]
        if chosen and not interrupted:
            on_step(f"measuring {len(chosen)} changes")
            result = measured(chosen, precision, 0.6)
            rows |= {row.model: row for row in result.rows}
            latency_s, ci95 = _latency(result)
            interrupted = result.interrupted
    timed = [
        _timed(by_model[name], row, latency_s) for name, row in rows.items() if name in by_model
    ]
    faster = sorted(
        (change for change in timed if change.is_faster),
        key=lambda change: -(change.saved_per_parameter_s or 0.0),
    )
    best = tuple(faster[:ADVISED])
    return Advice(
        model, setting, latency_s, ci95, own.params, own.macs,
        () if surrogate is None else _stages(own, surrogate, latency_s), best,
        tuple(change for change in timed if change not in best), len(changes),
        None if surrogate is None else surrogate.median_error, interrupted,
    )  # fmt: skip


def spec_of(model: str) -> ModelSpec:
    """The spec of a built-in network. Raises SourceError for anything else."""
    from gadprof.models.sources import resolve

    spec = resolve(model).spec
    if spec is None:
        raise SourceError(
            f"--advise changes the knobs of a built-in network, and {model} has none; name one "
            "that 'gadprof models' lists"
        )
    return spec


def steps_of(spec: ModelSpec) -> Iterator[tuple[str, ModelSpec]]:
    """Every design with one knob a step away, under the knob's name."""
    for knob in families()[spec.family].knobs:
        if knob.name in FIXED:
            continue
        value = spec.values[knob.name]
        for other in dict.fromkeys(values_near(knob, value)):
            if other == value:
                continue
            try:
                yield knob.name, spec.replace(**{knob.name: other})
            except SpecError:
                continue  # a combination that the family refuses


def values_near(knob: Knob, value: Any) -> list[Any]:
    """The values one step from a knob's, also such as its family refuses."""
    match knob.kind:
        case "int" | "count":
            least = 0 if knob.kind == "count" else 1
            by = 8 if value >= WIDE else 1
            near = [value - by, value + by, value - 2 * by, value // 2, 2 * value]
            return [number for number in near if number >= least]
        case "ints":
            return [
                (*value[:place], number, *value[place + 1 :])
                for place in range(len(value))
                for number in (value[place] - 1, value[place] // 2)
                if number >= 1
            ]
        case "choice":
            return list(knob.choices)
        case "words":
            return [
                (*value[:place], word, *value[place + 1 :])
                for place in range(len(value))
                for word in knob.choices
            ]
        case "flag":
            return [not value]
    raise TypeError(f"no steps for knob kind {knob.kind}")


def shortlist(changes: Sequence[Change]) -> list[Change]:
    """The most promising changes by prediction, few of one knob."""

    def saved(change: Change) -> float:
        return 1 - (change.predicted_ratio or 1.0)

    promising = [change for change in changes if saved(change) >= LEAST_SAVED]
    promising.sort(key=lambda change: -saved(change) / max(change.params_removed, 1))
    taken: list[Change] = []
    for change in promising:
        if sum(other.knob == change.knob for other in taken) < EACH_KNOB:
            taken.append(change)
    return taken[:MEASURED]


@dataclass(frozen=True)
class _Design:
    """A design's exact costs and output shapes, its operations, and what a surrogate sees of it."""

    params: int
    macs: int
    output: tuple[tuple[int, ...], ...]
    trace: Any
    features: Any


def _designed(spec: ModelSpec, shape: tuple[int, ...]) -> _Design | None:
    """A design at an input, or None where its plan does not tell."""
    from gadprof.networks.plan_trace import count_plan
    from gadprof.prediction.surrogate import features_of_design

    trace = count_plan(spec, shape)
    if trace is None:
        return None
    features = features_of_design(trace.forward)
    return _Design(trace.params, trace.macs, trace.output_shapes, trace, features)


def _changes(spec: ModelSpec, own: _Design, shape: tuple[int, ...]) -> list[tuple[Change, _Design]]:
    """Every step of a knob whose output is of the network's own size."""
    found = []
    for knob, changed in steps_of(spec):
        design = _designed(changed, shape)
        if design is None or design.output != own.output:
            continue
        before, after = (format_value(item.values[knob]) for item in (spec, changed))
        removed = own.params - design.params
        change = Change(changed.name, knob, before, after, design.params, design.macs, removed)
        found.append((change, design))
    return found


def differing(names: Sequence[str], designs: Mapping[str, _Design], count: int) -> list[str]:
    """``count`` names beside the first, whose MACs, parameters and operations differ most."""
    import numpy as np

    from gadprof.prediction.informative import far_apart

    sizes = np.log(
        [[d.macs, d.params, d.features.counts.sum()] for d in map(designs.__getitem__, names)]
    )
    return [names[index] for index in far_apart(sizes, 1 + count)[1:]]


def _latency(result: BenchResult) -> tuple[float, tuple[float, float] | None]:
    """The network's own median and its interval."""
    latency = result.rows[0].latency_s
    assert latency is not None
    return latency.median, latency.ci95


def _surrogate(
    rows: Mapping[str, BenchRow], designs: Mapping[str, _Design], latency_s: float
) -> Surrogate | None:
    """What the measured designs teach; None where they are too few."""
    from gadprof.errors import DataError
    from gadprof.prediction.surrogate import learn

    seconds = {name: row.ratio.value * latency_s for name, row in rows.items() if row.ratio}
    try:
        return learn(seconds, {name: designs[name].features for name in seconds})
    except DataError:
        return None


def _predicted(
    changes: Mapping[str, Change],
    surrogate: Surrogate,
    own: _Design,
    designs: Mapping[str, _Design],
) -> dict[str, Change]:
    """The changes with their predicted ratios."""
    names = list(changes)
    seconds = surrogate.seconds([own.features, *(designs[name].features for name in names)])
    return {
        name: replace(changes[name], predicted_ratio=float(value / seconds[0]))
        for name, value in zip(names, seconds[1:], strict=True)
    }


def _stages(own: _Design, surrogate: Surrogate, latency_s: float) -> tuple[StageTime, ...]:
    """The network's top-level parts, longest first, their times scaled to a measured whole."""
    from gadprof.prediction.surrogate import features_of_design

    parts: dict[str, list[Any]] = {}
    for operation in own.trace.forward:
        parts.setdefault(operation.module.partition(".")[0] or "(between)", []).append(operation)
    params: dict[str, int] = {}
    for path, record in own.trace.modules.items():
        top = path.partition(".")[0]
        params[top] = params.get(top, 0) + record.own_params
    features = {name: features_of_design(some) for name, some in parts.items()}
    timed = [name for name, made in features.items() if made.counts.sum()]
    seconds = surrogate.seconds([features[name] for name in timed])
    whole = float(seconds.sum())
    found = [
        StageTime(
            name,
            latency_s * value / whole,
            value / whole,
            params.get(name, 0),
            sum(operation.macs for operation in parts[name]),
        )
        for name, value in zip(timed, seconds.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda stage: -stage.seconds))


def _timed(change: Change, row: BenchRow, latency_s: float) -> Change:
    if row.ratio is None:
        return replace(change, error=row.error or row.ratio_absent or "not measured")
    saved = latency_s * (1 - row.ratio.value)
    return replace(
        change, ratio=row.ratio.value, ci95=row.ratio.ci95, saved_s=saved,
        saved_per_parameter_s=saved / max(change.params_removed, 1),
    )  # fmt: skip
