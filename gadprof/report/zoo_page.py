"""The page of published figures: sections for people, every row for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.audit.published import PublishedReading
from gadprof.report.sections.zoo import counts, sections, way_words
from gadprof.results.page import Page
from gadprof.results.plain import to_plain

TITLE = "Published figures against exact counts"


def zoo_page(explained: Sequence[PublishedReading], stem: str = "zoo") -> Page:
    """The page; its JSON has every row with exact integers and its reading, and the tally."""
    document = {"counts": counts(explained), "rows": [_plain(item) for item in explained]}
    parts = sections(explained)
    (rows,) = (table for part in parts for table in part.tables if table.key == "rows")
    return Page(stem, TITLE, parts, document, f"gadprof zoo -o {stem}.md", frame=rows)


def _plain(item: PublishedReading) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(item)
    return {**plain, "how": way_words(item)}
