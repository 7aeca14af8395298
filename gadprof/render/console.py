"""Tables for people: rich tables that fit the terminal, turned on their side where they must be."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.cells import cell_text, numeric_columns, padded
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

    Where the natural table is wider, it is turned (rows become columns) if that fits; else words
    are folded; else the columns are dealt out over several tables that repeat the first. No digit
    is ever cut, and names never act as markup.
    """
    import io

    from rich.console import Console
    from rich.text import Text

    width = width or terminal_width()
    filled = padded(headers, rows)
    cells = [[plain(cell_text(cell), 400) for cell in row] for row in filled]
    names = [plain(name) for name in headers]
    right = numeric_columns(filled, len(headers))
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    if title:
        console.print(Text(plain(title, 400), style="bold"))
    for part, (columns, alignment, lines) in enumerate(_layout(names, cells, right, width)):
        if part:
            console.print()
        console.print(_rich_table(columns, alignment, lines))
    for note in notes:
        console.print(Text(plain(note, 2_000), style="dim"))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


_Part = tuple[list[str], list[bool], list[list[str]]]


def _layout(
    names: list[str], cells: list[list[str]], right: Sequence[bool], width: int
) -> list[_Part]:
    whole: _Part = (names, list(right), cells)
    if not cells or _natural_width(names, cells) <= width:
        return [whole]
    turned_names = [names[0], *(row[0] for row in cells)]
    turned = [[name, *(row[index + 1] for row in cells)] for index, name in enumerate(names[1:])]
    if _natural_width(turned_names, turned) <= width:
        return [(turned_names, [False, *[True] * len(cells)], turned)]
    if _folded_width(names, cells, right) <= width:
        return [whole]
    parts: list[_Part] = []
    taken: list[int] = []
    for index in range(1, len(names)):
        if taken and _picked_width(names, cells, right, [0, *taken, index]) > width:
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


def _picked_width(
    names: list[str], cells: list[list[str]], right: Sequence[bool], columns: list[int]
) -> int:
    picked_names, picked_right, picked = _pick(names, cells, right, columns)
    return _folded_width(picked_names, picked, picked_right)


def _column_widths(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    return [
        max([cell_len(name), *(cell_len(row[index]) for row in cells)])
        for index, name in enumerate(names)
    ]


def _natural_width(names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    return sum(_column_widths(names, cells)) + 2 * len(names)


def _folded_width(
    names: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> int:
    """The width where columns of words may be folded to 16 columns and numbers stay whole."""
    widths = _column_widths(names, cells)
    return sum(
        width if numeric else min(width, 16) for width, numeric in zip(widths, right, strict=True)
    ) + 2 * len(names)


def _rich_table(names: list[str], right: list[bool], cells: list[list[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name, numeric in zip(names, right, strict=True):
        table.add_column(
            Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
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
