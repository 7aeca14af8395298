"""What the latency model sees of an operation: its class, its work, its bytes and its shape.

Promises plain numbers from a batch-1 trace: ``work`` and ``elements`` scale with the batch,
``weights`` do not. Views and queries cost nothing and are left out. Equal operations of one model
are joined with how often they occur. Refuses nothing; a class that a fit has not seen is the
business of ``refuse``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# operation classes, in the order of a fit's tables; only ever append
CLASSES: tuple[str, ...] = (
    "conv1x1", "conv", "conv_grouped", "conv_depthwise", "conv_depthwise_large", "conv_transposed",
    "linear", "matmul", "attention", "rnn",
    "batch_norm", "layer_norm", "group_norm", "rms_norm",
    "activation", "activation_inplace", "gelu", "silu", "sigmoid", "add", "mul", "broadcast",
    "elementwise", "softmax", "reduction", "global_pool", "pool", "resize", "copy", "cat", "pad",
    "cast",
)  # fmt: skip

FREE_KINDS = ("view", "query", "fill", "random")

COLUMNS = (
    "work", "elements", "weights", "rows", "n", "k", "kernel", "stride", "inner", "aligned_n",
    "aligned_k", "outputs",
)  # fmt: skip


class Traced(Protocol):
    """What is read of a traced operation (gadprof.counting.records.Operation has it)."""

    name: str
    kind: str
    functional: str
    macs: int
    inputs: Any
    outputs: Any
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class ModelFeatures:
    """A model's operations: class indices (n,), columns (n, len(COLUMNS)) and counts (n,)."""

    classes: NDArray[np.int64]
    columns: Floats
    counts: Floats
    unknown: tuple[str, ...]


def features_of(operations: Iterable[Traced]) -> ModelFeatures:
    """The features of a batch-1 forward trace."""
    joined: dict[tuple[Any, ...], int] = {}
    unknown: dict[str, int] = {}
    for operation in operations:
        row = row_of(operation)
        if row is None:
            continue
        if row[0] not in _INDEX:
            unknown[str(row[0])] = unknown.get(str(row[0]), 0) + 1
            continue
        joined[row] = joined.get(row, 0) + 1
    keys = list(joined)
    return ModelFeatures(
        np.array([_INDEX[key[0]] for key in keys], dtype=np.int64),
        np.array([key[1:] for key in keys], dtype=np.float64).reshape(len(keys), len(COLUMNS)),
        np.array([joined[key] for key in keys], dtype=np.float64),
        tuple(sorted(unknown)),
    )


_INDEX: Mapping[str, int] = {name: index for index, name in enumerate(CLASSES)}


def row_of(operation: Traced) -> tuple[Any, ...] | None:
    """The class and columns of one operation; None when it costs no time of its own."""
    if operation.kind in FREE_KINDS or not operation.outputs:
        return None
    inputs = [(tuple(t.shape), t.storage < 0) for t in operation.inputs]
    shapes = [shape for shape, own in inputs if not own]
    weights = sum(prod(shape) for shape, own in inputs if own)
    out = tuple(operation.outputs[0].shape)
    outputs = sum(prod(t.shape) for t in operation.outputs[:1])
    elements = outputs + sum(prod(shape) for shape in shapes)
    name = class_of(operation, shapes, out)
    work, rows, n, k, kernel, stride = _products(operation, out)
    inner = out[-1] if out else 1
    channels = out[1] if len(out) == 4 else inner
    return (
        name, work, elements, weights, rows, n or channels, k, kernel, stride, inner,
        int((n or channels) % 8 == 0), int(k % 8 == 0), outputs,
    )  # fmt: skip


def _products(operation: Traced, out: tuple[int, ...]) -> tuple[int, int, int, int, int, int]:
    """(work, rows, n, k, kernel, stride) of a product; zeros where there is none."""
    a = operation.attributes
    match operation.kind:
        case "convolution":
            groups = int(a.get("groups", 1))
            kernel = _listed(a.get("kernel", 1))
            area = prod(kernel)
            return (
                operation.macs, prod(out[2:]), int(a["c_out"]) // groups,
                int(a["c_in"]) // groups * area, max(kernel), max(_listed(a.get("stride", 1))),
            )  # fmt: skip
        case "linear":
            n, k = int(a["out_features"]), int(a["in_features"])
            return operation.macs, operation.macs // max(1, n * k), n, k, 1, 1
        case "matmul":
            return (
                operation.macs, int(a.get("batch", 1)) * int(a.get("m", 1)), int(a.get("n", 1)),
                int(a.get("k", 1)), 1, 1,
            )  # fmt: skip
        case "attention":
            rows = int(a["batch"]) * int(a["heads"]) * int(a["queries"])
            return operation.macs, rows, int(a["keys"]), int(a["head_size"]), 1, 1
        case "rnn":
            return operation.macs, int(a.get("steps", 1)), int(a["hidden_size"]), 1, 1, 1
        case "pooling":
            kernel = _listed(a.get("kernel", 1))
            return 0, prod(out[2:]), 0, 1, max(kernel), 1
        case _:
            return 0, 0, 0, 1, 1, 1


def _listed(value: Any) -> tuple[int, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(int(item) for item in value) or (1,)
    return (int(value),)


def class_of(operation: Traced, shapes: list[tuple[int, ...]], out: tuple[int, ...]) -> str:
    """The class of an operation; a name outside CLASSES where none fits."""
    plain = operation.name.partition(".")[2]
    base = plain.rstrip("_")
    match operation.kind:
        case "convolution":
            return _convolution(operation.attributes)
        case "linear" | "matmul" | "attention" | "rnn" | "softmax":
            return operation.kind
        case "normalization":
            norm = str(operation.attributes.get("norm", base))
            return {"instance_norm": "group_norm"}.get(norm, norm)
        case "activation":
            if base in ("gelu", "silu", "sigmoid"):
                return base
            return "activation_inplace" if plain.endswith("_") else "activation"
        case "elementwise":
            spread = len(shapes) > 1 and any(prod(shape) < prod(out) for shape in shapes)
            if spread:
                return "broadcast"
            return base if base in ("add", "mul") else "elementwise"
        case "reduction":
            return "global_pool" if base == "mean" and len(out) == 4 else "reduction"
        case "pooling":
            return "global_pool" if prod(out[2:]) == 1 else "pool"
        case "resize":
            return "resize"
        case "concatenation":
            return "cat"
        case "copy":
            return "pad" if "pad" in base else "copy"
        case "cast":
            return "cast"
        case "embedding":
            return "copy"
        case _:
            return f"{operation.kind}:{base}"


def _convolution(a: Mapping[str, Any]) -> str:
    groups, kernel = int(a.get("groups", 1)), max(_listed(a.get("kernel", 1)))
    if a.get("transposed"):
        return "conv_transposed"
    if groups == 1:
        return "conv1x1" if kernel == 1 else "conv"
    if groups == int(a["c_in"]):
        return "conv_depthwise_large" if kernel > 7 else "conv_depthwise"
    return "conv_grouped"
