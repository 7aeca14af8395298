"""How a model is run while it is measured, and which settings may be compared.

Promises: a setting is plain data, checked before anything is built; a sweep is the product of its
lists. Two rows get a ratio only when device, batch, input, precision, threads and mode agree;
runtime and memory layout are ways to run the same computation and may differ, and so is a lower
precision of a file that a runtime made of an fp32 model, whose error is stated. Refuses a
combination that cannot exist (a CUDA graph on the CPU, training in ONNX Runtime).
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from gadprof.errors import SettingError, UnknownNameError, nearest

Dtype = Literal["fp32", "fp16", "bf16", "int8"]
Mode = Literal["infer", "train"]
DTYPES: tuple[Dtype, ...] = ("fp32", "fp16", "bf16", "int8")
MODES: tuple[Mode, ...] = ("infer", "train")
RUNTIMES: tuple[str, ...] = (
    "eager",
    "compile",
    "torchscript",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "executorch",
    "litert",
    "ncnn",
    "mnn",
)
TORCH_RUNTIMES = ("eager", "compile", "torchscript")
# the packages of a runtime that come with an extra; what is not here comes with torch
PACKAGES: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "executorch": ("executorch",),
    "litert": ("ai_edge_litert", "litert_torch"),
    "ncnn": ("ncnn", "pnnx"),
    "mnn": ("MNN", "onnx", "onnxscript"),
}
# the runtimes whose own quantiser writes integers, and those that write halves
INTEGER_RUNTIMES = ("onnxruntime", "openvino", "executorch", "litert")
HALF_RUNTIMES = (*INTEGER_RUNTIMES, "ncnn", "mnn")


def installed_runtimes() -> tuple[str, ...]:
    """The runtimes that this machine's CPU and packages have: what ``--runtime all`` measures.

    ``torch.compile`` and TorchScript are left out: they are ways to run torch, not to deploy.
    """
    return ("eager", *(name for name, parts in PACKAGES.items() if all(map(is_there, parts))))


def is_there(package: str) -> bool:
    """Whether a package can be imported, without doing so."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # half installed, or blocked
        return False


@dataclass(frozen=True)
class Setting:
    """Everything about a run that is not the model.

    ``input_shapes`` are without the batch; empty means the model's own default. ``threads`` is the
    number of threads inside one operation, the same for every runtime. ``calibration`` is a
    folder of pictures on which integers are calibrated, "" for synthetic inputs.
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
    calibration: str = ""

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
    def is_file(self) -> bool:
        """Whether a file of the runtime is run, and no torch module."""
        return self.runtime not in TORCH_RUNTIMES

    @property
    def comparable_key(self) -> tuple[object, ...]:
        """Equal for settings whose latencies may be divided by each other."""
        return (
            self.device,
            self.batch,
            self.input_shapes,
            "fp32" if self.is_file else self.dtype,
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
    _check_precision(setting)
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
    if setting.is_file:
        if setting.mode == "train":
            raise SettingError(f"{setting.runtime} does not train; use --mode infer")
        if setting.amp:
            raise SettingError(f"{setting.runtime} has no --amp; drop it")
        if setting.channels_last:
            raise SettingError(f"{setting.runtime} chooses its own layout; drop --channels-last")
        if setting.device == "mps":
            raise SettingError(f"{setting.runtime} does not run on mps; use --device cpu")
    if setting.is_file and setting.runtime not in ("onnxruntime", "tensorrt") and on_cuda:
        raise SettingError(f"{setting.runtime} is measured on the CPU; use --device cpu")
    if setting.runtime == "tensorrt" and not on_cuda:
        raise SettingError("tensorrt needs --device cuda")
    return setting


def read_runtime(text: str, *, threads: int = 1) -> Setting:
    """The setting that ``openvino:int8`` names, in fp32 where it names no precision.

    It is not checked yet: ``check_setting`` refuses a word that is no runtime or number format.
    """
    runtime, _, precision = text.partition(":")
    return Setting(runtime=runtime, dtype=cast("Dtype", precision or "fp32"), threads=threads)


def precisions_of(runtime: str) -> tuple[Dtype, ...]:
    """The number formats that a runtime is measured in."""
    if runtime in TORCH_RUNTIMES:
        return ("fp32", "fp16", "bf16")
    halves: tuple[Dtype, ...] = ("fp16",) if runtime in HALF_RUNTIMES else ()
    integers: tuple[Dtype, ...] = ("int8",) if runtime in INTEGER_RUNTIMES else ()
    return ("fp32", *halves, *integers)


def _check_precision(setting: Setting) -> None:
    """Refuse a precision that a runtime lacks. Raises SettingError."""
    able = precisions_of(setting.runtime)
    if setting.dtype not in able:
        way = f"; for int8 --runtime {','.join(INTEGER_RUNTIMES)}" if "int8" not in able else ""
        raise SettingError(
            f"{setting.runtime} has no {setting.dtype} here, but {', '.join(able)}{way}"
        )


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
    calibration: str = "",
    lenient: bool = False,
) -> tuple[Setting, ...]:
    """Every combination of the lists, checked, in the order in which they were given.

    ``lenient`` leaves out what a runtime lacks, a precision or a device. Raises SettingError,
    UnknownNameError.
    """
    made = [
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
            calibration=calibration,
        )
        for device, batch, dtype, thread_count, mode, layout, runtime in itertools.product(
            devices, batches, dtypes, threads, modes, layouts, runtimes
        )
    ]
    able = [
        setting
        for setting in made
        if setting.dtype in precisions_of(setting.runtime)
        and (setting.device == "cpu" or setting.runtime in (*TORCH_RUNTIMES, "onnxruntime"))
    ]
    return tuple(check_setting(setting) for setting in (able if lenient and able else made))
