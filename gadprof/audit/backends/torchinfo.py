"""torchinfo's total of mult-adds: each leaf module's parameters times what its output suggests."""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.positional import named


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """Mult-adds of leaf modules; what happens outside leaf modules is not seen at all."""
    from torchinfo import summary
    from torchinfo.torchinfo import clear_cached_forward_pass

    try:
        data = named(module, args, kwargs) if kwargs else list(args)
        result = summary(module, input_data=data, verbose=0)
    finally:
        clear_cached_forward_pass()  # it would keep the whole model alive
    return Reported(int(result.total_mult_adds), int(result.total_params))
