"""A model as a file of a runtime: converted once, then loaded by every process that measures it.

Promises: a folder holds the file, the inputs and what eager computed from them, so that whoever
loads it builds no model; outputs are held against eager's on every sample kept there, the first
load and the first run are timed, and how far the process grew is told. An untrained network's
batch norms are first scaled to the input, since its activations would otherwise sink towards
zero, where no output can be told from another. Refuses outputs that are not finite, and in fp32
outputs that differ from eager's by more than a rounding.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.onnx_graph import OnnxGraph
from gadprof.measuring.settings import is_there

if TYPE_CHECKING:
    from gadprof.measuring.runtimes.prepared import Prepared
    from gadprof.measuring.settings import Setting

# runtime -> module with convert(job) -> Made and start(path, names, setting) -> Started
CONVERTERS: dict[str, str] = {
    "onnxruntime": "gadprof.measuring.runtimes.onnx_runtime",
    "tensorrt": "gadprof.measuring.runtimes.onnx_runtime",
    "openvino": "gadprof.measuring.runtimes.open_vino",
    "executorch": "gadprof.measuring.runtimes.executorch",
    "litert": "gadprof.measuring.runtimes.lite_rt",
    "ncnn": "gadprof.measuring.runtimes.ncnn_net",
    "mnn": "gadprof.measuring.runtimes.mnn_net",
    "coreml": "gadprof.measuring.runtimes.vendors",
    "qnn": "gadprof.measuring.runtimes.vendors",
    "tensorrt-engine": "gadprof.measuring.runtimes.vendors",
}
# runtime -> the package that runs its files, the distribution that has it, and gadprof's extra
RUN_BY: dict[str, tuple[str, str, str]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime", "onnx"),
    "tensorrt": ("onnxruntime", "onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino", "openvino"),
    "executorch": ("executorch", "executorch", "executorch"),
    "litert": ("ai_edge_litert", "ai-edge-litert", "litert"),
    "ncnn": ("ncnn", "ncnn", "ncnn"),
    "mnn": ("MNN", "MNN", "mnn"),
}
TOLERANCE = 2e-3
# how many times a rounding of the input may show in a runtime's outputs, where that is more
ROUNDINGS = 30
MANIFEST = "converted.json"


@dataclass(frozen=True)
class Job:
    """What a converter gets: the module, its inputs, where its file goes.

    ``samples`` are the inputs that ranges are calibrated on, each a list of arrays in the order of
    ``names``; the first is what is measured. ``shared`` is a folder for the file in fp32 that
    several files are made of.
    """

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    setting: Setting
    folder: str
    names: tuple[str, ...]
    samples: tuple[tuple[Any, ...], ...]
    shared: str | None = None

    def path(self, name: str) -> str:
        """A file of the folder."""
        return os.path.join(self.folder, name)


@dataclass(frozen=True)
class Made:
    """The file that a converter wrote (with what belongs to it beside it) and what it says."""

    path: str
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """What the model's inputs are called, and its outputs where its converter told them."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """A file loaded by its runtime: ``bind`` takes one sample's arrays and returns its run.

    What a run can keep in place between calls, as inputs in the runtime's own form, it keeps.
    """

    bind: Callable[[Sequence[Any]], Callable[[], Any]]
    version: str
    notes: tuple[str, ...] = ()
    closers: tuple[Callable[[], None], ...] = ()


@dataclass(frozen=True)
class Deployed:
    """What a file of a runtime is like beside its time; bytes and seconds.

    ``snr_db`` is the signal's power over the error's against eager fp32 over all samples (None:
    no error, or nothing to hold it against), ``joints_within_cell`` the share of heat maps whose
    maximum lies at most one cell from eager's, ``grown_bytes`` how far the process grew at most by
    loading the file and running it once.
    """

    file_bytes: int
    convert_s: float
    load_s: float
    first_run_s: float
    grown_bytes: int | None
    samples: int
    snr_db: float | None = None
    joints_within_cell: float | None = None


def check_installed(runtime: str) -> None:
    """Refuse a runtime whose package is missing. Raises MissingExtraError.

    Nothing is imported: some libraries write to the terminal when they are.
    """
    package, distribution, extra = RUN_BY[runtime]
    if not is_there(package):
        raise MissingExtraError(distribution, extra, f"the runtime {runtime}")


def convert_model(
    module: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    setting: Setting,
    folder: str,
    shapes: Sequence[Sequence[int]] = (),
    shared: str | None = None,
) -> dict[str, Any]:
    """Write a module's file for a setting's runtime into a folder; returns the manifest.

    ``shapes`` are those that the inputs are shown with, ``shared`` a folder for the file in fp32
    that several files are made of.

    Raises MissingExtraError, ModelFailedError, SettingError, DataError.
    """
    import numpy
    import torch

    from gadprof.measuring.runtimes.calibration import sample_inputs
    from gadprof.measuring.runtimes.prepared import largest_difference

    graph = isinstance(module, OnnxGraph)
    notes: list[str] = []
    if not graph and settle_norms(module, args, kwargs):
        notes.append("untrained: its batch norms were first scaled to the input")
    home = next((p.device for p in module.parameters()), torch.device("cpu"))
    samples = sample_inputs(args, kwargs, setting)
    kept = samples[:1] if setting.dtype == "fp32" else samples
    expected = [] if graph else [_eager(module, args, kwargs, sample, home) for sample in kept]
    rounding = 0.0
    if expected:
        nudged = [_nudged(value) for value in kept[0]]
        rounding = largest_difference(expected[0], _eager(module, args, kwargs, nudged, home))
        rounding = rounding if math.isfinite(rounding) else 0.0  # no leave to differ at all
    names = tuple([f"input_{index}" for index in range(len(args))] + list(kwargs))
    if not graph:
        module = module.cpu()
    job = Job(
        module,
        tuple(value.detach().cpu() for value in args),
        {name: value.detach().cpu() for name, value in kwargs.items()},
        setting,
        folder,
        names,
        samples,
        shared,
    )
    started = time.perf_counter()
    try:
        made: Made = importlib.import_module(CONVERTERS[setting.runtime]).convert(job)
    finally:
        if not graph:
            module.to(home)
    arrays = {
        f"{kind}_{number}_{index}": value
        for kind, values in (("input", kept), ("output", expected))
        for number, value_of in enumerate(values)
        for index, value in enumerate(value_of)
    }
    numpy.savez(job.path("samples.npz"), **arrays)
    manifest = {
        "path": made.path,
        "beside": list(made.beside),
        "notes": [*notes, *made.notes],
        "convert_s": time.perf_counter() - started,
        "inputs": list(names),
        "outputs": list(made.outputs),
        "input_shapes": [list(shape) for shape in shapes],
        "samples": len(kept),
        "judged": not graph,
        "rounding": rounding,
    }
    with open(job.path(MANIFEST + ".part"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)
    os.replace(job.path(MANIFEST + ".part"), job.path(MANIFEST))
    return manifest


def read_manifest(folder: str) -> dict[str, Any]:
    """What ``convert_model`` says of the file that it wrote into a folder. Raises OSError."""
    with open(os.path.join(folder, MANIFEST), encoding="utf-8") as stream:
        return dict(json.load(stream))


def load_converted(folder: str, setting: Setting) -> Prepared:
    """Load a converted file, run it, and hold its outputs against eager's.

    Raises MissingExtraError, ModelFailedError.
    """
    from gadprof.measuring.probes.memory import process_peak, reset_process_peak
    from gadprof.measuring.runtimes.prepared import Prepared

    manifest = read_manifest(folder)
    inputs, expected = _samples(folder, manifest["samples"])
    module = importlib.import_module(CONVERTERS[setting.runtime])
    check_installed(setting.runtime)
    before = reset_process_peak()
    began = time.perf_counter()
    names = Names(tuple(manifest["inputs"]), tuple(manifest["outputs"]))
    started: Started = module.start(manifest["path"], names, setting)
    loaded = time.perf_counter()
    started.bind(inputs[0])()
    first = time.perf_counter() - loaded
    peak = process_peak()
    notes = [*manifest["notes"], *started.notes]
    difference = snr = within = None
    if manifest["judged"]:
        pairs = [
            (wanted, as_arrays(started.bind(sample)()))
            for sample, wanted in zip(inputs, expected, strict=True)
        ]
        tolerance = max(TOLERANCE, ROUNDINGS * manifest["rounding"])
        difference, snr = judge(pairs, setting, tolerance)
        if tolerance > TOLERANCE:
            notes.append(
                f"one rounding of its input moves eager's outputs by {manifest['rounding']:.1g} of "
                f"the largest value: outputs are held to {tolerance:.1g} instead of {TOLERANCE:g}"
            )
        within = joints_within_cell(pairs, inputs[0])
        if setting.dtype != "fp32" and snr is not None and snr < 0:
            notes.append("its error is larger than its signal: integers do not suit this model")
    else:
        notes.append("an ONNX file: there is no eager model to hold its outputs against")
    paths = [manifest["path"], *manifest["beside"]]
    facts = Deployed(
        file_bytes=sum(os.path.getsize(path) for path in paths),
        convert_s=manifest["convert_s"],
        load_s=loaded - began,
        first_run_s=first,
        grown_bytes=None if peak is None or before is None else max(0, peak - before),
        samples=manifest["samples"],
        snr_db=snr,
        joints_within_cell=within,
    )
    return Prepared(
        started.bind(inputs[0]),
        started.version,
        tuple(notes),
        difference,
        started.closers,
        deployed=asdict(facts),
    )


def _samples(folder: str, count: int) -> tuple[list[list[Any]], list[list[Any]]]:
    import numpy

    with numpy.load(os.path.join(folder, "samples.npz")) as file:
        kept = {name: file[name] for name in file.files}

    def of(kind: str, number: int) -> list[Any]:
        found: list[Any] = []
        while (name := f"{kind}_{number}_{len(found)}") in kept:
            found.append(kept[name])
        return found

    return (
        [of("input", number) for number in range(count)],
        [of("output", number) for number in range(count)],
    )


def _eager(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sample: Sequence[Any], home: Any
) -> list[Any]:
    """What eager computes from one sample, as fp32 arrays."""
    import torch

    with torch.inference_mode():
        return as_arrays(call_on(module, args, kwargs, sample, home))


def call_on(
    module: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sample: Sequence[Any],
    home: Any = "cpu",
) -> Any:
    """Call a module on one sample, its arrays on ``home`` in the places of ``args``, ``kwargs``."""
    import torch

    values = [torch.as_tensor(value).to(home) for value in sample]
    named = dict(zip(kwargs, values[len(args) :], strict=True))
    return module(*values[: len(args)], **named)


def feed(names: Sequence[str], sample: Sequence[Any], left: Container[str]) -> dict[str, Any]:
    """A sample's arrays by name, for the inputs ``left`` in a file: exporters drop the unused."""
    return {n: v for n, v in zip(names, sample, strict=True) if n in left}


def numbered(names: Iterable[str]) -> list[str]:
    """``in0``, ``in1``, … in the order of their numbers."""
    return sorted(names, key=lambda name: int(re.sub(r"\D", "", name) or 0))


def as_arrays(outputs: Any) -> list[Any]:
    """All tensors of nested outputs as arrays, in order; copied; halves as fp32."""
    import torch

    from gadprof.measuring.runtimes.prepared import tensors

    found = []
    for value in tensors(outputs):
        tensor = torch.as_tensor(value).detach().cpu()
        found.append((tensor.float() if tensor.is_floating_point() else tensor).numpy().copy())
    return found


def settle_norms(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Scale never-trained batch norms to outputs of mean square one; False where none are.

    Their means stay zero: to subtract one that is large beside the spread, norm after norm, would
    magnify the last bits of a random network until no two runtimes agree. Weights, flags and
    everything else stay as they are.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    if not norms or not all(_untouched(norm) for norm in norms):
        return False

    def scale(norm: Any, given: tuple[Any, ...]) -> None:
        power = given[0].detach().float().square().transpose(0, 1).flatten(1).mean(1)
        norm.running_var.copy_((power - norm.eps).clamp(min=0))

    hooks = [norm.register_forward_pre_hook(scale) for norm in norms]
    try:
        with torch.no_grad():
            module(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    return True


def _untouched(norm: Any) -> bool:
    """Whether a norm still has the statistics that it began with."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return False
    return not bool(mean.any()) and bool((variance == 1).all())


def _nudged(value: Any) -> Any:
    """An array whose every floating number is one rounding larger."""
    import numpy

    floating = numpy.issubdtype(value.dtype, numpy.floating)
    return numpy.nextafter(value, numpy.inf).astype(value.dtype) if floating else value


def judge(
    pairs: Sequence[tuple[list[Any], list[Any]]], setting: Setting, tolerance: float = TOLERANCE
) -> tuple[float, Any]:
    """The largest difference from eager (of the largest value) and the SNR in dB over all samples.

    Where eager's are not finite nothing is compared. Raises ModelFailedError for outputs that are
    not finite where eager's are, or of other shapes, and in fp32 for a difference beyond
    ``tolerance``.
    """
    import numpy

    from gadprof.measuring.runtimes.prepared import largest_difference

    worst, signal, error = 0.0, 0.0, 0.0
    for wanted, got in pairs:
        if [value.shape for value in wanted] != [value.shape for value in got]:
            raise ModelFailedError(
                f"{setting.runtime} returns outputs of shapes {_shapes(got)}, "
                f"eager of {_shapes(wanted)}; it does not compute the same model"
            )
        for left, right in zip(wanted, got, strict=True):
            finite = numpy.isfinite(left)
            bad = int((~numpy.isfinite(right) & finite).sum())
            if bad:
                raise ModelFailedError(
                    f"{setting.runtime} in {setting.dtype} returns {bad} values that are not "
                    "finite where eager's are; try another --precision or calibration pictures"
                )
            held = left[finite].astype("f8")
            if left.size and not held.size:
                raise ModelFailedError(
                    "eager's own outputs are not finite; nothing can be held against them"
                )
            signal += float((held**2).sum())
            error += float(((right[finite].astype("f8") - held) ** 2).sum())
        worst = max(worst, largest_difference(wanted, got))
    if setting.dtype == "fp32" and not worst <= tolerance:
        raise ModelFailedError(
            f"{setting.runtime}'s outputs differ from eager's by {worst:.2g} of the largest "
            f"value, more than {tolerance:.2g}; it does not compute the same model"
        )
    return worst, 10 * math.log10(signal / error) if signal and error else None


def _shapes(values: Sequence[Any]) -> str:
    return ", ".join("x".join(map(str, value.shape)) or "scalar" for value in values) or "none"


def joints_within_cell(
    pairs: Sequence[tuple[list[Any], list[Any]]], inputs: Sequence[Any]
) -> float | None:
    """The share of heat maps whose maximum lies at most one cell from eager's, each way.

    Heat maps are a single output of four dimensions, a quarter of a picture high and wide; None
    for any other model.
    """
    first = pairs[0][0]
    if len(first) != 1 or first[0].ndim != 4 or len(inputs) != 1 or inputs[0].ndim != 4:
        return None
    if any(4 * small != large for small, large in zip(first[0].shape[2:], inputs[0].shape[2:])):  # noqa: B905  (both have two)
        return None
    near = total = 0
    for (wanted, *_), (got, *_) in pairs:
        width = wanted.shape[3]
        for left, right in zip(
            wanted.reshape(-1, wanted.shape[2] * width).argmax(1),
            got.reshape(-1, got.shape[2] * width).argmax(1),
            strict=True,
        ):
            rows, columns = int(left) // width - int(right) // width, left % width - right % width
            near += max(abs(rows), abs(int(columns))) <= 1
            total += 1
    return near / total
