"""``gadprof explain``: where the time goes, beside MACs, bytes and the roofline, and why."""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.bench import tell_failures
from gadprof.commands.measure_options import read_settings, setting_options
from gadprof.commands.option_types import parse_duration, parse_share
from gadprof.commands.options import format_option, input_option, output_option, store_option


@click.command(name="explain")
@click.argument("models", nargs=-1, required=True)
@input_option
@setting_options
@click.option("--precision", default="3%", show_default=True, help="Of the latency ratio.")
@click.option("--time-limit", default="30s", show_default=True, help="Sampling time.")
@click.option(
    "--timeout", default="300s", show_default=True, help="Kill a model that is silent this long."
)
@click.option(
    "--roofline",
    default=None,
    metavar="DEVICE",
    help="Bounds from a data sheet (rtx3080, h100, …) instead of this machine's measured peaks.",
)
@click.option(
    "--trace",
    "trace",
    default=None,
    metavar="FILE",
    help="Write a Chrome/Perfetto trace; of several models, one file each (FILE-1, FILE-2).",
)
@format_option("table", "json", "md")
@output_option
@store_option
def explain(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    precision: str,
    time_limit: str,
    timeout: str,
    roofline: str | None,
    trace: str | None,
    output_format: str,
    output: str | None,
    store: str | None,
    **setting: Any,
) -> int:
    """Show where the time of MODELS goes, and why the one with fewer MACs is or is not faster.

    \b
    gadprof explain hrnet32 gadnet32
    gadprof explain hrnet32 gadnet32 --roofline rtx3080-12g

    A model that fails is named with its reason, the others are explained. Exits 1 when one failed
    (2 for bad use), 130 after Ctrl-C.
    """
    from gadprof.errors import SettingError
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit

    settings = read_settings(input_shapes=parse_shapes(input_texts), **setting)
    if len(settings) != 1:
        raise SettingError("explain takes one setting; drop the lists, or use gadprof bench")
    paths = trace_paths(trace, len(models))
    for path in [*paths, output]:
        if path is not None:
            check_writable(path)
    from gadprof.measuring.explain.roofline import peaks_of_sheet

    sheet = peaks_of_sheet(roofline, settings[0].dtype) if roofline else None
    limits = {
        "precision": parse_share(precision, "--precision"),
        "time_limit_s": parse_duration(time_limit, "--time-limit"),
        "timeout_s": parse_duration(timeout, "--timeout"),
    }
    from gadprof.measuring.explain.explain import explain as run
    from gadprof.render.live import live_view
    from gadprof.render.tables import render
    from gadprof.store.recording import MeasurementRecorder

    with MeasurementRecorder(store) as recorder, live_view() as view:
        explanation = run(
            models,
            settings[0],
            sheet=sheet,
            trace_paths=paths,
            progress=view,
            on_turn=recorder.turn,
            on_measured=recorder.finish,
            **limits,
        )
    emit(render(explanation.page(), output_format), output)
    if output_format != "table" or output is not None:
        tell_failures(explanation.failed, interrupted=explanation.interrupted)
    for path, model in zip(paths, explanation.models, strict=True):
        if path is not None and model.error is None:
            click.echo(f"trace written to {path} (open it in ui.perfetto.dev)", err=True)
    return explanation.exit_code


def trace_paths(trace: str | None, count: int) -> list[str | None]:
    """One trace file a model, as absolute paths: FILE alone, or FILE-1, FILE-2, …"""
    from pathlib import Path

    if trace is None:
        return [None] * count
    path = Path(trace).absolute()
    if count == 1:
        return [str(path)]
    return [str(path.with_name(f"{path.stem}-{i + 1}{path.suffix}")) for i in range(count)]
