"""MNN on the CPU, from the ONNX file that the other runtimes read, by MNN's own converter.

Promises: ``threads`` threads and high precision in fp32, low (half where the processor has it) in
fp16. Refuses integers: MNN's package quantises weights alone, and its offline tool needs pictures
of its own format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import ModelFailedError
from gadprof.measuring.runtimes.converted import Job, Made, Names, Started, check_installed
from gadprof.measuring.runtimes.onnx_export import export_once

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting


def convert(job: Job) -> Made:
    """Export to ONNX and convert to ``model.mnn``. Raises MissingExtraError, ModelFailedError."""
    check_installed("mnn")
    import _tools

    exported = export_once(job)
    path = job.path("model.mnn")
    words = ["mnnconvert", "-f", "ONNX", "--modelFile", exported, "--MNNModel", path]
    words += ["--bizCode", "gadprof"]
    if job.setting.dtype == "fp16":
        words.append("--fp16")
    import onnx

    graph = onnx.load(exported, load_external_data=False).graph
    _tools.mnnconvert(words)
    if not os.path.exists(path):
        raise ModelFailedError("MNN's converter wrote no file; its last lines say which operation")
    return Made(path, outputs=tuple(item.name for item in graph.output))


def start(path: str, names: Names, setting: Setting) -> Started:
    """A session with its input tensors filled anew for each sample. Raises ModelFailedError."""
    import MNN
    import numpy

    net = MNN.Interpreter(path)
    precision = "high" if setting.dtype == "fp32" else "low"
    session = net.createSession(
        {"backend": "CPU", "numThread": setting.threads, "precision": precision}
    )
    inputs, outputs = net.getSessionInputAll(session), net.getSessionOutputAll(session)
    gone = [name for name in names.inputs if name not in inputs]
    if gone:
        raise ModelFailedError(f"MNN left the input {', '.join(gone)} out of its graph")
    kinds = {"float32": MNN.Halide_Type_Float, "int32": MNN.Halide_Type_Int}
    layout = MNN.Tensor_DimensionType_Caffe

    def host(array: Any) -> Any:
        array = array.astype("i4") if array.dtype == numpy.int64 else array
        return MNN.Tensor(array.shape, kinds[str(array.dtype)], array, layout)

    def empty(tensor: Any) -> Any:
        shape = tensor.getShape()
        return MNN.Tensor(shape, MNN.Halide_Type_Float, numpy.zeros(shape, "f4"), layout)

    out = {name: empty(outputs[name]) for name in names.outputs}

    def bind(sample: Sequence[Any]) -> Callable[[], Any]:
        fed = [host(array) for array in sample]

        def run() -> list[Any]:
            for name, value in zip(names.inputs, fed, strict=True):
                inputs[name].copyFrom(value)
            net.runSession(session)
            for name, kept in out.items():
                outputs[name].copyToHostTensor(kept)
            return [kept.getNumpyData() for kept in out.values()]

        return run

    return Started(bind, f"MNN {MNN.version()}")
