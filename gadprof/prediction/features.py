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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.classes import Traced
from gadprof.prediction.flow import Flow
from gadprof.prediction.fusion import fused_traffic

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
    "conv_grouped_uneven",
)  # fmt: skip

COLUMNS = (
    "work", "bytes", "fixed_work", "fixed_bytes", "rows", "n", "k", "kernel", "stride", "inner",
    "aligned_n", "aligned_k", "elements", "channels", "strided", "sliced", "m",
    "largest",
)  # fmt: skip


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
    wide_attention: bool = False,
) -> ModelFeatures:
    """The features of a batch-1 forward trace.

    ``amp`` is under autocast, else in single precision; ``compiled`` as a compiler joins;
    ``channels_last`` with the pixels' channels side by side in memory, from the input on;
    ``wide_attention`` where attention without a fused kernel is computed in single precision.
    """
    joined: dict[tuple[Any, ...], int] = {}
    unknown: set[str] = set()
    flow = Flow(
        amp=amp, compiled=compiled, channels_last=channels_last, wide_attention=wide_attention
    )
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
