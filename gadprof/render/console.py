"""Tables for people: rich tables that fit the terminal, turned on their side where they must be."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.columns import (
    fitted_widths,
    folded,
    narrowest_widths,
    natural_widths,
    total,
)
from gadprof.results.cells import cell_text, fitting, indented, numeric_columns, padded
from gadprof.results.escape import plain
from gadprof.results.table import Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from gadprof.results.page import Page

NARROWEST = 80  # columns that every table is made to fit
WIDEST_WHEN_PIPED = 120


def terminal_width() -> int:
    """The columns to fill: the terminal's, or 120 where the output is a pipe or a file."""
    if sys.stdout is None or not sys.stdout.isatty():
        fallback = shutil.get_terminal_size((WIDEST_WHEN_PIPED, 24)).columns
        return max(NARROWEST, min(fallback, WIDEST_WHEN_PIPED))
    return max(40, shutil.get_terminal_size((NARROWEST, 24)).columns)


def page_console(page: Page, *, width: int | None = None, color: bool = False) -> str:
    """A page as text: each section's words, folded to the terminal, and its tables."""
    width = width or terminal_width()
    parts: list[str] = []
    for section in page.sections:
        for words in section.words:
            text = wrapped(words, width)
            # the page's first words are its verdict
            parts.append((_painted(text, bold=True) if color and not parts else text) + "\n")
        parts += [
            table_console(table, width=width, color=color)
            for table in section.tables
            if not table.folded
        ]
    return "\n".join(parts)


# what a cell or a verdict means by its first word, in colour where there is colour
_MEANING = {
    "✓": "green",
    "✗": "red",
    "!": "red",
    "?": "yellow",
    "~": "yellow",
    "faster": "green",
    "slower": "red",
    "failed": "red",
    "refused": "yellow",
}
_CODES = {"green": "32", "red": "31", "yellow": "33", "": ""}


def _meaning(text: str) -> str:
    """The colour that a text's first word asks for, or none."""
    words = text.split(None, 1)
    return _MEANING.get(words[0].lower().rstrip(":,"), "") if words else ""


def _painted(text: str, *, bold: bool = False) -> str:
    """Lines in bold and in their colour, each closed at its end."""
    codes = ";".join(filter(None, ("1" if bold else "", _CODES[_meaning(text)])))
    return "\n".join(f"\x1b[{codes}m{line}\x1b[0m" for line in text.split("\n"))


def table_console(table: Table, *, width: int | None = None, color: bool = False) -> str:
    """A table with its title above and its notes below."""
    shown = table.shown(terminal=True)
    notes = (*([table.note] if table.note else []), *table.notes)
    return to_console(
        shown.titles,
        shown.cells,
        title=table.title,
        notes=notes,
        width=width,
        color=color,
        ranks=shown.ranks,
    )


def wrapped(text: str, width: int | None = None) -> str:
    """A paragraph in lines of the terminal's width; no word is broken, so that a path stays one."""
    import textwrap

    return textwrap.fill(
        plain(text, 20_000),
        width or terminal_width(),
        break_on_hyphens=False,
        break_long_words=False,
    )


def to_console(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    width: int | None = None,
    color: bool = False,
    ranks: Sequence[int] = (),
) -> str:
    """A table as text of at most ``width`` columns, with a title above and notes below.

    Where the natural table is wider, it is turned (rows become columns) if that fits and its rows
    have names of their own; else long columns of words are folded, at spaces first; else the
    columns of the greatest ``ranks``, the last before the first, are left out and named below. No
    digit is ever cut, no short word or interval broken, and names never act as markup.
    """
    import io

    from rich.console import Console
    from rich.text import Text

    width = width or terminal_width()
    filled = padded(headers, rows)
    cells = [[indented(cell_text(cell)) for cell in row] for row in filled]
    names = [plain(name) for name in headers]
    right = numeric_columns(filled, len(headers))
    (columns, alignment, lines, kept), left_out = _layout(
        names, cells, right, list(ranks) or [1] * len(names), width
    )
    widths = fitted_widths(columns, lines, alignment, kept, width)
    stream = io.StringIO()
    console = Console(
        file=stream,
        # numbers that do not fit stand out rather than lose a digit
        width=max(width, total(widths)),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    if title:
        console.print(Text(plain(title, 400), style=f"bold {_meaning(title)}".strip()), width=width)
    console.print(_rich_table(columns, alignment, lines, widths))
    if left_out:
        more = f"not shown at {width} columns: {', '.join(left_out)}"
        notes = (more, *notes)
    for note in notes:
        console.print(Text(plain(note, 2_000), style="dim"), width=width)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


_Part = tuple[list[str], list[bool], list[list[str]], list[int]]  # the last are the ranks


def _layout(
    names: list[str],
    cells: list[list[str]],
    right: Sequence[bool],
    ranks: Sequence[int],
    width: int,
) -> tuple[_Part, list[str]]:
    """The table as it is drawn, and the names of the columns that are left out."""
    whole: _Part = (names, list(right), cells, list(ranks))
    if not cells or total(natural_widths(names, cells)) <= width:
        return whole, []
    turned_names = [names[0], *(row[0] for row in cells)]
    turned = [[name, *(row[index + 1] for row in cells)] for index, name in enumerate(names[1:])]
    distinct = len(set(turned_names)) == len(turned_names)
    if distinct and total(natural_widths(turned_names, turned)) <= width:
        return (turned_names, [False, *[True] * len(cells)], turned, [1] * len(turned_names)), []
    kept = fitting(narrowest_widths(names, cells, right, ranks), ranks, width)
    left_out = [name for index, name in enumerate(names) if index not in kept]
    part: _Part = (
        [names[index] for index in kept],
        [right[index] for index in kept],
        [[row[index] for index in kept] for row in cells],
        [ranks[index] for index in kept],
    )
    return part, left_out


def _rich_table(
    names: list[str], right: list[bool], cells: list[list[str]], widths: list[int]
) -> RichTable:
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
        table.add_row(
            *(
                Text(folded(cell, width), style=_meaning(cell))
                for cell, width in zip(row, widths, strict=True)
            )
        )
    return table
