"""``gadprof predict``: the time of a forward pass on a named device, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import click

from gadprof.commands.option_types import BATCH, CARD
from gadprof.commands.options import command, input_option, models_argument, packed, result_options
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


@command(name="predict")
@models_argument()
@packed(
    "target",
    Target,
    click.option("--device", type=CARD, metavar="NAME", help="The device to predict for."),
    click.option("--coefficients", metavar="FILE", help="A file that 'gadprof calibrate' wrote."),
    click.option("--batch", type=BATCH, help="Batch size.  [default: the fit's]"),
    click.option("--dtype", help="Number format, for example amp or float32."),
    click.option("--layout", help="Memory layout, nchw or nhwc."),
)
@input_option
@result_options("table", "json", "csv", "md")
def predict(
    models: tuple[str, ...], target: Target, input_texts: tuple[str, ...], out: Output
) -> int:
    """Predict MODEL's latency on a device.

    \b
    gadprof predict hrnet32 gadnet32 --device rtx3090 --batch 256

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
    with Working("predicting"):
        rows, fit = predict_rows(
            models,
            target.device,
            batch=target.batch,
            layout=target.layout,
            dtype=target.dtype,
            shapes=shapes,
            coefficients=target.coefficients,
        )
    show(out, Predictions(tuple(rows), fit).page())
    for row in rows:
        if row.error or row.refused:
            word = row.error or f"refused: {row.refused}"
            tell(f"gadprof: {row.model}: {word}")
    return 1 if any(row.error or row.refused for row in rows) else 0
