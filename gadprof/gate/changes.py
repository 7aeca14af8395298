"""A comparison against kept figures: what changed in each model since the baseline.

Promises exact figures side by side; a model or figure that the baseline lacks is a gap, and a
baseline taken at another input or batch is told, never silently compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gadprof.comparison.compare import QUANTITIES, ComparedRow, Comparison
from gadprof.errors import BaselineError
from gadprof.gate.baseline import Baseline, BaselineRow
from gadprof.render.cells import bytes_text, percent_text, scaled


@dataclass(frozen=True)
class Change:
    """One model now and then; ``relative`` is now over then, None where it says nothing."""

    model: str
    before: Mapping[str, int] = field(default_factory=dict)
    relative: Mapping[str, float | None] = field(default_factory=dict)
    problem: str | None = None


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
        return Change(row.model, kept.figures, {}, problem)
    relative: dict[str, float | None] = {}
    for name in QUANTITIES:
        then, now = kept.figures.get(name), getattr(row, name)
        relative[name] = now / then if then and now is not None else None
    return Change(row.model, kept.figures, relative)


def _listed(shapes: Any) -> list[Any]:
    if isinstance(shapes, (list, tuple)) and shapes and isinstance(shapes[0], int):
        return [shapes]
    return [shape for shape in shapes if isinstance(shape, (list, tuple))]


def _shown(shapes: Any) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes) or "unknown"


def changes_table(
    comparison: Comparison, found: tuple[Change, ...]
) -> tuple[list[str], list[list[Any]]]:
    """Headers and cells for people: now, then and the change of each main figure."""
    words = {"params": "params", "macs": "MACs", "peak_activation_bytes": "peak act."}
    headers = ["model"]
    for word in words.values():
        headers += [f"{word} then", "now", "change"]
    rows: list[list[Any]] = []
    for row, change in zip(comparison.rows, found, strict=True):
        cells: list[Any] = [row.model]
        for name in words:
            show = bytes_text if name.endswith("bytes") else scaled
            cells += [
                show(change.before.get(name)),
                show(getattr(row, name)),
                percent_text(change.relative.get(name)),
            ]
        rows.append(cells)
    return headers, rows


def changes_object(baseline: Baseline, found: tuple[Change, ...]) -> dict[str, Any]:
    """The changes as plain values for JSON."""
    from gadprof.results.plain import to_plain

    return {"origin": baseline.origin, "rows": to_plain(found)}
