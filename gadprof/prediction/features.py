"""What the latency model sees of an operation: its class, its work, its bytes and its shape.

Promises plain numbers from a batch-1 trace. ``work`` and ``bytes`` scale with the batch; what
depends on weights alone (a standardised weight, a table of relative positions) does not, and is
kept apart. Under mixed precision the flow of number formats is followed from operation to
operation as torch's autocast does it, casts included; under a compiler, what it keeps in
registers between joined operations is not moved (``fusion``). Views and queries cost nothing and
are left out. Equal operations of one model are joined with how often they occur. An operation of
a class that no fit has seen is listed as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.fusion import Traffic, fused_traffic

Floats = NDArray[np.float64]

# operation classes, in the order of a fit's tables; only ever append
CLASSES: tuple[str, ...] = (
    "conv1x1", "conv", "conv_grouped", "conv_depthwise", "conv_depthwise_large", "conv_transposed",
    "linear", "matmul", "attention", "rnn",
    "batch_norm", "layer_norm", "group_norm", "rms_norm",
    "activation", "activation_inplace", "gelu", "silu", "sigmoid", "add", "mul", "broadcast",
    "elementwise", "softmax", "reduction", "global_pool", "pool", "resize", "copy", "cat", "pad",
    "cast", "stem", "attention_masked", "copy_strided", "layer_norm_strided", "gather", "max_pool",
    "activation_hard", "attention_math",
)  # fmt: skip

FREE_KINDS = ("view", "query", "fill", "random")
PRODUCT_KINDS = ("convolution", "linear", "matmul", "attention", "rnn")

# what autocast computes in single precision, by aten name without underscores at the end
SINGLE_PRECISION = frozenset(
    (
        "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "softmax",
        "log_softmax", "_softmax", "pow", "exp", "log", "rsqrt", "reciprocal", "sum", "prod",
        "cumsum", "linalg_vector_norm", "norm", "softplus", "expm1", "rms_norm",
    )
)  # fmt: skip

# what hands the memory layout of its input on
LAYOUT_KINDS = frozenset(
    ("elementwise", "activation", "convolution", "pooling", "resize", "concatenation")
)

# modules that bring their parameters to the input's number format themselves
FORMAT_KEEPERS = ("EvoNorm", "FilterResponseNorm")

COLUMNS = (
    "work", "bytes", "fixed_work", "fixed_bytes", "rows", "n", "k", "kernel", "stride", "inner",
    "aligned_n", "aligned_k", "elements", "channels", "strided", "sliced",
)  # fmt: skip


class Traced(Protocol):
    """What is read of a traced operation (gadprof.counting.records.Operation has it)."""

    name: str
    kind: str
    functional: str
    module_type: str
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


def features_of(
    operations: Iterable[Traced],
    *,
    amp: bool,
    compiled: bool = False,
    channels_last: bool = False,
) -> ModelFeatures:
    """The features of a batch-1 forward trace.

    ``amp`` is under autocast, else in single precision; ``compiled`` as a compiler joins;
    ``channels_last`` with the pixels' channels side by side in memory, from the input on.
    """
    joined: dict[tuple[Any, ...], int] = {}
    unknown: set[str] = set()
    flow = Flow(amp=amp, channels_last=channels_last)
    listed = list(operations)
    traffic = fused_traffic(listed) if compiled else None
    for index, operation in enumerate(listed):
        for row in flow.rows(operation, None if traffic is None else traffic[index]):
            if row[0] not in _INDEX:
                unknown.add(str(row[0]))
            else:
                joined[row] = joined.get(row, 0) + 1
    keys = list(joined)
    return ModelFeatures(
        np.array([_INDEX[key[0]] for key in keys], dtype=np.int64),
        np.array([key[1:] for key in keys], dtype=np.float64).reshape(len(keys), len(COLUMNS)),
        np.array([joined[key] for key in keys], dtype=np.float64),
        tuple(sorted(unknown)),
    )


_INDEX: Mapping[str, int] = {name: index for index, name in enumerate(CLASSES)}


class Flow:
    """Follows through a trace what depends on the batch, and how wide each tensor's numbers are."""

    def __init__(self, *, amp: bool, channels_last: bool = False) -> None:
        self.amp = amp
        self.channels_last = channels_last
        self._made: set[int] = set()
        self._batched: dict[int, bool] = {}
        self._width: dict[int, int] = {}
        self._strided: set[tuple[int, tuple[int, ...]]] = set()
        self._elements: dict[int, int] = {}

    def rows(self, operation: Traced, traffic: Traffic | None = None) -> list[tuple[Any, ...]]:
        """The feature rows of one operation (its casts first); none where it costs no time."""
        if not operation.outputs:
            return []
        inputs = [t for t in operation.inputs if t.shape is not None]
        out = operation.outputs[0]
        batched = any(self._depends(t) for t in inputs)
        if operation.kind in FREE_KINDS:
            self._free(operation, batched)
            return []
        base = operation.name.partition(".")[2].rstrip("_")
        rows: list[tuple[Any, ...]] = []
        if not self.amp:
            width = 4
            widths = [4 for _ in inputs]
        elif operation.kind in PRODUCT_KINDS:
            rows += [
                self._cast(t, 4, 2) for t in inputs if self._bytes(t) == 4 and prod(t.shape) > 1
            ]
            width, widths = 2, [2 for _ in inputs]
        elif base in SINGLE_PRECISION:
            rows += [self._cast(t, 2, 4) for t in inputs if self._bytes(t) == 2]
            width, widths = 4, [4 for _ in inputs]
        else:
            widths = [self._bytes(t) for t in inputs]
            wide = [w for t, w in zip(inputs, widths, strict=True) if len(t.shape) > 0]
            if operation.kind == "normalization":
                wide = wide[:1]
            width = max(wide, default=2)
            if operation.module_type.startswith(FORMAT_KEEPERS):
                made = [w for t, w in zip(inputs, widths, strict=True) if t.storage >= 0]
                width = max(made, default=width)
        known = {t.storage for t in inputs}
        for t in operation.outputs:
            if t.storage in known and t.storage in self._width:
                width = self._width[t.storage]  # in place
            self._batched[t.storage] = batched
            self._width[t.storage] = width
            self._elements.setdefault(t.storage, prod(t.shape))
        strided = self._layout(operation, inputs, out)
        rows.append(
            self._row(
                operation,
                inputs,
                widths,
                out,
                width,
                batched=batched,
                strided=strided,
                traffic=traffic,
            )
        )
        return rows

    def _layout(self, operation: Traced, inputs: list[Any], out: Any) -> bool:
        """Whether the operation reads a permuted tensor; many hand their layout on."""
        strided = any(self._permuted(t) for t in inputs)
        self._made.add(out.storage)
        if strided and (
            operation.kind in LAYOUT_KINDS or operation.name.startswith("aten.batch_norm")
        ):
            self._strided.add((out.storage, tuple(out.shape)))
        return strided

    def _permuted(self, t: Any) -> bool:
        given = t.storage >= 0 and t.storage not in self._made  # the model's own input
        if given and self.channels_last and len(t.shape) == 4:
            return True
        return (t.storage, tuple(t.shape)) in self._strided

    def _free(self, operation: Traced, batched: bool) -> None:
        source = operation.inputs[0] if operation.inputs else None
        for t in operation.outputs:
            if t.storage not in self._batched:
                self._batched[t.storage] = batched
                self._width[t.storage] = 4 if source is None else self._bytes(source)
        if source is None or source.shape is None:
            return
        self._elements.setdefault(source.storage, prod(source.shape))
        strided = self._permuted(source)
        self._made.update(t.storage for t in operation.outputs)
        if operation.name in ("aten.permute", "aten.transpose"):
            strided = not strided
        if strided:
            self._strided.update((t.storage, tuple(t.shape)) for t in operation.outputs)

    def _depends(self, t: Any) -> bool:
        return bool(t.storage >= 0 and self._batched.get(t.storage, True))

    def _bytes(self, t: Any) -> int:
        return self._width.get(t.storage, 4) if t.storage >= 0 else 4

    def _cast(self, t: Any, before: int, after: int) -> tuple[Any, ...]:
        size = prod(t.shape)
        moved = size * (before + after)
        batched = self._depends(t)
        inner = t.shape[-1] if len(t.shape) else 1
        return (
            "cast", 0, moved if batched else 0, 0, 0 if batched else moved,
            0, inner, 1, 1, 1, inner, int(inner % 8 == 0), 1, size if batched else 0, inner, 0, 0,
        )  # fmt: skip

    def _row(
        self,
        operation: Traced,
        inputs: list[Any],
        widths: list[int],
        out: Any,
        width: int,
        *,
        batched: bool,
        strided: bool,
        traffic: Traffic | None,
    ) -> tuple[Any, ...]:
        shape = tuple(out.shape)
        shapes = [tuple(t.shape) for t in inputs if t.storage >= 0]
        name = class_of(operation, shapes, shape)
        moved = fixed = 0
        for t, size in zip(inputs, widths, strict=True):
            if traffic is not None and t.storage in traffic.kept:
                continue
            # an expanded tensor is no larger than what lies behind it
            elements = min(prod(t.shape), self._elements.get(t.storage, prod(t.shape)))
            if self._depends(t):
                moved += elements * size
            else:
                fixed += elements * size
        outputs = sum(prod(t.shape) for t in operation.outputs[:1])
        work, rows, n, k, kernel, stride = _products(operation, shape)
        sliced = any(
            len(t.shape) > 1 and prod(t.shape) < self._elements.get(t.storage, 0)
            for t in inputs
            if self._depends(t)
        )
        if name == "attention_math":  # the scores are written, scaled, normalised and read again
            moved += 6 * rows * n * 4
        if traffic is not None:
            work = work or outputs
            if not traffic.written:
                width = 0
        if batched:
            moved += outputs * width
            fixed_work = 0
        else:
            fixed += outputs * width + moved
            moved, fixed_work, work = 0, work, 0
        inner = shape[-1] if shape else 1
        every = shape[1] if len(shape) == 4 else inner
        wide = n or every
        if strided and name in ("copy", "layer_norm"):
            name += "_strided"
        return (
            name, work, moved, fixed_work, fixed, rows, wide, k, kernel, stride, inner,
            int(wide % 8 == 0), int(k % 8 == 0), outputs if batched else 0, every, int(strided),
            int(sliced),
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
        case "attention":
            if len(out) != 4:  # the fused kernels take four dimensions alone
                return "attention_math"
            return "attention_masked" if operation.attributes.get("mask") else "attention"
        case "linear" | "matmul" | "rnn" | "softmax":
            return operation.kind
        case "normalization":
            norm = str(operation.attributes.get("norm", base))
            return {"instance_norm": "group_norm"}.get(norm, norm)
        case "activation":
            if base in ("gelu", "silu", "sigmoid"):
                return base
            if base.startswith("hard"):
                return "activation_hard"
            return "activation_inplace" if plain.endswith("_") else "activation"
        case "elementwise":
            spread = len(shapes) > 1 and any(prod(shape) < prod(out) for shape in shapes)
            if spread:
                return "broadcast"
            return base if base in ("add", "mul") else "elementwise"
        case "reduction":
            return "global_pool" if base == "mean" and len(out) == 4 else "reduction"
        case "pooling":
            if prod(out[2:]) == 1:
                return "global_pool"
            return "pool" if operation.attributes.get("average", True) else "max_pool"
        case "resize":
            return "resize"
        case "concatenation":
            return "cat"
        case "copy":
            if base in ("index", "index_select", "gather", "im2col", "col2im"):
                return "gather"
            return "pad" if "pad" in base else "copy"
        case "cast":
            return "cast"
        case "embedding":
            return "gather"
        case _:
            return f"{operation.kind}:{base}"


def _convolution(a: Mapping[str, Any]) -> str:
    groups, kernel = int(a.get("groups", 1)), max(_listed(a.get("kernel", 1)))
    if a.get("transposed"):
        return "conv_transposed"
    if int(a["c_in"]) <= 4:
        return "stem"
    if groups == 1:
        return "conv1x1" if kernel == 1 else "conv"
    if groups == int(a["c_in"]):
        return "conv_depthwise_large" if kernel > 7 else "conv_depthwise"
    return "conv_grouped"
