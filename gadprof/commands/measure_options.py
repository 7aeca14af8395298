"""The measuring options that ``bench``, ``explain`` and ``formula --measure`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gadprof.commands.option_types import parse_choices
from gadprof.commands.options import parse_integers
from gadprof.measuring.settings import DTYPES, MODES, RUNTIMES, Setting, sweep

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--device",
        "devices",
        default="cpu",
        show_default=True,
        metavar="cpu|cuda[:i]|mps",
        help="Where to run; a comma-separated list sweeps.",
    ),
    click.option(
        "--batch", "batches", default="1", show_default=True, help="Batch sizes: 1, 1,8,32 or 1:8."
    ),
    click.option(
        "--dtype",
        "dtypes",
        default=None,
        metavar="fp32|fp16|bf16",
        help="Precision; a list sweeps. [default: fp32]",
    ),
    click.option(
        "--threads",
        "threads",
        default="1",
        show_default=True,
        help="Threads inside an operation; a list sweeps.",
    ),
    click.option("--channels-last", is_flag=True, help="Use the NHWC memory layout."),
    click.option(
        "--amp", is_flag=True, help="Autocast (to --dtype, else bf16 on the CPU, fp16 on CUDA)."
    ),
    click.option(
        "--mode",
        "modes",
        default="infer",
        show_default=True,
        metavar="infer|train",
        help="Inference, or forward and backward; a list sweeps.",
    ),
    click.option(
        "--runtime",
        "runtimes",
        default="eager",
        show_default=True,
        metavar="NAME,…",
        help="eager, compile, torchscript, onnxruntime, openvino, tensorrt; a list sweeps.",
    ),
    click.option("--cuda-graph", is_flag=True, help="Capture and replay a CUDA graph."),
    click.option("--flush-l2", is_flag=True, help="Flush the GPU's L2 cache before each sample."),
    click.option("--seed", type=int, default=0, show_default=True, help="Weights, inputs, order."),
)


def setting_options(function: Function) -> Function:
    """All options that make up a ``Setting``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_settings(
    *,
    devices: str,
    batches: str,
    dtypes: str | None,
    threads: str,
    channels_last: bool,
    amp: bool,
    modes: str,
    runtimes: str,
    cuda_graph: bool,
    flush_l2: bool,
    seed: int,
    input_shapes: tuple[tuple[int, ...], ...] = (),
) -> tuple[Setting, ...]:
    """The settings that the options name. Raises click.BadParameter, SettingError."""
    device_names = tuple(dict.fromkeys(word.strip() for word in devices.split(",")))
    if dtypes is None:
        low = "bf16" if device_names[0] == "cpu" else "fp16"
        dtypes = low if amp else "fp32"
    return sweep(
        devices=device_names,
        batches=parse_integers(batches, "--batch"),
        dtypes=parse_choices(dtypes, DTYPES, "--dtype"),  # type: ignore[arg-type]
        threads=parse_integers(threads, "--threads"),
        modes=parse_choices(modes, MODES, "--mode"),  # type: ignore[arg-type]
        runtimes=parse_choices(runtimes, RUNTIMES, "--runtime"),
        layouts=(channels_last,),
        input_shapes=input_shapes,
        amp=amp,
        cuda_graph=cuda_graph,
        flush_l2=flush_l2,
        seed=seed,
    )
