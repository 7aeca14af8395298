"""``gadprof bench``: measured latency ratios with intervals, memory and energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gadprof.commands.measure_options import read_settings, setting_options
from gadprof.commands.option_types import parse_duration, parse_share, parse_size
from gadprof.commands.options import (
    complete_models,
    format_option,
    input_option,
    output_option,
    store_option,
)


@click.command(name="bench")
@click.argument("models", nargs=-1, required=True, shell_complete=complete_models)
@input_option
@setting_options
@click.option(
    "--precision",
    default="2%",
    show_default=True,
    help="Half width of the ratio's 95 % interval to reach.",
)
@click.option(
    "--time-limit", default="60s", show_default=True, help="Sampling time of the whole run."
)
@click.option(
    "--timeout", default="300s", show_default=True, help="Kill a model that is silent this long."
)
@click.option(
    "--memory-limit", default=None, help="Kill a model that grows beyond, like 4GiB. [90 % of free]"
)
@click.option(
    "--launches",
    type=click.IntRange(min=1),
    default=None,
    help="Start every model afresh at most this often. [as often as time allows]",
)
@click.option("--null/--no-null", default=True, help="Measure the first model against itself too.")
@click.option("--memory/--no-memory", default=True, help="Record peak memory.")
@click.option("--energy/--no-energy", default=True, help="Read energy counters.")
@click.option("--cluster", metavar="ADDRESS", help="One task a model on a Dask scheduler.")
@format_option("table", "json", "csv", "md", "latex")
@output_option
@store_option
def bench(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    precision: str,
    time_limit: str,
    timeout: str,
    memory_limit: str | None,
    launches: int | None,
    null: bool,
    memory: bool,
    energy: bool,
    cluster: str | None,
    output_format: str,
    output: str | None,
    store: str | None,
    **setting: Any,
) -> int:
    """Measure the latency of MODELS in interleaved blocks, each in a process of its own.

    \b
    gadprof bench hrnet32 gadnet32
    gadprof bench timm:resnet18 --batch 1,8 --runtime eager,onnxruntime
    gadprof bench a.py:build b.py:build --precision 1% --time-limit 2m --format json -o run.json

    Ratios are to the first model. Exits 1 when a row failed, 130 after Ctrl-C (what was measured
    until then is printed all the same).
    """
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable

    settings = read_settings(input_shapes=parse_shapes(input_texts), **setting)
    limits = {
        "precision": parse_share(precision, "--precision"),
        "time_limit_s": parse_duration(time_limit, "--time-limit"),
        "timeout_s": parse_duration(timeout, "--timeout"),
        "memory_limit_bytes": parse_size(memory_limit, "--memory-limit") if memory_limit else None,
    }
    if output is not None:
        check_writable(output)
    limits.update(null=null, memory=memory, energy=energy, seed=setting["seed"], launches=launches)
    if cluster is not None:
        from gadprof.cluster.cluster import cluster_bench
        from gadprof.commands.options import tell_pieces

        result = cluster_bench(
            cluster, models, settings, options=limits, store=store, on_done=tell_pieces()
        )
        return _show(result, output_format, output)

    from gadprof.measuring.bench import measure
    from gadprof.render.live import live_view
    from gadprof.store.recording import MeasurementRecorder

    with MeasurementRecorder(store) as recorder, live_view() as view:
        result = measure(
            models,
            settings,
            progress=view,
            on_turn=recorder.turn,
            **limits,  # type: ignore[arg-type]
        )
        recorder.finish(result)
    return _show(result, output_format, output)


def _show(result: Any, output_format: str, output: str | None) -> int:
    from gadprof.output import emit
    from gadprof.render.tables import render

    emit(render(result.page(), output_format), output)
    if output_format != "table" or output is not None:
        tell_failures(result.rows, interrupted=result.interrupted)
    return int(result.exit_code)


def tell_failures(rows: Sequence[Any], *, interrupted: bool) -> None:
    """Say on standard error which ``rows`` (with ``model`` and ``error``) failed, and of what."""
    for row in rows:
        if row.error:
            click.echo(f"gadprof: {row.model}: {row.error}", err=True)
    if interrupted:
        click.echo("gadprof: interrupted; the rows hold what was measured until then", err=True)
