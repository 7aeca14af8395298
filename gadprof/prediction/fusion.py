"""What a compiler keeps out of memory when it joins operations into one loop.

Promises one ``Traffic`` for each operation of a trace, from its data flow alone: an operation that
works element by element, or reduces, is joined with the one that made its input, so that what lies
between them is neither written nor read, unless another operation needs it later. Convolutions
and products are not joined. It refuses nothing; a trace without such pairs keeps all its traffic.
(The rule is that of TorchInductor's scheduler, simplified.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

JOINED_KINDS = frozenset(
    ("elementwise", "activation", "normalization", "softmax", "reduction", "cast", "copy",
     "concatenation", "resize", "pooling")
)  # fmt: skip
# computed where they are read, or too wide a window to be computed again
MADE_KINDS = JOINED_KINDS - {"resize", "pooling", "concatenation"}
FREE_KINDS = frozenset(("view", "query", "fill", "random"))


@dataclass(frozen=True)
class Traffic:
    """``kept`` are the storages that an operation need not read; ``written`` is its output."""

    kept: frozenset[int]
    written: bool


def fused_traffic(operations: Sequence[Any]) -> list[Traffic]:
    """The traffic of every operation, in the order of the trace."""
    maker: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    reads: list[dict[int, int]] = []
    for index, operation in enumerate(operations):
        found: dict[int, int] = {}
        if operation.kind not in FREE_KINDS:
            for storage in _storages(operation.inputs):
                if storage in maker:
                    found[storage] = maker[storage]
                    readers.setdefault(maker[storage], []).append(index)
            for storage in _storages(operation.outputs):
                maker[storage] = index
        reads.append(found)
    made = [operation.kind in MADE_KINDS for operation in operations]
    joined = [operation.kind in JOINED_KINDS for operation in operations]
    traffic = []
    for index in range(len(operations)):
        kept = frozenset(
            storage
            for storage, source in reads[index].items()
            if joined[index] and made[source] and readers[source][0] == index
        )
        users = readers.get(index, [])
        inside = made[index] and len(set(users)) == 1 and joined[users[0]]
        traffic.append(Traffic(kept, not inside))
    return traffic


def _storages(tensors: Iterable[Any]) -> set[int]:
    return {t.storage for t in tensors if t.shape is not None and t.storage >= 0}
