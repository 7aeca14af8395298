"""Which numbers of an ONNX file's weights are zero: what sparsity leaves of its products.

Promises that a quantised weight is zero where it equals its zero point, by tensor, by channel or by
block, through DequantizeLinear or in an operator that reads integers, and that weights of a few
bits are unpacked. Refuses a file whose weights are not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gadprof.counting.onnx.weights import FORMS
from gadprof.errors import SourceError

# by operator: where a weight stands, where its zero point, and along which axis that has channels
_ZERO_POINTS: Mapping[str, tuple[int, int, int]] = {
    "DequantizeLinear": (0, 2, 1), "QLinearConv": (3, 5, 0), "ConvInteger": (1, 3, 0),
    "QLinearMatMul": (3, 5, -1), "MatMulInteger": (1, 3, -1), "QGemm": (3, 5, -1),
    "DynamicQuantizeMatMul": (1, 3, -1), "MatMulIntegerToFloat": (1, 5, -1),
}  # fmt: skip
# by operator: where a weight stands that has its inputs first
_INPUTS_FIRST: Mapping[str, int] = {
    "MatMul": 1, "Gemm": 1, "FusedMatMul": 1, "FusedGemm": 1,
    **{name: at for name, (at, _, axis) in _ZERO_POINTS.items() if axis == -1},
}  # fmt: skip


def filled_weights(path: str) -> dict[str, Any]:
    """Which numbers of each stored weight are not zero, by name, outputs before inputs.

    Raises SourceError.
    """
    import onnx
    from onnx import numpy_helper

    try:
        model = onnx.load(path)
        graphs = list(_graphs(model.graph))
        stored = {
            item.name: numpy_helper.to_array(item) for graph in graphs for item in graph.initializer
        }
    except Exception as error:
        words = " ".join(str(error).split())
        raise SourceError(f"{path}: its weights cannot be read: {words}") from error
    filled = {name: array != 0 for name, array in stored.items() if array.ndim > 1}
    nodes = [node for graph in graphs for node in graph.node]
    sources: dict[str, str] = {}  # of numbers in another form, the stored ones
    transposed: set[str] = set()
    turned: set[str] = set()
    for node in nodes:
        given = [stored.get(name) for name in node.input]
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        first = sources.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type in FORMS and first in filled:
            sources[node.output[0]] = first
            if (node.op_type == "Transpose") != (node.input[0] in transposed):
                transposed.add(node.output[0])
        if node.op_type == "MatMulNBits" and node.input[1] in filled:
            filled[node.input[1]] = _unpacked(given, settings)
        at, zero_at, axis = _ZERO_POINTS.get(node.op_type, (0, 0, 0))
        if zero_at and len(given) > zero_at and node.input[at] in filled:
            axis = 0 if settings.get("transB") else settings.get("axis", axis)
            filled[node.input[at]] = _filled(given[at], given[zero_at], axis)
        at = _INPUTS_FIRST.get(node.op_type, 0)
        if at and len(given) > at:
            name = node.input[at]
            if (name in transposed) == bool(settings.get("transB")):
                turned.add(sources.get(name, name))
    return {
        name: array.swapaxes(-1, -2) if name in turned else array for name, array in filled.items()
    }


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and the bodies of its loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)


def _filled(weight: Any, zero: Any, axis: int) -> Any:
    """Where a weight differs from its zero point: of all, by channel on ``axis``, or by block."""
    import numpy

    if zero is None:
        return weight != 0
    if zero.ndim == weight.ndim:  # a zero point a block
        block = -(-weight.shape[axis] // zero.shape[axis])
        zero = numpy.repeat(zero, block, axis).take(range(weight.shape[axis]), axis)
    elif zero.size > 1:
        shape = [1] * weight.ndim
        shape[axis] = zero.size
        zero = zero.reshape(shape)
    return weight != zero


def _unpacked(given: list[Any], settings: Mapping[str, Any]) -> Any:
    """Where weights of a few bits differ from their block's zero point: outputs by inputs."""
    import numpy

    bits, size = settings.get("bits", 4), settings["block_size"]
    outputs, inputs = settings["N"], settings["K"]

    def numbers(array: Any) -> Any:
        parts = numpy.arange(0, 8, bits)
        return (array[..., None] >> parts & (1 << bits) - 1).reshape(*array.shape[:-1], -1)

    blocks = -(-inputs // size)
    weight = numbers(given[1].reshape(outputs, blocks, -1))[..., :size]
    zero = given[3] if len(given) > 3 else None
    if zero is None:
        return (weight != 1 << bits - 1).reshape(outputs, -1)[:, :inputs]
    if zero.dtype == numpy.uint8:
        zero = numbers(zero.reshape(outputs, -1))[:, :blocks]
    return (weight != zero.reshape(outputs, blocks, 1)).reshape(outputs, -1)[:, :inputs]
