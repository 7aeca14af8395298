"""The page on the paper as sections and records: the summary, and every number of the text.

Promises the same on every machine: every figure is an exact count or follows from counts, and no
clock, host or path is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gadprof.paper.claims import SOURCE
from gadprof.paper.equations import (
    Checked,
    TracedPoint,
    check_against_plan,
    check_against_trace,
)
from gadprof.paper.search import WITHIN_POINTS, Search, run_search
from gadprof.paper.search_sections import fit_words, ghost_section, search_section
from gadprof.paper.systems import missing
from gadprof.paper.table_sections import (
    ablation_section,
    equation_section,
    map_section,
    system_section,
)
from gadprof.paper.verdicts import Verdict, judge_all
from gadprof.results.page import Page, Section
from gadprof.results.table import Column, Table


@dataclass(frozen=True)
class Judged:
    """Everything that the page shows: sections for people, records for programs."""

    title: str
    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...]
    equations: tuple[Checked, ...]
    traced: tuple[TracedPoint, ...]
    search: Search
    missing: tuple[str, ...]


def paper_page(judged: Judged, stem: str = "gadnet-paper") -> Page:
    """The page; its JSON has the records with exact integers, and the page's tables."""
    tables = [table for section in judged.sections for table in section.tables]
    document = {
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
            for table in tables
        },
    }
    return Page(stem, judged.title, judged.sections, document, f"gadprof paper -o {stem}.md")


@lru_cache(maxsize=1)
def gather() -> Judged:
    """Judge the paper; traces Ghost, Ga and Gd blocks, so that torch is loaded."""
    verdicts = judge_all()
    equations = check_against_plan()
    traced = check_against_trace()
    search = run_search()
    sections = (
        summary(verdicts, equations, traced, search),
        verdict_section(verdicts),
        search_section(search),
        ghost_section(),
        equation_section(equations, traced),
        map_section(),
        system_section(),
        ablation_section(),
    )
    return Judged(
        "GADNet's paper, judged", sections, verdicts, equations, traced, search, missing()
    )


def summary(
    verdicts: Sequence[Verdict],
    equations: Sequence[Checked],
    traced: Sequence[TracedPoint],
    search: Search,
) -> Section:
    """The page in a few sentences."""
    counts: dict[str, int] = {}
    for item in verdicts:
        counts[item.word] = counts.get(item.word, 0) + 1
    named = {item.key: item for item in verdicts}
    params, macs = named["params"], named["macs"]
    words = (
        f"GADNet32, rebuilt from the text, has {params.found:.1f} % fewer parameters and "
        f"{macs.found:.1f} % fewer multiply-adds than HRNet32, where the abstract says "
        f"{params.claimed} % and {macs.claimed} %. The comparison with GhostBlocks does not hold: "
        f"the text's {named['ghost-136'].claimed:g} % and {named['ghost-84'].claimed:g} % are "
        f"{named['ghost-136'].found:.1f} % and {named['ghost-84'].found:.1f} % for HRNet32 with "
        "its BasicBlocks exchanged for GhostBlocks.",
        f"The network is a reconstruction, since the tables' cells and the equations' bodies are "
        f"not part of the text that could be read, and no code is public. "
        f"{fit_words(search)}",
        "154 % and 158 % are the abstract's two figures read the other way round, as HRNet32's "
        "excess over GADNet32.",
        "Accuracies (AP50 +2 %, mAP +7.3 %) are not tested here.",
        f"Equations 1 and 5 to 7, rebuilt, are equal to the plan's cost at "
        f"{sum(item.equal for item in equations):,} of {sum(i.points for i in equations):,} checks "
        f"and to a trace at {sum(item.equal for item in traced)} of {len(traced)} blocks.",
        f"All {len(verdicts)} figures of the text, by verdict: "
        + ", ".join(f"{word} {number}" for word, number in counts.items())
        + f". Source: {SOURCE}.",
    )
    return Section("summary", "Summary", words)


def verdict_section(verdicts: Sequence[Verdict]) -> Section:
    """Every number of the text beside what is found."""
    columns = (
        Column("key", "claim", rank=0), Column("where", "where", rank=3),
        Column("says", "what the text says", rank=1), Column("claimed", "claimed", rank=0),
        Column("found", "found", rank=0), Column("unit", "unit", rank=0),
        Column("difference", "difference", rank=2), Column("word", "verdict", rank=0),
        Column("tolerance", "within", rank=3), Column("arithmetic", "arithmetic", rank=4),
        Column("would_hold", "what would have to be true", rank=4),
    )  # fmt: skip

    settled = ("built as stated", "taken as setting")

    def rows(chosen: Sequence[Column], *, inside: bool) -> tuple[tuple[object, ...], ...]:
        return tuple(
            tuple(getattr(item, column.key) for column in chosen)
            for item in verdicts
            if (item.word in settled) == inside
        )

    # what is built or taken as the text says needs neither a tolerance nor another world
    plain = tuple(item for item in columns if item.key not in ("tolerance", "would_hold"))
    return Section(
        "claims",
        "Every number of the text",
        (
            "An efficiency figure is reproduced when the exact count lies within "
            f"{WITHIN_POINTS:g} percentage point of it. Differences are found minus claimed.",
        ),
        (
            Table("claims", "Results claimed", columns, rows(columns, inside=False)),
            Table(
                "settings", "Structure and settings", plain, rows(plain, inside=True), folded=True
            ),
        ),
    )  # fmt: skip
