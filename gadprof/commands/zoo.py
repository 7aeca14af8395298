"""``gadprof zoo``: published figures beside exact counts, and the way from one to the other."""

from __future__ import annotations

import click

from gadprof.commands.options import output_option

PAGE = "reports/zoo.md"


@click.command(name="zoo")
@click.option(
    "--only",
    metavar="TEXT",
    help="Rows whose network, source or model holds TEXT; prints them, writes no page.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(("table", "json", "md")),
    help="Print in this form and write no page (with -o: write this to the file).",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the page is stale.")
@output_option
def zoo(only: str | None, output_format: str | None, check: bool, output: str | None) -> int:
    """Explain published parameters and complexities of pose networks, row by row.

    Without --only and --format the page goes to reports/zoo.md (or -o FILE.md), its data and plot
    beside it in data/ and plots/.
    """
    from gadprof.audit.published import explain_rows, rows
    from gadprof.errors import UnknownNameError, nearest
    from gadprof.output import check_writable, emit

    if check and (only or output_format):
        raise click.UsageError("--check compares the page; leave --only and --format out")
    if output is not None:
        check_writable(output)
    chosen = rows()
    if only is not None:
        known = tuple(dict.fromkeys(word for row in chosen for word in _words(row)))
        chosen = tuple(
            row for row in chosen if any(only.lower() in word.lower() for word in _words(row))
        )
        if not chosen:
            raise UnknownNameError(f"no published row holds {only!r}{nearest(only, known)}")

    def progress(text: str) -> None:
        click.echo(f"reading {text}", err=True)

    if only is None and output_format is None:
        return _page(output or PAGE, check=check)
    explained = explain_rows(chosen, progress=progress)
    from gadprof.render.page_files import markdown_of
    from gadprof.render.tables import render
    from gadprof.report.zoo_page import zoo_page

    made = zoo_page(explained)
    emit(markdown_of(made) if output_format == "md" else render(made, output_format or "table"),
         output)  # fmt: skip
    return 0


def _words(row: object) -> tuple[str, ...]:
    return (row.name, row.paper, *row.models)  # type: ignore[attr-defined]


def _page(target: str, *, check: bool) -> int:
    from pathlib import Path

    from gadprof.audit.published import explain_rows, rows
    from gadprof.errors import OutputError
    from gadprof.output import write_folder
    from gadprof.render.page_files import page_files, stale_files
    from gadprof.report.zoo_page import zoo_page
    from gadprof.results.escape import file_stem

    page = Path(target)
    if page.suffix != ".md" or file_stem(page.stem) != page.stem or page.stem == "index":
        raise OutputError(
            f"{str(page)!r} is no page's name; type for example -o "
            f"{page.with_name(file_stem(page.stem) or 'zoo').with_suffix('.md')}"
        )
    explained = explain_rows(rows(), progress=lambda text: click.echo(f"reading {text}", err=True))
    files = page_files(zoo_page(explained, page.stem))
    if check:
        stale = stale_files(page.parent, files)
        for path in stale:
            click.echo(f"gadprof: stale: {page.parent / path}", err=True)
        if stale:
            again = "" if target == PAGE else f" -o {page}"
            click.echo(
                f"gadprof: {len(stale)} of {len(files)} files are stale; type: gadprof zoo{again}",
                err=True,
            )
            return 1
        click.echo(f"{len(files)} files are up to date: {page}")
        return 0
    write_folder(page.parent, files)
    click.echo(f"wrote {len(files)} files: {page}")
    return 0
