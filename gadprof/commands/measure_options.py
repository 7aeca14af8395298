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
    PRECISION,
    RUNTIME_LIST,
    SEED,
    Integers,
    Words,
)
from gadprof.commands.options import Decorator, calibrate_option, packed
from gadprof.errors import SettingError
from gadprof.measuring.settings import (
    DTYPES,
    MODES,
    Dtype,
    Mode,
    Setting,
    installed_runtimes,
    sweep,
)


@dataclass(frozen=True)
class Settings:
    """What the measuring options say; lists sweep."""

    devices: str
    batches: tuple[int, ...]
    dtypes: tuple[Dtype, ...] | None
    threads: tuple[int, ...]
    channels_last: bool
    amp: bool
    modes: tuple[Mode, ...]
    runtimes: tuple[str, ...]
    cuda_graph: bool
    flush_l2: bool
    calibration: str
    seed: int

    def read(
        self,
        input_shapes: tuple[tuple[int, ...], ...] = (),
        formats: tuple[Dtype, ...] | None = None,
    ) -> tuple[Setting, ...]:
        """The settings that the options name; ``formats`` are those of ``--precision``.

        Raises SettingError, DataError.
        """
        if formats and self.dtypes and formats != self.dtypes:
            raise SettingError(
                f"--dtype {','.join(self.dtypes)} and --precision {','.join(formats)} say two "
                "things; leave one out"
            )
        if self.calibration:
            from gadprof.measuring.runtimes.calibration import find_pictures

            find_pictures(self.calibration)
        devices = tuple(dict.fromkeys(word.strip() for word in self.devices.split(",")))
        low: Dtype = "bf16" if devices[0] == "cpu" else "fp16"
        return sweep(
            devices=devices,
            batches=self.batches,
            dtypes=formats or self.dtypes or ((low if self.amp else "fp32"),),
            threads=self.threads,
            modes=self.modes,
            runtimes=tuple(dict.fromkeys(self._runtimes())),
            layouts=(self.channels_last,),
            input_shapes=input_shapes,
            amp=self.amp,
            cuda_graph=self.cuda_graph,
            flush_l2=self.flush_l2,
            seed=self.seed,
            calibration=self.calibration,
            lenient="all" in self.runtimes,
        )

    def _runtimes(self) -> list[str]:
        """The runtimes, with those that are installed in the place of ``all``."""
        named: list[str] = []
        for name in self.runtimes:
            named += installed_runtimes() if name == "all" else (name,)
        return named


@dataclass(frozen=True)
class LimitOptions:
    """How precise, and how long at most."""

    precisions: tuple[float | tuple[Dtype, ...], ...]
    time_limit: float
    timeout: float

    @property
    def precision(self) -> float:
        """The interval's half width to reach: the last one named."""
        return next(item for item in reversed(self.precisions) if isinstance(item, float))

    @property
    def formats(self) -> tuple[Dtype, ...] | None:
        """The number formats that ``--precision`` names, None where it names none."""
        words = [word for item in self.precisions if isinstance(item, tuple) for word in item]
        return tuple(dict.fromkeys(words)) or None

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
        LimitOptions,
        click.option(
            "--precision",
            "precisions",
            type=PRECISION,
            multiple=True,
            metavar="SHARE|FORMATS",
            callback=lambda _ctx, _option, given: (float(precision.rstrip("%")) / 100, *given),
            help="Half width of the ratio's 95 % interval to reach, like 2%; or number formats, "
            f"like fp32,int8 (as --dtype). Both may be given.  [default: {precision}]",
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
        metavar="fp32|fp16|bf16|int8",
        help="Number format; a list sweeps. Files of runtimes are made of the fp32 model, integers "
        "by the runtime's own quantiser. [default: fp32]",
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
        help="eager, compile, torchscript, onnxruntime, openvino, executorch, litert, ncnn, mnn, "
        "tensorrt; a list sweeps; all: eager and every deployed runtime that is installed.",
    ),
    calibrate_option,
    click.option("--cuda-graph", is_flag=True, help="Capture and replay a CUDA graph."),
    click.option("--flush-l2", is_flag=True, help="Flush the GPU's L2 cache before each sample."),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Weights, inputs, order."),
)


def setting_options(function: Any) -> Any:
    """All options that make up a ``Setting``, as ``settings``."""
    return packed("settings", Settings, *_OPTIONS)(function)
