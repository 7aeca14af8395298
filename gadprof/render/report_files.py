"""Every file of a report as bytes: page, HTML, plots, JSON and CSV; and the folder's index.

Promises the same bytes for the same Report (and, for plots, the same matplotlib); writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gadprof.render.csv import to_csv
from gadprof.render.escape import markdown
from gadprof.render.markdown import link
from gadprof.render.plots import render_plot
from gadprof.render.report_html import to_report_html
from gadprof.render.report_markdown import to_report_markdown
from gadprof.report.gather import Plot, Report
from gadprof.results.plain import to_json

INDEX = "index.md"


def report_files(report: Report, plot_formats: Sequence[str] = ("svg",)) -> dict[str, bytes]:
    """The report's files by their path below the folder; the page shows the first plot format."""
    shown = next((name for name in plot_formats if name != "pdf"), "svg")

    def plot_path(plot: Plot) -> str:
        return f"plots/{report.name}-{plot.key}.{shown}"

    files = {
        f"{report.name}.md": to_report_markdown(report, plot_path).encode(),
        f"{report.name}.html": to_report_html(report).encode(),
        f"data/{report.name}.json": to_json(
            {
                "title": report.title,
                "models": report.models,
                "comparison": report.comparison,
                "sections": report.sections,
                "data_files": report.data_files,
            }
        ).encode("utf-8", "backslashreplace"),
    }
    for section in report.sections:
        for table in section.tables:
            text = to_csv([column.key for column in table.columns], table.rows)
            files[f"data/{report.name}-{table.key}.csv"] = text.encode()
        for plot in section.plots:
            for plot_format in dict.fromkeys((shown, *plot_formats)):
                path = f"plots/{report.name}-{plot.key}.{plot_format}"
                files[path] = render_plot(plot, plot_format)
    return files


def stale_files(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The paths whose file is missing or differs.

    A plot that another matplotlib drew of the same data is not stale: the data beside it, which
    are compared byte by byte, decide.
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
