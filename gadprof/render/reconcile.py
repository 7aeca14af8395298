"""The readings of a published figure as text: the best one in words, the rest in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.render.console import to_console
from gadprof.render.markdown import to_markdown
from gadprof.results.plain import to_json, to_plain

if TYPE_CHECKING:
    from gadprof.audit.reconcile import Reading, Reconciliation

_HEADERS = ("", "figure", "digits", "convention", "unit", "G", "input", "scope")


def render_reconciliation(result: Reconciliation, output_format: str, limit: int) -> str:
    """The readings in one of table, json, md; at most ``limit`` of them but in json."""
    if output_format == "json":
        return to_json(payload(result))
    shown = result.readings[:limit]
    rows = [_row(index, reading) for index, reading in enumerate(shown, start=1)]
    low, high = result.bounds
    title = (
        f"{result.model}: {result.claimed} stands for {low:g} up to, not including, {high:g}; "
        f"ours is {result.ours:,} MACs"
    )
    notes = [f"{i}. {reading.explanation}." for i, reading in enumerate(shown[:3], start=1)]
    if len(result.readings) > limit:
        notes.append(f"{len(result.readings) - limit} more with --limit or --format json.")
    if not result.readings:
        notes = ["No reading gives that figure: another network, input or version, or a misprint."]
    notes += params_notes(result)
    if output_format == "md":
        text = f"**{title}**\n\n"
        text += to_markdown(_HEADERS, rows) + "\n" if rows else ""
        return text + "\n".join(f"- {note}" for note in notes) + "\n"
    if not rows:
        return "\n".join([title, *notes]) + "\n"
    return to_console(_HEADERS, rows, title=title, notes=notes)


def payload(result: Reconciliation) -> dict[str, Any]:
    """The JSON document: ``readings`` and ``params``, best first."""
    plain: dict[str, Any] = to_plain(result)
    for entry, reading in zip(plain["readings"], result.readings, strict=True):
        entry["within_digits"] = reading.within_digits
    return plain


def params_notes(result: Reconciliation) -> list[str]:
    """A line on the parameter figure, if one was given."""
    if result.params_claimed is None:
        return []
    if not result.params:
        return [f"Parameters {result.params_claimed}: no reading gives that."]
    return [f"Parameters {result.params_claimed}: {item.explanation}." for item in result.params]


def _row(index: int, reading: Reading) -> list[Any]:
    return [
        str(index),
        reading.figure,
        {"rounded": "round", "padded": "zero added", "cut": "cut off"}[reading.exactness],
        reading.convention,
        reading.unit,
        reading.giga,
        "x".join(map(str, reading.input_shape)),
        reading.scope,
    ]
