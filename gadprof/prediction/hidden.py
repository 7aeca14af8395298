"""Feature rows of the work that a trace does not show: casts, copies, biases, unfused attention.

Promises rows from shapes alone. A row's bytes are counted once read and once written. Which of
them an operation causes is decided in ``flow``.
"""

from __future__ import annotations

from typing import Any

from gadprof.prediction.rows import Row, moving, product


def unfused_attention(
    attributes: Any, *, half: bool, wide: bool, permuted: bool, batched: bool
) -> list[Row]:
    """What an attention without a fused kernel runs: two products, a softmax, and their scaling.

    ``half`` is whether it is given half precision, ``wide`` whether it computes in single
    precision then too, as torch does from 2.5 on.
    """
    a = attributes
    heads = int(a["batch"]) * int(a["heads"])
    q, k, d = int(a["queries"]), int(a["keys"]), int(a["head_size"])
    v = int(a.get("value_size", d))
    given = 2 if half else 4
    width = 4 if wide or not half else given
    rows = []
    if width != given:
        for shape in ((heads, q, d), (heads, k, d), (heads, k, v)):
            rows.append(moving("cast", shape, given + width, batched=batched))
    for shape in ((heads, q, d), (heads, k, d)):
        rows.append(moving("mul", shape, 2 * width, batched=batched))
    if permuted:
        for shape in ((heads, q, d), (heads, k, d), (heads, k, v)):
            rows.append(moving("copy_strided", shape, 2 * width, batched=batched, strided=True))
    name = "matmul" if width == given else "matmul_single"
    rows.append(product(name, heads, q, k, d, width, batched=batched))
    if a.get("mask"):
        rows.append(moving("add", (heads, q, k), 3 * width, batched=batched))
    rows.append(moving("softmax", (heads, q, k), 2 * width, batched=batched))
    if wide:  # compare, look for a row without a finite score, select
        rows.append(moving("elementwise", (heads, q, k), width + 1, batched=batched))
        rows.append(moving("reduction", (heads, q, k), 1, batched=batched))
        rows.append(moving("elementwise", (heads, q, k), 2 * width, batched=batched))
    rows.append(product(name, heads, q, v, k, width, batched=batched))
    if width != given:
        rows.append(moving("cast", (heads, q, v), given + width, batched=batched))
    return rows
