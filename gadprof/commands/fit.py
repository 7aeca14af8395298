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
    from gadprof.memory.peaks import Peaks

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
    optimizer: str | None,
    dtype: str | None,
    input_texts: tuple[str, ...],
    timeout: float,
    output_format: str,
    output: str | None,
) -> int:
    """The largest batch of MODEL that fits a card's memory, told from its trace without a card.

    Exits 1 where a model does not fit with one sample.
    """
    from gadprof.errors import GadprofError, SpecError
    from gadprof.memory.cards import memory_of
    from gadprof.memory.largest import largest_batch
    from gadprof.memory.peaks import coefficients
    from gadprof.memory.step import step_of
    from gadprof.models.inputs import parse_inputs
    from gadprof.output import check_writable, emit
    from gadprof.render.cells import bytes_text
    from gadprof.render.tables import render_table
    from gadprof.results.plain import to_json

    if optimizer is not None and not train:
        raise SpecError(f"--optimizer {optimizer} plays no part in a forward pass; add --train")
    if output is not None:
        check_writable(output)
    capacity = memory_of(device)
    inputs = parse_inputs(input_texts)
    found, failed = [], []
    for model in models:
        try:
            step = step_of(
                model,
                inputs=inputs,
                train=train,
                dtype=dtype or "fp32",  # type: ignore[arg-type]
                timeout_s=timeout,
            )
        except GadprofError as error:
            if len(models) == 1:
                raise
            failed.append(f"{model}: {error}")
            continue
        chosen: Any = optimizer or "sgd-momentum"
        found.append(largest_batch(step, capacity, chosen, device=device))
    if output_format == "json":
        plain = {
            "device": device,
            "capacity_bytes": capacity,
            "train": train,
            "rows": found,
            "failed": failed,
            "error_on_unseen_families": dict(coefficients().cv),
        }
        emit(to_json(plain), output)
    else:
        exact = output_format == "csv"
        headers = ["model", "largest batch", "sure", "will not fit", "predicted peak", "95 %"]
        rows: list[list[Any]] = []
        for one in found:
            low, high = one.peaks.interval95
            peak = one.peaks.process_peak_bytes
            rows.append(
                [one.model, one.batch, one.sure_batch, one.impossible_batch, peak, low, high]
                if exact
                else [
                    one.model,
                    one.batch,
                    one.sure_batch,
                    one.impossible_batch,
                    bytes_text(peak),
                    f"{bytes_text(low)} to {bytes_text(high)}",
                ]
            )
        if exact:
            headers[4:] = ["predicted_peak_bytes", "low_bytes", "high_bytes"]
        options: dict[str, Any] = {}
        if output_format == "table":
            what = f"training, {chosen}" if train else "forward"
            options = {
                "title": f"{device}, {bytes_text(capacity)}: {what}, {dtype or 'fp32'}",
                "notes": [_origin(), "largest batch: predicted; sure: at the upper end of 95 %"],
            }
        emit(render_table(output_format, headers, rows, **options), output)
    for one in found:
        if not one.batch:
            needs = bytes_text(one.peaks.process_peak_bytes)
            click.echo(
                f"gadprof: {one.model}: needs {needs} with one sample, more than {device} has "
                f"({bytes_text(capacity)})",
                err=True,
            )
    for line in failed:
        click.echo(f"gadprof: {line}", err=True)
    return 1 if failed or any(not one.batch for one in found) else 0


def memory_of_model(
    model: str,
    inputs: tuple[Any, ...],
    *,
    batch: int,
    train: bool,
    optimizer: str | None,
    dtype: str | None,
    timeout_s: float,
    output_format: str,
    output: str | None,
) -> int:
    """Print the predicted CUDA memory of one model, as ``count --memory cuda`` does."""
    from gadprof.errors import SpecError
    from gadprof.memory.peaks import coefficients, predict_peaks
    from gadprof.memory.step import step_of
    from gadprof.output import emit
    from gadprof.render.tables import render_table
    from gadprof.results.plain import to_json

    if optimizer is not None and not train:
        raise SpecError(f"--optimizer {optimizer} plays no part in a forward pass; add --train")
    step = step_of(
        model,
        inputs=inputs,
        train=train,
        dtype=dtype or "fp32",  # type: ignore[arg-type]
        timeout_s=timeout_s,
    )
    peaks = predict_peaks(step, batch, optimizer or "sgd-momentum")  # type: ignore[arg-type]
    if output_format == "json":
        errors = dict(coefficients().cv)
        plain = {"model": model, "cuda_memory": peaks, "error_on_unseen_families": errors}
        emit(to_json(plain), output)
        return 0
    headers = ["what", "bytes"]
    if output_format == "csv":
        emit(render_table("csv", headers, [list(pair) for pair in peak_figures(peaks)]), output)
        return 0
    rows = peak_rows(peaks)
    options: dict[str, Any] = {}
    if output_format == "table":
        what = f"training step, {peaks.optimizer}" if train else "forward pass"
        options = {
            "title": f"{model} at batch {batch}, {what}, {peaks.dtype}: predicted CUDA memory",
            "notes": [_origin()],
        }
    emit(render_table(output_format, ["what", "predicted", "means"], rows, **options), output)
    return 0


def peak_figures(peaks: Peaks) -> list[tuple[str, int]]:
    """The figures of a prediction by their keys."""
    low, high = peaks.interval95
    return [
        ("tensor_peak_bytes", peaks.tensor_peak_bytes),
        ("allocator_peak_bytes", peaks.allocator_peak_bytes),
        ("process_peak_bytes", peaks.process_peak_bytes),
        ("process_peak_low_bytes", low),
        ("process_peak_high_bytes", high),
        ("least_bytes", peaks.least_bytes),
        ("weight_bytes", peaks.weight_bytes),
        ("gradient_bytes", peaks.gradient_bytes),
        ("optimizer_bytes", peaks.optimizer_bytes),
        ("transient_bytes", peaks.transient_bytes),
        ("overhead_bytes", peaks.overhead_bytes),
        ("context_bytes", peaks.context_bytes),
        ("loader_bytes", peaks.loader_bytes),
    ]


def peak_rows(peaks: Peaks) -> list[list[str]]:
    """The figures of a prediction for a person."""
    from gadprof.render.cells import bytes_text

    low, high = (bytes_text(value) for value in peaks.interval95)
    told = [
        ("tensor peak", peaks.tensor_peak_bytes, "live tensors: max_memory_allocated"),
        ("- weights, buffers", peaks.weight_bytes, "resident"),
        ("- optimiser", peaks.optimizer_bytes, f"states of {peaks.optimizer}"),
        ("- transient", peaks.transient_bytes, "saved tensors, gradients, workspaces at the peak"),
        ("allocator peak", peaks.allocator_peak_bytes, "what torch reserves: max_memory_reserved"),
        ("process peak", peaks.process_peak_bytes, f"what a monitor shows; 95 %: {low} to {high}"),
        ("- context", peaks.context_bytes, "CUDA, libraries, kernels"),
        ("- loader", peaks.loader_bytes, "batches kept ready on the card"),
        ("least", peaks.least_bytes, "a card with less room will not do"),
    ]
    if not peaks.train:
        told.pop(2)
    return [[name, bytes_text(value), means] for name, value, means in told]


def _origin() -> str:
    from gadprof.memory.peaks import coefficients

    found = coefficients().cv
    return (
        f"predicted from the trace; on unseen model families the median error of the process peak "
        f"in training was {100 * found['median_absolute_error']:.1f} %, "
        f"{100 * found['within_12_percent']:.0f} % of {found['rows']:,} within 12 %"
    )
