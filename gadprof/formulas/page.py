"""Closed forms as tables: the terms of one block, and a grid with a row a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import signed_text
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.formulas.formula import Formula
    from gadprof.results.page import Page

_TERM = ("name", "params_symbols", "params", "macs_symbols", "macs", "operations",
         "operations_kind", "counted")  # fmt: skip


_TERM_COLUMNS = (
    Column("block", "block", place="exact"),
    Column("name", "term", rank=0),
    Column("params_symbols", "weights", rank=2),
    Column("params", "params", "count", rank=0),
    Column("macs_symbols", "in MACs", place="exact"),
    Column("macs", "MACs", "count", rank=0),
    Column("operations", "other ops", "count", rank=2),
    Column("operations_kind", "kind", rank=3),
    Column("counted", "in GP, GG", rank=1),
)


def formula_page(form: Formula) -> Page:
    """The terms of one block, with the two totals in words."""
    from gadprof.results.page import page_of

    inputs = ", ".join(f"{key} = {value}" for key, value in form.inputs.items())
    note = f"{form.block} at {inputs}: GP = {form.GP:,}, GG = {form.GG:,}, Rs = {form.Rs:.4f}"
    table = Table("terms", "", _TERM_COLUMNS, _terms(form), note)
    return page_of(table, document=lambda: point_object(form), name="formula")


def _terms(form: Formula) -> tuple[tuple[Any, ...], ...]:
    return tuple((form.block, *(getattr(term, key) for key in _TERM)) for term in form.terms)


def totals_table(form: Formula) -> Table:
    """The terms, and below them the block's totals and those of the ordinary convolution."""
    rows = [*_terms(form), _total(form.block, f"{form.block} GP, GG", "", form)]
    if form.reference is not None:
        replaced = form.reference.symbols["GP"].partition(" = ")[2]
        rows.append(_total(form.block, "ordinary conv P, G", replaced, form.reference))
    return Table("terms", "", _TERM_COLUMNS, tuple(rows))


def _total(block: str, name: str, symbols: str, form: Formula) -> tuple[Any, ...]:
    return (block, name, symbols, form.GP, "", form.GG, None, "", "")


def varying(points: Sequence[Formula]) -> list[str]:
    """The inputs that a grid's points differ in, and always the channels."""
    return [
        name
        for name in points[0].inputs
        if len({point.inputs.get(name) for point in points}) > 1 or name in ("c_in", "c_out")
    ]


def grid_table(
    points: Sequence[Formula], verified: Sequence[Mapping[str, Any]] | None = None
) -> Table:
    """A row a point; ``verified`` adds what each counter said of the real block."""
    names = varying(points)
    backends = list(verified[0]) if verified else []
    columns = (
        Column("block", "block", rank=0),
        *(Column(name, name, "count", rank=0) for name in names),
        Column("GP", "GP", "count", rank=0),
        Column("GG", "GG", "count", rank=0),
        Column("P", "P", "count", rank=2),
        Column("G", "G", "count", rank=2),
        Column("Rs", "Rs", "ratio", digits=4, rank=0),
        Column("Rs limit", "Rs limit", "ratio", rank=1),
        *(Column(name, name, rank=3) for name in backends),
    )
    rows = []
    for index, point in enumerate(points):
        reference = point.reference or point
        rows.append(
            (
                point.block,
                *(point.inputs.get(name) for name in names),
                point.GP,
                point.GG,
                reference.GP,
                reference.GG,
                point.Rs,
                None if point.reference is None else _limit(point.Rs_limit),
                *(_short(verified[index][name]) for name in backends if verified),
            )
        )
    return Table("grid", "", columns, tuple(rows))


def _limit(value: float | None) -> int | str | None:
    if value is None or value.is_integer():
        return None if value is None else int(value)
    return f"{value:.4f}"


def _short(row: Any) -> str:
    if row.error is not None:
        return "failed"
    return "equal" if row.equal else signed_text(row.difference)


def verified_table(point: Formula, verified: Mapping[str, Any]) -> Table:
    """What each counter says of the real block."""
    return Table(
        "verified",
        f"the real block, counted (GG = {point.GG:,}, params = {point.params:,})",
        (
            Column("counter", "counter", rank=0),
            Column("version", "version", rank=2),
            Column("macs", "MACs", "count", rank=0),
            Column("difference", "minus GG", "signed", rank=0),
            Column("params", "params", "count"),
            Column("verdict", "verdict", rank=0),
        ),
        tuple(
            (name, row.version, _whole(row.macs), _whole(row.difference), row.params, _word(row))
            for name, row in verified.items()
        ),
    )


def _whole(value: float | None) -> int | str | None:
    """A count as an integer; half a MAC (a FLOP counted alone) keeps its digit."""
    if value is None or float(value).is_integer():
        return None if value is None else int(value)
    return f"{value:,.1f}"


def _word(row: Any) -> str:
    if row.error is not None:
        return str(row.error)
    if row.equal:
        return "equal"
    named = ", ".join(f"{cause} {signed_text(amount)}" for cause, amount in row.causes.items())
    if row.residual:
        named += f", unexplained {signed_text(row.residual)}"
    return named or "differs"


def point_object(point: Formula, verified: Any = None, measured: Any = None) -> dict[str, Any]:
    """A point as JSON: block, inputs, GP, GG, Rs, terms, reference, and verified when asked."""
    plain: dict[str, Any] = {
        "block": point.block,
        "inputs": dict(point.inputs),
        "GP": point.GP,
        "GG": point.GG,
        "Rs": point.Rs,
        "Rs_macs": point.Rs_macs,
        "params": point.params,
        "terms": list(point.terms),
        "symbols": dict(point.symbols),
        "substituted": dict(point.substituted),
        "derived": dict(point.names),
        "limit": point.limit,
        "Rs_limit": point.Rs_limit,
        "uses": list(point.uses),
        "source": point.source,
        "note": point.note,
    }
    if point.reference is not None:
        plain["reference"] = point_object(point.reference)
    else:
        plain["reference"] = {"block": "conv", "GP": point.GP, "GG": point.GG}
    if verified is not None:
        plain["verified"] = verified
    if measured is not None:
        plain["measured"] = measured
    return plain
