"""A page or a table in any language: ``render(page, "md")``, ``render_table("md", heads, rows)``.

Cells are strings, numbers, booleans or None. A language is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gadprof.results.page import Page
    from gadprof.results.table import Table

TABLE_FORMATS = ("table", "md", "csv", "latex", "html")


def render_table(
    table_format: str, headers: Sequence[str], rows: Sequence[Sequence[Any]], **options: Any
) -> str:
    """A table as text in one of ``TABLE_FORMATS``. Raises KeyError for another format."""
    return _language(table_format)(headers, rows, **options)


def _language(table_format: str) -> Callable[..., str]:
    match table_format:
        case "table":
            from gadprof.render.console import to_console

            return to_console
        case "md":
            from gadprof.render.markdown import to_markdown

            return to_markdown
        case "csv":
            from gadprof.render.csv import to_csv

            return to_csv
        case "latex":
            from gadprof.render.latex import to_latex

            return to_latex
        case "html":
            from gadprof.results.prompt import to_html

            return to_html
        case _:
            raise KeyError(table_format)


def render(page: Page, output_format: str, *, width: int | None = None, color: bool = False) -> str:
    """A page in one of table, json, csv, md, latex, html. Raises ValueError for another format.

    CSV holds the page's exact rows. Markdown and LaTeX of a page that has one table
    and no words are that table alone.
    """
    match output_format:
        case "table":
            from gadprof.render.console import page_console

            return page_console(page, width=width, color=color)
        case "json":
            from gadprof.results.plain import to_json

            return to_json(page.json())
        case "csv":
            return _language("csv")(*page.exact())
        case "md" if _alone(page):
            return _shown(page.tables[0], "md")
        case "md":
            from gadprof.render.markdown import page_body

            return page_body(page)
        case "latex":
            return "\n".join(_shown(table, "latex") for table in page.tables)
        case "html":
            from gadprof.render.html import page_html

            return page_html(page)
        case _:
            known = "table, json, csv, md, latex or html"
            raise ValueError(f"{output_format!r} is no format; take {known}")


def _alone(page: Page) -> bool:
    return len(page.tables) == 1 and not any(section.words for section in page.sections)


def _shown(table: Table, language: str) -> str:
    shown = table.shown()
    return _language(language)(shown.titles, shown.cells)
