"""Tensors and nodes of an ONNX graph, as counting rules ask about them: plain data, no protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gadprof.counting.kinds import DTYPE_BYTES

_BITS = {"uint4": 4, "int4": 4, "float4_e2m1": 4, "uint2": 2, "int2": 2, "string": 0}


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
