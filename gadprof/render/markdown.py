"""Markdown that GitHub shows as it is: pipe tables, collapsible details, links beside the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.render import escape
from gadprof.render.cells import cell_text, numeric_columns, padded


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
    lines += [_line([escape.markdown(cell_text(cell), limit) for cell in row]) for row in filled]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def details(summary: str, body: str) -> str:
    """A collapsible block on GitHub; ``body`` is markdown that has been escaped."""
    return f"<details>\n<summary>{escape.html(summary)}</summary>\n\n{body.strip()}\n\n</details>\n"


def image(alternative: str, target: str) -> str:
    """A picture beside the page; ``target`` is a relative path of plain characters."""
    return f"![{escape.markdown(alternative)}]({target})\n"


def link(text: str, target: str) -> str:
    """A link to a file beside the page; ``target`` is a relative path of plain characters."""
    return f"[{escape.markdown(text)}]({target})"
