"""A model ready to run, and how far its outputs lie from another's.

Runs nothing by itself; outputs may be nested, tensors or arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prepared:
    """A model ready to run.

    ``run`` runs it once and returns its outputs; ``version`` names the runtime's version;
    ``notes`` are sentences that the reader should see beside the figures; ``deployed`` holds the
    fields of ``converted.Deployed`` where a file of a runtime is run.
    """

    run: Callable[[], Any]
    version: str
    notes: tuple[str, ...] = ()
    difference: float | None = None
    closers: tuple[Callable[[], None], ...] = field(default=())
    deployed: dict[str, Any] | None = None


def tensors(outputs: Any) -> list[Any]:
    """All tensors and arrays within nested outputs, in order."""
    if hasattr(outputs, "shape") and hasattr(outputs, "dtype"):
        return [outputs]
    if isinstance(outputs, dict):
        return [tensor for value in outputs.values() for tensor in tensors(value)]
    if isinstance(outputs, (list, tuple)):
        return [tensor for value in outputs for tensor in tensors(value)]
    if hasattr(outputs, "__dict__"):
        return [tensor for value in vars(outputs).values() for tensor in tensors(value)]
    return []


def largest_difference(expected: Any, actual: Any) -> float:
    """The largest absolute difference of two outputs over the largest expected value.

    Values that are not finite in ``expected`` are left out. Infinite when the outputs differ in
    number or shape, or where only ``actual`` is not finite.
    """
    import torch

    left = [torch.as_tensor(value).detach().float().cpu() for value in tensors(expected)]
    right = [torch.as_tensor(value).detach().float().cpu() for value in tensors(actual)]
    if len(left) != len(right) or any(a.shape != b.shape for a, b in zip(left, right, strict=True)):
        return float("inf")
    worst = 0.0
    for a, b in zip(left, right, strict=True):
        finite = a.isfinite()
        a, b = a[finite], b[finite]
        if a.numel() == 0:
            continue
        if not bool(b.isfinite().all()):
            return float("inf")
        scale = float(a.abs().max()) or 1.0
        worst = max(worst, float((a - b).abs().max()) / scale)
    return worst
