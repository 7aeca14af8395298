"""The readings of a published figure as a page: the best ones in words below their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.results.page import Page, Section
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.audit.reconcile import Reading, Reconciliation

EXACTNESS = {"rounded": "round", "padded": "zero added", "cut": "cut off"}
COLUMNS = (
    Column("rank", "", rank=0),
    Column("figure", "figure", rank=0),
    Column("digits", "digits", rank=2),
    Column("convention", "convention", rank=0),
    Column("unit", "unit", rank=0),
    Column("giga", "G", rank=0),
    Column("input", "input", rank=1),
    Column("scope", "scope", rank=1),
)


def reconciliation_page(result: Reconciliation, limit: int) -> Page:
    """At most ``limit`` readings; the JSON has them all."""
    shown = result.readings[:limit]
    low, high = result.bounds
    title = f"{result.model}: {_verdict(result)}"
    notes = [
        f"{result.claimed} stands for {low:g} up to, not including, {high:g}; "
        f"ours is {result.ours:,} MACs"
    ]
    notes += [f"{i}. {reading.explanation}." for i, reading in enumerate(shown[:3], start=1)]
    if len(result.readings) > limit:
        notes.append(f"{len(result.readings) - limit} more with --limit or --format json.")
    if not result.readings:
        notes += ["Perhaps it is of another network, input or version, or a misprint."]
    notes += params_notes(result)
    rows = tuple(_row(index, reading) for index, reading in enumerate(shown, start=1))
    table = Table("readings", title, COLUMNS, rows, notes=tuple(notes))
    section = Section("readings", "Readings", (), (table,))
    if not rows:
        section = Section("readings", "Readings", (title, *notes))
    frame = Table("readings", title, COLUMNS, tuple(
        _row(index, reading) for index, reading in enumerate(result.readings, start=1)
    ))  # fmt: skip
    return Page("reconcile", title, (section,), payload(result), frame=frame)


def _verdict(result: Reconciliation) -> str:
    """Whether the claim holds, and under which reading the best."""
    if not result.readings:
        return f"no reading gives {result.claimed}"
    best = result.readings[0]
    size = "x".join(map(str, best.input_shape))
    whole = "" if best.scope == "whole" else f", {best.scope}"
    return (
        f"{result.claimed} is true of {best.unit} at {size} with a G of {best.giga}, as "
        f"{best.convention} counts{whole} ({EXACTNESS[best.exactness]})"
    )


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


def _row(index: int, reading: Reading) -> tuple[Any, ...]:
    return (
        str(index),
        reading.figure,
        EXACTNESS[reading.exactness],
        reading.convention,
        reading.unit,
        reading.giga,
        "x".join(map(str, reading.input_shape)),
        reading.scope,
    )
