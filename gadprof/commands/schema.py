"""``gadprof schema``: the JSON Schema of what a command prints with ``--format json``."""

from __future__ import annotations

from importlib import resources

import click

from gadprof.commands.option_types import Named
from gadprof.commands.options import command
from gadprof.commands.show import show
from gadprof.output import Output, emit

FOLDER = "schemas"


def commands_with_schema() -> tuple[str, ...]:
    """The commands whose JSON has a published schema."""
    folder = resources.files("gadprof.data").joinpath(FOLDER)
    names = (item.name for item in folder.iterdir() if item.name.endswith(".json"))
    return tuple(sorted(name.removesuffix(".json") for name in names))


@command(name="schema")
@click.argument(
    "name", required=False, metavar="[COMMAND]", type=Named("command", commands_with_schema)
)
def schema(name: str | None) -> None:
    """Print the JSON Schema of COMMAND's JSON; without COMMAND, list which there are.

    Keys are stable within a schema version; new ones may come. Times are in seconds, sizes in
    bytes, counts are exact integers.
    """
    from gadprof.errors import UnknownNameError, nearest
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table

    known = commands_with_schema()
    if name is None:
        rows = tuple((item, f"gadprof schema {item}") for item in known)
        columns = (Column("command", "command"), Column("print", "its schema"))
        table = Table("schemas", "", columns, rows)
        show(Output("table"), page_of(table, document={}, name="schema"))
        return
    if name not in known:
        raise UnknownNameError(
            f"no schema of {name!r}" + (nearest(name, known) or f"; there are {', '.join(known)}")
        )
    emit(resources.files("gadprof.data").joinpath(f"{FOLDER}/{name}.json").read_text("utf-8"))
