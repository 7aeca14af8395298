"""``gadprof explain``: where the time goes, beside MACs, bytes and the roofline, and why."""

from __future__ import annotations

import click

from gadprof.commands.bench import tell_failures
from gadprof.commands.measure_options import LimitOptions, Settings, limit_options, setting_options
from gadprof.commands.option_types import SHEET
from gadprof.commands.options import (
    command,
    input_option,
    models_argument,
    result_options,
    store_option,
)
from gadprof.commands.show import show
from gadprof.measuring.settings import Setting
from gadprof.output import Output, check_writable, tell


@command(name="explain", example="gadprof explain hrnet32 gadnet32")
@models_argument()
@input_option
@setting_options
@limit_options("3%", "30s")
@click.option(
    "--roofline",
    type=SHEET,
    metavar="DEVICE",
    help="Bounds from a data sheet (rtx3080, h100, …) instead of this machine's measured peaks.",
)
@click.option(
    "--trace",
    "trace",
    default=None,
    metavar="FILE",
    help="Write a trace for ui.perfetto.dev and speedscope.app; of several models, one file each "
    "(FILE-1, FILE-2).",
)
@click.option(
    "--advise", is_flag=True,
    help="Instead: the changes of a built-in network's knobs that save most time per parameter, "
    "each measured.",
)  # fmt: skip
@result_options()
@store_option
def explain(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    settings: Settings,
    limits: LimitOptions,
    roofline: str | None,
    trace: str | None,
    advise: bool,
    out: Output,
    store: str | None,
) -> int:
    """Show where the time of MODELS goes, and why the one with fewer MACs is or is not faster.

    \b
    gadprof explain hrnet32 gadnet32
    gadprof explain hrnet32 gadnet32 --roofline rtx3080-12g
    gadprof explain gadnet32 --advise --runtime onnxruntime

    A model that fails is named with its reason, the others are explained. Exits 1 when one failed
    (2 for bad use), 130 after Ctrl-C.
    """
    from gadprof.errors import SettingError
    from gadprof.models.sources import given_inputs

    models, shapes = given_inputs(models, input_texts)
    chosen = settings.read(shapes, limits.formats)
    if len(chosen) != 1:
        raise SettingError("explain takes one setting; drop the lists, or use gadprof bench")
    if advise:
        if len(models) != 1 or roofline or trace:
            raise click.UsageError("--advise takes one model, without --roofline and --trace")
        return _advise(models[0], chosen[0], limits, out, store)
    paths = trace_paths(trace, len(models))
    for path in paths:
        if path is not None:
            check_writable(path)
    from gadprof.measuring.explain.roofline import peaks_of_sheet

    sheet = peaks_of_sheet(roofline, chosen[0].dtype) if roofline else None
    from gadprof.measuring.explain.explain import explain as run
    from gadprof.render.live import live_view
    from gadprof.store.recording import MeasurementRecorder

    with MeasurementRecorder(store) as recorder, live_view() as view:
        explanation = run(
            models,
            chosen[0],
            sheet=sheet,
            trace_paths=paths,
            progress=view,
            on_turn=recorder.turn,
            on_measured=recorder.finish,
            **limits.named(),
        )
    show(out, explanation.page())
    if not out.seen:
        tell_failures(explanation.failed, interrupted=explanation.interrupted)
    for path, model in zip(paths, explanation.models, strict=True):
        if path is not None and model.error is None:
            tell(f"trace written to {path} (open it in ui.perfetto.dev)")
    return explanation.exit_code


def _advise(
    model: str, setting: Setting, limits: LimitOptions, out: Output, store: str | None
) -> int:
    """Measure the neighbours of a network and show which to take; 130 where Ctrl-C ended it."""
    from pathlib import Path

    from gadprof.prediction.advice import advise
    from gadprof.prediction.advice_page import advice_page
    from gadprof.render.progress import Working
    from gadprof.results.plain import describe_machine
    from gadprof.store.recording import MeasurementRecorder
    from gadprof.workers.folders import private_folder

    with (
        MeasurementRecorder(store) as recorder,
        Working("advice:") as work,
        private_folder() as folder,
    ):
        advice = advise(
            model, setting, folder=Path(folder), on_turn=recorder.turn,
            on_measured=recorder.finish, on_step=work.at, **limits.named(),
        )  # fmt: skip
    show(out, advice_page(advice, describe_machine()))
    return 130 if advice.interrupted else 0


def trace_paths(trace: str | None, count: int) -> list[str | None]:
    """One trace file a model, as absolute paths: FILE alone, or FILE-1, FILE-2, …"""
    from pathlib import Path

    if trace is None:
        return [None] * count
    path = Path(trace).absolute()
    if count == 1:
        return [str(path)]
    return [str(path.with_name(f"{path.stem}-{i + 1}{path.suffix}")) for i in range(count)]
