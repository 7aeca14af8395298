"""``gadprof export``: a model as the file of a runtime, checked by running it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gadprof.commands.option_types import SEED, SIZE
from gadprof.commands.options import (
    batch_option,
    calibrate_option,
    command,
    format_option,
    input_option,
    model_argument,
    output_option,
    packed,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, tell, write_together

if TYPE_CHECKING:
    from gadprof.measuring.settings import Dtype

FORMATS = ("onnx", "executorch", "litert", "ncnn", "mnn", "openvino")
NOT_RUN = ("coreml", "qnn", "tensorrt")


@dataclass(frozen=True)
class How:
    """What the file is made of and in which numbers."""

    precision: Dtype
    weights: str
    calibration: str
    batch: int
    seed: int
    timeout: float
    memory_limit: int | None


@command(name="export", example="gadprof export gadnet32 --to onnx -o gadnet32.onnx")
@model_argument
@input_option
@click.option(
    "--to",
    "to",
    type=click.Choice([*FORMATS, *NOT_RUN]),
    required=True,
    help=f"The format; {', '.join(NOT_RUN)} are written and have not been run yet.",
)
@packed(
    "how",
    How,
    click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="Numbers of the file; integers are static, per channel.",
    ),
    click.option("--weights", default="", metavar="FILE", help="A checkpoint to load first."),
    calibrate_option,
    batch_option,
    click.option("--seed", type=SEED, default=0, show_default=True, help="Weights and inputs."),
    timeout_option("How long to wait for the converter, and for the file's check."),
    click.option(
        "--memory-limit",
        type=SIZE,
        help="Kill a converter that grows beyond, like 4GiB.  [default: 90 % of what is free]",
    ),
)
@output_option("The file to write; it ends as its format's files do.")
@format_option()
def export(
    model: str,
    input_texts: tuple[str, ...],
    to: str,
    how: How,
    output: str | None,
    output_format: str | None,
) -> int:
    """Write MODEL as the file of a runtime, run it, and say what the exporter changed.

    \b
    gadprof export gadnet32 --to onnx -o gadnet32.onnx
    gadprof export gadnet32 --to openvino --precision int8 -o gadnet32.xml

    A file is written whole or not at all, and only after its outputs were held against the model's.
    """
    from gadprof.measuring.export import TARGETS, export_model
    from gadprof.models.inputs import parse_inputs
    from gadprof.render.progress import Working

    target = TARGETS[to]
    if output is None:
        raise click.UsageError(f"name the file to write, like -o model{target.suffix}")
    stem = check_path(output, to, target.suffix)
    if target.weights:
        check_writable(stem + target.weights)
    if how.calibration:
        from gadprof.measuring.runtimes.calibration import find_pictures

        find_pictures(how.calibration)
    with Working(f"exporting {model}"):
        made = export_model(
            model,
            to,
            precision=how.precision,
            inputs=parse_inputs(input_texts),
            batch=how.batch,
            weights=how.weights,
            calibration=how.calibration,
            seed=how.seed,
            timeout_s=how.timeout,
            memory_limit_bytes=how.memory_limit,
        )
    write_together({stem + suffix: content for suffix, content in made.content.items()})
    show(Output(output_format or "table"), made.page())
    written = " and ".join(stem + suffix for suffix in made.content)
    tell(f"written to {written}")
    return 0


def check_path(path: str, to: str, suffix: str) -> str:
    """The path without its suffix. Raises OutputError for another suffix or no place to write."""
    from gadprof.errors import OutputError

    if not path.endswith(suffix) or os.path.basename(path) == suffix:
        stem = os.path.splitext(path)[0]
        if os.path.basename(stem) in ("", suffix):
            stem = os.path.join(os.path.dirname(stem), "model")
        raise OutputError(f"a file of {to} ends in {suffix}; type -o {stem}{suffix}")
    check_writable(path)
    return path.removesuffix(suffix)
