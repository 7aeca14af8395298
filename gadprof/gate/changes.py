"""A comparison against kept figures: what changed in each model since the baseline.

Promises exact figures side by side; a model or figure that the baseline lacks is a gap, and a
baseline taken at another input or batch is told, never silently compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gadprof.comparison.compare import ComparedRow, Comparison
from gadprof.errors import BaselineError
from gadprof.gate.baseline import Baseline, BaselineRow
from gadprof.results.figures import FIGURE, KEYS, total
from gadprof.results.page import Page
from gadprof.results.table import Column, Table


@dataclass(frozen=True)
class Change:
    """One model now and then; ``relative`` is now over then, None where it says nothing.

    ``before_at_least`` says that something was not counted then.
    """

    model: str
    before: Mapping[str, int] = field(default_factory=dict)
    relative: Mapping[str, float | None] = field(default_factory=dict)
    problem: str | None = None
    before_at_least: bool = False


def changes(comparison: Comparison, baseline: Baseline) -> tuple[Change, ...]:
    """Every row of a comparison against its row in the baseline."""
    return tuple(_change(row, baseline) for row in comparison.rows)


def same_settings(row: BaselineRow, shapes: Any, batch: int) -> str | None:
    """None where a baseline row was taken at this input and batch, else one line that says so."""
    then = row.settings.get("input")
    now = [list(shape) for shape in shapes]
    if then is not None and [list(shape) for shape in _listed(then)] != now:
        return f"the baseline's input was {_shown(_listed(then))}, now {_shown(now)}"
    if row.settings.get("batch") not in (None, batch):
        return f"the baseline's batch was {row.settings['batch']}, now {batch}"
    return None


def _change(row: ComparedRow, baseline: Baseline) -> Change:
    try:
        kept = baseline.row(row.model)
    except BaselineError as error:
        return Change(row.model, problem=str(error))
    problem = same_settings(kept, row.input, row.batch)
    if problem:
        return Change(row.model, kept.figures, {}, problem, kept.at_least)
    relative: dict[str, float | None] = {}
    for name in KEYS:
        then, now = kept.figures.get(name), getattr(row, name)
        relative[name] = now / then if then and now is not None else None
    return Change(row.model, kept.figures, relative, None, kept.at_least)


def _listed(shapes: Any) -> list[Any]:
    if isinstance(shapes, (list, tuple)) and shapes and isinstance(shapes[0], int):
        return [shapes]
    return [shape for shape in shapes if isinstance(shape, (list, tuple))]


def _shown(shapes: Any) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes) or "unknown"


SHOWN = ("params", "macs", "peak_activation_bytes")


def changes_page(comparison: Comparison, baseline: Baseline) -> Page:
    """The comparison, and what changed since the baseline: a second table, more in CSV and JSON."""
    page = comparison.page()
    found = changes(comparison, baseline)
    (table,) = page.tables
    more = tuple(
        Column(f"{key}_relative_to_baseline", "to baseline", "change", place="exact")
        for key in KEYS
    )
    table = replace(
        table,
        columns=(*table.columns, *more),
        rows=tuple(
            (*row, *(change.relative.get(key) for key in KEYS))
            for row, change in zip(table.rows, found, strict=True)
        ),
    )
    tables = (table, changes_table(comparison, found, baseline))
    document = {**page.json(), "baseline": changes_object(baseline, found)}
    (section,) = page.sections
    return replace(page, sections=(replace(section, tables=tables),), document=document)


def changes_table(comparison: Comparison, found: tuple[Change, ...], baseline: Baseline) -> Table:
    """Now, then and the change of each main figure."""
    columns = [Column("model", "model", rank=0)]
    for key in SHOWN:
        figure = FIGURE[key]
        columns += [
            Column(f"{key}_then", f"{figure.short} then", figure.kind),
            Column(key, "now", figure.kind),
            Column(f"{key}_relative_to_baseline", "change", "change"),
        ]
    return Table(
        "changes",
        f"against baseline {baseline.origin}",
        tuple(columns),
        tuple(
            (
                row.model,
                *(
                    value
                    for key in SHOWN
                    for value in (
                        total(key, change.before.get(key), change.before_at_least),
                        total(key, getattr(row, key), row.at_least),
                        change.relative.get(key),
                    )
                ),
            )
            for row, change in zip(comparison.rows, found, strict=True)
        ),
        notes=tuple(f"{change.model}: {change.problem}" for change in found if change.problem),
    )


def changes_object(baseline: Baseline, found: tuple[Change, ...]) -> dict[str, Any]:
    """The changes as plain values for JSON."""
    from gadprof.results.plain import to_plain

    return {"origin": baseline.origin, "rows": to_plain(found)}
