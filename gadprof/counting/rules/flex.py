"""The rule of torch's flexible attention: the blocks of its mask that are computed.

A block that the mask leaves out costs nothing; one that it cuts is computed whole, as the kernels
do. The score function costs what its operations cost a computed score; the mask function is
integer arithmetic. Where the blocks are not known (on meta) the full square is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.rules import elementwise, movement
from gadprof.counting.rules.work import Rule, Work, leading, told

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

# what a score function may do: it sees one score and its place
_OF_ELEMENTS = {**elementwise.RULES, **movement.RULES}


def computed_scores(query: Any, key: Any, mask: Sequence[Any]) -> int:
    """Scores in the blocks that are computed, over the batch and the heads of the query."""
    import torch

    rows, columns = int(query.shape[-2]), int(key.shape[-2])
    every = leading(query.shape, 1) * columns
    # lengths, then counts and places of the blocks that are cut and of those that are full, …
    tensors = [item for item in mask[2:6] if item is not None]
    if len(tensors) < 2 or any(item.is_meta for item in tensors):
        return every
    height, width = int(mask[-3]), int(mask[-2])
    starts = torch.arange(tensors[0].shape[-1])
    heights = (rows - starts * height).clamp(0, height)
    total = torch.zeros((), dtype=torch.long)
    for counts, places in zip(tensors[::2], tensors[1::2], strict=True):
        kept = torch.arange(places.shape[-1]) < counts[..., None]
        widths = (columns - places.long() * width).clamp(0, width) * kept
        total = total + (widths.sum(-1) * heights).sum()
    repeats = leading(query.shape, 2) // max(1, leading(tensors[0].shape, 1))
    return int(total) * repeats


def _of_function(function: Any, buffers: Sequence[Any]) -> tuple[int, int, int, int] | None:
    """Additions, multiplications, comparisons and transcendentals of a score function a score."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    found = [0, 0, 0, 0]
    known = True

    class Costs(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            nonlocal known
            result = func(*args, **(kwargs or {}))
            rule = _OF_ELEMENTS.get(str(func._schema.name).replace("::", ".").rstrip("_"))
            if rule is None:
                known = False
                return result
            outs = result if isinstance(result, (tuple, list)) else [result]
            work = rule(args, kwargs or {}, outs)
            amounts = (work.adds, work.multiplies, work.comparisons, work.transcendentals)
            for place, amount in enumerate(amounts):
                found[place] += amount
            return result

    index = torch.zeros((), dtype=torch.int32)
    try:
        with Costs():  # type: ignore[no-untyped-call]
            function(torch.zeros(()), index, index, index, index, *buffers)
    except Exception:
        return None
    return (found[0], found[1], found[2], found[3]) if known else None


def _flex(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """query, key, value, score_mod, block_mask, scale, options, score_mod's buffers, …."""
    query, key, value, function, mask = args[:5]
    buffers = args[7] if len(args) > 7 else ()
    scores = computed_scores(query, key, mask)
    cost = _of_function(function, buffers)
    if cost is None:
        return Work("unknown")
    head_size, value_size = int(query.shape[-1]), int(value.shape[-1])
    return Work(
        "attention",
        macs=scores * (head_size + value_size),
        adds=scores * (2 + cost[0]),
        multiplies=scores * (2 + cost[1]),
        comparisons=scores * (1 + cost[2]),
        transcendentals=scores * (1 + cost[3]),
        attributes={
            "batch": int(query.shape[0]),
            "heads": int(query.shape[1]),
            "queries": int(query.shape[-2]),
            "keys": int(key.shape[-2]),
            "head_size": head_size,
            "value_size": value_size,
            "qk_macs": scores * head_size,
            "av_macs": scores * value_size,
            "mask": scores < leading(query.shape, 1) * int(key.shape[-2]),
            "causal": False,
        },
        functional="flex_attention",
    )


RULES: dict[str, Rule] = {
    "higher_order.flex_attention": told(
        _flex,
        "computed scores x (head size + value size), blocks that the mask cuts whole",
        "Dong et al., FlexAttention, 2024",
    ),
}
