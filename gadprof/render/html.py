"""HTML tables: the ones a notebook shows and the ones that the report's page makes sortable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.render import escape
from gadprof.render.cells import cell_text, is_missing, numeric_columns, padded


def to_html(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    caption: str = "",
    css_class: str = "gadprof",
) -> str:
    """A ``<table>``; each cell of a number carries its exact value in ``data-value``."""
    filled = padded(headers, rows)
    right = numeric_columns(filled, len(headers))
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


def _align(numeric: bool) -> str:
    return ' style="text-align:right"' if numeric else ' style="text-align:left"'


def _cell(value: Any, numeric: bool) -> str:
    exact = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not is_missing(value):
        exact = f' data-value="{value!r}"'
    text = escape.html(cell_text(value))
    return f"<td{_align(numeric)}{exact}>" + (text if numeric else f"<bdi>{text}</bdi>") + "</td>"
