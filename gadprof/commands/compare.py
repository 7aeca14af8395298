"""``gadprof compare``: several models in one table."""

from __future__ import annotations

import click

from gadprof.commands.options import batch_option, format_option, input_option, output_option


@click.command(name="compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@input_option
@batch_option
@click.option(
    "--backends", metavar="all|NAME,…", help="Also run these counters, each in its own process."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for one counter on one model.",
)
@format_option("table", "json", "csv", "md", "latex")
@output_option
def compare(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    batch: int,
    backends: str | None,
    timeout: float,
    output_format: str,
    output: str | None,
) -> int:
    """Compare models: parameters, MACs, FLOPs, activations, memory, each to the first model."""
    from gadprof.compare import compare_models
    from gadprof.output import check_writable, emit
    from gadprof.render.comparison import comparison_table, notes
    from gadprof.render.tables import render_table
    from gadprof.sources import parse_shapes

    if output is not None:
        check_writable(output)
    names: tuple[str, ...] = ()
    if backends is not None:
        from gadprof.counting.backends import parse_backends

        names = parse_backends(backends)
    comparison = compare_models(
        models,
        shapes=parse_shapes(input_texts),
        batch=batch,
        backends=names,
        timeout_s=timeout,
    )
    if output_format == "json":
        emit(comparison.to_json(), output)
    else:
        exact = output_format == "csv"
        headers, rows = comparison_table(comparison, exact=exact)
        if output_format == "table":
            emit(render_table("table", headers, rows, notes=notes(comparison)), output)
        else:
            emit(render_table(output_format, headers, rows), output)
    failed = [row for row in comparison.rows if row.error is not None]
    for row in failed:
        click.echo(f"gadprof: {' '.join((row.error or '').split())}", err=True)
    return 2 if failed else 0
