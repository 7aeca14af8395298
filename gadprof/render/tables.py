"""One table in any language: ``render_table("md", headers, rows)``.

Cells are strings, numbers, booleans or None. Imports nothing heavy; rich loads only for
``to_console``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gadprof.render.console import print_table, to_console
from gadprof.render.csv import to_csv
from gadprof.render.html import to_html
from gadprof.render.latex import to_latex
from gadprof.render.markdown import to_markdown

__all__ = [
    "TABLE_FORMATS",
    "print_table",
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
