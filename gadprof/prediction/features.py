"""What the latency model sees of an operation: its class, its work, its bytes and its shape.

Promises plain numbers from a trace at batch 1 or at a prime one. ``work`` and ``bytes`` scale with
the batch; what depends on weights alone (a standardised weight, a table of relative positions) does
not, and is kept apart. Under mixed precision the flow of number formats is followed from operation
to operation as torch's autocast does it, casts included; under a compiler, what it keeps in
registers between joined operations is not moved (``fusion``). Views and queries cost nothing and
are left out. Equal operations of one model are joined with how often they occur. An operation of a
class that no fit has seen is listed as unknown, and stands as a convolution of its work, or as one
that moves as many bytes where it multiplies nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.classes import Traced
from gadprof.prediction.flow import Flow
from gadprof.prediction.fusion import fused_traffic
from gadprof.prediction.per_sample import per_sample
from gadprof.prediction.rows import COLUMNS, Row
from gadprof.prediction.way import Way

Floats = NDArray[np.float64]

# operation classes, in the order of a fit's tables; only ever append
CLASSES: tuple[str, ...] = (
    "conv1x1", "conv", "conv_grouped", "conv_depthwise", "conv_depthwise_large", "conv_transposed",
    "linear", "matmul", "attention", "rnn",
    "batch_norm", "layer_norm", "group_norm", "rms_norm",
    "activation", "activation_inplace", "gelu", "silu", "sigmoid", "add", "mul", "broadcast",
    "elementwise", "softmax", "reduction", "global_pool", "pool", "resize", "copy", "cat", "pad",
    "cast", "stem", "attention_masked", "copy_strided", "layer_norm_strided", "gather", "max_pool",
    "activation_hard", "attention_math", "matmul_single", "bias", "conv_depthwise_native",
    "conv_grouped_uneven", "optimiser",
)  # fmt: skip
# the classes whose work is multiply-adds
PRODUCTS = frozenset(
    (
        "conv1x1", "conv", "conv_grouped", "conv_depthwise", "conv_depthwise_large",
        "conv_transposed", "linear", "matmul", "attention", "rnn", "stem", "attention_masked",
        "attention_math", "matmul_single", "conv_depthwise_native", "conv_grouped_uneven",
    )
)  # fmt: skip


VIEW = -1  # in an order: a call that runs nothing on a device


@dataclass(frozen=True)
class ModelFeatures:
    """A model's operations: class indices (n,), columns (n, len(COLUMNS)) and counts (n,).

    ``order`` (calls,) is which row each call runs, one after another, VIEW where it runs none;
    ``unmeasured`` (n,) which rows are of a class outside CLASSES, whose names ``unknown`` has.
    """

    classes: NDArray[np.int64]
    columns: Floats
    counts: Floats
    unknown: tuple[str, ...]
    order: NDArray[np.int64]
    unmeasured: NDArray[np.bool_]

    def column(self, name: str) -> Floats:
        """One column by name, (n,)."""
        return self.columns[:, _COLUMN[name]]


def features_of(operations: Iterable[Any], way: Way, batch: int = 1) -> ModelFeatures:
    """The features of a forward trace at a ``batch`` of 1, or at a prime one."""
    places: dict[Row, int] = {}
    order: list[int] = []
    flow = Flow(way)
    listed: list[Any] = list(operations) if batch == 1 else list(per_sample(operations, batch))
    traffic = fused_traffic(listed) if way.compiled else None
    if way.train:
        order.append(places.setdefault(_optimiser(listed), 0))
    for index, operation in enumerate(listed):
        if operation.kind == "view":
            order.append(VIEW)
        for row in flow.rows(operation, None if traffic is None else traffic[index]):
            order.append(places.setdefault(row, len(places)))
    rows, ordered = list(places), np.array(order, dtype=np.int64)
    return ModelFeatures(
        np.array(
            [_INDEX.get(row.name, _WORKS if row.work else _MOVES) for row in rows], dtype=np.int64
        ),
        np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), len(COLUMNS)),
        np.bincount(ordered[ordered != VIEW], minlength=len(rows)).astype(np.float64),
        tuple(sorted({row.name for row in rows if row.name not in _INDEX})),
        ordered,
        np.array([row.name not in _INDEX for row in rows], dtype=bool),
    )


def _optimiser(operations: Sequence[Traced]) -> Row:
    """The step that moves the parameters: it reads and writes them all, whatever the batch."""
    parameters = {
        t.storage: prod(t.shape)
        for operation in operations
        for t in operation.inputs
        if t.shape is not None and t.storage < 0
    }
    return Row("optimiser", fixed_bytes=4 * sum(parameters.values()))


_COLUMN: Mapping[str, int] = {name: index for index, name in enumerate(COLUMNS)}
_INDEX: Mapping[str, int] = {name: index for index, name in enumerate(CLASSES)}
_MOVES, _WORKS = CLASSES.index("elementwise"), CLASSES.index("conv")
