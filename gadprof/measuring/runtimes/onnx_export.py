"""One ONNX file of a module, for the runtimes that read ONNX.

The file lies in the job's folder, or in one that jobs share; a graph that is a file already is
taken as it is. Written by tracing where that can be, else by graph capture. Refuses a module that
neither of torch's exporters can express; the message is theirs.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.converted import Job
from gadprof.measuring.runtimes.onnx_graph import OnnxGraph

# the newest that the exporter by tracing writes whole
OPSET = 17


def export_once(job: Job) -> str:
    """The path of a job's ONNX file: an earlier job of the same model left it, or it is written.

    Raises MissingExtraError, ModelFailedError.
    """
    if isinstance(job.module, OnnxGraph):
        return job.module.path
    if job.shared is None:
        return export(job.module, job.args, job.kwargs, job.folder)
    path = os.path.join(job.shared, "model.onnx")
    if not os.path.exists(path):
        made = export(job.module, job.args, job.kwargs, job.folder)
        os.makedirs(job.shared, exist_ok=True)
        os.replace(made, path)
    return path


def export(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], folder: str) -> str:
    """Write ``model.onnx`` into a folder; the module and its example inputs are on the CPU.

    Returns the path. Raises MissingExtraError, ModelFailedError.
    """
    import torch

    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "onnx", "exporting to ONNX") from error
    path = os.path.join(folder, "model.onnx")
    names = [f"input_{index}" for index in range(len(args))] + list(kwargs)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if not _traced(module, args, kwargs, names, path):
                torch.onnx.export(
                    module,
                    args,
                    path,
                    kwargs=kwargs or None,
                    input_names=names,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ModelFailedError(
            f"torch's ONNX exporter refused it: {type(error).__name__}: {first[:200]}"
        ) from error
    return path


def _traced(
    module: Any, args: tuple[Any, ...], named: dict[str, Any], names: list[str], path: str
) -> bool:
    """Whether torch's exporter by tracing wrote the file.

    It takes a tenth of the time that the exporter by graph capture takes for a network of a
    thousand operations; whatever it cannot write is left to that one. What a trace would miss
    (a choice by data) shows where the outputs are held against eager's.
    """
    import torch

    if named:
        return False
    try:
        torch.onnx.export(
            module,
            args,
            path,
            input_names=names,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=True,
        )
    except Exception:
        return False
    return True
