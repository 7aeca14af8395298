"""``thop.profile``, of either distribution that owns the module ``thop``."""

from __future__ import annotations

from typing import Any

from torch import nn

from gadprof.audit.backends import Reported
from gadprof.audit.backends.positional import positional


def measure(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reported:
    """thop's MACs, and the module types for which it has no rule."""
    from thop import profile

    positional_inputs = positional(module, args, kwargs, "thop")
    total, params = profile(module, inputs=positional_inputs, verbose=False)
    return Reported(
        int(total) if float(total).is_integer() else float(total),
        int(params),
        _without_rule(module),
    )


def _without_rule(module: nn.Module) -> tuple[tuple[str, int], ...]:
    from thop.profile import register_hooks

    missing: dict[str, int] = {}
    for child in module.modules():
        if not any(True for _ in child.children()) and not any(
            kind in register_hooks for kind in type(child).__mro__
        ):
            missing[type(child).__name__] = missing.get(type(child).__name__, 0) + 1
    return tuple(sorted(missing.items()))
