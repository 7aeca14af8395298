"""``gadprof report``: a markdown page and an HTML page from the same data, and their check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gadprof.commands.options import (
    batch_option,
    cluster_option,
    command,
    config_option,
    format_option,
    input_option,
    models_argument,
    option,
    packed,
    store_option,
)
from gadprof.commands.pages import tell_stale
from gadprof.commands.show import show
from gadprof.output import Output, emit, tell
from gadprof.results.sentences import counted

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow


@dataclass(frozen=True)
class Pages:
    """Where the pages go, how they are called, and what is beside them."""

    output: str
    name: str
    title: str | None
    data: tuple[str, ...]
    plots: tuple[str, ...]
    config: str | None


@dataclass(frozen=True)
class Mode:
    """What is done: write, compare, or only the index; and how the outcome is told."""

    check: bool
    index_only: bool
    output_format: str | None


@command(name="report")
@models_argument(required=False)
@packed(
    "pages",
    Pages,
    config_option,
    option(
        "-o",
        "--output",
        aliases=("--out",),
        metavar="FOLDER",
        default="reports",
        show_default=True,
        help="Where to write.",
    ),
    click.option("--name", default="report", show_default=True, help="The pages' file name."),
    click.option("--title", help="The page's heading."),
    click.option(
        "--data",
        multiple=True,
        metavar="FILE",
        help="JSON of bench, audit, explain, compare or formula to show; repeat for several.",
    ),
    click.option(
        "--plots",
        multiple=True,
        type=click.Choice(("svg", "pdf", "png")),
        help="Plot formats; repeat for several (default svg).",
    ),
)
@input_option
@batch_option
@cluster_option("Count on a Dask scheduler, one task a model.")
@packed(
    "mode",
    Mode,
    click.option("--check", is_flag=True, help="Write nothing; exit 1 where a file is stale."),
    click.option("--index-only", is_flag=True, help="Only make (or check) the folder's index.md."),
    format_option(),
)
@store_option
@click.pass_context
def report(
    context: click.Context,
    models: tuple[str, ...],
    pages: Pages,
    input_texts: tuple[str, ...],
    batch: int,
    cluster: str | None,
    mode: Mode,
    store: str | None,
) -> int:
    """Write a report of MODELS (or of [report] in the configuration) into a folder.

    The pages are FOLDER/NAME.md and FOLDER/NAME.html, their plots, JSON and CSV beside them.
    Analytic reports are equal, byte by byte, on every machine.
    """
    from gadprof.gate.config import load_config
    from gadprof.models.sources import given_inputs
    from gadprof.output import check_folder, write_folder
    from gadprof.render.page_files import INDEX, index_page, page_files
    from gadprof.render.progress import Working
    from gadprof.report.gather import gather
    from gadprof.results.escape import file_stem
    from gadprof.store.recording import record_rows

    folder = check_folder(pages.output)
    if file_stem(pages.name) != pages.name or pages.name == "index":
        raise click.BadParameter(
            f"{pages.name!r} is no file name here; type for example --name {file_stem(pages.name)}",
            param_hint="--name",
        )
    files: dict[str, bytes] = {}
    failures: tuple[str, ...] = ()
    code = 0
    rows: tuple[ComparedRow, ...] = ()
    if not mode.index_only:
        settings = load_config(pages.config).report
        given = context.get_parameter_source("batch") != click.core.ParameterSource.DEFAULT
        texts = input_texts or settings.input_texts
        named, shapes = given_inputs(models or settings.models, texts)
        with Working("gathering the report"):
            made = gather(
                named,
                shapes=shapes,
                batch=batch if given else settings.batch,
                title=pages.title or settings.title,
                name=pages.name,
                data=pages.data or settings.data,
                cluster=cluster,
                command=_again(models, pages, input_texts, batch),
            )
        failures, rows, code = made.failures, made.rows, made.exit_code
        files = page_files(made, pages.plots or ("svg",), html=True)
    files[INDEX] = index_page(folder, files)
    if mode.check:
        again = f"gadprof {' '.join(_words(context, '--check'))}"
        return _check(folder, files, again, mode.output_format)
    write_folder(folder, files)
    record_rows(rows, store=store)
    for failure in failures:
        tell(f"gadprof: {' '.join(failure.split())}")
    page = folder / (INDEX if mode.index_only else f"{pages.name}.md")
    _tell_files(
        folder, files, "written", f"wrote {counted(len(files), 'file')}: {page}", mode.output_format
    )
    return code


def _check(folder: Path, files: dict[str, bytes], again: str, form: str | None) -> int:
    """Say which files differ from what is on the disk; 1 where one does."""
    from gadprof.render.page_files import stale_files

    stale = stale_files(folder, files)
    if stale:
        tell_stale(folder, stale, len(files), again)
    if stale and form in (None, "table"):
        return 1
    words = f"{counted(len(files), 'file is', 'files are')} up to date in {folder}"
    _tell_files(folder, files, "up to date", words, form, stale)
    return 1 if stale else 0


def _tell_files(
    folder: Path,
    files: dict[str, bytes],
    state: str,
    words: str,
    form: str | None,
    stale: tuple[str, ...] | list[str] = (),
) -> None:
    """The outcome in one line, or each file with its state."""
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table

    if form in (None, "table"):
        emit(words)
        return
    columns = (Column("path", "path"), Column("state", "state"), Column("bytes", "size", "bytes"))
    rows = tuple(
        (path, "stale" if path in stale else state, len(files[path])) for path in sorted(files)
    )
    keys = [column.key for column in columns]
    document = {"folder": str(folder), "files": [dict(zip(keys, r, strict=True)) for r in rows]}
    table = Table("files", "", columns, rows)
    show(Output(form), page_of(table, document=document, name="report"))


def _words(context: click.Context, without: str) -> list[str]:
    import shlex
    import sys

    words = sys.argv[1:] if sys.argv[1:2] == ["report"] else ["report"]
    return [shlex.quote(word) for word in words if word != without]


def _again(models: tuple[str, ...], pages: Pages, input_texts: tuple[str, ...], batch: int) -> str:
    """The command that makes the same page, from the options alone."""
    import shlex

    words = ["gadprof", "report", *models]
    pairs = [("--config", pages.config), ("--title", pages.title)]
    pairs += [("--name", pages.name if pages.name != "report" else None)]
    pairs += [("--input", text) for text in input_texts]
    pairs += [("--batch", str(batch) if batch != 1 else None)]
    pairs += [("--data", path) for path in pages.data]
    pairs += [("--plots", text) for text in pages.plots]
    # where the folder lies is no business of the page
    pairs += [("-o", Path(pages.output).name or ".")]
    for name, value in pairs:
        if value is not None:
            words += [name, value]
    return shlex.join(words)
