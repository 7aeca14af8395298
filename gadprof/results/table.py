"""A result's table, written once: exact values for programs, and what a person reads of them.

Promises: ``exact`` gives keys and values in base units with every digit, ``shown`` titles and
texts, each by its column's kind; a column that no row fills is not shown. Refuses a row that has
more or fewer cells than there are columns. Knows no output language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gadprof.results.cells import (
    bytes_text,
    cell_text,
    is_missing,
    percent_text,
    ratio_text,
    scaled,
    seconds_text,
    share_text,
    signed_text,
)
from gadprof.results.escape import MISSING
from gadprof.results.figures import AtLeast

ColumnKind = Literal[
    "text", "count", "scaled", "bytes", "seconds", "ratio", "change", "share", "signed", "interval",
    "percent", "tree", "factor", "joined",
]  # fmt: skip
NUMBER_KINDS = frozenset(
    ("count", "scaled", "bytes", "seconds", "ratio", "change", "share", "signed", "percent")
) | {"interval"}
Place = Literal["both", "exact", "shown", "page"]

SHOWN: Mapping[ColumnKind, Callable[[Any, int | None], str]] = {
    "text": lambda value, _: cell_text(value),
    "count": lambda value, _: cell_text(value),
    "scaled": lambda value, digits: scaled(value, digits or 4),
    "bytes": lambda value, _: bytes_text(value),
    "seconds": lambda value, _: seconds_text(value),
    "ratio": lambda value, digits: ratio_text(value, digits),
    "change": lambda value, digits: percent_text(value, 1 if digits is None else digits),
    "share": lambda value, digits: share_text(value, 1 if digits is None else digits),
    "percent": lambda value, digits: share_text(value / 100, 1 if digits is None else digits),
    "signed": lambda value, _: signed_text(value),
    "factor": lambda value, _: f"{value:.3f}× ({percent_text(value)})",
    "joined": lambda value, _: f"({percent_text(value)})",
}


@dataclass(frozen=True)
class Column:
    """A column: its key in CSV and JSON (with the unit), its title for people, how it reads.

    ``digits`` are decimals (of a scaled value all digits). ``place`` says who gets it: programs,
    people or both; ``page`` is for people, but not on a terminal, whose notes say the same. Where a
    line is too narrow, the column of the greatest ``rank`` goes first and one of rank 0 last. Kinds
    beside the plain ones: ``change`` shows a ratio as a signed per cent; ``interval`` a pair;
    ``tree`` a pair of level and name; ``factor`` and ``joined`` a ratio to the first row, in the
    cell of the column before it, the latter as per cent alone.
    """

    key: str
    title: str
    kind: ColumnKind = "text"
    digits: int | None = None
    place: Place = "both"
    rank: int = 1


@dataclass(frozen=True)
class Shown:
    """A table as a person reads it: titles, cells, which columns are numbers, and their ranks."""

    titles: list[str]
    cells: list[list[str]]
    numeric: list[bool]
    ranks: list[int]
    columns: tuple[Column, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of exact values in base units; ``folded`` where a page shows it only on demand.

    ``note`` stands below the table on a page, ``notes`` below it on a terminal.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""
    folded: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells under {len(self.columns)} columns")

    def exact(self) -> tuple[list[str], list[list[Any]]]:
        """Keys and values for a program."""
        chosen = [i for i, column in enumerate(self.columns) if column.place in ("both", "exact")]
        keys = [self.columns[i].key for i in chosen]
        return keys, [[row[i] for i in chosen] for row in self.rows]

    def shown(self, *, terminal: bool = False) -> Shown:
        """Titles and texts for a person, without the columns that no row fills."""
        chosen: list[int] = []
        joined: dict[int, int] = {}
        for index, column in enumerate(self.columns):
            if column.place == "exact" or (terminal and column.place == "page"):
                continue
            if column.kind in ("factor", "joined"):
                joined[chosen[-1]] = index
            elif not chosen or not self.rows or self._filled(index):
                chosen.append(index)
        columns = tuple(self.columns[i] for i in chosen)
        cells = []
        for number, row in enumerate(self.rows):
            line = []
            for index in chosen:
                text = shown_cell(self.columns[index], row[index])
                beside = joined.get(index)
                if beside is not None and number and row[beside] is not None:
                    text = f"{text}  {SHOWN[self.columns[beside].kind](row[beside], None)}"
                line.append(text)
            cells.append(line)
        return Shown(
            [column.title for column in columns],
            cells,
            [column.kind in NUMBER_KINDS for column in columns],
            [column.rank for column in columns],
            columns,
            tuple(tuple(row[i] for i in chosen) for row in self.rows),
        )

    def _filled(self, index: int) -> bool:
        return any(not is_missing(row[index]) and row[index] != "" for row in self.rows)


def shown_cell(column: Column, value: Any) -> str:
    """One value as a person reads it under a column; a word in a column of numbers stays a word."""
    if is_missing(value):
        return MISSING
    if column.kind == "interval" and isinstance(value, Sequence) and not isinstance(value, str):
        low, high = value
        digits = 3 if column.digits is None else column.digits
        return f"{low:.{digits}f}–{high:.{digits}f}"
    if column.kind == "tree" and isinstance(value, Sequence) and not isinstance(value, str):
        level, name = value
        return "  " * int(level) + str(name)
    if isinstance(value, (int, float)) and column.kind in SHOWN:
        least = "at least " if isinstance(value, AtLeast) else ""
        return least + SHOWN[column.kind](value, column.digits)
    return cell_text(value)


def table_object(table: Table) -> dict[str, Any]:
    """A table as plain values: key, title, columns (key, title, kind), rows, note, folded."""
    chosen = [i for i, column in enumerate(table.columns) if column.place in ("both", "exact")]
    return {
        "key": table.key,
        "title": table.title,
        "columns": [
            {"key": c.key, "title": c.title, "kind": c.kind}
            for c in (table.columns[i] for i in chosen)
        ],
        "rows": [[row[i] for i in chosen] for row in table.rows],
        "note": table.note,
        "folded": table.folded,
    }
