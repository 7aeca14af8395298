"""Tables for people: rich tables that fit the terminal, turned on their side where they must be."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.cells import cell_text, numeric_columns, padded
from gadprof.render.columns import (
    fitted_widths,
    folded,
    narrowest_widths,
    natural_widths,
    total,
)
from gadprof.render.escape import plain

if TYPE_CHECKING:
    from rich.table import Table

NARROWEST = 80  # columns that every table is made to fit
WIDEST_WHEN_PIPED = 120


def terminal_width() -> int:
    """The columns to fill: the terminal's, or 120 where the output is a pipe or a file."""
    if not sys.stdout.isatty():
        fallback = shutil.get_terminal_size((WIDEST_WHEN_PIPED, 24)).columns
        return max(NARROWEST, min(fallback, WIDEST_WHEN_PIPED))
    return max(40, shutil.get_terminal_size((NARROWEST, 24)).columns)


def to_console(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    width: int | None = None,
    color: bool = False,
) -> str:
    """A table as text of at most ``width`` columns, with a title above and notes below.

    Where the natural table is wider, it is turned (rows become columns) if that fits; else long
    columns of words are folded, at spaces first; else the columns are dealt out over several
    tables that repeat the first. No digit is ever cut, no short word or interval broken, and names
    never act as markup.
    """
    import io

    from rich.console import Console
    from rich.text import Text

    width = width or terminal_width()
    filled = padded(headers, rows)
    cells = [[plain(cell_text(cell), 400) for cell in row] for row in filled]
    names = [plain(name) for name in headers]
    right = numeric_columns(filled, len(headers))
    parts = [
        (part, fitted_widths(part[0], part[2], part[1], width))
        for part in _layout(names, cells, right, width)
    ]
    stream = io.StringIO()
    console = Console(
        file=stream,
        # numbers that do not fit stand out rather than lose a digit
        width=max(width, *(total(widths) for _, widths in parts)),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    if title:
        console.print(Text(plain(title, 400), style="bold"), width=width)
    for number, ((columns, alignment, lines), widths) in enumerate(parts):
        if number:
            console.print()
        console.print(_rich_table(columns, alignment, lines, widths))
    for note in notes:
        console.print(Text(plain(note, 2_000), style="dim"), width=width)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


_Part = tuple[list[str], list[bool], list[list[str]]]


def _layout(
    names: list[str], cells: list[list[str]], right: Sequence[bool], width: int
) -> list[_Part]:
    whole: _Part = (names, list(right), cells)
    if not cells or total(natural_widths(names, cells)) <= width:
        return [whole]
    turned_names = [names[0], *(row[0] for row in cells)]
    turned = [[name, *(row[index + 1] for row in cells)] for index, name in enumerate(names[1:])]
    if total(natural_widths(turned_names, turned)) <= width:
        return [(turned_names, [False, *[True] * len(cells)], turned)]
    narrowest = narrowest_widths(names, cells, right)
    if total(narrowest) <= width:
        return [whole]
    parts: list[_Part] = []
    taken: list[int] = []
    for index in range(1, len(names)):
        if taken and total([narrowest[i] for i in (0, *taken, index)]) > width:
            parts.append(_pick(names, cells, right, [0, *taken]))
            taken = []
        taken.append(index)
    return [*parts, _pick(names, cells, right, [0, *taken])]


def _pick(
    names: list[str], cells: list[list[str]], right: Sequence[bool], columns: list[int]
) -> _Part:
    return (
        [names[index] for index in columns],
        [right[index] for index in columns],
        [[row[index] for index in columns] for row in cells],
    )


def _rich_table(
    names: list[str], right: list[bool], cells: list[list[str]], widths: list[int]
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name, numeric, width in zip(names, right, widths, strict=True):
        table.add_column(
            Text(folded(name, width)),
            justify="right" if numeric else "left",
            width=width,
            no_wrap=True,
        )
    for row in cells:
        table.add_row(*(Text(folded(cell, width)) for cell, width in zip(row, widths, strict=True)))
    return table


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Print a table to standard output, in colour on a terminal that wants it."""
    import os

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.write(to_console(headers, rows, title=title, notes=notes, color=color))
    sys.stdout.flush()
