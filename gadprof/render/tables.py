"""A page or a table in any language: ``render(page, "md")``, ``render_table("md", heads, rows)``.

Cells are strings, numbers, booleans or None. Imports nothing heavy; rich loads only for
``to_console``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gadprof.render.console import page_console, to_console
from gadprof.render.csv import to_csv
from gadprof.render.latex import to_latex
from gadprof.render.markdown import page_body, to_markdown
from gadprof.results.page import Page
from gadprof.results.plain import to_json
from gadprof.results.prompt import to_html
from gadprof.results.table import Table

__all__ = [
    "TABLE_FORMATS",
    "render",
    "render_table",
    "to_console",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
]

_RENDERERS: dict[str, Callable[..., str]] = {
    "table": to_console,
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
}

TABLE_FORMATS = tuple(_RENDERERS)


def render_table(
    table_format: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], **options: Any
) -> str:
    """A table as text in one of ``TABLE_FORMATS``. Raises KeyError for another format."""
    return _RENDERERS[table_format](headers, rows, **options)


def render(page: Page, output_format: str, *, width: int | None = None, color: bool = False) -> str:
    """A page in one of table, json, csv, md, latex, html. Raises ValueError for another format.

    CSV holds the page's exact rows. Markdown and LaTeX of a page that has one table
    and no words are that table alone.
    """
    match output_format:
        case "table":
            return page_console(page, width=width, color=color)
        case "json":
            return to_json(page.json())
        case "csv":
            return to_csv(*page.exact())
        case "md" if _alone(page):
            return _shown(page.tables[0], to_markdown)
        case "md":
            return page_body(page)
        case "latex":
            return "\n".join(_shown(table, to_latex) for table in page.tables)
        case "html":
            from gadprof.render.html import page_html

            return page_html(page)
        case _:
            known = "table, json, csv, md, latex or html"
            raise ValueError(f"{output_format!r} is no format; take {known}")


def _alone(page: Page) -> bool:
    return len(page.tables) == 1 and not any(section.words for section in page.sections)


def _shown(table: Table, language: Callable[..., str]) -> str:
    shown = table.shown()
    return language(shown.titles, shown.cells)
