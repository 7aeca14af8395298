"""``gadprof rules``: every operation that is counted, its formula and where the formula is from."""

from __future__ import annotations

import click

from gadprof.commands.options import command, result_options
from gadprof.commands.show import show
from gadprof.output import Output
from gadprof.results.sentences import counted


@command(name="rules")
@click.argument("words", nargs=-1, metavar="[WORD]…")
@click.option(
    "--kind",
    type=click.Choice(["MACs", "FLOPs", "data", "sparse"]),
    help="Only what is counted as this; data moves and computes nothing.",
)
@result_options()
def rules(words: tuple[str, ...], kind: str | None, out: Output) -> None:
    """List what is counted, or the operations whose names hold every WORD."""
    from gadprof.counting.rules.catalogue import entries
    from gadprof.errors import UnknownNameError, nearest
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table

    every = entries()
    wanted = [word.lower().replace("::", ".") for word in words]
    found = [
        entry
        for entry in every
        if all(word in entry.name.lower() for word in wanted) and kind in (None, entry.kind)
    ]
    if not found:
        close = nearest(" ".join(words), [entry.name for entry in every])
        raise UnknownNameError(
            f"no operation with a rule is called {' '.join(words)!r}"
            + (close or "; 'gadprof rules' lists them, and gadprof.rule adds one of yours")
        )
    table = Table(
        "rules",
        f"{counted(len(found), 'operation')} with a rule",
        (
            Column("name", "operation", rank=0),
            Column("kind", "counts", rank=1),
            Column("formula", "formula", rank=0),
            Column("source", "source", rank=2),
        ),
        tuple((entry.name, entry.kind, entry.formula, entry.source) for entry in found),
        notes=("an operation without a rule is listed beside a count and never taken for zero",),
    )
    show(out, page_of(table, document={"rules": found}, name="rules"))
