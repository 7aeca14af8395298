"""Counts a TensorFlow Lite file from its graph: no TensorFlow, no torch, no weights in memory.

Promises the trace that a torch module gives, of what the file says: a batch normalisation that the
converter folded is counted as folded, a fused activation with its operator. Shapes are the file's
own, fixed when it was converted; another input is refused. Control flow (IF, WHILE) and operators
of the user's are listed as uncovered.
"""

from __future__ import annotations

from collections.abc import Mapping

from gadprof.counting.inputs import Input
from gadprof.counting.onnx.assemble import ReadGraph, trace_of_graph
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.onnx.weights import Weights
from gadprof.counting.records import Trace
from gadprof.counting.tflite.flatbuffer import TfliteFile, read_tflite
from gadprof.counting.tflite.operators import ELEMENTWISE, MOVING, VIEWS, WEIGHTS, tflite_work
from gadprof.errors import InputShapeError, SourceError


def count_tflite(
    path: str,
    shapes: tuple[tuple[int, ...], ...] = (),
    *,
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
    name: str = "",
) -> Trace:
    """Count one run of a file; ``shapes`` and ``batch`` have to be those that it was made for.

    Raises SourceError or InputShapeError.
    """
    try:
        return _count(path, shapes, inputs, batch, name)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError, AssertionError) as error:
        words = " ".join(str(error).split())  # a graph that breaks the rules of its operators
        raise SourceError(
            f"{path} is no valid graph ({type(error).__name__}: {words}); convert the model again"
        ) from error


def _count(
    path: str,
    shapes: tuple[tuple[int, ...], ...],
    inputs: tuple[Input, ...],
    batch: int,
    name: str,
) -> Trace:
    file = read_tflite(path)
    _check_inputs(path, file, tuple(item.shape for item in inputs) or shapes, batch)
    names = [f"{tensor.name}#{index}" for index, tensor in enumerate(file.tensors)]
    tensors = [OnnxTensor(tensor.shape, tensor.dtype) for tensor in file.tensors]
    stored = {
        names[index]: tensors[index] for index, tensor in enumerate(file.tensors) if tensor.stored
    }
    steps = []
    for number, operator in enumerate(file.operators):
        given, made = operator.inputs, operator.outputs
        step = Step(
            operator.op,
            "tflite",
            f"{operator.op}_{number}",
            tuple(tensors[index] if index >= 0 else None for index in given),
            tuple(tensors[index] if index >= 0 else None for index in made),
            operator.options,
            {},
            frozenset(),
            tuple(names[index] if index >= 0 else "" for index in given),
            tuple(names[index] if index >= 0 else "" for index in made),
            (),
            {},
            0,
        )
        steps.append((step, ("", "")))
    return trace_of_graph(
        ReadGraph(
            name=name or path,
            device="tflite graph",
            note=_note(file),
            steps=steps,
            stored=stored,
            weights=_weights(stored, steps),
            inputs=[(names[index], tensors[index]) for index in file.inputs],
            outputs=[(names[index], tensors[index]) for index in file.outputs],
            work=tflite_work,
            label=lambda step: ELEMENTWISE.get(step.op, step.op.lower()),
            is_view=lambda step: step.op in VIEWS,
            moves=lambda step: step.op in MOVING,
        )
    )


def _check_inputs(
    path: str, file: TfliteFile, shapes: tuple[tuple[int, ...], ...], batch: int
) -> None:
    own = [file.tensors[index].shape for index in file.inputs]
    asked = [(batch, *shape) for shape in shapes] or [(batch, *shape[1:]) for shape in own]
    if (shapes and asked != own) or (batch > 1 and asked != own):
        shown = " and ".join("x".join(map(str, shape)) for shape in own)
        raise InputShapeError(
            f"{path} was converted for the input {shown}, batch included; "
            "leave --input and --batch away, or convert it for another"
        )


def _weights(
    stored: Mapping[str, OnnxTensor], steps: list[tuple[Step, tuple[str, str]]]
) -> Weights:
    """Parameters: what is read as weights, and stored maps that elements are combined with."""
    params: dict[str, OnnxTensor] = {}
    readers: dict[str, str] = {}
    for step, (place, _) in steps:
        for position, name in enumerate(step.names_in):
            tensor = stored.get(name)
            if tensor is None:
                continue
            combined = step.op in ELEMENTWISE and tensor.numel() > 1
            table = step.op == "GATHER" and position == 0 and tensor.dim() > 1
            if position in WEIGHTS.get(step.op, ()) or combined or table:
                params.setdefault(name, tensor)
                readers.setdefault(name, place)
    return Weights(params, {}, readers)


def _note(file: TfliteFile) -> str:
    kinds = {tensor.dtype for tensor in file.tensors if tensor.stored}
    found = []
    if kinds & {"int8", "uint8", "int4"}:
        found.append("weights are quantised; multiply-adds are of the numbers they stand for")
    if file.graphs > 1:
        found.append(f"the file holds {file.graphs} graphs; the first is counted")
    return "; ".join(found)
