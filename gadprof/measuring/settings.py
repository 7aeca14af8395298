"""How a model is run while it is measured, and which settings may be compared.

Promises: a setting is plain data, checked before anything is built; a sweep is the product of its
lists. Two rows get a ratio only when device, batch, input, precision, threads and mode agree;
runtime and memory layout are ways to run the same computation and may differ. Refuses a
combination that cannot exist (a CUDA graph on the CPU, training in ONNX Runtime).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gadprof.errors import SettingError, UnknownNameError, nearest

Dtype = Literal["fp32", "fp16", "bf16"]
Mode = Literal["infer", "train"]
DTYPES: tuple[Dtype, ...] = ("fp32", "fp16", "bf16")
MODES: tuple[Mode, ...] = ("infer", "train")
RUNTIMES: tuple[str, ...] = (
    "eager",
    "compile",
    "torchscript",
    "onnxruntime",
    "openvino",
    "tensorrt",
)
TORCH_RUNTIMES = ("eager", "compile", "torchscript")


@dataclass(frozen=True)
class Setting:
    """Everything about a run that is not the model.

    ``input_shapes`` are without the batch; empty means the model's own default. ``threads`` is the
    number of threads inside one operation, the same for every runtime.
    """

    device: str = "cpu"
    batch: int = 1
    input_shapes: tuple[tuple[int, ...], ...] = ()
    dtype: Dtype = "fp32"
    threads: int = 1
    channels_last: bool = False
    amp: bool = False
    mode: Mode = "infer"
    runtime: str = "eager"
    cuda_graph: bool = False
    flush_l2: bool = False
    seed: int = 0

    @property
    def label(self) -> str:
        """The setting in a few words, defaults left out."""
        words = [self.device, f"batch {self.batch}"]
        if self.input_shapes:
            words.append("+".join("x".join(map(str, shape)) for shape in self.input_shapes))
        words.append(self.dtype)
        words.append(f"{self.threads} thread" + ("s" if self.threads != 1 else ""))
        for flag, word in (
            (self.channels_last, "channels last"),
            (self.amp, "amp"),
            (self.mode == "train", "training"),
            (self.runtime != "eager", self.runtime),
            (self.cuda_graph, "CUDA graph"),
            (self.flush_l2, "L2 flushed"),
        ):
            if flag:
                words.append(word)
        return ", ".join(words)

    @property
    def comparable_key(self) -> tuple[object, ...]:
        """Equal for settings whose latencies may be divided by each other."""
        return (
            self.device,
            self.batch,
            self.input_shapes,
            self.dtype,
            self.amp,
            self.threads,
            self.mode,
            self.flush_l2,
        )


def check_setting(setting: Setting) -> Setting:
    """Return the setting, or refuse it before anything is built.

    Raises SettingError or UnknownNameError.
    """
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", setting.device):
        raise UnknownNameError(
            f"unknown device {setting.device!r}; type cpu, cuda, cuda:1 or mps"
            + nearest(setting.device, ("cpu", "cuda", "mps"))
        )
    if setting.runtime not in RUNTIMES:
        raise UnknownNameError(
            f"unknown runtime {setting.runtime!r}; one of {', '.join(RUNTIMES)}"
            + nearest(setting.runtime, RUNTIMES)
        )
    if setting.dtype not in DTYPES:
        raise UnknownNameError(
            f"unknown dtype {setting.dtype!r}; one of {', '.join(DTYPES)}"
            + nearest(setting.dtype, DTYPES)
        )
    if setting.mode not in MODES:
        raise UnknownNameError(f"unknown mode {setting.mode!r}; one of {', '.join(MODES)}")
    if setting.batch < 1:
        raise SettingError(f"batch {setting.batch} is not positive; try 1")
    if setting.threads < 1:
        raise SettingError(f"{setting.threads} threads is not positive; try 1")
    on_cuda = setting.device.startswith("cuda")
    if setting.cuda_graph and not on_cuda:
        raise SettingError(f"a CUDA graph needs --device cuda, not {setting.device}")
    if setting.cuda_graph and (setting.mode == "train" or setting.runtime != "eager"):
        raise SettingError("--cuda-graph captures eager inference only; drop one of the options")
    if setting.flush_l2 and not on_cuda:
        raise SettingError(f"--flush-l2 needs --device cuda, not {setting.device}")
    if setting.amp and setting.dtype == "fp32":
        raise SettingError("--amp needs a lower precision to cast to; add --dtype bf16 or fp16")
    if setting.amp and setting.mode == "train" and setting.dtype == "fp16":
        raise SettingError("--amp --mode train is measured with --dtype bf16 (no loss scaling)")
    if setting.runtime not in TORCH_RUNTIMES:
        if setting.mode == "train":
            raise SettingError(f"{setting.runtime} does not train; use --mode infer")
        if setting.amp or setting.dtype != "fp32":
            raise SettingError(
                f"{setting.runtime} is measured in fp32 here; drop --dtype and --amp"
            )
        if setting.channels_last:
            raise SettingError(f"{setting.runtime} chooses its own layout; drop --channels-last")
        if setting.device == "mps":
            raise SettingError(f"{setting.runtime} does not run on mps; use --device cpu")
    if setting.runtime == "openvino" and setting.device != "cpu":
        raise SettingError("openvino is measured on the CPU; use --device cpu")
    if setting.runtime == "tensorrt" and not on_cuda:
        raise SettingError("tensorrt needs --device cuda")
    return setting


def _driver_fault() -> str:
    """Why torch cannot reach a card: no driver, one that is too old, no card."""
    import torch

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        sentence = " ".join(str(error).split()).split(". ")[0]
        return sentence.removesuffix(".") or "no usable GPU or driver"
    return "no GPU that is visible"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot reach on this machine. Raises SettingError."""
    if device == "cpu":
        return
    import torch

    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            built = torch.version.cuda
            why = "this torch is built without CUDA" if built is None else _driver_fault()
            raise SettingError(f"--device {device}: CUDA is not available here ({why}); try cpu")
        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise SettingError(
                f"--device {device}: this machine has {torch.cuda.device_count()} CUDA device(s), "
                "numbered from 0"
            )
    elif not torch.backends.mps.is_available():
        raise SettingError("--device mps: Metal is not available here; try cpu")


def sweep(
    *,
    devices: Sequence[str] = ("cpu",),
    batches: Sequence[int] = (1,),
    dtypes: Sequence[Dtype] = ("fp32",),
    threads: Sequence[int] = (1,),
    modes: Sequence[Mode] = ("infer",),
    runtimes: Sequence[str] = ("eager",),
    layouts: Sequence[bool] = (False,),
    input_shapes: tuple[tuple[int, ...], ...] = (),
    amp: bool = False,
    cuda_graph: bool = False,
    flush_l2: bool = False,
    seed: int = 0,
) -> tuple[Setting, ...]:
    """Every combination of the lists, checked, in the order in which they were given.

    Raises SettingError or UnknownNameError.
    """
    return tuple(
        check_setting(
            Setting(
                device=device,
                batch=batch,
                input_shapes=input_shapes,
                dtype=dtype,
                threads=thread_count,
                channels_last=layout,
                amp=amp,
                mode=mode,
                runtime=runtime,
                cuda_graph=cuda_graph,
                flush_l2=flush_l2,
                seed=seed,
            )
        )
        for device, batch, dtype, thread_count, mode, layout, runtime in itertools.product(
            devices, batches, dtypes, threads, modes, layouts, runtimes
        )
    )
