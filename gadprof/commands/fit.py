"""``gadprof fit``: the largest batch that fits a card's memory."""

from __future__ import annotations

from dataclasses import dataclass

import click

from gadprof.commands.count import dtype_option, optimizer_of, optimizer_option
from gadprof.commands.option_types import CARD
from gadprof.commands.options import (
    command,
    input_option,
    memory_limit_option,
    models_argument,
    packed,
    result_options,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, tell


@dataclass(frozen=True)
class Step:
    """The step whose memory is predicted."""

    train: bool
    optimizer: str | None
    dtype: str | None
    timeout: float
    memory_limit: int | None
    batch: int | None


@command(name="fit", example="gadprof fit hrnet32 --device rtx4090")
@models_argument()
@click.option(
    "--device",
    type=CARD,
    required=True,
    metavar="NAME|SIZE",
    help="For example rtx3090 or 24GiB.",
)
@packed(
    "step",
    Step,
    click.option("--train", is_flag=True, help="A training step instead of a forward pass."),
    optimizer_option,
    dtype_option,
    timeout_option("How long to wait for a model."),
    memory_limit_option,
    click.option("--batch", type=click.IntRange(min=1), help="Also say whether this batch fits."),
)
@input_option
@result_options()
def fit(
    models: tuple[str, ...], device: str, step: Step, input_texts: tuple[str, ...], out: Output
) -> int:
    """The largest batch of MODEL that fits a card's memory, told from its trace without a card.

    Exits 1 where a model does not fit with one sample, or with --batch samples.
    """
    from gadprof.errors import GadprofError
    from gadprof.memory.cards import memory_of
    from gadprof.memory.largest import largest_batch
    from gadprof.memory.page import largest_page
    from gadprof.memory.peaks import coefficients, predict_peaks
    from gadprof.memory.step import step_of
    from gadprof.models.inputs import parse_inputs
    from gadprof.render.progress import Working
    from gadprof.results.cells import bytes_text

    kept = optimizer_of(step.optimizer, train=step.train)
    capacity = memory_of(device)
    inputs = parse_inputs(input_texts)
    found, steps, failed = [], [], []
    with Working("tracing", len(models)) as work:
        for number, model in enumerate(models):
            work.at(model, number)
            try:
                traced = step_of(
                    model,
                    inputs=inputs,
                    train=step.train,
                    dtype=step.dtype or "fp32",  # type: ignore[arg-type]
                    timeout_s=step.timeout,
                    memory_limit_bytes=step.memory_limit,
                )
            except GadprofError as error:
                if len(models) == 1:
                    raise
                failed.append({"model": model, "error": str(error)})
                continue
            steps.append(traced)
            found.append(largest_batch(traced, capacity, kept, device=device))  # type: ignore[arg-type]
    document = {
        "device": device,
        "capacity_bytes": capacity,
        "train": step.train,
        "rows": found,
        "failed": failed,
    }
    show(out, largest_page(found, coefficients().cv, document))
    crowded = False
    for one, traced in zip(found, steps, strict=True):
        batch = step.batch or 1
        if one.batch >= batch:
            continue
        crowded = True
        needs = predict_peaks(traced, batch, kept).process_peak_bytes  # type: ignore[arg-type]
        sure = "cannot fit" if batch >= one.impossible_batch else "is predicted not to fit"
        tell(
            f"gadprof: {one.model}: batch {batch} {sure}: it needs about {bytes_text(needs)}, "
            f"{device} has {bytes_text(capacity)}; the largest that fits is {one.batch}"
        )
    for failure in failed:
        tell(f"gadprof: {failure['model']}: {failure['error']}")
    return 1 if failed or crowded else 0
