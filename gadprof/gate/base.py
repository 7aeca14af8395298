"""The models of the budgets here against a base ref: which modules changed, and how fast.

Promises a row for each model whose file lies in the repository (no ref changes any other), exact
figures, and a latency ratio of base and head interleaved in one run. A model that can't be compared
says why and costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gadprof.errors import GadprofError, ModelFailedError
from gadprof.gate.config import Budget
from gadprof.gate.diff import Diff, compare_sides
from gadprof.gate.diff_sides import HERE, checked_out, sides
from gadprof.results.verdicts import BaseChange, ChangedModule

SHOWN = 8  # modules of a model, those that changed most


def against_base(
    budgets: Sequence[Budget], ref: str, *, latency: bool = False, time_limit_s: float = 60.0
) -> tuple[BaseChange, ...]:
    """Every budget's model as it is here against what it was at a ref. Raises BaselineError."""
    from gadprof.models.sources import given_inputs, resolve

    found = []
    for budget in {budget.model: budget for budget in budgets}.values():
        if resolve(budget.model).kind not in ("file", "onnx"):
            continue
        (model,), shapes = given_inputs((budget.model,), budget.input_texts)
        try:
            words = (ref, HERE, model)
            change = _change(
                budget.model, compare_sides(*sides(words, shapes=shapes, batch=budget.batch))
            )
            if latency:
                change = replace(change, latency=_ratio(budget, ref, shapes, time_limit_s))
        except GadprofError as error:
            change = BaseChange(budget.model, problem=str(error))
        found.append(change)
    return tuple(found)


def _change(model: str, diff: Diff) -> BaseChange:
    told = [change for change in diff.changes if change.kind != "moved"]
    modules = tuple(
        ChangedModule(
            change.kind,
            change.path,
            (change.after or change.before).type,  # type: ignore[union-attr]
            change.difference["params"],
            change.difference["macs"],
            change.difference["activations"],
        )
        for change in told[:SHOWN]
    )
    return BaseChange(
        model,
        dict(diff.before.totals),
        dict(diff.after.totals),
        modules,
        max(0, len(told) - SHOWN),
        before_at_least=diff.before.at_least,
        after_at_least=diff.after.at_least,
    )


def _ratio(
    budget: Budget, ref: str, shapes: tuple[tuple[int, ...], ...], time_limit_s: float
) -> tuple[float, float, float]:
    """Head over base, interleaved on this machine. Raises ModelFailedError."""
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting

    with checked_out(ref, budget.model) as there:
        result = measure(
            (there, budget.model),
            Setting(batch=budget.batch, input_shapes=shapes),
            time_limit_s=time_limit_s,
            null=False,
            memory=False,
            energy=False,
        )
    row = result.rows[1]
    if row.ratio is None:
        why = row.error or result.rows[0].error or row.ratio_absent or "too few samples"
        raise ModelFailedError(f"latency of {budget.model} against {ref}: {why}")
    low, high = row.ratio.ci95
    return (row.ratio.value, low, high)
