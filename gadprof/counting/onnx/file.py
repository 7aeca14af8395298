"""Reads an ONNX file down to what counting needs: the graph, shapes of weights, small values.

Promises that weights' bytes are dropped as soon as the file is understood and that data kept in
other files is opened only where a shape depends on it, so that a graph whose weights are missing
is counted all the same. Refuses, in one line, a file that is missing, empty, truncated, too large
for the format or not ONNX, and one whose operator set is newer than the installed package knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gadprof.errors import MissingExtraError, SourceError
from gadprof.results.files import check_regular, read_file

SMALL_ELEMENTS = 4096  # larger tensors are weights: their values decide no shape
MOST_NODES = 200_000  # of a graph whose functions are opened
_LIMIT_BYTES = 2**31 - 1  # the longest message that protobuf reads

# TensorProto's types by torch's names
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1",
    24: "float8_e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip

# ModelProto's fields (onnx/onnx.proto): number -> wire type (0 varint, 2 length-delimited)
_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH_FIELD = 7


@dataclass(frozen=True)
class OnnxFile:
    """A model file that has been read; ``model`` is an onnx.ModelProto without large values.

    ``opsets`` maps a domain ("" is ONNX's own) to its version. ``missing`` are the files of
    external data that are not there.
    """

    path: str
    model: Any
    opsets: dict[str, int]
    missing: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where external data is looked for."""
        return os.path.dirname(os.path.abspath(self.path))


def read_onnx(path: str) -> OnnxFile:
    """Read a model file without its weights. Raises SourceError or MissingExtraError."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx", f"counting {path!r}") from error
    content = _content(path)
    _check_frame(path, content)
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError, whose class depends on its backend
        raise SourceError(f"{path} is damaged: its protobuf does not decode; export again") from (
            error
        )
    del content
    if not model.graph.node and not model.graph.output:
        raise SourceError(f"{path} is not an ONNX model: it holds no graph")
    opsets = {plain_domain(item.domain): item.version for item in model.opset_import}
    if "" not in opsets and any(not plain_domain(node.domain) for node in model.graph.node):
        raise SourceError(f"{path} states no operator set: it is truncated; export it again")
    known = onnx.defs.onnx_opset_version()
    if opsets.get("", 0) > known:
        raise SourceError(
            f"{path} uses operator set {opsets['']}, the installed onnx knows up to {known}; "
            "type: pip install -U onnx"
        )
    _drop_large_values(model)
    if model.functions:
        _check_expansion(path, model)
        from onnx import inliner

        model = inliner.inline_local_functions(model, True)
    return OnnxFile(path, model, opsets, _missing(path, model))


def _check_expansion(path: str, model: Any) -> None:
    """Refuse functions that would open into more nodes than can be counted, before they are."""
    bodies = {(item.domain, item.name): item for item in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Any, above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above:
                raise SourceError(f"{path}: function {node.op_type!r} calls itself")
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key].node, (*above, key))
            total += sizes.get(key, 1)
            total += sum(size(a.g.node, above) for a in node.attribute if a.HasField("g"))
        return total

    expanded = size(model.graph.node, ())
    if expanded > MOST_NODES:
        raise SourceError(
            f"{path}: its functions open into {expanded:,} nodes, more than {MOST_NODES:,}"
        )


def plain_domain(domain: str) -> str:
    """A node's domain, with "" for ONNX's own however it is spelt."""
    return "" if domain == "ai.onnx" else domain


def _content(path: str) -> bytes:
    if not os.path.exists(path):
        raise SourceError(f"ONNX file {path!r} does not exist")
    check_regular(path, "ONNX file", SourceError)
    size = os.path.getsize(path)
    if size > _LIMIT_BYTES:
        raise SourceError(
            f"{path} is {size / 1e9:.1f} GB and protobuf reads 2.1 GB at most; "
            "save it with external data"
        )
    return read_file(path, "ONNX file", SourceError, most_bytes=_LIMIT_BYTES)


def _check_frame(path: str, content: bytes) -> None:
    """Walk the outermost fields; they tell a truncated model from a file of another kind."""
    if not content:
        raise SourceError(f"{path} is empty; export the model again")
    position = 0
    seen: set[int] = set()
    while position < len(content):
        tag, position = _varint(content, position)
        number, wire = tag >> 3, tag & 7
        if tag < 0 or wire not in (0, 2) or _FIELDS.get(number, wire) != wire or number == 0:
            if tag < 0 and _GRAPH_FIELD in seen:
                raise SourceError(f"{path} is truncated; export or copy it again")
            raise SourceError(f"{path} is not an ONNX file (no protobuf model); check the path")
        if not seen and number not in _FIELDS:
            raise SourceError(f"{path} is not an ONNX file (no protobuf model); check the path")
        seen.add(number)
        value, position = _varint(content, position)
        if wire == 2:
            position += max(0, value)
        if value < 0 or position > len(content):
            if number == _GRAPH_FIELD or _GRAPH_FIELD in seen or 1 in seen:
                announced = f": it announces {position:,} bytes and has {len(content):,}"
                raise SourceError(
                    f"{path} is truncated{announced if value >= 0 else ''}; export or copy it again"
                )
            raise SourceError(f"{path} is not an ONNX file (no protobuf model); check the path")
    if _GRAPH_FIELD not in seen:
        raise SourceError(f"{path} holds no graph: it is not an ONNX model, or it is truncated")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at a position and where it ends; -1 where the bytes end first."""
    value = shift = 0
    while position < len(content) and shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    return -1, position


def elements(tensor: Any) -> int:
    """The number of elements that a TensorProto's header states."""
    count = 1
    for size in tensor.dims:
        count *= size
    return count


_VALUES = (
    "raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data",
    "uint64_data",
)  # fmt: skip


def _drop_large_values(model: Any) -> None:
    for tensor in _tensors(model.graph):
        if elements(tensor) > SMALL_ELEMENTS:
            for name in _VALUES:
                tensor.ClearField(name)
    for function in model.functions:
        for node in function.node:
            for tensor in _node_tensors(node):
                if elements(tensor) > SMALL_ELEMENTS:
                    for name in _VALUES:
                        tensor.ClearField(name)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _tensors(graph)


def location(tensor: Any) -> str:
    """The file that holds a tensor's values, "" where the model file itself does."""
    if tensor.data_location != 1:  # TensorProto.EXTERNAL
        return ""
    return next((item.value for item in tensor.external_data if item.key == "location"), "")


def _missing(path: str, model: Any) -> tuple[str, ...]:
    folder = os.path.dirname(os.path.abspath(path))
    places = dict.fromkeys(filter(None, map(location, _tensors(model.graph))))
    return tuple(place for place in places if not os.path.isfile(os.path.join(folder, place)))


def small_value(file: OnnxFile, tensor: Any) -> Any:
    """A small tensor's values as an array, or None for a large one or one whose file is missing.

    Raises SourceError where the values cannot be read.
    """
    from onnx import external_data_helper, numpy_helper

    if elements(tensor) > SMALL_ELEMENTS:
        return None
    place = location(tensor)
    if place in file.missing:
        return None
    try:
        if place:
            tensor = type(tensor).FromString(tensor.SerializeToString())
            external_data_helper.load_external_data_for_tensor(tensor, file.folder)
        return numpy_helper.to_array(tensor)
    except Exception as error:
        words = " ".join(str(error).split())
        raise SourceError(f"{file.path}: tensor {tensor.name!r} cannot be read: {words}") from error
