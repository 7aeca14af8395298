"""The page of published figures as markdown, JSON, CSV and one plot; and as terminal tables.

Promises the same bytes for the same figures (a plot: for the same matplotlib); writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.audit.published import Explained
from gadprof.render.csv import to_csv
from gadprof.render.escape import markdown_code
from gadprof.render.markdown import image, link
from gadprof.render.paper import tables_of, to_section, to_terminal
from gadprof.render.plots import render_plot
from gadprof.report.sections.zoo import counts, sections, way_words
from gadprof.results.plain import to_json, to_plain

TITLE = "Published figures against exact counts"


def page_files(explained: Sequence[Explained], stem: str) -> dict[str, bytes]:
    """The page, its data and its plot by their path below the page's folder."""
    parts = sections(explained)
    files = {
        f"{stem}.md": to_page(explained, stem).encode(),
        f"data/{stem}.json": to_zoo_json(explained).encode(),
    }
    for table in tables_of(parts):
        text = to_csv([column.key for column in table.columns], table.rows)
        files[f"data/{stem}-{table.key}.csv"] = text.encode()
    for part in parts:
        for plot in part.plots:
            files[f"plots/{stem}-{plot.key}.svg"] = render_plot(plot)
    return files


def to_page(explained: Sequence[Explained], stem: str) -> str:
    """The markdown page."""
    made = [f"# {TITLE}\n"]
    parts = sections(explained)
    for part in parts:
        made.append(to_section(part))
        made += [image(plot.alternative, f"plots/{stem}-{plot.key}.svg") for plot in part.plots]
    files = [link("JSON", f"data/{stem}.json")]
    for table in tables_of(parts):
        files.append(link(f"{table.title} (CSV)", f"data/{stem}-{table.key}.csv"))
    made.append(f"To make this page again, type {markdown_code('gadprof zoo')}.\n")
    made.append(f"The same data: {', '.join(files)}.\n")
    return "\n".join(made)


def to_zoo_json(explained: Sequence[Explained]) -> str:
    """Every row with exact integers, its reading, and how many rows there are of each status."""
    return to_json({"counts": counts(explained), "rows": [_plain(item) for item in explained]})


def _plain(item: Explained) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(item)
    return {**plain, "how": way_words(item)}


def to_zoo_terminal(explained: Sequence[Explained]) -> str:
    """Summary, sources and rows for a terminal."""
    return to_terminal(sections(explained), only=("sources", "rows"))
