"""ncnn on the CPU, from a traced module (or an ONNX file) that pnnx converts.

Promises: ``threads`` threads, fp32 throughout in fp32 (ncnn would by itself keep maps in bf16 or
fp16 where the processor has them). Refuses a batch, which ncnn's layers do not have, and integers,
whose quantiser is no part of its package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import MissingExtraError, ModelFailedError, SettingError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, numbered
from gadprof.measuring.runtimes.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def convert(job: Job) -> Made:
    """Trace, and have pnnx write ``model.ncnn.param`` and ``.bin``.

    Raises MissingExtraError, ModelFailedError, SettingError.
    """
    import torch

    try:
        import pnnx
    except ImportError as error:
        raise MissingExtraError("pnnx", "ncnn", "converting to ncnn") from error
    if job.setting.batch != 1:
        raise SettingError(f"ncnn takes one picture at a time, not {job.setting.batch}; --batch 1")
    values = [*job.args, *job.kwargs.values()]
    if isinstance(job.module, OnnxGraph):
        source = job.path("model.onnx")
        shutil.copyfile(job.module.path, source)
    else:
        source = job.path("model.pt")
        jit: Any = torch.jit
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = jit.trace(
                job.module,
                job.args or None,
                example_kwarg_inputs=job.kwargs or None,
                check_trace=False,
                strict=False,
            )
        traced.save(source)
    shapes = ",".join(str(list(value.shape)).replace(" ", "") for value in values)
    half = int(job.setting.dtype == "fp16")
    done = subprocess.run(
        [pnnx.EXEC_PATH, source, f"inputshape={shapes}", f"fp16={half}"],
        cwd=job.folder,
        capture_output=True,
        text=True,
        errors="replace",
    )
    param, weights = job.path("model.ncnn.param"), job.path("model.ncnn.bin")
    said = done.stdout + done.stderr
    if done.returncode or not os.path.exists(param):
        last = [line for line in said.splitlines() if line.strip()][-1:] or ["nothing"]
        raise ModelFailedError(f"pnnx refused it (exit {done.returncode}): {last[0][:200]}")
    left = foreign_layers(param)
    if left:
        raise ModelFailedError(f"ncnn has no layer for {', '.join(left)}, left as torch has it")
    return Made(param, beside=(weights,))


def foreign_layers(param: str) -> list[str]:
    """The operations that pnnx could not express in ncnn's layers, by their names in torch."""
    return sorted({kind for kind in layer_kinds(param) if re.search(r"[.:]", kind)})


def layer_kinds(param: str) -> list[str]:
    """The kind of each layer of a ``.param`` file, in its order."""
    with open(param, encoding="utf-8") as stream:
        return [line.split()[0] for line in stream.readlines()[2:] if line.strip()]


def start(path: str, names: Names, setting: Setting) -> Started:
    """A net whose extractor is fed anew each run. Raises ModelFailedError."""
    import ncnn

    net = ncnn.Net()
    options = net.opt
    options.num_threads = setting.threads
    half = setting.dtype == "fp16"
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(options, name, half)
    for name in ("use_bf16_storage", "use_bf16_packed"):
        if hasattr(options, name):
            setattr(options, name, False)
    weights = path.removesuffix(".param") + ".bin"
    if net.load_param(path) or net.load_model(weights):
        raise ModelFailedError(f"ncnn cannot load {os.path.basename(path)}: a layer is unknown")
    inputs, outputs = numbered(net.input_names()), numbered(net.output_names())

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        fed = [ncnn.Mat(array, batch_index=0).clone() for array in sample]

        def run() -> list[Any]:
            extractor = net.create_extractor()
            for name, mat in zip(inputs, fed, strict=True):
                extractor.input(name, mat)
            found = []
            for name in outputs:
                code, mat = extractor.extract(name)
                if code:
                    raise ModelFailedError(f"ncnn could not compute {name} (code {code})")
                found.append(mat.numpy(batch_index=0))
            return found

        return run

    return Started(bind, f"ncnn {ncnn.__version__}")
