"""``gadprof predict``: the time of a forward pass on a named device, with an interval."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from gadprof.commands.option_types import BATCH, CARD, Number
from gadprof.commands.options import (
    Within,
    command,
    input_option,
    memory_limit_option,
    models_argument,
    packed,
    plot_option,
    result_options,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, tell


@dataclass(frozen=True)
class Target:
    """The device, and how the models run there."""

    device: str | None
    coefficients: str | None
    batch: int | None
    dtype: str | None
    layout: str | None
    mode: str | None
    reparam: str
    timed: tuple[str, ...]
    power: float | None
    clock: float | None


@command(name="predict", example="gadprof predict hrnet32 gadnet32 --device rtx3090")
@models_argument()
@packed(
    "target",
    Target,
    click.option(
        "--device", type=CARD, metavar="NAME", help="The device to predict for, or 'all' of them."
    ),
    click.option("--coefficients", metavar="FILE", help="A file that 'gadprof calibrate' wrote."),
    click.option("--batch", type=BATCH, help="Batch size.  [default: the fit's]"),
    click.option("--dtype", help="Number format, for example amp or float32."),
    click.option("--layout", help="Memory layout, nchw or nhwc."),
    click.option(
        "--mode",
        type=click.Choice(["eager", "compiled", "train"]),
        help="How it runs, or a training step.  [default: what the device was measured in]",
    ),
    click.option(
        "--reparam",
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        show_default=True,
        help="Join a model's branches first; auto as the device was measured.",
    ),
    click.option(
        "--timed",
        multiple=True,
        metavar="MODEL=TIME",
        help="A model that you timed there, like resnet50=8.1ms: sets the device's speed.",
    ),
    click.option(
        "--power", type=Number(1, 10_000), metavar="W", help="The card's power limit in watts."
    ),
    click.option(
        "--clock", type=Number(1, 100_000), metavar="MHZ", help="The clock that its cores keep."
    ),
)
@input_option
@packed("within", Within, timeout_option("How long to wait for a model."), memory_limit_option)
@plot_option("Plot the ratios of --device all (svg, pdf or png).")
@result_options()
def predict(
    models: tuple[str, ...],
    target: Target,
    input_texts: tuple[str, ...],
    within: Within,
    plot: str | None,
    out: Output,
) -> int:
    """Predict MODEL's latency on a device.

    \b
    gadprof predict hrnet32 gadnet32 --device rtx3090 --batch 256
    gadprof predict hrnet32 gadnet32 --device all --plot where.png
    gadprof predict gadnet32 --device rx7900xt --batch 1 --timed hrnet32=41ms

    Exits 1 where a prediction is refused. 'gadprof detect' finds keypoints in a picture.
    """
    from gadprof.models.sources import given_inputs
    from gadprof.prediction.api import predict as predict_rows
    from gadprof.prediction.predictions import Predictions
    from gadprof.render.progress import Working

    if target.device is None and target.coefficients is None:
        raise click.UsageError(
            "give --device NAME for latency ('gadprof detect' finds keypoints in a picture)"
        )
    models, shapes = given_inputs(models, input_texts)
    if target.device == "all":
        return _everywhere(models, target, shapes, within, plot, out)
    if plot is not None:
        raise click.UsageError("--plot draws --device all; name no single device with it")
    with Working("predicting"):
        rows, fit = predict_rows(
            models,
            target.device,
            batch=target.batch,
            layout=target.layout,
            dtype=target.dtype,
            shapes=shapes,
            coefficients=target.coefficients,
            reparam=target.reparam,
            mode=target.mode,
            bounds=within.bounds,
            timed=tuple(map(_timed, target.timed)),
            power_w=target.power,
            clock_mhz=target.clock,
        )
    show(out, Predictions(tuple(rows), fit).page())
    for row in rows:
        if row.error or row.refused:
            word = row.error or f"refused: {row.refused}"
            tell(f"gadprof: {row.model}: {word}")
    return 1 if any(row.error or row.refused for row in rows) else 0


def _timed(text: str) -> tuple[str, float]:
    """A model and seconds, from ``MODEL=TIME``."""
    model, _, time = text.rpartition("=")
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(us|ms|s)", time.strip())
    seconds = float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]] if match else 0.0
    if not model or seconds <= 0:
        raise click.UsageError(f"--timed {text!r} is not MODEL=TIME; type for example hrnet32=41ms")
    return model.strip(), seconds


def _everywhere(
    models: tuple[str, ...],
    target: Target,
    shapes: tuple[tuple[int, ...], ...],
    within: Within,
    plot: str | None,
    out: Output,
) -> int:
    """Every device that has a fit, the one on which the last model gains most first."""
    from gadprof.output import check_writable, plot_suffix, write_atomic
    from gadprof.prediction.api import predict_everywhere
    from gadprof.prediction.page import everywhere_page
    from gadprof.render.plots import render_plot
    from gadprof.render.progress import Working

    for name in ("coefficients", "dtype", "layout", "mode", "timed", "power", "clock"):
        if getattr(target, name):
            raise click.UsageError(f"--device all goes through every fit; leave out --{name}")
    if plot is not None:
        plot_suffix(plot)
        check_writable(plot)
    with Working("predicting"):
        found = predict_everywhere(
            models,
            batch=target.batch,
            shapes=shapes,
            reparam=target.reparam,
            bounds=within.bounds,
        )
    page = everywhere_page(models, found)
    show(out, page)
    if plot is not None and page.plots:
        write_atomic(plot, render_plot(page.plots[0], plot_suffix(plot)))
    for fit, rows in found:
        for row in rows:
            if row.error or row.refused:
                tell(f"gadprof: {row.model} on {fit.key}: {row.error or row.refused}")
    return 0 if page.plots else 1
