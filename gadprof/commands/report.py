"""``gadprof report``: a markdown page and an HTML page from the same data, and their check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gadprof.commands.options import batch_option, complete_models, input_option, store_option

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow


@click.command(name="report")
@click.argument("models", nargs=-1, metavar="[MODEL...]", shell_complete=complete_models)
@click.option("--config", metavar="FILE", help="Configuration; default gadprof.toml or pyproject.")
@click.option(
    "-o", "--output", metavar="FOLDER", default="reports", show_default=True, help="Where to write."
)
@click.option("--name", default="report", show_default=True, help="The pages' file name.")
@click.option("--title", help="The page's heading.")
@input_option
@batch_option
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="JSON of bench, audit, explain, compare or formula to show; repeat for several.",
)
@click.option(
    "--plots",
    multiple=True,
    type=click.Choice(("svg", "pdf", "png")),
    help="Plot formats; repeat for several (default svg).",
)
@click.option("--cluster", metavar="ADDRESS", help="Count on a Dask scheduler, one task a model.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a file is stale.")
@click.option("--index-only", is_flag=True, help="Only make (or check) the folder's index.md.")
@store_option
@click.pass_context
def report(
    context: click.Context,
    models: tuple[str, ...],
    config: str | None,
    output: str,
    name: str,
    title: str | None,
    input_texts: tuple[str, ...],
    batch: int,
    data: tuple[str, ...],
    plots: tuple[str, ...],
    cluster: str | None,
    check: bool,
    index_only: bool,
    store: str | None,
) -> int:
    """Write a report of MODELS (or of [report] in the configuration) into a folder.

    The pages are FOLDER/NAME.md and FOLDER/NAME.html, their plots, JSON and CSV beside them.
    Analytic reports are equal, byte by byte, on every machine.
    """
    from pathlib import Path

    from gadprof.errors import OutputError
    from gadprof.gate.config import load_config
    from gadprof.models.sources import parse_shapes
    from gadprof.output import write_folder
    from gadprof.render.page_files import INDEX, index_page, page_files, stale_files
    from gadprof.report.gather import gather
    from gadprof.results.escape import file_stem
    from gadprof.store.recording import record_rows

    folder = Path(output)
    if file_stem(name) != name or name == "index":
        raise click.BadParameter(
            f"{name!r} is no file name here; type for example --name {file_stem(name)}",
            param_hint="--name",
        )
    files: dict[str, bytes] = {}
    failures: tuple[str, ...] = ()
    rows: tuple[ComparedRow, ...] = ()
    if not index_only:
        settings = load_config(config).report
        given = context.get_parameter_source("batch") != click.core.ParameterSource.DEFAULT
        shapes = parse_shapes(input_texts or settings.input_texts)
        made = gather(
            models or settings.models,
            shapes=shapes,
            batch=batch if given else settings.batch,
            title=title or settings.title,
            name=name,
            data=data or settings.data,
            cluster=cluster,
            command=_again(models, config, output, name, title, input_texts, batch, data, plots),
        )
        failures, rows = made.failures, made.rows
        files = page_files(made, plots or ("svg",), html=True)
    files[INDEX] = index_page(folder, files)
    if check:
        stale = stale_files(folder, files)
        for path in stale:
            click.echo(f"gadprof: stale: {folder / path}", err=True)
        again = f"gadprof {' '.join(_words(context, '--check'))}"
        if stale:
            click.echo(
                f"gadprof: {len(stale)} of {len(files)} files are stale; type: {again}", err=True
            )
            return 1
        click.echo(f"{len(files)} files are up to date in {folder}")
        return 0
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{output!r} is not a folder; name another with -o")
    write_folder(folder, files)
    record_rows(rows, store=store)
    for failure in failures:
        click.echo(f"gadprof: {' '.join(failure.split())}", err=True)
    click.echo(f"wrote {len(files)} files: {folder / (INDEX if index_only else name + '.md')}")
    return 1 if failures else 0


def _words(context: click.Context, without: str) -> list[str]:
    import shlex
    import sys

    words = sys.argv[1:] if sys.argv[1:2] == ["report"] else ["report"]
    return [shlex.quote(word) for word in words if word != without]


def _again(
    models: tuple[str, ...],
    config: str | None,
    output: str,
    name: str,
    title: str | None,
    input_texts: tuple[str, ...],
    batch: int,
    data: tuple[str, ...],
    plots: tuple[str, ...],
) -> str:
    """The command that makes the same page, from the options alone."""
    import shlex
    from pathlib import Path

    words = ["gadprof", "report", *models]
    pairs = [("--config", config), ("--title", title)]
    pairs += [("--name", name if name != "report" else None)]
    pairs += [("--input", text) for text in input_texts]
    pairs += [("--batch", str(batch) if batch != 1 else None)]
    pairs += [("--data", path) for path in data]
    pairs += [("--plots", text) for text in plots]
    pairs += [("-o", Path(output).name or ".")]  # where the folder lies is no business of the page
    for option, value in pairs:
        if value is not None:
            words += [option, value]
    return shlex.join(words)
