"""Every file of a page as bytes: markdown, HTML, plots, JSON and CSV; and the folder's index.

Promises the same bytes for the same page (and, for plots, the same matplotlib); writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gadprof.render.colors import plot_colors
from gadprof.render.csv import to_csv
from gadprof.render.html import page_html
from gadprof.render.markdown import link, page_markdown
from gadprof.render.plots import render_plot
from gadprof.results.escape import markdown
from gadprof.results.page import Page, Plot
from gadprof.results.plain import to_json
from gadprof.results.table import Table

INDEX = "index.md"


def page_files(
    page: Page, plot_formats: Sequence[str] = ("svg",), *, html: bool = False
) -> dict[str, bytes]:
    """The page's files by their path below the folder; the page shows the first plot format."""
    shown = next((name for name in plot_formats if name != "pdf"), "svg")
    colors = plot_colors(page.plots)
    suffixes = dict.fromkeys((shown, *plot_formats))
    drawn = {
        (plot.key, suffix): render_plot(plot, suffix, colors)
        for plot in page.plots
        for suffix in dict.fromkeys((*suffixes, *(("svg",) if html else ())))
    }
    files = {f"{page.name}.md": markdown_of(page, shown, html=html).encode()}
    if html:
        svg = {key: data for (key, suffix), data in drawn.items() if suffix == "svg"}
        files[f"{page.name}.html"] = page_html(page, svg).encode()
    document = to_json(page.json())
    files[f"data/{page.name}.json"] = document.encode("utf-8", "backslashreplace")
    files |= {path: to_csv(*table.exact()).encode() for path, table in _csv_files(page).items()}
    return files | {
        _plot_path(page, plot, suffix): drawn[plot.key, suffix]
        for plot in page.plots
        for suffix in suffixes
    }


def markdown_of(page: Page, suffix: str = "svg", *, html: bool = False) -> str:
    """The page as markdown with links to the files that are written beside it."""
    links = [("page with sortable tables (HTML)", f"{page.name}.html")] if html else []
    links.append(("JSON", f"data/{page.name}.json"))
    links += [(f"{table.title} (CSV)", path) for path, table in _csv_files(page).items()]
    return page_markdown(page, lambda plot: _plot_path(page, plot, suffix), links)


def _csv_files(page: Page) -> dict[str, Table]:
    return {f"data/{page.name}-{table.key}.csv": table for table in page.tables}


def _plot_path(page: Page, plot: Plot, suffix: str) -> str:
    return f"plots/{page.name}-{plot.key}.{suffix}"


def stale_files(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The paths whose file is missing or differs.

    A plot, or a page with plots, that another matplotlib drew of the same data is not stale: the
    data beside it, which are compared byte by byte, decide.
    """
    stale = []
    for path, data in files.items():
        try:
            held = (folder / path).read_bytes()
        except OSError:
            stale.append(path)
            continue
        if held != data and not _drawn_by_another(held, data):
            stale.append(path)
    return stale


def _drawn_by_another(held: bytes, made: bytes) -> bool:
    versions = [re.search(rb"Matplotlib v([0-9.]+)", data) for data in (held, made)]
    return all(versions) and len({found.group(1) for found in versions if found}) == 2


def index_page(folder: Path, made: Mapping[str, bytes] = {}) -> bytes:
    """``index.md``: a link to every page of a folder, ``made`` being pages not yet written."""
    pages: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")) if folder.is_dir() else []:
        pages[path.name] = path.read_text(encoding="utf-8", errors="replace")
    pages.update({name: data.decode() for name, data in made.items() if name.endswith(".md")})
    pages.pop(INDEX, None)
    names = set(made) | {path.name for path in folder.glob("*.html")}
    lines = ["# Reports", ""]
    for name in sorted(pages):
        heading = re.search(r"^# (.+)$", pages[name], re.MULTILINE)
        # a heading is markdown already, and is kept as it stands where it holds no link
        words = heading.group(1).strip() if heading else markdown(name)
        words = words if "](" not in words else markdown(name)
        line = f"- [{words}]({name})"
        other = f"{name[:-3]}.html"
        if other in names:
            line += f" ({link('interactive page', other)})"
        lines.append(line)
    if not pages:
        lines.append("No pages yet.")
    return ("\n".join(lines) + "\n").encode()
