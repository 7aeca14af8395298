"""fvcore's ``FlopCountAnalysis``, as its documentation runs it (gradients enabled, eval mode)."""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.positional import positional


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """Total of fvcore's flops, one a multiply-add, with the operations it reports unsupported."""
    from fvcore.nn import FlopCountAnalysis, parameter_count

    analysis = FlopCountAnalysis(module, positional(module, args, kwargs, "fvcore"))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    total = analysis.total()
    uncovered = tuple(sorted((str(k), int(v)) for k, v in analysis.unsupported_ops().items()))
    return Reported(_whole(total), int(parameter_count(module)[""]), uncovered)


def _whole(total: Any) -> int | float:
    return int(total) if float(total).is_integer() else float(total)
