"""``gadprof count``: one model counted exactly, by module, type, operation or stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gadprof.commands.fit import dtype_option, optimizer_option
from gadprof.commands.options import (
    batch_option,
    complete_models,
    format_option,
    output_option,
    save_as_option,
    store_option,
    typed_input_option,
)

if TYPE_CHECKING:
    from gadprof.memory.peaks import Optimizer
    from gadprof.memory.step import Format


@click.command(name="count")
@click.argument("model", shell_complete=complete_models)
@typed_input_option
@batch_option
@click.option(
    "--by",
    type=click.Choice(["module", "type", "op", "stage"]),
    default="module",
    show_default=True,
    help="How to add up.",
)
@click.option("--depth", type=click.IntRange(min=0), help="Levels of modules  [default: 2]")
@click.option("--train", is_flag=True, help="Forward and backward of a training step.")
@click.option("--strict", is_flag=True, help="Exit 1 where an operation has no rule.")
@click.option("--trace", "run", is_flag=True, help="Run a built-in network, too, on meta.")
@click.option("--weights", metavar="FILE", help="Check that a checkpoint fits the model.")
@click.option("--memory", type=click.Choice(["cuda"]), help="Predict the peak memory on a card.")
@optimizer_option
@dtype_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds to wait for the model.",
)
@format_option("table", "json", "csv", "md")
@output_option
@save_as_option
@store_option
def count(
    model: str,
    input_texts: tuple[str, ...],
    batch: int,
    by: str,
    depth: int | None,
    train: bool,
    strict: bool,
    run: bool,
    weights: str | None,
    memory: str | None,
    optimizer: Optimizer | None,
    dtype: Format | None,
    timeout: float,
    output_format: str,
    output: str | None,
    save_as: str | None,
    store: str | None,
) -> int:
    """Count MODEL exactly from a trace on the meta device: no weights, no activations in memory.

    HRNet, Ghost-HRNet and GADNet are counted from their plans, which give the very records of a
    trace without running anything. An ONNX file is counted from its graph. With --memory cuda the
    peak memory of a step on a card is predicted instead.
    """
    from gadprof.counting.page import SHOWN_DEPTH, count_page
    from gadprof.models.counting import trace_model
    from gadprof.models.inputs import parse_inputs
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.store.recording import record_trace

    if output is not None:
        check_writable(output)
    inputs = parse_inputs(input_texts)
    if memory is None and (optimizer or dtype):
        raise click.UsageError("--optimizer and --dtype are of CUDA memory; add --memory cuda")
    if memory is not None:
        from gadprof.commands.fit import memory_of_model

        return memory_of_model(
            model,
            inputs,
            batch=batch,
            train=train,
            optimizer=optimizer,
            dtype=dtype,
            timeout_s=timeout,
            output_format=output_format,
            output=output,
        )
    if weights is not None:
        from gadprof.comparison.compare import check_weights

        check_weights(model, weights)
    trace = trace_model(model, inputs=inputs, batch=batch, train=train, run=run, timeout_s=timeout)
    limit = SHOWN_DEPTH if depth is None and output_format != "json" else depth
    emit(render(count_page(trace, by, limit), output_format), output)  # type: ignore[arg-type]
    record_trace(model, trace, store=store, name=save_as)
    if trace.uncovered and strict:
        listed = ", ".join(f"{name} x{times}" for name, times in sorted(trace.uncovered.items()))
        click.echo(f"gadprof: operations without a rule: {listed}", err=True)
        return 1
    return 0
