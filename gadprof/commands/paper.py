"""``gadprof paper``: GADNet's paper judged on one page, and the search for its reconstruction."""

from __future__ import annotations

import click

from gadprof.commands.options import output_option

PAGE = "reports/gadnet-paper.md"


@click.command(name="paper")
@click.option("--search", is_flag=True, help="Only the reconstruction search; prints it.")
@click.option(
    "--nearest", type=click.IntRange(min=1), help="With --search: designs shown.  [default: 10]"
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(("table", "json", "md")),
    help="Print in this form and write no page (with -o: write this to the file).",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the page is stale.")
@output_option
def paper(
    search: bool, nearest: int | None, output_format: str | None, check: bool, output: str | None
) -> int:
    """Judge every table, equation and figure of GADNet's paper.

    Without --format and --search the page goes to reports/gadnet-paper.md (or -o FILE), its data
    beside it in data/. The page is equal, byte by byte, on every machine.
    """
    from pathlib import Path

    from gadprof.output import check_writable, emit

    if check and (search or output_format):
        raise click.UsageError("--check compares the page; leave --search and --format out")
    if nearest is not None and not search:
        raise click.UsageError("--nearest goes with --search")
    writes_page = not search and output_format is None
    target = Path(output or PAGE)
    if writes_page:
        return _page(target, check=check)
    if output is not None:
        check_writable(output)
    emit(_search_text(output_format or "table", nearest or 10) if search else
         _paper_text(output_format or "table", target.stem), output)  # fmt: skip
    return 0


def _page(target: object, *, check: bool) -> int:
    from pathlib import Path

    from gadprof.errors import OutputError
    from gadprof.output import check_writable, write_folder
    from gadprof.paper.gather import gather, paper_page
    from gadprof.render.page_files import page_files, stale_files
    from gadprof.results.escape import file_stem

    page = Path(str(target))
    if page.suffix != ".md" or file_stem(page.stem) != page.stem or page.stem == "index":
        raise OutputError(
            f"{str(page)!r} is no page's name; type for example -o "
            f"{page.with_name(file_stem(page.stem) or 'paper').with_suffix('.md')}"
        )
    if not check:
        check_writable(page)
    files = page_files(paper_page(gather(), page.stem))
    if check:
        stale = stale_files(page.parent, files)
        for path in stale:
            click.echo(f"gadprof: stale: {page.parent / path}", err=True)
        if stale:
            click.echo(
                f"gadprof: {len(stale)} of {len(files)} files are stale; type: gadprof paper"
                + ("" if str(page) == PAGE else f" -o {page}"),
                err=True,
            )
            return 1
        click.echo(f"{len(files)} files are up to date: {page}")
        return 0
    write_folder(page.parent, files)
    click.echo(f"wrote {len(files)} files: {page}")
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
