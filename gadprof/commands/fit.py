"""``gadprof fit``: the largest batch that fits a card; and what ``count --memory cuda`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.options import (
    complete_models,
    format_option,
    output_option,
    typed_input_option,
)

if TYPE_CHECKING:
    from gadprof.counting.inputs import Input
    from gadprof.memory.peaks import Optimizer
    from gadprof.memory.step import Format

FORMATS = ("fp32", "amp", "bf16")
OPTIMIZERS = ("sgd-momentum", "sgd", "adam", "adamw", "none")


def optimizer_option(function: Any) -> Any:
    """``--optimizer``, as ``optimizer``."""
    return click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        help="CUDA memory: whose states are kept in training.  [default: sgd-momentum]",
    )(function)


def dtype_option(function: Any) -> Any:
    """``--dtype``, as ``dtype``."""
    return click.option(
        "--dtype",
        type=click.Choice(FORMATS),
        help="CUDA memory: number format; amp is autocast to fp16.  [default: fp32]",
    )(function)


@click.command()
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=complete_models
)
@click.option("--device", required=True, metavar="NAME|SIZE", help="For example rtx3090 or 24GiB.")
@click.option("--train", is_flag=True, help="A training step instead of a forward pass.")
@optimizer_option
@dtype_option
@typed_input_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds to wait for a model.",
)
@format_option("table", "json", "csv", "md")
@output_option
def fit(
    models: tuple[str, ...],
    device: str,
    train: bool,
    optimizer: Optimizer | None,
    dtype: Format | None,
    input_texts: tuple[str, ...],
    timeout: float,
    output_format: str,
    output: str | None,
) -> int:
    """The largest batch of MODEL that fits a card's memory, told from its trace without a card.

    Exits 1 where a model does not fit with one sample.
    """
    from gadprof.errors import GadprofError
    from gadprof.memory.cards import memory_of
    from gadprof.memory.largest import largest_batch
    from gadprof.memory.page import largest_page
    from gadprof.memory.peaks import coefficients
    from gadprof.memory.step import step_of
    from gadprof.models.inputs import parse_inputs
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.results.cells import bytes_text

    chosen = _optimizer(optimizer, train=train)
    if output is not None:
        check_writable(output)
    capacity = memory_of(device)
    inputs = parse_inputs(input_texts)
    found, failed = [], []
    for model in models:
        try:
            step = step_of(
                model, inputs=inputs, train=train, dtype=dtype or "fp32", timeout_s=timeout
            )
        except GadprofError as error:
            if len(models) == 1:
                raise
            failed.append({"model": model, "error": str(error)})
            continue
        found.append(largest_batch(step, capacity, chosen, device=device))
    document = {
        "device": device,
        "capacity_bytes": capacity,
        "train": train,
        "rows": found,
        "failed": failed,
    }
    emit(render(largest_page(found, coefficients().cv, document), output_format), output)
    for one in found:
        if not one.batch:
            needs = bytes_text(one.peaks.process_peak_bytes)
            click.echo(
                f"gadprof: {one.model}: needs {needs} with one sample, more than {device} has "
                f"({bytes_text(capacity)})",
                err=True,
            )
    for failure in failed:
        click.echo(f"gadprof: {failure['model']}: {failure['error']}", err=True)
    return 1 if failed or any(not one.batch for one in found) else 0


def memory_of_model(
    model: str,
    inputs: tuple[Input, ...],
    *,
    batch: int,
    train: bool,
    optimizer: Optimizer | None,
    dtype: Format | None,
    timeout_s: float,
    output_format: str,
    output: str | None,
) -> int:
    """Print the predicted CUDA memory of one model, as ``count --memory cuda`` does."""
    from gadprof.memory.page import peaks_page
    from gadprof.memory.peaks import coefficients, predict_peaks
    from gadprof.memory.step import step_of
    from gadprof.output import emit
    from gadprof.render.tables import render

    chosen = _optimizer(optimizer, train=train)
    step = step_of(model, inputs=inputs, train=train, dtype=dtype or "fp32", timeout_s=timeout_s)
    peaks = predict_peaks(step, batch, chosen)
    emit(render(peaks_page(peaks, coefficients().cv), output_format), output)
    return 0


def _optimizer(given: Optimizer | None, *, train: bool) -> Optimizer:
    from gadprof.errors import SpecError

    if given is not None and not train:
        raise SpecError(f"--optimizer {given} plays no part in a forward pass; add --train")
    return given or "sgd-momentum"
