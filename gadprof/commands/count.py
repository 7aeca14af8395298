"""``gadprof count``: one model counted exactly, by module, type, operation or stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

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
    from gadprof.counting.records import Trace
    from gadprof.counting.summary import Line

CONVENTION = (
    "gadprof: a MAC is one multiply-add of a convolution or matrix product, biases apart; flops "
    "are 2 x MACs and every elementwise operation"
)


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
    timeout: float,
    output_format: str,
    output: str | None,
    save_as: str | None,
    store: str | None,
) -> int:
    """Count MODEL exactly from a trace on the meta device: no weights, no activations in memory.

    HRNet, Ghost-HRNet and GADNet are counted from their plans, which give the very records of a
    trace without running anything. An ONNX file is counted from its graph.
    """
    from gadprof.counting.summary import lines
    from gadprof.models.counting import trace_model
    from gadprof.models.inputs import parse_inputs
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render_table
    from gadprof.results.plain import to_json
    from gadprof.store.recording import record_trace

    if output is not None:
        check_writable(output)
    inputs = parse_inputs(input_texts)
    if weights is not None:
        from gadprof.comparison.compare import check_weights

        check_weights(model, weights)
    trace = trace_model(model, inputs=inputs, batch=batch, train=train, run=run, timeout_s=timeout)
    limit = 2 if depth is None and output_format != "json" else depth
    rows = lines(trace, by, depth=limit)  # type: ignore[arg-type]
    if output_format == "json":
        emit(to_json(trace_object(trace, rows, by)), output)
    else:
        headers, cells = _table(rows, by, exact=output_format == "csv")
        if output_format == "table":
            text = render_table(
                "table", headers, cells, title=_title(trace), notes=_notes(trace, by, limit)
            )
        else:
            text = render_table(output_format, headers, cells)
        emit(text, output)
    record_trace(model, trace, store=store, name=save_as)
    if trace.uncovered and strict:
        listed = ", ".join(f"{name} x{times}" for name, times in sorted(trace.uncovered.items()))
        click.echo(f"gadprof: operations without a rule: {listed}", err=True)
        return 1
    return 0


def trace_object(trace: Trace, rows: tuple[Line, ...], by: str) -> dict[str, Any]:
    """A count as plain values."""
    from gadprof.results.plain import describe_machine

    return {
        "model": trace.model,
        "input": [list(shape) for shape in trace.input_shapes],
        "batch": trace.batch,
        "train": trace.train,
        "params": trace.params,
        "trainable_params": trace.trainable_params,
        "buffers": trace.buffers,
        "macs": trace.macs,
        "flops": trace.flops,
        "activations": trace.activations,
        "bytes_read": trace.bytes_read,
        "bytes_written": trace.bytes_written,
        "peak_activation_bytes": trace.peak_activation_bytes,
        "weight_bytes": trace.param_bytes,
        "operations": len(trace.operations),
        "elementwise": trace.elementwise(),
        "uncovered": dict(trace.uncovered),
        "by": by,
        "modules" if by == "module" else "groups": list(rows),
        **({"modules": []} if by != "module" else {}),
        "device": trace.device,
        "note": trace.note,
        "convention": CONVENTION,
        "machine": describe_machine(),
    }


def _table(rows: tuple[Line, ...], by: str, *, exact: bool) -> tuple[list[str], list[list[Any]]]:
    from gadprof.render.cells import bytes_text, scaled

    headers = [by, *(["type"] if by == "module" else []), "calls", "params", "MACs", "share",
               "FLOPs", "activations", "bytes"]  # fmt: skip
    cells = []
    for line in rows:
        name = line.name if exact or not line.depth else "  " * line.depth + _last(line.name)
        cells.append(
            [
                name,
                *([line.type] if by == "module" else []),
                line.calls,
                line.params if exact else scaled(line.params),
                line.macs if exact else scaled(line.macs),
                line.share if exact else f"{100 * line.share:.1f} %",
                line.flops if exact else scaled(line.flops),
                line.activations if exact else scaled(line.activations),
                line.bytes if exact else bytes_text(line.bytes),
            ]
        )
    return headers, cells


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _title(trace: Trace) -> str:
    shapes = " and ".join("x".join(map(str, shape)) for shape in trace.input_shapes)
    what = "forward and backward" if trace.train else "forward"
    return (
        f"{trace.model} at {shapes}, {what}: {trace.params:,} parameters, {trace.macs:,} MACs, "
        f"{trace.flops:,} FLOPs"
    )


def _notes(trace: Trace, by: str, depth: int | None) -> list[str]:
    from gadprof.render.cells import bytes_text

    found = [
        CONVENTION,
        f"peak activation memory {bytes_text(trace.peak_activation_bytes)}, input included",
    ]
    if by == "module" and depth is not None:
        found.append(f"modules down to level {depth}; --depth {depth + 2} shows more")
    if trace.device == "plan":
        found.append("read from the network's plan; --trace runs its module, for the same records")
    if trace.note:
        found.append(trace.note)
    if trace.uncovered:
        listed = ", ".join(f"{name} x{times}" for name, times in sorted(trace.uncovered.items()))
        found.append(f"not counted, for want of a rule: {listed}")
    else:
        found.append("every operation that does arithmetic has a rule")
    return found
