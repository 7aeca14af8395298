"""An audit as text: what each counter reported, and the ledger of its difference from ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.cells import scaled
from gadprof.render.console import to_console
from gadprof.render.escape import markdown
from gadprof.render.markdown import to_markdown
from gadprof.results.plain import to_json

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit, AuditRow
    from gadprof.audit.ledger import Difference

_SUMMARY = ("backend", "version", "reported", "unit", "minus ours", "residual")
_LEDGER = ("backend", "cause", "amount", "operations", "modules")


def render_audit(audits: Sequence[Audit], output_format: str) -> str:
    """One or several audits as table, json or md; json of one model is that model's object."""
    if output_format == "json":
        payloads = [audit_payload(audit) for audit in audits]
        return to_json(payloads[0] if len(payloads) == 1 else {"models": payloads})
    return "\n".join(_text(audit, output_format) for audit in audits)


def audit_payload(audit: Audit, *, patterns: bool = False) -> dict[str, Any]:
    """The JSON object of one model; ``patterns`` shortens the module paths of each operation."""
    return {
        "model": audit.model,
        "input_shapes": audit.input_shapes,
        "batch": audit.batch,
        "ours": audit.ours,
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
    from gadprof.audit.ledger import name_modules

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


def _text(audit: Audit, output_format: str) -> str:
    shapes = ", ".join("x".join(map(str, shape)) for shape in audit.input_shapes)
    title = f"{audit.model} at {shapes}, batch {audit.batch}: {audit.ours:,} MACs by our count"
    summary = [_summary(row) for row in audit.backends]
    ledger = [line for row in audit.backends for line in _ledger(row)]
    notes = [f"The model {audit.note}"] if audit.note else []
    notes += [f"{row.name}: {row.error}" for row in audit.backends if row.error]
    notes += [f"{row.name}: {row.unexplained}" for row in audit.backends if row.unexplained]
    if output_format == "md":
        parts = [f"## {markdown(title, 400)}\n", to_markdown(_SUMMARY, summary)]
        if ledger:
            parts.append(to_markdown(_LEDGER, ledger, limit=200))
        parts += [f"- {markdown(note, 400)}\n" for note in notes]
        return "\n".join(parts)
    text = to_console(_SUMMARY, summary, title=title)
    if ledger:
        text += "\n" + to_console(
            _LEDGER,
            ledger,
            title="What lies between: reported − ours, cause by cause, in the backend's unit",
            notes=notes,
        )
    elif notes:
        text += "\n".join(notes) + "\n"
    return text


def _summary(row: AuditRow) -> list[Any]:
    if row.reported is None:
        return [row.name, row.version, "failed", row.unit, None, None]
    return [
        row.name,
        row.version,
        row.reported,
        row.unit,
        signed(row.reported - row.ours),
        row.residual,
    ]


def _ledger(row: AuditRow) -> list[list[Any]]:
    lines: list[list[Any]] = []
    for difference in row.differences:
        lines.append(
            [
                row.name if not lines else "",
                difference.cause,
                signed(difference.amount),
                operations_text(difference),
                modules_text(difference),
            ]
        )
    if row.residual:
        lines.append([row.name if not lines else "", "unexplained", signed(row.residual), "", ""])
    return lines


def signed(amount: int | float) -> str:
    """An amount with its sign, grouped by thousands."""
    text = f"{abs(amount):,}" if isinstance(amount, int) else f"{abs(amount):,.1f}"
    return ("−" if amount < 0 else "+" if amount > 0 else "") + text


def operations_text(difference: Difference, count: int = 3) -> str:
    """The operations behind a cause, the largest first, each with its number of calls."""
    shown = [f"{item.operation} ×{item.calls}" for item in difference.operations[:count]]
    more = len(difference.operations) - count
    return ", ".join(shown) + (f", … {more} more" if more > 0 else "")


def modules_text(difference: Difference, count: int = 2) -> str:
    """Where it happens: module paths with ``*`` for numbers that vary."""
    from gadprof.audit.ledger import name_modules

    paths = tuple(path for item in difference.operations for path in item.modules)
    return name_modules(tuple(dict.fromkeys(paths)), count)


def short(amount: int | float) -> str:
    """An amount with its sign and a decimal prefix."""
    return ("−" if amount < 0 else "+") + scaled(abs(amount))
