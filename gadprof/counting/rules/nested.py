"""What an operation on a strided nested tensor costs: the sum over its parts, each of its own size.

Every part goes to the plain rule as a batch of one. An operation whose rule does not fit parts is
listed, never counted as if the parts were of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gadprof.counting.rules.work import Rule, Work, uncounted


def in_parts(tensor: Any) -> bool:
    """Whether a tensor holds parts of different sizes and has none itself."""
    return bool(tensor.is_nested) and str(tensor.layout) == "torch.strided"


def nested_work(
    rule: Rule | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    outs: Sequence[Any],
    mapped: Callable[[Any, Callable[[Any], Any]], Any],
) -> Work:
    """The sum of a rule's answers for each part; ``mapped`` changes the tensors of a structure."""
    if rule is None:
        return uncounted()
    lengths: list[int] = []

    def noted(tensor: Any) -> Any:
        if in_parts(tensor):
            lengths.append(int(tensor.size(0)))
        return tensor

    mapped([list(args), dict(kwargs), list(outs)], noted)
    works = []
    try:
        for index in range(lengths[0]):

            def part(tensor: Any, index: int = index) -> Any:
                return tensor.unbind()[index].unsqueeze(0) if in_parts(tensor) else tensor

            works.append(rule(mapped(list(args), part), mapped(dict(kwargs), part),
                              mapped(list(outs), part)))  # fmt: skip
    except (RuntimeError, IndexError, TypeError, ValueError):
        return uncounted()
    if not works:
        return uncounted()
    return replace(
        works[0],
        macs=sum(work.macs for work in works),
        adds=sum(work.adds for work in works),
        multiplies=sum(work.multiplies for work in works),
        comparisons=sum(work.comparisons for work in works),
        transcendentals=sum(work.transcendentals for work in works),
    )
