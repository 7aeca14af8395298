"""How a page's tables read at a Python prompt: HTML for a notebook, lines of text for ``print``.

Promises that a name is never markup or a terminal command, and that text is as wide as the
terminal at most, the least important columns being left out and named. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.results import escape
from gadprof.results.cells import (
    GAP,
    MOST_INDENT,
    cell_text,
    fitting,
    indented,
    is_missing,
    numeric_columns,
    padded,
)

if TYPE_CHECKING:
    from gadprof.results.page import Page
    from gadprof.results.table import Shown, Table


def html_of(page: Page) -> str:
    """The tables that a page does not fold, as HTML: words above each, its notes below."""
    made = []
    for words, table in _unfolded(page):
        shown = table.shown()
        made += [f"<p>{escape.html(text, 400)}</p>" for text in words]
        made.append(to_html(shown.titles, _valued(shown), caption=table.title))
        notes = [escape.html(note, 400) for note in (table.note, *table.notes) if note]
        made += [f"<p><small>{'<br>'.join(notes)}</small></p>"] if notes else []
    return "\n".join(made)


def text_of(page: Page, width: int | None = None) -> str:
    """The same as plain text, without a line's end at its end."""
    import shutil
    import textwrap

    width = width or shutil.get_terminal_size((100, 24)).columns
    made = []
    for words, table in _unfolded(page):
        made += [textwrap.fill(escape.plain(text, 20_000), width) for text in words]
        made.append(_text(table, width))
    return "\n\n".join(made)


def _unfolded(page: Page) -> list[tuple[tuple[str, ...], Table]]:
    """Every table that is shown, with the words that stand before it."""
    found = []
    for section in page.sections:
        tables = [table for table in section.tables if not table.folded]
        found += [(section.words if not n else (), table) for n, table in enumerate(tables)]
    return found


def to_html(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str = "",
    css_class: str = "gadprof",
) -> str:
    """A ``<table>``; a cell may be a pair of text and exact value, which goes to ``data-value``."""
    filled = padded(headers, rows)
    right = numeric_columns([[_word(cell) for cell in row] for row in filled], len(headers))
    head = "".join(
        f'<th scope="col"{_align(numeric)}>{escape.html(name)}</th>'
        for name, numeric in zip(headers, right, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(_cell(cell, numeric) for cell, numeric in zip(row, right, strict=True))
        + "</tr>"
        for row in filled
    )
    title = f"<caption>{escape.html(caption, 400)}</caption>\n" if caption else ""
    return (
        f'<table class="{escape.html(css_class)}">\n{title}'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    )


def _valued(shown: Shown) -> list[list[Any]]:
    """Cells of text and exact value."""
    return [
        list(zip(cells, values, strict=True))
        for cells, values in zip(shown.cells, shown.values, strict=True)
    ]


def _word(cell: Any) -> Any:
    return cell[0] if isinstance(cell, tuple) else cell


def _align(numeric: bool) -> str:
    return ' style="text-align:right"' if numeric else ' style="text-align:left"'


def _cell(cell: Any, numeric: bool) -> str:
    text, value = cell if isinstance(cell, tuple) else (cell_text(cell), cell)
    exact = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not is_missing(value):
        exact = f' data-value="{value!r}"'
    # a tree's blanks are hard ones, which HTML keeps
    words = "&nbsp;" * min(len(text) - len(text.lstrip(" ")), MOST_INDENT) + escape.html(text)
    return f"<td{_align(numeric)}{exact}>" + (words if numeric else f"<bdi>{words}</bdi>") + "</td>"


def _text(table: Table, width: int) -> str:
    shown = table.shown(terminal=True)
    names = [escape.plain(name) for name in shown.titles]
    cells = [[indented(cell) for cell in row] for row in shown.cells]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    kept = fitting(widths, shown.ranks, width)
    lines = [escape.plain(table.title, 400)] if table.title else []
    for row in (names, *cells):
        line = [
            row[i].rjust(widths[i]) if shown.numeric[i] else row[i].ljust(widths[i]) for i in kept
        ]
        lines.append((" " * GAP).join(line).rstrip())
    if len(kept) < len(names):
        left = ", ".join(name for index, name in enumerate(names) if index not in kept)
        lines.append(f"(not shown: {left})")
    return "\n".join(lines)
