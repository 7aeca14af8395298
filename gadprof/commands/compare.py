"""``gadprof compare``: several models in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gadprof.commands.option_types import COUNTERS, DURATION, PLACE, SHARE, THREADS
from gadprof.commands.options import (
    Within,
    baseline_option,
    batch_option,
    command,
    input_option,
    memory_limit_option,
    models_argument,
    packed,
    plot_option,
    result_options,
    save_as_option,
    store_option,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, plot_suffix, tell, write_atomic

if TYPE_CHECKING:
    from gadprof.comparison.compare import Comparison
    from gadprof.gate.baseline import Baseline
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Measured:
    """What ``--measure`` asks for."""

    measure: bool
    device: str
    precision: float
    time_limit: float
    threads: int


@dataclass(frozen=True)
class Kept:
    """The store, the name to keep the rows under, and what they are held against."""

    baseline: str | None
    save_as: str | None
    store: str | None


@dataclass(frozen=True)
class Beside:
    """What is shown beside the counts, and the figure that is drawn."""

    backends: str | None
    accuracy: tuple[str, ...]
    plot: str | None
    weights: str | None


@command(name="compare", example="gadprof compare hrnet32 gadnet32")
@models_argument()
@input_option
@batch_option
@packed(
    "beside",
    Beside,
    click.option(
        "--backends",
        type=COUNTERS,
        metavar="all|NAME,…",
        help="Also run these counters, each in its own process.",
    ),
    click.option(
        "--accuracy",
        multiple=True,
        metavar="FILE|store|published",
        help="Show AP: a file that 'evaluate' wrote, the store's, or published ones; repeat for "
        "more.",
    ),
    plot_option("Draw AP, latency or activations against MACs (svg, pdf or png)."),
    click.option("--weights", metavar="FILE", help="Check that a checkpoint fits the first model."),
)
@packed(
    "measured",
    Measured,
    click.option("--measure", is_flag=True, help="Also measure latency, interleaved (see bench)."),
    click.option(
        "--device",
        type=PLACE,
        default="cpu",
        show_default=True,
        help="Device for --measure; cuda measures where a card is there, a card's name predicts.",
    ),
    click.option(
        "--precision",
        type=SHARE,
        default="2%",
        show_default=True,
        help="For --measure: the ratio's.",
    ),
    click.option(
        "--time-limit", type=DURATION, default="60s", show_default=True, help="For --measure."
    ),
    click.option("--threads", type=THREADS, default=1, show_default=True, help="For --measure."),
)
@packed(
    "within",
    Within,
    timeout_option("For one answer of a model or counter."),
    memory_limit_option,
)
@result_options("latex")
@packed("kept", Kept, baseline_option, save_as_option, store_option)
def compare(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    batch: int,
    beside: Beside,
    measured: Measured,
    within: Within,
    out: Output,
    kept: Kept,
) -> int:
    """Compare models: parameters, MACs, FLOPs, activations, memory, each to the first model."""
    from gadprof.comparison.compare import check_weights, compare_models
    from gadprof.models.sources import given_inputs
    from gadprof.render.progress import Working
    from gadprof.store.recording import record_rows

    plot_format = plot_suffix(beside.plot) if beside.plot is not None else ""
    baseline = _baseline(kept)
    names = _counters(beside.backends)
    if beside.weights is not None:
        check_weights(models[0], beside.weights)
    models, shapes = given_inputs(models, input_texts)
    with Working("counting", len(models)) as work:
        comparison = compare_models(
            models,
            shapes=shapes,
            batch=batch,
            backends=names,
            **within.bounds,
            progress=work.at,
        )
    if measured.measure or _has_card(measured.device):
        comparison = _with_latency(comparison, shapes, measured, within, kept.store)
    elif measured.device not in ("cpu", "mps"):
        from gadprof.comparison.predicted import with_predictions

        with Working("predicting"):
            comparison = with_predictions(
                comparison, measured.device, given=shapes, **within.bounds
            )
    if beside.accuracy:
        from gadprof.comparison.accuracies import with_accuracy

        comparison = with_accuracy(comparison, beside.accuracy, store=kept.store)
    failed = [row for row in comparison.rows if row.error is not None]
    shown = len(failed) < len(comparison.rows) or out.form == "json"
    if shown:
        show(out, _page(comparison, baseline))
    if beside.plot is not None:
        _draw(comparison, beside.plot, plot_format)
    record_rows(comparison.rows, store=kept.store, name=kept.save_as)
    if not (shown and out.seen):  # a table's notes say it
        for row in failed:
            tell(f"gadprof: {' '.join((row.error or '').split())}")
    if comparison.interrupted:
        return 130
    return max((row.exit_code for row in failed), default=0)


def _has_card(device: str) -> bool:
    """Whether a CUDA device is asked for and there."""
    if not device.startswith("cuda"):
        return False
    from gadprof.errors import SettingError
    from gadprof.measuring.settings import check_device

    try:
        check_device(device)
    except SettingError:
        return False
    return True


def _baseline(kept: Kept) -> Baseline | None:
    if kept.baseline is None:
        return None
    from gadprof.gate.baseline import find_baseline
    from gadprof.gate.config import load_config

    return find_baseline(kept.baseline, store=kept.store, file_at_ref=load_config().baseline_file)


def _counters(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    from gadprof.audit.backends import parse_backends

    return parse_backends(text)


def _with_latency(
    comparison: Comparison,
    shapes: tuple[tuple[int, ...], ...],
    measured: Measured,
    within: Within,
    store: str | None,
) -> Comparison:
    from gadprof.comparison.compare import with_latency
    from gadprof.render.live import live_view
    from gadprof.store.recording import MeasurementRecorder

    with MeasurementRecorder(store) as recorder, live_view() as view:
        return with_latency(
            comparison,
            given=shapes,
            device=measured.device,
            precision=measured.precision,
            time_limit_s=measured.time_limit,
            threads=measured.threads,
            **within.bounds,
            progress=view,
            recorder=recorder,
        )


def _draw(comparison: Comparison, path: str, plot_format: str) -> None:
    """Measured AP, else published AP, else latency, else activations against MACs."""
    from gadprof.errors import SpecError
    from gadprof.render.plots import render_plot
    from gadprof.report.sections.bubbles import comparison_plot

    plot = comparison_plot(comparison)
    if plot is None:
        raise SpecError("no row has MACs and a second figure, so there is nothing to draw")
    write_atomic(path, render_plot(plot, plot_format))


def _page(comparison: Comparison, baseline: Baseline | None) -> Page:
    if baseline is None:
        return comparison.page()
    from gadprof.gate.changes import changes_page

    return changes_page(comparison, baseline)
