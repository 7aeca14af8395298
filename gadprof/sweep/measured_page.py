"""A search by measured time as a page: the best first, then every design, then what it rests on."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

from gadprof.results.page import Page, Section
from gadprof.results.plain import Machine, to_plain
from gadprof.results.table import Column, Table
from gadprof.sweep.measured import MeasuredDesign, MeasuredSearch, Timing


def speed_up(timing: Timing | None) -> float | None:
    """How many times faster than the reference, or None."""
    return 1 / timing.ratio if timing is not None and timing.ratio else None


def answer(result: MeasuredSearch) -> str:
    """The fastest design in words, by the tight run where there is one."""
    goals = ", ".join(goal.text for goal in result.goals)
    best = best_model(result)
    if best is None:
        return f"No design was measured under {goals}."
    ratios = [speed_up(found.get(best)) for found in result.best.values()]
    good = [value for value in ratios if value]
    if good:
        words = f"{statistics.median(good):.2f}x as fast as {result.reference}"
        how = f"the median of {len(good)}, " if len(good) > 1 else ""
        return f"{best} is {words} ({goals}; {how}measured again together)."
    ratio = next(row.ratio for row in result.designs if row.model == best)
    assert ratio is not None
    return (
        f"{best} is {1 / ratio:.2f}x as fast as {result.reference} ({goals}; not measured again)."
    )


def best_model(result: MeasuredSearch) -> str | None:
    """The fastest design of the tight run, else of all; None where none was measured."""
    ours = {row.model for row in result.designs}
    scores: dict[str, list[float]] = {}
    for found in result.best.values():
        for model, timing in found.items():
            if model in ours and timing.ratio:
                scores.setdefault(model, []).append(timing.ratio)
    whole = {m: v for m, v in scores.items() if len(v) == len(result.goals)}
    if whole:
        return min(whole, key=lambda model: statistics.geometric_mean(whole[model]))
    return next((row.model for row in result.designs if row.ratio is not None), None)


def measured_page(result: MeasuredSearch, machine: Machine, *, limit: int, where: str = "") -> Page:
    """The tables of a search, at most ``limit`` designs; ``where`` says what keeps it."""
    tables = [_best(result), _designs(result, limit), _learned(result)]
    notes = [
        f"{result.costed:,} designs costed, {result.passed:,} within the limits, "
        f"{len(result.designs)} measured; times are ratios to {result.reference} from interleaved "
        "runs"
    ]
    if len(result.designs) > limit:
        notes.append(f"{limit} of {len(result.designs)} rows are shown; --limit shows more")
    if where:
        notes.append(where)
    shown = [table for table in tables if table.rows]
    if shown:
        shown[-1] = replace(shown[-1], notes=tuple(notes))
    section = Section("search", "Search by measured time", (answer(result),), tuple(shown))
    return Page(
        "search", "search", (section,), lambda: document(result, machine), frame=_exact(result)
    )


def document(result: MeasuredSearch, machine: Machine) -> dict[str, Any]:
    """The search as plain values, in seconds and ratios."""
    return {
        "space": result.space.describe(),
        "objectives": [goal.text for goal in result.goals],
        "max": dict(result.wish.limits.largest),
        "min": dict(result.wish.limits.smallest),
        "receptive_field": result.wish.receptive_field,
        "reference": result.reference,
        "costed": result.costed,
        "passed": result.passed,
        "fastest": best_model(result),
        "measured": [to_plain(row) for row in result.designs],
        "again": [
            {"objective": goal, "model": model, **to_plain(timing)}
            for goal, found in result.best.items()
            for model, timing in found.items()
        ],
        "surrogates": {
            goal: {
                "networks": item.networks,
                "blocks": item.blocks,
                "median_error": item.median_error,
                "error_90": item.error_90,
                "rank_correlation": item.rank,
            }
            for goal, item in result.surrogates.items()
        },
        "interrupted": result.interrupted,
        "machine": machine,
    }


def _interval(timing: Timing | None) -> tuple[float, float] | None:
    if timing is None or timing.ci95 is None:
        return None
    return 1 / timing.ci95[1], 1 / timing.ci95[0]


def _best(result: MeasuredSearch) -> Table:
    """The tight run: a row a model and goal."""
    columns = (
        Column("model", "model", rank=0),
        Column("objective", "objective", rank=0),
        Column("latency_s", "median", "seconds", rank=2),
        Column("speed_up", "times as fast", "ratio", digits=2, rank=0),
        Column("ci95", "95 %", "interval", rank=1),
    )
    rows = [
        (model, goal, timing.latency_s, speed_up(timing) or timing.error, _interval(timing))
        for goal, found in result.best.items()
        for model, timing in found.items()
    ]
    rows.sort(key=lambda row: (str(row[0]) != result.reference, str(row[0])))
    title = f"Measured again together, against {result.reference}"
    return Table("again", title, columns, tuple(rows))


def _cells(row: MeasuredDesign, result: MeasuredSearch) -> tuple[Any, ...]:
    each = []
    for goal in result.goals:
        timing = row.timings.get(goal.text)
        each.append(speed_up(timing) or (timing.error if timing else None))
    predicted = 1 / row.predicted if row.predicted else None
    total = 1 / row.ratio if row.ratio else None
    return (row.model, row.params, row.macs, row.receptive_field, total, predicted, *each)


def _design_columns(result: MeasuredSearch) -> tuple[Column, ...]:
    several = len(result.goals) > 1
    return (
        Column("model", "model", rank=0),
        Column("params", "parameters", "scaled", rank=1),
        Column("macs", "MACs", "scaled", rank=1),
        Column("receptive_field", "sees (px)", "count", rank=3),
        Column("speed_up", "times as fast", "ratio", digits=2, rank=0),
        Column("predicted", "predicted", "ratio", digits=2, rank=2),
        *(
            Column(goal.text, goal.text.removeprefix("latency:"), "ratio", digits=2, rank=2)
            if several
            else Column(goal.text, goal.text, "ratio", digits=2, rank=2, place="exact")
            for goal in result.goals
        ),
    )


def _designs(result: MeasuredSearch, limit: int) -> Table:
    rows = tuple(_cells(row, result) for row in result.designs[:limit])
    title = f"Designs measured, the fastest first (times as fast as {result.reference})"
    return Table("designs", title, _design_columns(result), rows)


def _exact(result: MeasuredSearch) -> Table:
    rows = tuple(_cells(row, result) for row in result.designs)
    return Table("designs", "", _design_columns(result), rows)


def _learned(result: MeasuredSearch) -> Table:
    columns = (
        Column("objective", "objective", rank=0),
        Column("networks", "networks", "count"),
        Column("blocks", "blocks", "count"),
        Column("median_error", "median error", "share"),
        Column("error_90", "90 % within", "share"),
        Column("rank", "rank correlation", "ratio", digits=2),
    )
    rows = tuple(
        (goal, item.networks, item.blocks, item.median_error, item.error_90, item.rank)
        for goal, item in result.surrogates.items()
    )
    return Table("surrogate", "Predictions, by leaving designs out", columns, rows)
