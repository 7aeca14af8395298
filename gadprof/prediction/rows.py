"""One row of what the latency model sees: an operation's class, work, bytes and shape.

Promises plain integers by name; every row that follows from an operation is one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple


class Row(NamedTuple):
    """One kernel, for one sample.

    ``work`` (MACs) and ``bytes`` grow with the batch, ``fixed_work`` and ``fixed_bytes`` do not.
    ``rows``, ``n`` and ``k`` are the sides of a product (rows a sample), ``m`` that of one matrix
    where several are multiplied, 0 else; ``kernel`` and ``stride`` are a window's. ``inner`` is the
    last side of the result, ``channels`` its second, ``elements`` its size a sample and ``largest``
    that of the largest tensor. ``strided`` is 1 where a permuted tensor is read, ``sliced`` where
    a part of one.
    """

    name: str
    work: int = 0
    bytes: int = 0
    fixed_work: int = 0
    fixed_bytes: int = 0
    rows: int = 0
    n: int = 0
    k: int = 1
    kernel: int = 1
    stride: int = 1
    inner: int = 1
    elements: int = 0
    channels: int = 1
    strided: int = 0
    sliced: int = 0
    m: int = 0
    largest: int = 0


COLUMNS: tuple[str, ...] = Row._fields[1:]


def moving(
    name: str, shape: Sequence[int], size: int, *, batched: bool, strided: bool = False
) -> Row:
    """A row that computes nothing and moves ``size`` bytes an element."""
    elements = prod(shape)
    inner = shape[-1] if len(shape) else 1
    return Row(
        name,
        bytes=elements * size if batched else 0,
        fixed_bytes=0 if batched else elements * size,
        n=inner,
        inner=inner,
        channels=inner,
        elements=elements if batched else 0,
        largest=elements if batched else 0,
        strided=int(strided),
    )


def product(name: str, batch: int, m: int, n: int, k: int, width: int, *, batched: bool) -> Row:
    """A batched matrix product of (m, k) by (k, n), numbers of ``width`` bytes."""
    work = batch * m * n * k
    moved = batch * (m * k + k * n + m * n) * width
    elements = batch * m * n if batched else 0
    return Row(
        name,
        work=work if batched else 0,
        bytes=moved if batched else 0,
        fixed_work=0 if batched else work,
        fixed_bytes=0 if batched else moved,
        rows=batch * m,
        n=n,
        k=k,
        inner=n,
        channels=n,
        elements=elements,
        largest=elements,
        m=m,
    )
