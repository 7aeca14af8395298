"""A page as one HTML file that needs nothing else: no network, no other file.

Tables and figures are in the page's HTML, so that it reads and prints without scripts. The figures
are the SVG files themselves; a script of the page's own gives their marks tips, sorts, filters and
copies tables, and draws a tree of modules as an icicle. Every value passes through jinja2's
escaping, every figure through matplotlib's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from gadprof.errors import MissingExtraError
from gadprof.render.colors import OTHER, colors_of, plot_colors
from gadprof.render.plots import render_plot, svg_element, tips
from gadprof.results.cells import is_missing
from gadprof.results.escape import plain, script_json
from gadprof.results.page import Page
from gadprof.results.table import NUMBER_KINDS, Column, Table

LEDGER = ("model", "counter", "cause")  # what names a row of the table `ledger`
KEPT_TOGETHER = 24  # characters of a cell that are not broken into lines
MINOR = 3  # a column of this rank or more is left out where a page is as narrow as a phone


def page_html(page: Page, drawn: Mapping[str, bytes] | None = None) -> str:
    """The page; ``drawn`` are its figures as SVG files by their keys, drawn here by default.

    Raises MissingExtraError where jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("jinja2", "report", "the HTML report") from error
    if drawn is None:
        colors = plot_colors(page.plots)
        drawn = {plot.key: render_plot(plot, "svg", colors) for plot in page.plots}
    figures = drawn
    folder = resources.files("gadprof.render").joinpath("templates")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = lambda text: plain(str(text), 2_000)
    template = environment.from_string(folder.joinpath("report.html").read_text(encoding="utf-8"))
    text: str = template.render(
        title=plain(page.title, 200),
        style=_raw(folder.joinpath("report.css").read_text(encoding="utf-8")),
        script=_raw(folder.joinpath("report.js").read_text(encoding="utf-8")),
        data=_raw(script_json(_tips_json(page))),
        links=_raw(script_json(json.dumps(_links(page), separators=(",", ":")))),
        command=page.command,
        version=_drawn_by(figures),
        sections=[
            {
                "section": section,
                "plots": [
                    (plot, _raw(svg_element(figures[plot.key], plot.key))) for plot in section.plots
                ],
                "tables": [_table(table) for table in section.tables],
            }
            for section in page.sections
        ],
    )
    return text.rstrip() + "\n"


def _raw(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _tips_json(page: Page) -> str:
    """What the marks of each figure say, printable and of bounded length."""
    named = {
        plot.key: ["\n".join(plain(line) for line in tip.splitlines()) for tip in tips(plot)]
        for plot in page.plots
    }
    return json.dumps(named, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _links(page: Page) -> dict[str, list[int | None]]:
    """For each mark of a waterfall the row of the table ``ledger`` that says the same, if any."""
    ledger = next((table for table in page.tables if table.key == "ledger"), None)
    if ledger is None:
        return {}
    shown = ledger.shown()
    keys = [column.key for column in shown.columns]
    columns = [keys.index(key) for key in LEDGER if key in keys]
    rows = {tuple(cells[i] for i in columns): n for n, cells in enumerate(shown.cells)}
    found = {}
    for plot in page.plots:
        if plot.kind == "waterfall":
            names = (str(plot.data["model"]), str(plot.data["end"]["label"]))
            steps = [rows.get((*names, str(step["label"]))) for step in plot.data["steps"]]
            found[plot.key] = [None, *steps, None]
    return found


def _drawn_by(figures: Mapping[str, bytes]) -> str:
    """The version that drew the figures, by which a page is known to be of another one."""
    found = next((re.search(rb"Matplotlib v[0-9.]+", svg) for svg in figures.values()), None)
    return found[0].decode() if found else ""


def _table(table: Table) -> dict[str, Any]:
    shown = table.shown()
    tree = next((i for i, column in enumerate(shown.columns) if column.kind == "tree"), None)
    rows = [
        [
            {
                "text": "\u00a0" * _indent(text) + plain(text) or " ",
                "link": value if str(value).startswith(("https://", "http://")) else "",
                "value": _sort_value(value),
                "right": column.kind in NUMBER_KINDS,
                "css": _css(column, text),
            }
            for column, value, text in zip(shown.columns, values, cells, strict=True)
        ]
        for values, cells in zip(shown.values, shown.cells, strict=True)
    ]
    columns = [
        {
            "title": plain(column.title),
            "css": " ".join(
                ["n"] * (column.kind in NUMBER_KINDS) + ["minor"] * (column.rank >= MINOR)
            ),
        }
        for column in shown.columns
    ]
    return {
        "table": table,
        "minor": [plain(column.title) for column in shown.columns if column.rank >= MINOR],
        "columns": columns,
        "rows": rows,
        "tree": tree,
        "levels": [values[tree][0] if tree is not None else 0 for values in shown.values],
        "colors": _branch_colors(shown.values, tree),
        "measures": [
            index
            for index, column in enumerate(shown.columns)
            if column.kind in ("count", "scaled", "bytes", "seconds")
        ],
    }


def _indent(text: str) -> int:
    """The blanks that a tree's name begins with, as hard ones."""
    return min(2 * (len(text) - len(text.lstrip(" "))), 80) if text.strip() else 0


def _branch_colors(rows: Sequence[Sequence[Any]], tree: int | None) -> list[str]:
    """Each row's colour: that of the branch of the tree's first level that it belongs to."""
    if tree is None:
        return [""] * len(rows)
    branch = ""
    branches = []
    for row in rows:
        level, name = row[tree]
        branch = str(name) if level == 1 else branch if level else ""
        branches.append(branch)
    colors = {**colors_of(filter(None, branches)), "": OTHER}
    return [colors[branch] for branch in branches]


def _css(column: Column, text: str) -> str:
    """The class of a cell: a number, words kept on one line or that may break; not on a phone."""
    kind = "l" if len(text) > KEPT_TOGETHER else "k"
    kind = "n" if column.kind in NUMBER_KINDS else kind
    return f"{kind} minor" if column.rank >= MINOR else kind


def _sort_value(value: Any) -> str:
    """What a cell sorts by: an exact number, or nothing for words and gaps."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or is_missing(value):
        return ""
    return repr(value)
