"""The gate: a model's figures against its budget, one verdict a rule.

Promises exact comparison of exact quantities; a latency rule fails only where the whole interval
of the ratio lies beyond the limit, and warns where it does not decide. A rule whose figure is not
known is an error, never a pass; one that rests on a lower bound says so and brings a verdict of its
own, which names the operations that were not counted. Pure: figures come in, verdicts go out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gadprof.gate.baseline import BaselineRow
from gadprof.gate.config import BYTE_RULES, COUNT_RULES, Budget
from gadprof.results.cells import bytes_text
from gadprof.results.figures import FIGURES, SUMMED
from gadprof.results.verdicts import NAMED, Status, Verdict

WORDS = {
    **{figure.key: figure.title for figure in FIGURES},
    "kernels": "launched operations",
    "peak_activation_bytes": "peak activation memory",
    "weight_bytes": "weight size",
}


@dataclass(frozen=True)
class RatioInterval:
    """A latency ratio to a reference measured in the same run, with its confidence interval."""

    estimate: float
    low: float
    high: float
    reference: str


def judge(
    budget: Budget,
    figures: Mapping[str, Any],
    *,
    baseline: BaselineRow | None = None,
    baseline_name: str | None = None,
    baseline_problem: str | None = None,
    latency: RatioInterval | None = None,
    latency_problem: str | None = None,
) -> tuple[Verdict, ...]:
    """Every rule of a budget judged; ``figures`` holds exact integers and ``coverage``.

    ``uncovered`` in it names the operations that were not counted.

    A ``*_problem`` says why a baseline or a latency is not there.
    """
    verdicts: list[Verdict] = []
    for rule, limit in budget.limits.items():
        figure = COUNT_RULES.get(rule) or BYTE_RULES[rule]
        verdicts.append(_at_most(budget, rule, figure, figures, limit))
    if budget.min_coverage is not None:
        verdicts.append(_coverage(budget, figures))
    for figure, share in budget.max_growth.items():
        if baseline is None:
            problem = baseline_problem or "no baseline; name one with --baseline or in the file"
            verdicts.append(_verdict(budget, "max_growth", "error", problem))
            break
        verdicts.append(_growth(budget, figure, share, figures, baseline, baseline_name or ""))
    if budget.max_latency_ratio is not None:
        verdicts.append(_latency(budget, budget.max_latency_ratio, latency, latency_problem))
    return (*verdicts, *_uncounted(budget, figures))


def _uncounted(budget: Budget, figures: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The verdict on what no rule counted, where some limit rests on a total that lacks it."""
    judged = {COUNT_RULES.get(rule) or BYTE_RULES[rule] for rule in budget.limits}
    resting = [figure for figure in SUMMED if figure in judged | set(budget.max_growth)]
    names = sorted(figures.get("uncovered") or ())
    if not names or not resting:
        return ()
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    words = ", ".join(WORDS[figure] for figure in resting)
    message = f"{words}: at least, for no rule counts {shown}"
    message += "; add a rule" + ', or write uncounted = "warn"' * (budget.uncounted == "fail")
    return (_verdict(budget, "uncounted", budget.uncounted, message),)


def _least(figure: str, figures: Mapping[str, Any]) -> str:
    """The words before a total from which something is missing."""
    return "at least " if figure in SUMMED and figures.get("uncovered") else ""


def failed_model(budget: Budget, problem: str) -> Verdict:
    """The verdict for a model that could not be counted at all."""
    return _verdict(budget, "count", "error", f"{budget.model} could not be counted: {problem}")


def unnamed_model(budget: Budget, problem: str) -> Verdict:
    """The verdict for a model string, of the model or its reference, that names nothing."""
    return _verdict(budget, NAMED, "error", problem)


def amount_text(figure: str, value: int) -> str:
    """An exact figure in words: grouped digits, and the scaled size where it is bytes."""
    if figure.endswith("_bytes"):
        return f"{value:,} B ({bytes_text(value)})"
    return f"{value:,}"


def _verdict(
    budget: Budget,
    rule: str,
    status: Status,
    message: str,
    limit: float | int | None = None,
    actual: float | int | None = None,
) -> Verdict:
    return Verdict(budget.name, budget.model, rule, status, message, limit, actual)


def _at_most(
    budget: Budget, rule: str, figure: str, figures: Mapping[str, Any], limit: int
) -> Verdict:
    word, actual = WORDS[figure], figures.get(figure)
    if actual is None:
        return _verdict(budget, rule, "error", f"{word} are not known for this model", limit)
    least = _least(figure, figures)
    shown, allowed = least + amount_text(figure, actual), amount_text(figure, limit)
    if actual > limit:
        over = f"{actual - limit:,} over ({_percent(Fraction(actual - limit, max(limit, 1)))})"
        message = f"{shown} {word}, limit {allowed}: {over}"
        return _verdict(budget, rule, "fail", message, limit, actual)
    room = f"{'at most ' * bool(least)}{_percent(Fraction(limit - actual, max(limit, 1)))} to spare"
    return _verdict(budget, rule, "pass", f"{shown} {word}, limit {allowed}: {room}", limit, actual)


def _coverage(budget: Budget, figures: Mapping[str, Any]) -> Verdict:
    least, actual = budget.min_coverage, figures.get("coverage")
    assert least is not None
    if actual is None:
        message = "coverage is not known for this model"
        return _verdict(budget, "min_coverage", "error", message, float(least))
    status: Status = "pass" if actual >= least else "fail"
    message = f"{_percent(Fraction(actual))} of the operations have a rule, at least "
    message += _percent(least)
    if status == "fail" and figures.get("uncovered"):
        message += "; none for " + ", ".join(sorted(figures["uncovered"])[:8])
    return _verdict(budget, "min_coverage", status, message, float(least), float(actual))


def _growth(
    budget: Budget,
    figure: str,
    share: Fraction,
    figures: Mapping[str, Any],
    baseline: BaselineRow,
    origin: str,
) -> Verdict:
    before, now = baseline.figures.get(figure), figures.get(figure)
    rule = f"max_growth.{figure}"
    if before is None or now is None:
        where = f"in baseline {origin}" if before is None else "for this model"
        return _verdict(budget, rule, "error", f"{WORDS[figure]} are not known {where}")
    limit = before * (1 + share)
    status: Status = "fail" if now > limit else "pass"
    change = _change(before, now)
    least = "at least " if baseline.at_least and figure in SUMMED else ""
    message = f"{WORDS[figure]} {change} on {origin} ({least}{before:,} to "
    message += f"{_least(figure, figures)}{now:,}), allowed +{_percent(share)}"
    return _verdict(budget, rule, status, message, float(limit), now)


def _change(before: int, now: int) -> str:
    if before == now:
        return "unchanged"
    if before == 0:
        return f"+{now:,}"
    change = Fraction(now - before, before)
    return ("−" if change < 0 else "+") + _percent(abs(change))


def _latency(
    budget: Budget, limit: Fraction, ratio: RatioInterval | None, problem: str | None
) -> Verdict:
    rule = "max_latency_ratio"
    if ratio is None:
        status: Status = "warn" if problem == "not measured" else "error"
        return _verdict(budget, rule, status, problem or "not measured", float(limit))
    shown = f"{ratio.estimate:.3f} × {ratio.reference} [{ratio.low:.3f}, {ratio.high:.3f}]"
    if ratio.low > float(limit):
        status, word = "fail", "the whole interval is beyond"
    elif ratio.high <= float(limit):
        status, word = "pass", "the whole interval is within"
    else:
        status, word = "warn", "the interval does not decide; measure longer, against"
    message = f"latency {shown}: {word} the limit {float(limit):g}"
    return _verdict(budget, rule, status, message, float(limit), ratio.estimate)


def _percent(share: Fraction) -> str:
    value = float(share * 100)
    return f"{value:.0f} %" if value == round(value) else f"{value:.3g} %"
