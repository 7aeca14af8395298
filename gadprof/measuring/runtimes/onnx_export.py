"""One ONNX file of a module, for the runtimes that read ONNX.

The file lies in a temporary folder of the worker and goes with it, or in one that is kept; a graph
that is a file already is taken as it is. Written by tracing where that can be, else by graph
capture. Refuses a module that neither of torch's exporters can express; the message is theirs.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.runtimes.converted import Job
from gadprof.measuring.runtimes.onnx_graph import OnnxGraph

# the newest that the exporter by tracing writes whole
OPSET = 17


@dataclass(frozen=True)
class Exported:
    """An ONNX file with what its inputs are called; ``folder`` is removed by ``close``."""

    path: str
    feed: dict[str, Any]
    folder: tempfile.TemporaryDirectory[str] | None

    def close(self) -> None:
        """Remove the file, unless it is the user's."""
        if self.folder is not None:
            self.folder.cleanup()


def export_once(job: Job) -> Exported:
    """The ONNX file of a job: the one that an earlier job of the same model left, or a new one.

    Raises MissingExtraError, ModelFailedError.
    """
    feed = dict(zip(job.names, job.samples[0], strict=True))
    if job.shared is None or isinstance(job.module, OnnxGraph):
        return export(job.module, job.args, job.kwargs, job.folder)
    path = os.path.join(job.shared, "model.onnx")
    if not os.path.exists(path):
        made = export(job.module, job.args, job.kwargs, job.folder)
        os.makedirs(job.shared, exist_ok=True)
        os.replace(made.path, path)
    return Exported(path, feed, None)


def export(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], where: str | None = None
) -> Exported:
    """Export a module with its example inputs; feeds are numpy arrays by input name.

    The file is ``model.onnx`` in the folder ``where``, or in a temporary one.

    Raises MissingExtraError, ModelFailedError.
    """
    import torch

    if isinstance(module, OnnxGraph):
        return Exported(module.path, {name: v.numpy() for name, v in kwargs.items()}, None)
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "onnx", "exporting to ONNX") from error
    folder = tempfile.TemporaryDirectory(prefix="gadprof-onnx-") if where is None else None
    path = os.path.join(where if folder is None else folder.name, "model.onnx")  # type: ignore[arg-type]
    values = [*args, *kwargs.values()]
    names = [f"input_{index}" for index in range(len(args))] + list(kwargs)
    cpu = [value.detach().cpu() for value in values]
    home = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            named = dict(zip(kwargs, cpu[len(args) :], strict=True))
            if not _traced(module.cpu(), tuple(cpu[: len(args)]), named, names, path):
                torch.onnx.export(
                    module,
                    tuple(cpu[: len(args)]),
                    path,
                    kwargs=named or None,
                    input_names=names,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
    except Exception as error:
        if folder is not None:
            folder.cleanup()
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ModelFailedError(
            f"torch's ONNX exporter refused it: {type(error).__name__}: {first[:200]}"
        ) from error
    finally:
        module.to(home)
    return Exported(path, dict(zip(names, [v.numpy() for v in cpu], strict=True)), folder)


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
