"""The measuring options that ``bench``, ``explain`` and ``formula --measure`` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from gadprof.commands.option_types import (
    DEVICE,
    DURATION,
    MOST_BATCH,
    MOST_THREADS,
    RUNTIME_LIST,
    SEED,
    SHARE,
    Integers,
    Words,
)
from gadprof.commands.options import Decorator, packed
from gadprof.measuring.settings import DTYPES, MODES, Setting, sweep


@dataclass(frozen=True)
class Settings:
    """What the measuring options say; lists sweep."""

    devices: str
    batches: tuple[int, ...]
    dtypes: tuple[str, ...] | None
    threads: tuple[int, ...]
    channels_last: bool
    amp: bool
    modes: tuple[str, ...]
    runtimes: tuple[str, ...]
    cuda_graph: bool
    flush_l2: bool
    seed: int

    def read(self, input_shapes: tuple[tuple[int, ...], ...] = ()) -> tuple[Setting, ...]:
        """The settings that the options name. Raises SettingError."""
        devices = tuple(dict.fromkeys(word.strip() for word in self.devices.split(",")))
        low = "bf16" if devices[0] == "cpu" else "fp16"
        return sweep(
            devices=devices,
            batches=self.batches,
            dtypes=self.dtypes or ((low if self.amp else "fp32"),),  # type: ignore[arg-type]
            threads=self.threads,
            modes=self.modes,  # type: ignore[arg-type]
            runtimes=self.runtimes,
            layouts=(self.channels_last,),
            input_shapes=input_shapes,
            amp=self.amp,
            cuda_graph=self.cuda_graph,
            flush_l2=self.flush_l2,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Limits:
    """How precise, and how long at most."""

    precision: float
    time_limit: float
    timeout: float

    def named(self) -> dict[str, Any]:
        """As the measuring functions call them."""
        return {
            "precision": self.precision,
            "time_limit_s": self.time_limit,
            "timeout_s": self.timeout,
        }


def limit_options(precision: str, time_limit: str) -> Decorator[Any]:
    """``--precision``, ``--time-limit`` and ``--timeout``, as ``limits``."""
    return packed(
        "limits",
        Limits,
        click.option(
            "--precision",
            type=SHARE,
            default=precision,
            show_default=True,
            help="Half width of the ratio's 95 % interval to reach.",
        ),
        click.option(
            "--time-limit",
            type=DURATION,
            default=time_limit,
            show_default=True,
            help="Sampling time of the whole run.",
        ),
        click.option(
            "--timeout",
            type=DURATION,
            default="300s",
            show_default=True,
            help="Kill a model that is silent this long.",
        ),
    )


_OPTIONS = (
    click.option(
        "--device",
        "devices",
        type=DEVICE,
        default="cpu",
        show_default=True,
        metavar="cpu|cuda[:i]|mps",
        help="Where to run; a comma-separated list sweeps.",
    ),
    click.option(
        "--batch",
        "batches",
        type=Integers(MOST_BATCH),
        default="1",
        show_default=True,
        help="Batch sizes: 1, 1,8,32 or 1:8.",
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=Words(DTYPES),
        default=None,
        metavar="fp32|fp16|bf16",
        help="Precision; a list sweeps. [default: fp32]",
    ),
    click.option(
        "--threads",
        "threads",
        type=Integers(MOST_THREADS),
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
        type=Words(MODES),
        default="infer",
        show_default=True,
        metavar="infer|train",
        help="Inference, or forward and backward; a list sweeps.",
    ),
    click.option(
        "--runtime",
        "runtimes",
        type=RUNTIME_LIST,
        default="eager",
        show_default=True,
        metavar="NAME,…",
        help="eager, compile, torchscript, onnxruntime, openvino, tensorrt; a list sweeps.",
    ),
    click.option("--cuda-graph", is_flag=True, help="Capture and replay a CUDA graph."),
    click.option("--flush-l2", is_flag=True, help="Flush the GPU's L2 cache before each sample."),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Weights, inputs, order."),
)


def setting_options(function: Any) -> Any:
    """All options that make up a ``Setting``, as ``settings``."""
    return packed("settings", Settings, *_OPTIONS)(function)
