"""An ONNX file in a module's place: it is run as it is, by the runtimes that read ONNX.

Inputs are the graph's own, their open dimensions bound by the setting. Refuses what
``counting.onnx_inputs.bind`` refuses, and element types that torch does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input
from gadprof.errors import SourceError

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "ncnn", "mnn")


class OnnxGraph:
    """The file, with as much of a module's face as measuring looks at; its weights stay in it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def train(self, mode: bool = True) -> OnnxGraph:
        """A graph has one mode, the one it was exported in."""
        return self

    def parameters(self) -> Iterator[Any]:
        """None that torch holds."""
        return iter(())

    buffers = parameters


def load_graph(
    path: str, setting: Setting, given: Sequence[Input] = ()
) -> tuple[OnnxGraph, dict[str, Any], tuple[tuple[int, ...], ...]]:
    """A graph, CPU tensors for its inputs by name, and their shapes without the batch.

    Raises SourceError, InputShapeError, MissingExtraError.
    """
    import torch

    from gadprof.counting.onnx.file import DTYPES, read_onnx
    from gadprof.counting.onnx.inputs import bind, graph_inputs
    from gadprof.models.inputs import example

    if setting.runtime not in RUNTIMES:
        raise SourceError(
            f"{path} is an ONNX graph, which the runtime {setting.runtime} cannot run; "
            "type --runtime onnxruntime (or openvino)"
        )
    graph = read_onnx(path).model.graph
    given = given or [Input(shape) for shape in setting.input_shapes]
    bound = bind(path, graph, given, batch=setting.batch)
    inputs: dict[str, Any] = {}
    torch.manual_seed(setting.seed)
    for item in graph_inputs(graph):
        dtype = DTYPES.get(item.type.tensor_type.elem_type, "unknown")
        if not hasattr(torch, dtype):
            raise SourceError(f"{path}: input {item.name!r} is of type {dtype}; cannot make one")
        shape = bound.shapes[item.name]
        made = example(Input(shape[1:], dtype), shape[0], device="cpu") if shape else None
        inputs[item.name] = torch.zeros((), dtype=getattr(torch, dtype)) if made is None else made
    return OnnxGraph(path), inputs, tuple(tuple(shape[1:]) for shape in bound.shapes.values())
