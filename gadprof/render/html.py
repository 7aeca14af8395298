"""A page as one HTML file that needs nothing else: no network, no other file.

Tables are in the page's HTML, so that it reads without scripts; a script of the page's own makes
them sortable and filterable and draws the plots. Every value passes through jinja2's escaping.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from gadprof.errors import MissingExtraError
from gadprof.results.cells import is_missing
from gadprof.results.escape import plain, script_json
from gadprof.results.page import Page
from gadprof.results.plain import to_plain
from gadprof.results.table import NUMBER_KINDS, Column, Table

KEPT_TOGETHER = 32  # characters of a cell that are not broken into lines


def page_html(page: Page) -> str:
    """The page. Raises MissingExtraError where jinja2 is not installed."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("jinja2", "report", "the HTML report") from error
    folder = resources.files("gadprof.render").joinpath("templates")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = lambda text: plain(str(text), 600)
    template = environment.from_string(folder.joinpath("report.html").read_text(encoding="utf-8"))
    text: str = template.render(
        title=plain(page.title, 200),
        style=_raw(folder.joinpath("report.css").read_text(encoding="utf-8")),
        script=_raw(folder.joinpath("report.js").read_text(encoding="utf-8")),
        data=_raw(script_json(_plots_json(page))),
        sections=[
            {"section": section, "tables": [_table(table) for table in section.tables]}
            for section in page.sections
        ],
    )
    return text.rstrip() + "\n"


def _raw(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _plots_json(page: Page) -> str:
    named = {plot.key: _shown(to_plain(plot)) for plot in page.plots}
    return json.dumps(named, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _shown(value: Any) -> Any:
    """Names as they are displayed: printable and of bounded length."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return plain(value) if isinstance(value, str) else value


def _table(table: Table) -> dict[str, Any]:
    shown = table.shown()
    rows = [
        [
            {
                "text": plain(text) or " ",
                "value": _sort_value(value),
                "right": column.kind in NUMBER_KINDS,
                "css": _css(column, text),
            }
            for column, value, text in zip(shown.columns, values, cells, strict=True)
        ]
        for values, cells in zip(shown.values, shown.cells, strict=True)
    ]
    columns = [
        {"title": plain(column.title), "right": column.kind in NUMBER_KINDS}
        for column in shown.columns
    ]
    return {"table": table, "columns": columns, "rows": rows}


def _css(column: Column, text: str) -> str:
    """The class of a cell: a number, words kept on one line, or words that may break."""
    if column.kind in NUMBER_KINDS:
        return "n"
    return "k" if len(text) <= KEPT_TOGETHER else "l"


def _sort_value(value: Any) -> str:
    """What a cell sorts by: an exact number, or nothing for words and gaps."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or is_missing(value):
        return ""
    return repr(value)
