"""Advice as a page: the answer, the changes that were measured, and where the time goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gadprof.prediction.advice import Advice, Change
from gadprof.results.page import Page, Section
from gadprof.results.plain import Machine, to_plain
from gadprof.results.table import Column, Table

SHOWN_STAGES = 8


def advice_page(advice: Advice, machine: Machine) -> Page:
    """The changes first, then the stages."""
    number = len(advice.changes) + len(advice.rejected)
    error = (
        f" with a median error of {100 * advice.error:.1f} % on designs left out"
        if advice.error is not None
        else ""
    )
    notes = (
        f"{advice.considered} steps of knobs predicted{error}, {number} measured beside "
        f"{advice.model}, interleaved; a change is advised only where its interval is below the "
        "network's time",
        *(["interrupted: what was measured until then"] if advice.interrupted else []),
    )
    tables = [_changes(advice), _stages(advice)]
    tables = [table for table in tables if table.rows]
    tables[-1] = replace(tables[-1], notes=notes)
    section = Section("advice", "Advice", (advice.words,), tuple(tables))
    return Page("explain", "advice", (section,), lambda: document(advice, machine), frame=tables[0])


def document(advice: Advice, machine: Machine) -> dict[str, Any]:
    """The advice as plain values in seconds."""
    return {"advice": to_plain(advice), "machine": machine}


def _changes(advice: Advice) -> Table:
    columns = (
        Column("change", "change", rank=0),
        Column("advised", "advised", rank=1),
        Column("time_ratio", "time", "change", digits=1, rank=0),
        Column("ci95", "95 %", "interval", rank=2),
        Column("saved_s", "saved", "seconds", rank=1),
        Column("params_ratio", "parameters", "change", digits=1, rank=1),
        Column("per_parameter_s", "a parameter", "seconds", rank=2),
        Column("predicted_ratio", "predicted", "change", digits=0, rank=3),
        Column("model", "model", rank=4),
    )

    def row(change: Change, advised: str) -> tuple[Any, ...]:
        return (
            f"{change.knob}: {change.before} → {change.after}", advised,
            change.ratio, change.ci95, change.saved_s or change.error,
            change.params / advice.params, change.saved_per_parameter_s, change.predicted_ratio,
            change.model,
        )  # fmt: skip

    rows = [row(change, f"{place}.") for place, change in enumerate(advice.changes, 1)]
    rows += [row(change, "no") for change in advice.rejected]
    title = f"Changes of {advice.model}, by the time that they save a parameter"
    return Table("changes", title, columns, tuple(rows))


def _stages(advice: Advice) -> Table:
    columns = (
        Column("stage", "stage", rank=0),
        Column("seconds", "predicted", "seconds", rank=0),
        Column("share", "share", "share", rank=0),
        Column("params", "parameters", "scaled"),
        Column("macs", "MACs", "scaled"),
    )
    rows = tuple((s.stage, s.seconds, s.share, s.params, s.macs) for s in advice.stages)
    title = f"The measured time of {advice.model} shared out by prediction ({advice.setting.label})"
    return Table("stages", title, columns, rows[:SHOWN_STAGES])
