"""Walks an ONNX graph and gives every tensor its concrete shape, step by step, without weights.

Promises that each shape comes from ONNX's own inference for that operator, fed with the values of
the small tensors that decide shapes, which are computed on the way. What has no rule there (a
custom operator) takes the shape that the file states; where that is not there either, the tensor
stays unknown and whatever reads it is listed, never counted as zero. Refuses shapes that an
operator cannot take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gadprof.counting.onnx.file import (
    DTYPES,
    SMALL_ELEMENTS,
    OnnxFile,
    elements,
    plain_domain,
    small_value,
)
from gadprof.counting.onnx.inputs import Bound
from gadprof.counting.records import DTYPE_BYTES
from gadprof.errors import ModelFailedError, SourceError

_BITS = {"uint4": 4, "int4": 4, "float4_e2m1": 4, "uint2": 2, "int2": 2, "string": 0}
_BODY_OPS = ("Loop", "Scan", "SequenceMap")


@dataclass(frozen=True, slots=True)
class OnnxTensor:
    """A tensor's shape and type, with the questions that counting rules ask of a tensor."""

    shape: tuple[int, ...]
    dtype: str

    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def size_bytes(self) -> int:
        """The memory of the elements, four-bit ones packed by two."""
        bits = _BITS.get(self.dtype, 8 * DTYPE_BYTES.get(self.dtype, 1))
        return (self.numel() * bits + 7) // 8

    def element_size(self) -> int:
        """Bytes of one element, at least one."""
        return max(1, OnnxTensor((1,), self.dtype).size_bytes())

    def is_floating_point(self) -> bool:
        """Whether elements are real floating-point numbers."""
        return "float" in self.dtype

    def is_complex(self) -> bool:
        """Whether elements are complex numbers."""
        return self.dtype.startswith("complex")


@dataclass(frozen=True)
class Step:
    """One node with what is known of its tensors.

    ``inputs`` holds None for an input left out; ``unknown`` names tensors whose shape is not
    known. ``values`` are small inputs by position, ``made`` the positions of those that the graph
    itself computes. ``names_in`` and ``names_out`` are tensor
    names, "" where left out.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[OnnxTensor | None, ...]
    outputs: tuple[OnnxTensor | None, ...]
    attributes: Mapping[str, Any]
    values: Mapping[int, Any]
    made: frozenset[int]
    names_in: tuple[str, ...]
    names_out: tuple[str, ...]
    unknown: tuple[str, ...]
    scopes: Mapping[str, str]
    opset: int


class GraphWalk:
    """The state of one walk: types and small values by tensor name."""

    def __init__(self, file: OnnxFile, bound: Bound) -> None:
        import onnx

        self.onnx = onnx
        self.file = file
        self.bound = bound
        self.types: dict[str, Any] = {}  # name -> TypeProto, maybe partial
        self.values: dict[str, Any] = {}  # name -> array, small ones only
        self.made: set[str] = set()  # names of the values that were computed here
        self.lost: set[str] = set()  # small tensors whose values are in a missing file
        self.stated: dict[str, Any] = {}
        self._opsets = [
            onnx.helper.make_opsetid(domain, version) for domain, version in file.opsets.items()
        ]

    def tensor(self, name: str) -> OnnxTensor | None:
        """A tensor's concrete shape and type, or None while any of it is not known."""
        known = self.types.get(name)
        if known is None or not known.HasField("tensor_type"):
            return None
        kind = known.tensor_type
        if not kind.HasField("shape") or not kind.elem_type:
            return None
        if not all(size.HasField("dim_value") for size in kind.shape.dim):
            return None
        shape = tuple(int(size.dim_value) for size in kind.shape.dim)
        return OnnxTensor(shape, DTYPES.get(kind.elem_type, "unknown"))

    def steps(self) -> Iterator[Step]:
        """Every node in the order in which it runs. Raises SourceError, ModelFailedError."""
        graph = self.file.model.graph
        for info in graph.input:
            kind = type(info.type).FromString(info.type.SerializeToString())
            shape = self.bound.shapes.get(info.name)
            if shape is not None:
                _fix(kind, shape)
            self.types[info.name] = kind
        yield from self._walk(graph)

    def _walk(self, graph: Any) -> Iterator[Step]:
        for tensor in graph.initializer:
            self._add_constant(tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self.types[sparse.values.name] = self._tensor_type(
                sparse.values.data_type, tuple(sparse.dims)
            )
        for info in (*graph.value_info, *graph.output):
            self.stated[info.name] = info.type
        for node in graph.node:
            branch = self._branch(node)
            if branch is None:
                yield self._step(node)
                continue
            yield from self._walk(branch)
            for result, name in zip(branch.output, node.output, strict=False):
                passed = self.onnx.helper.make_node("Identity", [result.name], [name])
                passed.metadata_props.extend(node.metadata_props)
                yield self._step(passed)

    def _branch(self, node: Any) -> Any:
        """The branch of an If whose condition is known, else None."""
        if node.op_type != "If" or node.domain not in ("", "ai.onnx"):
            return None
        condition = self.values.get(node.input[0])
        if condition is None:
            return None
        wanted = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        return next((item.g for item in node.attribute if item.name == wanted), None)

    def _add_constant(self, name: str, tensor: Any) -> None:
        self.types[name] = self._tensor_type(tensor.data_type, tuple(tensor.dims))
        value = small_value(self.file, tensor)
        if value is not None:
            self.values[name] = value
        elif elements(tensor) <= SMALL_ELEMENTS:
            self.lost.add(name)

    def _tensor_type(self, elem_type: int, shape: tuple[int, ...]) -> Any:
        return self.onnx.helper.make_tensor_type_proto(elem_type, shape)

    def _step(self, node: Any) -> Step:
        domain = plain_domain(node.domain)
        if node.op_type == "Constant" and not domain:
            self._constant(node)
        else:
            self._infer(node, domain)
            self._evaluate(node, domain)
        inputs = tuple(self.tensor(name) if name else None for name in node.input)
        outputs = tuple(self.tensor(name) if name else None for name in node.output)
        unknown = [
            name
            for name, known in zip((*node.input, *node.output), inputs + outputs, strict=True)
            if name and known is None
        ]
        return Step(
            node.op_type,
            domain,
            node.name,
            inputs,
            outputs,
            {
                item.name: self.onnx.helper.get_attribute_value(item)
                for item in node.attribute
                if item.type in (1, 2, 3, 6, 7, 8)  # numbers and words, alone or in lists
            },
            {i: self.values[name] for i, name in enumerate(node.input) if name in self.values},
            frozenset(i for i, name in enumerate(node.input) if name in self.made),
            tuple(node.input),
            tuple(node.output),
            tuple(unknown),
            {item.key: item.value for item in node.metadata_props if "stack" not in item.key},
            self.file.opsets.get(domain, 0),
        )

    def _constant(self, node: Any) -> None:
        attribute = node.attribute[0]
        if attribute.name == "value":
            self._add_constant(node.output[0], attribute.t)
            return
        import numpy as np

        value = self.onnx.helper.get_attribute_value(attribute)
        kind = {"value_int": np.int64, "value_ints": np.int64}.get(attribute.name, np.float32)
        if attribute.name.startswith(("value_int", "value_float")):
            array = np.array(value, dtype=kind)
            self.values[node.output[0]] = array
            self.types[node.output[0]] = self._tensor_type(
                7 if kind is np.int64 else 1, array.shape
            )

    def _infer(self, node: Any, domain: str) -> None:
        found: dict[str, Any] = {}
        problem = ""
        if all(name in self.types for name in node.input if name):
            try:
                schema = self.onnx.defs.get_schema(
                    node.op_type, self.file.opsets.get(domain, 1), domain
                )
            except Exception:  # a custom operator
                schema = None
            if schema is not None:
                known = {
                    name: self.onnx.numpy_helper.from_array(self.values[name], name)
                    for name in node.input
                    if name in self.values
                }
                types = {name: self.types[name] for name in node.input if name}
                if node.op_type in (*_BODY_OPS, "If"):
                    types = dict(self.types)
                try:
                    found = self.onnx.shape_inference.infer_node_outputs(
                        schema, node, types, known, opset_imports=self._opsets
                    )
                except Exception as error:
                    problem = " ".join(str(error).split())
        for name in filter(None, node.output):
            kind = found.get(name)
            if kind is not None:
                self.types[name] = kind
            if self.tensor(name) is None and name in self.stated:
                self._take_stated(name)
        if problem and any(name and self.tensor(name) is None for name in node.output):
            shapes = [
                "x".join(map(str, known.shape)) or "scalar"
                for known in (self.tensor(name) for name in node.input if name)
                if known is not None
            ]
            raise ModelFailedError(
                f"{self.file.path}: {node.op_type} {node.name or node.output[0]!r} cannot take "
                f"{' and '.join(shapes) or 'its inputs'}: {_short(problem)}; try another --input"
            )
        shaped = all(self.tensor(name) is not None for name in node.input if name)
        lost = [name for name in node.input if name in self.lost and shaped]
        if lost and any(name and self.tensor(name) is None for name in node.output):
            raise SourceError(
                f"{self.file.path}: the shape of {node.output[0]!r} depends on {lost[0]!r}, whose "
                f"values are in the missing file {self.file.missing[0]!r}; put it beside the model"
            )

    def _take_stated(self, name: str) -> None:
        """Use the shape that the file states, its named dimensions bound."""
        kind = type(self.stated[name]).FromString(self.stated[name].SerializeToString())
        if kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
            for size in kind.tensor_type.shape.dim:
                if size.dim_param in self.bound.names and not size.HasField("dim_value"):
                    size.dim_value = self.bound.names[size.dim_param]
            self.types[name] = kind

    def _evaluate(self, node: Any, domain: str) -> None:
        """Compute the small values that shapes may depend on."""
        import numpy as np

        if domain or node.op_type.startswith("Random") or node.op_type in ("If", *_BODY_OPS):
            return
        outputs = [self.tensor(name) for name in node.output if name]
        if any(out is None or out.numel() > SMALL_ELEMENTS for out in outputs):
            return
        if node.op_type in ("Shape", "Size"):
            source = self.tensor(node.input[0])
            if source is None:
                return
            if node.op_type == "Size":
                self.values[node.output[0]] = np.array(source.numel(), np.int64)
                return
            limits = {item.name: item.i for item in node.attribute}
            cut = source.shape[limits.get("start", 0) : limits.get("end")]
            self.values[node.output[0]] = np.array(cut, np.int64)
            return
        if node.op_type == "CastLike" and node.input[0] in self.values:  # only the type is asked
            kind = self.types[node.output[0]].tensor_type.elem_type
            wanted = self.onnx.helper.tensor_dtype_to_np_dtype(kind)
            self.values[node.output[0]] = self.values[node.input[0]].astype(wanted)
            self.made.add(node.output[0])
            return
        if not all(name in self.values for name in node.input if name):
            return
        if any(item.HasField("g") for item in node.attribute):
            return
        from onnx.reference import ReferenceEvaluator

        single = type(node).FromString(node.SerializeToString())
        try:
            made = ReferenceEvaluator(single, opsets=self.file.opsets).run(
                None, {name: self.values[name] for name in node.input if name}
            )
        except Exception:  # no reference implementation: the value stays unknown
            return
        for name, value in zip(node.output, made, strict=False):
            if name and isinstance(value, np.ndarray | np.generic):
                self.values[name] = np.asarray(value)
                self.made.add(name)


def _fix(kind: Any, shape: tuple[int, ...]) -> None:
    sizes = kind.tensor_type.shape
    del sizes.dim[:]
    for size in shape:
        sizes.dim.add().dim_value = size
    if not shape:
        sizes.SetInParent()


def _short(problem: str) -> str:
    """ONNX's own words without the chain of checks before them."""
    return problem.rsplit("]", 1)[-1].strip(" :") or problem
