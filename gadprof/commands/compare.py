"""``gadprof compare``: several models in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gadprof.commands.options import (
    baseline_option,
    batch_option,
    complete_models,
    format_option,
    input_option,
    output_option,
    save_as_option,
    store_option,
)

if TYPE_CHECKING:
    from gadprof.comparison.compare import Comparison


@click.command(name="compare")
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_models
)
@input_option
@batch_option
@click.option(
    "--backends", metavar="all|NAME,…", help="Also run these counters, each in its own process."
)
@click.option("--measure", is_flag=True, help="Also measure latency, interleaved (see bench).")
@click.option("--device", default="cpu", show_default=True, help="Device for --measure.")
@click.option("--precision", default="2%", show_default=True, help="For --measure: the ratio's.")
@click.option("--time-limit", default="60s", show_default=True, help="For --measure.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--accuracy",
    multiple=True,
    metavar="FILE|store|published",
    help="Show AP: a file that 'evaluate' wrote, the store's, or published ones; repeat for more.",
)
@click.option("--plot", metavar="FILE", help="Draw AP, latency or activations against MACs.")
@click.option("--weights", metavar="FILE", help="Check that a checkpoint fits the first model.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for one answer of a model or counter.",
)
@format_option("table", "json", "csv", "md", "latex")
@output_option
@baseline_option
@save_as_option
@store_option
def compare(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    batch: int,
    backends: str | None,
    measure: bool,
    device: str,
    precision: str,
    time_limit: str,
    threads: int,
    accuracy: tuple[str, ...],
    plot: str | None,
    weights: str | None,
    timeout: float,
    output_format: str,
    output: str | None,
    baseline: str | None,
    save_as: str | None,
    store: str | None,
) -> int:
    """Compare models: parameters, MACs, FLOPs, activations, memory, each to the first model."""
    from gadprof.comparison.compare import compare_models
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit, plot_suffix
    from gadprof.render.tables import render

    if output is not None:
        check_writable(output)
    plot_format = plot_suffix(plot) if plot is not None else ""
    kept = None
    if baseline is not None:
        from gadprof.gate.baseline import find_baseline
        from gadprof.gate.config import load_config

        kept = find_baseline(baseline, store=store, file_at_ref=load_config().baseline_file)
    names: tuple[str, ...] = ()
    if backends is not None:
        from gadprof.audit.backends import parse_backends

        names = parse_backends(backends)
    if weights is not None:
        from gadprof.comparison.compare import check_weights

        check_weights(models[0], weights)
    comparison = compare_models(
        models,
        shapes=parse_shapes(input_texts),
        batch=batch,
        backends=names,
        timeout_s=timeout,
    )
    if measure:
        from gadprof.commands.option_types import parse_duration, parse_share
        from gadprof.comparison.compare import with_latency
        from gadprof.render.live import live_view
        from gadprof.store.recording import MeasurementRecorder

        share, limit_s = (
            parse_share(precision, "--precision"),
            parse_duration(time_limit, "--time-limit"),
        )
        with MeasurementRecorder(store) as recorder, live_view() as view:
            comparison = with_latency(
                comparison,
                device=device,
                precision=share,
                time_limit_s=limit_s,
                threads=threads,
                timeout_s=timeout,
                progress=view,
                recorder=recorder,
            )
    if accuracy:
        from gadprof.comparison.accuracies import with_accuracy

        comparison = with_accuracy(comparison, accuracy, store=store)
    if kept is None:
        page = comparison.page()
    else:
        from gadprof.gate.changes import changes_page

        page = changes_page(comparison, kept)
    emit(render(page, output_format), output)
    if plot is not None:
        _draw(comparison, plot, plot_format)
    from gadprof.store.recording import record_rows

    record_rows(comparison.rows, store=store, name=save_as)
    failed = [row for row in comparison.rows if row.error is not None]
    for row in failed:
        click.echo(f"gadprof: {' '.join((row.error or '').split())}", err=True)
    if comparison.interrupted:
        return 130
    return max((row.exit_code for row in failed), default=0)


def _draw(comparison: Comparison, path: str, plot_format: str) -> None:
    """Measured AP, else published AP, else latency, else activations against MACs."""
    from gadprof.errors import SpecError
    from gadprof.output import write_atomic
    from gadprof.render.plots import render_plot
    from gadprof.report.sections.bubbles import comparison_plot

    plot = comparison_plot(comparison)
    if plot is None:
        raise SpecError("no row has MACs and a second figure, so there is nothing to draw")
    write_atomic(path, render_plot(plot, plot_format))
