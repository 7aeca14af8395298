"""``gadprof count``: one model counted exactly, by module, type, operation or stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gadprof.commands.option_types import Count
from gadprof.commands.options import (
    batch_option,
    command,
    input_option,
    memory_limit_option,
    model_argument,
    packed,
    result_options,
    save_as_option,
    store_option,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, tell, write_atomic

if TYPE_CHECKING:
    from gadprof.counting.inputs import Input
    from gadprof.counting.records import Trace

FORMATS = ("fp32", "amp", "bf16")
OPTIMIZERS = ("sgd-momentum", "sgd", "adam", "adamw", "none")


@dataclass(frozen=True)
class Work:
    """What is counted of the model, and how."""

    batch: int
    train: bool
    run: bool
    weights: str | None
    sparsity: bool
    timeout: float
    memory_limit: int | None


@dataclass(frozen=True)
class View:
    """How the count is added up and shown."""

    by: str
    depth: int | None
    strict: bool


@dataclass(frozen=True)
class CudaMemory:
    """What the memory of a card is predicted for."""

    memory: str | None
    optimizer: str | None
    dtype: str | None


@dataclass(frozen=True)
class Viewers:
    """Files for viewers of profiles."""

    speedscope: str | None
    perfetto: str | None


# also of gadprof fit
optimizer_option = click.option(
    "--optimizer",
    type=click.Choice(OPTIMIZERS),
    help="CUDA memory: whose states are kept in training.  [default: sgd-momentum]",
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(FORMATS),
    help="CUDA memory: number format; amp is autocast to fp16.  [default: fp32]",
)


@command(name="count", example="gadprof count gadnet32")
@model_argument
@input_option
@packed(
    "work",
    Work,
    batch_option,
    click.option("--train", is_flag=True, help="Forward and backward of a training step."),
    click.option("--trace", "run", is_flag=True, help="Run a built-in network, too, on meta."),
    click.option("--weights", metavar="FILE", help="A checkpoint, which has to fit."),
    click.option("--sparsity", is_flag=True, help="Read the weights; count without their zeros."),
    timeout_option("How long to wait for the model."),
    memory_limit_option,
)
@packed(
    "view",
    View,
    click.option(
        "--by",
        type=click.Choice(["module", "type", "op", "stage"]),
        default="module",
        show_default=True,
        help="How to add up.",
    ),
    click.option("--depth", type=Count(0, 1000), help="Levels of modules.  [default: 2]"),
    click.option("--strict", is_flag=True, help="Exit 1 where an operation has no rule."),
)
@packed(
    "viewers",
    Viewers,
    click.option(
        "--speedscope",
        metavar="FILE",
        help="Also write the counts as a flame graph, for speedscope.app.",
    ),
    click.option(
        "--perfetto",
        metavar="FILE",
        help="Also write the counts as a timeline, for ui.perfetto.dev (1 µs is 1 MAC).",
    ),
)
@packed(
    "cuda",
    CudaMemory,
    click.option(
        "--memory", type=click.Choice(["cuda"]), help="Predict the peak memory on a card."
    ),
    optimizer_option,
    dtype_option,
)
@result_options("html")
@save_as_option
@store_option
def count(
    model: str,
    input_texts: tuple[str, ...],
    work: Work,
    view: View,
    viewers: Viewers,
    cuda: CudaMemory,
    out: Output,
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
    from gadprof.render.progress import Working
    from gadprof.store.recording import record_trace

    inputs = parse_inputs(input_texts)
    if cuda.memory is None and (cuda.optimizer or cuda.dtype):
        raise click.UsageError("--optimizer and --dtype are of CUDA memory; add --memory cuda")
    for path in (viewers.speedscope, viewers.perfetto):
        if path is not None:
            if cuda.memory is not None:
                raise click.UsageError("--memory cuda has no counts to draw; leave one out")
            check_writable(path)
    if cuda.memory is not None:
        return _memory(model, inputs, work, cuda, out)
    with Working(f"counting {model}"):
        trace = trace_model(
            model,
            inputs=inputs,
            batch=work.batch,
            train=work.train,
            run=work.run,
            weights=work.weights,
            sparsity=work.sparsity,
            timeout_s=work.timeout,
            memory_limit_bytes=work.memory_limit,
        )
    if out.form == "html":
        from gadprof.counting.model_page import model_page

        show(out, model_page(trace))
    else:
        limit = SHOWN_DEPTH if view.depth is None and out.form != "json" else view.depth
        show(out, count_page(trace, view.by, limit))  # type: ignore[arg-type]
    _draw(trace, viewers)
    record_trace(model, trace, store=store, name=save_as)
    if trace.uncovered and view.strict:
        listed = ", ".join(f"{name} x{times}" for name, times in sorted(trace.uncovered.items()))
        tell(f"gadprof: operations without a rule: {listed}")
        return 1
    return 0


def _draw(trace: Trace, viewers: Viewers) -> None:
    """The counts as files for viewers of profiles, where any was asked for."""
    if viewers.speedscope is None and viewers.perfetto is None:
        return
    from gadprof.counting.stacks import stacks_of
    from gadprof.render.viewers import to_speedscope, to_trace_events

    stacks = stacks_of(trace)
    if viewers.speedscope is not None:
        write_atomic(viewers.speedscope, to_speedscope(stacks))
        tell(f"wrote {viewers.speedscope}; open it in speedscope.app")
    if viewers.perfetto is not None:
        write_atomic(viewers.perfetto, to_trace_events(stacks))
        tell(f"wrote {viewers.perfetto}; open it in ui.perfetto.dev")


def _memory(
    model: str, inputs: tuple[Input, ...], work: Work, cuda: CudaMemory, out: Output
) -> int:
    """The predicted CUDA memory of one model."""
    from gadprof.memory.page import peaks_page
    from gadprof.memory.peaks import coefficients, predict_peaks
    from gadprof.memory.step import step_of
    from gadprof.render.progress import Working

    kept = optimizer_of(cuda.optimizer, train=work.train)
    with Working(f"tracing {model}"):
        step = step_of(
            model,
            inputs=inputs,
            train=work.train,
            dtype=cuda.dtype or "fp32",  # type: ignore[arg-type]
            timeout_s=work.timeout,
        )
    peaks = predict_peaks(step, work.batch, kept)  # type: ignore[arg-type]
    show(out, peaks_page(peaks, coefficients().cv))
    return 0


def optimizer_of(given: str | None, *, train: bool) -> str:
    """The optimiser whose states are kept. Raises SpecError for one without training."""
    from gadprof.errors import SpecError

    if given is not None and not train:
        raise SpecError(f"--optimizer {given} plays no part in a forward pass; add --train")
    return given or "sgd-momentum"
