"""Markdown that GitHub shows as it is: pipe tables, collapsible details, links beside the page.

Promises the same text for the same page; every name stays words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gadprof.results import escape
from gadprof.results.cells import cell_text, numeric_columns, padded
from gadprof.results.page import Page, Plot, Section
from gadprof.results.sentences import counted
from gadprof.results.table import Table

WORDS_LIMIT = 2_000
CELL_LIMIT = 400


def page_markdown(
    page: Page, plot_path: Callable[[Plot], str], files: Sequence[tuple[str, str]] = ()
) -> str:
    """The page; ``plot_path`` gives a figure's path beside it, ``files`` its data (words, path)."""
    parts = [f"# {escape.markdown(page.title, 200)}\n"]
    parts += [_section(section, page, plot_path) for section in page.sections]
    if page.command:
        parts.append(f"To make this page again, type {escape.markdown_code(page.command)}.\n")
    if files:
        parts.append(f"The same data: {', '.join(link(*item) for item in files)}.\n")
    return "\n".join(parts)


def page_body(page: Page) -> str:
    """Words and tables of a page without a title of its own, as in a comment."""
    parts = []
    for section in page.sections:
        parts += [f"{escape.markdown(words, WORDS_LIMIT)}\n" for words in section.words]
        parts += [part for table in section.tables for part in _table(table)]
    return "\n".join(parts)


def _section(section: Section, page: Page, plot_path: Callable[[Plot], str]) -> str:
    parts = [f"## {escape.markdown(section.title)}\n"]
    words = [escape.markdown(words, WORDS_LIMIT) for words in section.words]
    if section.key == "summary":
        parts.append("".join(f"- {text}\n" for text in words))
    else:
        parts += [f"{text}\n" for text in words]
    parts += [image(plot.alternative, plot_path(plot)) for plot in section.plots]
    parts += [part for table in section.tables for part in _table(table)]
    parts += [
        f"The same by itself: {escape.markdown_code(command)}.\n"
        for command in section.commands
        if command != page.command
    ]
    return "\n".join(parts)


def _table(table: Table) -> list[str]:
    shown = table.shown()
    body = to_markdown(shown.titles, shown.cells, limit=CELL_LIMIT)
    for note in (*([table.note] if table.note else []), *table.notes):
        body += f"\n{escape.markdown(note, WORDS_LIMIT)}\n"
    if table.folded:
        return [details(f"{table.title} ({counted(len(table.rows), 'row')})", body)]
    return [f"### {escape.markdown(table.title)}\n", body] if table.title else [body]


def to_markdown(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    limit: int = escape.DISPLAY_LIMIT,
) -> str:
    """A pipe table with at most ``limit`` characters a cell; numbers are aligned to the right."""
    filled = padded(headers, rows)
    right = numeric_columns(filled, len(headers))
    lines = [
        _line([escape.markdown(name) or " " for name in headers]),
        _line(["---:" if numeric else ":---" for numeric in right]),
    ]
    lines += [_line([_cell(cell_text(cell), limit) for cell in row]) for row in filled]
    return "\n".join(lines) + "\n"


def _cell(text: str, limit: int) -> str:
    """A cell as words; a tree's blanks stay, as hard ones."""
    blanks = len(text) - len(text.lstrip(" ")) if text.strip() else 0
    return "&nbsp;" * min(blanks, 40) + escape.markdown(text, limit)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def details(summary: str, body: str) -> str:
    """A collapsible block on GitHub; ``body`` is markdown that has been escaped."""
    return f"<details>\n<summary>{escape.html(summary)}</summary>\n\n{body.strip()}\n\n</details>\n"


def image(alternative: str, target: str) -> str:
    """A picture beside the page; ``target`` is a relative path of plain characters."""
    return f"![{escape.markdown(alternative, WORDS_LIMIT)}]({target})\n"


def link(text: str, target: str) -> str:
    """A link to a file beside the page; ``target`` is a relative path of plain characters."""
    return f"[{escape.markdown(text)}]({target})"
