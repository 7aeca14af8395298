"""What one operation costs, as every counting rule states it.

A rule is a function of an operation's arguments and outputs that sees shapes and types only. It
returns a ``Work`` with exact integers. Costs are of the textbook algorithm: the multiply-adds of
a convolution are those of the sliding window, padding included, whatever a library really runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

Rule = Callable[[Sequence[Any], Mapping[str, Any], Sequence[Any]], "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """The cost of one operation; ``bytes_read`` and ``bytes_written`` override the plain sums.

    The plain sum reads every tensor argument once and writes every output once.
    """

    kind: str
    macs: int = 0
    adds: int = 0
    multiplies: int = 0
    comparisons: int = 0
    transcendentals: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bytes_read: int | None = None
    bytes_written: int | None = None
    functional: str = ""


def argument(
    args: Sequence[Any], kwargs: Mapping[str, Any], index: int, name: str, default: Any = None
) -> Any:
    """An argument that may have come by position or by name."""
    if len(args) > index:
        return args[index]
    return kwargs.get(name, default)


def elements(tensor: Any) -> int:
    """The number of elements of a tensor, 0 for None."""
    return 0 if tensor is None else int(tensor.numel())


def is_floating(tensor: Any) -> bool:
    """Whether arithmetic on a tensor is floating-point arithmetic."""
    return bool(tensor.is_floating_point() or tensor.is_complex())


def listed(value: Any, count: int) -> tuple[int, ...]:
    """An int or a sequence as a tuple of ``count`` ints (torch repeats a single value)."""
    if isinstance(value, int):
        return (value,) * count
    values = tuple(int(item) for item in value)
    return values * count if len(values) == 1 else values


def window(size: Any, k: int, stride: int, padding: int, dilation: int = 1) -> Any:
    """How many places a sliding window of ``k`` has; a size may be an array of sizes."""
    return (size + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def leading(shape: Sequence[int], trailing: int) -> int:
    """The product of all sizes but the last ``trailing``."""
    return prod(shape[: len(shape) - trailing])


def told(rule: Rule, formula: str, source: str = "") -> Rule:
    """A rule that says its formula in one line, and where it is from; both are shown to people."""

    def counted(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        return rule(args, kwargs, outs)

    counted.formula, counted.source = formula, source  # type: ignore[attr-defined]
    return counted


def uncounted(**attributes: Any) -> Work:
    """The work of an operation whose cost is not known: it is listed, not taken for zero."""
    return Work("unknown", attributes=attributes)
