"""``gadprof paper``: GADNet's paper judged on one page, and the search for its reconstruction."""

from __future__ import annotations

import click

from gadprof.commands.options import (
    RESULT_FORMS,
    command,
    format_option,
    limit_option,
    output_option,
)
from gadprof.commands.pages import page_path, wants_page, write_or_check
from gadprof.output import choose_output

PAGE = "reports/gadnet-paper.md"


@command(name="paper")
@click.option("--search", is_flag=True, help="Only the reconstruction search.")
@limit_option(None, "With --search: designs shown.  [default: 10]")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the page is stale.")
@format_option()
@output_option("Write to a file; PAGE.md is the whole page, its data beside it.")
def paper(
    search: bool, limit: int | None, check: bool, output_format: str | None, output: str | None
) -> int:
    """Judge every table, equation and figure of GADNet's paper.

    With -o PAGE.md the page and its data are written into the page's folder (data/). The page is
    equal, byte by byte, on every machine.
    """
    from gadprof.render.progress import Working

    if check and (search or output_format):
        raise click.UsageError("--check compares the page; leave --search and --format out")
    if limit is not None and not search:
        raise click.UsageError("--limit goes with --search")
    if check or wants_page(output, output_format, whole=not search):
        from gadprof.paper.gather import gather, paper_page
        from gadprof.render.page_files import page_files

        target = page_path(output or PAGE, "paper", check=check)
        with Working("judging the paper"):
            files = page_files(paper_page(gather(), target.stem))
        return write_or_check(target, files, "paper", check=check)
    out = choose_output(output_format, output, RESULT_FORMS)
    with Working("judging the paper"):
        stem = (output or PAGE).rpartition("/")[2].rpartition(".")[0]
        text = _search_text(out.form, limit or 10) if search else _paper_text(out.form, stem)
    out.emit(text)
    return 0


def _paper_text(output_format: str, stem: str) -> str:
    from gadprof.paper.gather import gather, paper_page
    from gadprof.render.page_files import markdown_of
    from gadprof.render.tables import render

    page = paper_page(gather(), stem)
    return markdown_of(page) if output_format == "md" else render(page, output_format)


def _search_text(output_format: str, nearest: int) -> str:
    from gadprof.paper.search import AXES, RULES, WITHIN_POINTS, run_search
    from gadprof.paper.search_sections import search_section, why_default
    from gadprof.render.tables import render
    from gadprof.results.page import Page

    found = run_search(nearest)
    document = {
        "axes": dict(AXES),
        "rows_that_may_break": dict(RULES),
        "within_points": WITHIN_POINTS,
        "why_default": why_default(found),
        "search": found,
    }
    page = Page("search", "The reconstruction search", (search_section(found),), document)
    return render(page, output_format)
