"""Our own counter as a backend among the others: the aten trace on the meta device."""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """Multiply-accumulates of convolutions and matrix products, from the trace."""
    from gadprof.counting.count import count

    trace = count(module, args, kwargs)
    return Reported(trace.macs, trace.params, tuple(sorted(trace.uncovered.items())))
