"""``gadprof zoo``: published figures beside exact counts, and the way from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gadprof.commands.options import RESULT_FORMS, command, format_option, output_option
from gadprof.commands.pages import page_path, wants_page, write_or_check
from gadprof.commands.show import show
from gadprof.output import choose_output

if TYPE_CHECKING:
    from gadprof.audit.published import PublishedReading, Row

PAGE = "reports/zoo.md"


@command(name="zoo")
@click.option("--only", metavar="TEXT", help="Rows whose network, source or model holds TEXT.")
@click.option("--fresh", is_flag=True, help="Count and read every row anew; takes minutes.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the page is stale.")
@format_option()
@output_option("Write to a file; PAGE.md is the whole page, its data and plot beside it.")
def zoo(
    only: str | None, fresh: bool, check: bool, output_format: str | None, output: str | None
) -> int:
    """Explain published parameters and complexities of pose networks, row by row.

    The readings are those that gadprof keeps; --fresh finds them anew. With -o PAGE.md the page,
    its data and its plot are written into the page's folder (data/ and plots/).
    """
    from gadprof.report.zoo_page import zoo_page

    if check and (only or output_format):
        raise click.UsageError("--check compares the page; leave --only and --format out")
    if check or wants_page(output, output_format, whole=not only):
        from gadprof.render.page_files import page_files

        target = page_path(output or PAGE, "zoo", check=check)
        files = page_files(zoo_page(_explained(None, fresh), target.stem))
        return write_or_check(target, files, "zoo", check=check)
    out = choose_output(output_format, output, RESULT_FORMS)
    made = zoo_page(_explained(only, fresh))
    if out.form == "md":
        from gadprof.render.page_files import markdown_of

        out.emit(markdown_of(made))
    else:
        show(out, made)
    return 0


def _explained(only: str | None, fresh: bool) -> tuple[PublishedReading, ...]:
    """The rows asked for, from what is kept, or counted and read anew with ``fresh``."""
    from gadprof.audit.published import explain_rows, rows
    from gadprof.audit.published_kept import kept_rows
    from gadprof.errors import UnknownNameError, nearest
    from gadprof.render.progress import Working

    every = rows()
    chosen = every
    if only is not None:
        known = tuple(dict.fromkeys(word for row in every for word in _words(row)))
        chosen = tuple(r for r in every if any(only.lower() in w.lower() for w in _words(r)))
        if not chosen:
            hint = nearest(only, known) or "; 'gadprof zoo' shows every row"
            raise UnknownNameError(f"no published row holds {only!r}{hint}")
    kept = None if fresh else kept_rows(every)
    if kept is not None:
        return tuple(item for item in kept if item.row in chosen)
    with Working("reading") as work:
        return explain_rows(chosen, progress=work.at)


def _words(row: Row) -> tuple[str, ...]:
    return (row.name, row.paper, *row.models)
