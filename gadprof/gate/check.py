"""Runs the gate: counts every model that has a budget, finds the baseline, judges each rule.

Promises that built-in models are judged without importing torch unless a rule asks for a trace
(kernels, coverage) or a latency. A model string that names nothing is bad use, and a model that
fails while it is counted is an unjudged rule; either costs the other budgets nothing. Latencies are
measured by a function that the caller may replace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gadprof.errors import BaselineError, ConfigError, GadprofError, ModelFailedError, nearest
from gadprof.gate.baseline import Baseline, BaselineRow, find_baseline
from gadprof.gate.budgets import RatioInterval, failed_model, judge, unnamed_model
from gadprof.gate.config import Budget, Config, Waiver
from gadprof.results.verdicts import CheckResult, Verdict

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow
    from gadprof.counting.records import Trace
    from gadprof.store.recording import MeasurementRecorder

Measure = Callable[[Budget], RatioInterval]

_TRACED_RULES = ("max_kernels",)
# operations that rename data and launch nothing
_NOT_LAUNCHED = ("view", "query")


def run_check(
    config: Config,
    models: Sequence[str] = (),
    *,
    baseline: str | None = None,
    store: str | None = None,
    measure: Measure | None = None,
    waive: str | None = None,
    bounds: Mapping[str, Any] | None = None,
) -> tuple[CheckResult, tuple[ComparedRow, ...]]:
    """Judge the budgets (of ``models`` alone where some are named); verdicts and counted rows.

    Without ``measure`` a latency rule is a warning. A broken rule passes where the configuration
    waives it, or all of them for the reason ``waive``; it is told all the same. ``bounds`` are
    ``timeout_s`` and ``memory_limit_bytes`` of a model's process. Raises ConfigError,
    BaselineError, StoreError, or what the model strings raise where none names anything.
    """
    budgets = _chosen(config, models)
    refused = {name: error for name, error in ((b.name, _refused(b)) for b in budgets) if error}
    if len(refused) == len(budgets):
        raise next(iter(refused.values()))
    kept = _baseline(config, budgets, baseline, store)
    verdicts: list[Verdict] = []
    rows = []
    for budget in budgets:
        if budget.name in refused:
            verdicts.append(unnamed_model(budget, str(refused[budget.name])))
            continue
        row, figures, problem = _figures(budget, bounds or {})
        if row is not None:
            rows.append(row)
        if problem is not None:
            verdicts.append(failed_model(budget, problem))
            continue
        before, why = _before(kept, budget, row)
        ratio, silent = _latency(budget, measure)
        verdicts += judge(
            budget,
            figures,
            baseline=before,
            baseline_name=kept.origin if kept else None,
            baseline_problem=why,
            latency=ratio,
            latency_problem=silent,
        )
    verdicts = [_waived(verdict, config.waivers, waive) for verdict in verdicts]
    result = CheckResult(tuple(verdicts), _shown_path(config), kept.origin if kept else None)
    return result, tuple(rows)


def _refused(budget: Budget) -> GadprofError | None:
    """Why a budget's model string, its inputs or its reference name nothing."""
    from gadprof.models.sources import given_inputs, resolve

    try:
        resolve(budget.model)
        given_inputs((budget.model,), budget.input_texts)
        if budget.reference:
            resolve(budget.reference)
    except GadprofError as error:
        return error
    return None


def _waived(verdict: Verdict, waivers: Sequence[Waiver], every: str | None) -> Verdict:
    """A broken rule let pass by name or by one reason for all; what can't be judged is not."""
    if verdict.status != "fail":
        return verdict
    reasons = [
        waiver.reason
        for waiver in waivers
        if waiver.budget == verdict.budget
        and waiver.rule in (verdict.rule, verdict.rule.partition(".")[0])
    ] + [every] * bool(every)
    if not reasons:
        return verdict
    return replace(verdict, status="waived", message=f"{verdict.message}; waived: {reasons[0]}")


def _shown_path(config: Config) -> str | None:
    """The configuration as an annotation names it: relative to the folder of the run."""
    from pathlib import Path

    if config.path is None:
        return None
    try:
        return config.path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(config.path)


def _chosen(config: Config, models: Sequence[str]) -> tuple[Budget, ...]:
    if not config.budgets:
        where = (
            f"{config.path} holds no budgets"
            if config.path
            else "neither gadprof.toml nor pyproject.toml, here or above, holds budgets"
        )
        raise ConfigError(
            f'{where}; write for example [budgets.gadnet32] with max_params = "12M" in gadprof.toml'
        )
    names = [budget.name for budget in config.budgets]
    for model in models:
        if model not in names:
            raise ConfigError(
                f"no budget for {model!r}" + (nearest(model, names) or f"; there are {names}")
            )
    chosen = tuple(b for b in config.budgets if not models or b.name in models)
    for budget in chosen:
        if not budget.rules:
            raise ConfigError(
                f"budgets.{budget.name} has no rule, so that any model keeps it; "
                'add for example max_params = "12M"'
            )
    return chosen


def _baseline(
    config: Config, budgets: Sequence[Budget], named: str | None, store: str | None
) -> Baseline | None:
    text = named or _beside(config)
    if text is None or not any(budget.max_growth for budget in budgets):
        return None
    return find_baseline(text, store=store or config.store, file_at_ref=config.baseline_file)


def _beside(config: Config) -> str | None:
    """The configuration's baseline; a file that lies beside it is found from any folder."""
    text = config.baseline
    if text is None or config.path is None:
        return text
    path = config.path.parent / text.removeprefix("file:")
    return f"file:{path}" if path.is_file() else text


def _before(
    kept: Baseline | None, budget: Budget, row: ComparedRow | None
) -> tuple[BaselineRow | None, str | None]:
    from gadprof.gate.changes import same_settings

    if kept is None or row is None or not budget.max_growth:
        return None, None
    try:
        before = kept.row(budget.model)
    except BaselineError as error:
        return None, str(error)
    problem = same_settings(before, row.input, row.batch)
    return (None, problem) if problem else (before, None)


def _latency(budget: Budget, measure: Measure | None) -> tuple[RatioInterval | None, str | None]:
    if budget.max_latency_ratio is None:
        return None, None
    if measure is None:
        return None, "not measured"
    try:
        return measure(budget), None
    except ModelFailedError as error:
        return None, str(error)


def _figures(
    budget: Budget, bounds: Mapping[str, Any]
) -> tuple[ComparedRow | None, dict[str, Any], str | None]:
    """The row, its exact figures and None; or the failure in one line."""
    from gadprof.comparison.compare import compare_row
    from gadprof.models.sources import given_inputs, resolve
    from gadprof.results.figures import KEYS

    (model,), shapes = given_inputs((budget.model,), budget.input_texts)
    row = replace(
        compare_row(model, shapes=shapes, batch=budget.batch, **bounds), model=budget.model
    )
    if row.error is not None:
        return row, {}, row.error
    figures = {**{name: getattr(row, name) for name in KEYS}, "uncovered": sorted(row.uncovered)}
    if budget.min_coverage is not None or any(rule in budget.limits for rule in _TRACED_RULES):
        from gadprof.models.counting import trace_model

        source = resolve(model)
        if source.kind not in ("onnx", "tflite"):
            try:
                trace = trace_model(source, shapes=shapes, batch=budget.batch, **bounds)
                figures |= traced_figures(trace)
            except GadprofError as error:
                return row, {}, str(error)
    return row, figures, None


def traced_figures(trace: Trace) -> dict[str, Any]:
    """What only a trace tells: launched operations, and the share that has a rule.

    ``kernels`` are forward operations that compute or move data (views launch nothing); coverage
    is the share of arithmetic operations that have a rule, as an exact fraction.
    """
    from gadprof.counting.kinds import MOVEMENT_KINDS

    uncovered = sum(trace.uncovered.values())
    known = sum(operation.kind not in MOVEMENT_KINDS for operation in trace.forward)
    listed = sum(
        f"{operation.name}" in trace.uncovered
        or f"{operation.name}.{operation.overload}" in trace.uncovered
        for operation in trace.forward
        if operation.kind not in MOVEMENT_KINDS
    )
    covered = known - listed
    total = covered + uncovered
    return {
        "kernels": sum(operation.kind not in _NOT_LAUNCHED for operation in trace.forward)
        + max(0, uncovered - listed),
        "coverage": Fraction(covered, total) if total else Fraction(1),
        "uncovered": sorted(trace.uncovered),
    }


def measured_ratio(
    budget: Budget,
    *,
    time_limit_s: float = 60.0,
    threads: int = 1,
    recorder: MeasurementRecorder | None = None,
) -> RatioInterval:
    """The latency ratio of a budget's model to its reference, measured in one run.

    A recorder keeps the samples. Raises ModelFailedError where either could not be measured.
    """
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting
    from gadprof.models.sources import given_inputs

    assert budget.reference is not None
    models, shapes = given_inputs((budget.reference, budget.model), budget.input_texts)
    setting = Setting(batch=budget.batch, threads=threads, input_shapes=shapes)
    result = measure(
        models,
        setting,
        time_limit_s=time_limit_s,
        null=False,
        memory=False,
        energy=False,
        on_turn=recorder.turn if recorder else None,
    )
    if recorder:
        recorder.finish(result)
    row = result.rows[1]
    if row.ratio is None:
        why = row.error or result.rows[0].error or row.ratio_absent or "too few samples"
        raise ModelFailedError(f"latency of {budget.model} to {budget.reference}: {why}")
    low, high = row.ratio.ci95
    return RatioInterval(row.ratio.value, low, high, budget.reference)
