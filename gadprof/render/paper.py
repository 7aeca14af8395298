"""The page on the paper as markdown, with its data as JSON and CSV beside it.

Promises the same bytes for the same figures; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gadprof.paper.gather import Judged
from gadprof.render.csv import to_csv
from gadprof.render.escape import markdown, markdown_code
from gadprof.render.markdown import details, link, to_markdown
from gadprof.render.report_markdown import shown_rows
from gadprof.render.tables import to_console
from gadprof.report.gather import Section, Table
from gadprof.results.plain import to_json

WORDS_LIMIT = 1200
CELL_LIMIT = 400


def page_files(judged: Judged, stem: str) -> dict[str, bytes]:
    """The page and its data by their path below the page's folder."""
    files = {
        f"{stem}.md": to_page(judged, stem).encode(),
        f"data/{stem}.json": to_paper_json(judged).encode(),
    }
    for table in tables_of(judged.sections):
        text = to_csv([column.key for column in table.columns], table.rows)
        files[f"data/{stem}-{table.key}.csv"] = text.encode()
    return files


def tables_of(sections: Sequence[Section]) -> list[Table]:
    """Every table of some sections."""
    return [table for section in sections for table in section.tables]


def to_paper_json(judged: Judged) -> str:
    """Everything as one JSON document: records with exact integers, and the page's tables."""
    return to_json(
        {
            "title": judged.title,
            "claims": judged.verdicts,
            "equations": judged.equations,
            "traced": judged.traced,
            "search": judged.search,
            "not_built_in": judged.missing,
            "tables": {
                table.key: {
                    "title": table.title,
                    "columns": [column.key for column in table.columns],
                    "rows": table.rows,
                }
                for table in tables_of(judged.sections)
            },
        }
    )


def to_page(judged: Judged, stem: str) -> str:
    """The markdown page."""
    parts = [f"# {markdown(judged.title, 200)}\n"]
    parts += [to_section(section) for section in judged.sections]
    files = [link("JSON", f"data/{stem}.json")]
    files += [
        link(f"{table.title} (CSV)", f"data/{stem}-{table.key}.csv")
        for table in tables_of(judged.sections)
    ]
    parts.append(f"To make this page again, type {markdown_code('gadprof paper')}.\n")
    parts.append(f"The same data: {', '.join(files)}.\n")
    return "\n".join(parts)


def to_section(section: Section) -> str:
    """One section as markdown."""
    parts = [f"## {markdown(section.title)}\n"]
    bullet = "- " if section.key == "summary" else ""
    parts += [f"{bullet}{markdown(words, WORDS_LIMIT)}\n" for words in section.words]
    for table in section.tables:
        headers = [column.title for column in table.columns]
        body = to_markdown(headers, cells(table), limit=CELL_LIMIT)
        if table.note:
            body += f"\n{markdown(table.note, WORDS_LIMIT)}\n"
        if table.folded:
            parts.append(details(f"{table.title} ({len(table.rows)} rows)", body))
        else:
            parts += [f"### {markdown(table.title)}\n", body]
    parts += [f"The same by itself: {markdown_code(command)}.\n" for command in section.commands]
    return "\n".join(parts)


def cells(table: Table) -> list[list[str]]:
    """A table's cells for a person; a ratio to HRNet32 is a change with two digits, as the text's
    figures need them."""
    rows = shown_rows(table)
    for index, column in enumerate(table.columns):
        if column.kind == "change":
            for row, shown in zip(table.rows, rows, strict=True):
                if row[index] is not None:
                    change = 100 * (row[index] - 1)
                    sign = "−" if change < 0 else "+"
                    shown[index] = f"{sign}{abs(change):.2f} %"
    return rows


def to_terminal(sections: Sequence[Section], *, only: Sequence[str] = ()) -> str:
    """Sections for a terminal: words, then each table that is not folded; ``only`` names keys."""
    parts = []
    for section in sections:
        parts += [f"{words}\n" for words in section.words]
        for table in section.tables:
            if table.folded or (only and table.key not in only):
                continue
            headers = [column.title for column in table.columns]
            parts.append(to_console(headers, cells(table), title=table.title))
    return "\n".join(parts)
