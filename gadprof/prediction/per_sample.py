"""A trace of a prime batch, read a sample at a time.

Promises each tensor's shape without the batch, and whether it has one: a side that the prime
divides. A trace at batch 1 cannot tell a copy of something expanded over the batch from nothing;
one at a prime can, since no other side is a multiple of it. What has no batch stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PRIME_BATCH = 251


@dataclass(frozen=True, slots=True)
class SampleTensor:
    """A tensor's shape for one sample; ``batched`` is whether it has one for each."""

    shape: tuple[int, ...]
    storage: int
    batched: bool


@dataclass(frozen=True, slots=True)
class SampleOperation:
    """What the latency model reads of an operation, for one sample."""

    name: str
    kind: str
    functional: str
    module_type: str
    macs: int
    inputs: tuple[SampleTensor, ...]
    outputs: tuple[SampleTensor, ...]
    attributes: Mapping[str, Any]


def per_sample(operations: Iterable[Any], batch: int) -> list[SampleOperation]:
    """The operations of a trace at a prime ``batch``, each for one sample."""
    return [_sample(operation, batch) for operation in operations]


def _sample(operation: Any, batch: int) -> SampleOperation:
    outputs = tuple(_tensor(t, batch) for t in operation.outputs)
    batched = any(t.batched for t in outputs)
    return SampleOperation(
        operation.name,
        operation.kind,
        operation.functional,
        operation.module_type,
        operation.macs // batch if batched else operation.macs,
        tuple(_tensor(t, batch) for t in operation.inputs if t.shape is not None),
        outputs,
        _attributes(operation.attributes, batch) if batched else operation.attributes,
    )


def _tensor(t: Any, batch: int) -> SampleTensor:
    shape = tuple(t.shape)
    place = next((i for i, side in enumerate(shape) if side and side % batch == 0), None)
    if place is None:
        return SampleTensor(shape, t.storage, False)
    return SampleTensor(
        (*shape[:place], shape[place] // batch, *shape[place + 1 :]), t.storage, True
    )


def _attributes(given: Mapping[str, Any], batch: int) -> Mapping[str, Any]:
    for name in ("batch", "heads", "m", "n", "k"):
        value = given.get(name)
        if isinstance(value, int) and value and value % batch == 0:
            return {**given, name: value // batch}
    return given
