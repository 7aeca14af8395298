"""Audits as a page: what each counter reported, and the ledger of its difference from ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.audit.ledger import name_modules
from gadprof.results.figures import lower_bound_note
from gadprof.results.page import Page, Section
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit, AuditRow
    from gadprof.audit.ledger import Difference

_FRAME = ("name", "version", "reported", "unit", "ours", "residual", "params", "error")


def audit_page(audits: Sequence[Audit]) -> Page:
    """One or several audits; the JSON of one model is that model's object."""
    payloads = [audit_payload(audit) for audit in audits]
    frame = Table(
        "backends",
        "",
        (Column("model", "model"), *(Column(key, key) for key in _FRAME)),
        tuple(
            (audit.model, *(getattr(row, key) for key in _FRAME))
            for audit in audits
            for row in audit.backends
        ),
    )
    return Page(
        "audit",
        "audit",
        tuple(_section(audit) for audit in audits),
        payloads[0] if len(payloads) == 1 else {"models": payloads},
        frame=frame,
    )


def audit_payload(audit: Audit, *, patterns: bool = False) -> dict[str, Any]:
    """The JSON object of one model; ``patterns`` shortens the module paths of each operation."""
    return {
        "model": audit.model,
        "input_shapes": audit.input_shapes,
        "batch": audit.batch,
        "ours": audit.ours,
        "at_least": bool(audit.uncovered),
        "uncovered": dict(audit.uncovered),
        "params": audit.params,
        "note": audit.note,
        "backends": [_row_payload(row, patterns) for row in audit.backends],
    }


def _row_payload(row: AuditRow, patterns: bool) -> dict[str, Any]:
    return {
        "name": row.name,
        "distribution": row.distribution,
        "version": row.version,
        "reported": row.reported,
        "unit": row.unit,
        "ours": row.ours,
        "differences": [_difference_payload(item, patterns) for item in row.differences],
        "residual": row.residual,
        "params": row.params,
        "uncovered": dict(row.uncovered),
        "error": row.error or row.unexplained,
    }


def _difference_payload(difference: Difference, patterns: bool) -> dict[str, Any]:
    return {
        "cause": difference.cause,
        "operations": [
            {
                "operation": item.operation,
                "calls": item.calls,
                "amount": item.amount,
                "modules": name_modules(item.modules) if patterns else item.modules,
            }
            for item in difference.operations
        ],
        "amount": difference.amount,
    }


def _section(audit: Audit) -> Section:
    shapes = ", ".join("x".join(map(str, shape)) for shape in audit.input_shapes)
    least = "at least " if audit.uncovered else ""
    title = (
        f"{audit.model} at {shapes}, batch {audit.batch}: {least}{audit.ours:,} MACs by our count"
        f"; {_verdict(audit)}"
    )
    ledger = tuple(line for row in audit.backends for line in _ledger(row))
    notes = [f"The model {audit.note}"] if audit.note else []
    if audit.uncovered:
        notes.append(lower_bound_note(audit.model, audit.uncovered))
    notes += [f"{row.name}: {row.error}" for row in audit.backends if row.error]
    notes += [f"{row.name}: {row.unexplained}" for row in audit.backends if row.unexplained]
    counters = Table(
        "counters",
        title,
        (
            Column("counter", "backend", rank=0),
            Column("version", "version", rank=2),
            Column("reported", "reported", "count", rank=0),
            Column("unit", "unit", rank=1),
            Column("difference", "minus ours", "signed", rank=0),
            Column("residual", "residual", "count", rank=0),
        ),
        tuple(_counter(row) for row in audit.backends),
        notes=() if ledger else tuple(notes),
    )
    if not ledger:
        return Section(audit.model, audit.model, (), (counters,))
    between = Table(
        "ledger",
        "What lies between: reported − ours, cause by cause, in the backend's unit",
        (
            Column("counter", "backend", rank=0),
            Column("cause", "cause", rank=0),
            Column("amount", "amount", "signed", rank=0),
            Column("operations", "operations", rank=2),
            Column("modules", "modules", rank=3),
        ),
        ledger,
        notes=tuple(notes),
    )
    return Section(audit.model, audit.model, (), (counters, between))


def _verdict(audit: Audit) -> str:
    """How many of the other counters' numbers are explained."""
    others = [row for row in audit.backends if row.name != "gadprof" and row.reported is not None]
    left = [row.name for row in others if row.residual or row.unexplained]
    if left:
        return f"not explained to the last operation: {', '.join(left)}"
    word = "other number is" if len(others) == 1 else "other numbers are"
    return f"{len(others)} {word} explained to the last operation"


def _counter(row: AuditRow) -> tuple[Any, ...]:
    if row.reported is None:
        return row.name, row.version, "failed", row.unit, None, None
    difference = row.reported - row.ours
    return row.name, row.version, row.reported, row.unit, difference, row.residual


def _ledger(row: AuditRow) -> list[tuple[Any, ...]]:
    lines: list[tuple[Any, ...]] = [
        (row.name, item.cause, item.amount, operations_text(item), modules_text(item))
        for item in row.differences
    ]
    if row.residual:
        lines.append((row.name, "unexplained", row.residual, "", ""))
    return [(name if not number else "", *rest) for number, (name, *rest) in enumerate(lines)]


def operations_text(difference: Difference, count: int = 3) -> str:
    """The operations behind a cause, the largest first, each with its number of calls."""
    shown = [f"{item.operation} ×{item.calls}" for item in difference.operations[:count]]
    more = len(difference.operations) - count
    return ", ".join(shown) + (f", … {more} more" if more > 0 else "")


def modules_text(difference: Difference, count: int = 2) -> str:
    """Where it happens: module paths with ``*`` for numbers that vary."""
    paths = tuple(path for item in difference.operations for path in item.modules)
    return name_modules(tuple(dict.fromkeys(paths)), count)
