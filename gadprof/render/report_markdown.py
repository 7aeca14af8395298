"""The report as one markdown page that GitHub shows as it is, with its plots beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gadprof.render.cells import (
    bytes_text,
    cell_text,
    is_missing,
    percent_text,
    ratio_text,
    scaled,
    seconds_text,
)
from gadprof.render.escape import MISSING, markdown, markdown_code
from gadprof.render.markdown import details, image, link, to_markdown
from gadprof.report.gather import Plot, Report, Table

SHOWN: dict[str, Callable[[Any], str]] = {
    "text": cell_text,
    "count": cell_text,
    "scaled": scaled,
    "bytes": bytes_text,
    "seconds": seconds_text,
    "ratio": ratio_text,
    "change": percent_text,
    "share": lambda share: MISSING if is_missing(share) else f"{100 * share:.1f} %",
}


def shown_rows(table: Table) -> list[list[str]]:
    """A table's cells as a person reads them, each by its column's kind."""
    return [
        [
            SHOWN[column.kind](value)
            if value is None or isinstance(value, (int, float))
            else cell_text(value)
            for column, value in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]


def to_report_markdown(report: Report, plot_path: Callable[[Plot], str]) -> str:
    """The page; ``plot_path`` gives a figure's path relative to the page."""
    parts = [f"# {markdown(report.title, 200)}\n"]
    for section in report.sections:
        parts.append(f"## {markdown(section.title)}\n")
        if section.key == "summary":
            parts.append("".join(f"- {markdown(words, 600)}\n" for words in section.words))
        else:
            parts += [f"{markdown(words, 600)}\n" for words in section.words]
        for plot in section.plots:
            parts.append(image(plot.alternative, plot_path(plot)))
        for table in section.tables:
            headers = [column.title for column in table.columns]
            body = to_markdown(headers, shown_rows(table))
            if table.note:
                body += f"\n{markdown(table.note, 600)}\n"
            if table.folded:
                parts.append(details(f"{table.title} ({len(table.rows)} rows)", body))
            else:
                parts += [f"### {markdown(table.title)}\n", body]
        if section.commands:
            parts += [
                f"To make this page again, type {markdown_code(c)}.\n" for c in section.commands
            ]
    files = [link(text, path) for text, path in _files(report)]
    parts.append(f"The same data: {', '.join(files)}.\n")
    return "\n".join(parts)


def _files(report: Report) -> list[tuple[str, str]]:
    files = [
        ("page with sortable tables (HTML)", f"{report.name}.html"),
        ("JSON", f"data/{report.name}.json"),
    ]
    return [
        *files,
        *((f"{t.title} (CSV)", f"data/{report.name}-{t.key}.csv") for t in _all(report)),
    ]


def _all(report: Report) -> list[Table]:
    return [table for section in report.sections for table in section.tables]
