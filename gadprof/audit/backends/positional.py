"""How inputs are handed to counters that take positional inputs only."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from gadprof.errors import GadprofError


def positional(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], tool: str
) -> tuple[Any, ...]:
    """The inputs in the order of ``forward``; gaps are filled with their defaults.

    Raises GadprofError where a keyword input has no place in that order.
    """
    if not kwargs:
        return args
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise GadprofError(f"{tool} takes positional inputs only, and {error}") from error
    bound.apply_defaults()
    values: list[Any] = []
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            values.extend(bound.arguments[name])
        elif parameter.kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            values.append(bound.arguments[name])
        elif name in kwargs:
            raise GadprofError(f"{tool} takes positional inputs only; {name!r} is a keyword input")
    while values and values[-1] is None:
        values.pop()
    return tuple(values)


def named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The inputs by the names of ``forward``'s parameters."""
    return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
