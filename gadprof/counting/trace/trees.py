"""Tensors within the values that a model takes and returns: found, or replaced.

Plain tuples, lists and dicts are walked at once; named tuples, data classes and whatever is
registered with torch's pytree (its own structures, model outputs) as well. What else a value may
be is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def tensors_in(values: Any) -> list[torch.Tensor]:
    """All tensors in a structure, in order."""
    found: list[torch.Tensor] = []
    _collect(values, found)
    return found


def _collect(value: Any, found: list[torch.Tensor]) -> None:
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for item in vars(value).values():
            _collect(item, found)
    elif type(value).__module__ != "builtins" and _registered(value):
        for item in _leaves(value):
            _collect(item, found)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with ``change(tensor)`` in the place of every tensor."""
    if isinstance(value, torch.Tensor):
        return change(value)
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([mapped(item, change) for item in value])
    if kind is dict:
        return {key: mapped(item, change) for key, item in value.items()}
    if kind.__module__ == "builtins" or kind is torch.Size:
        return value
    if isinstance(value, tuple):  # a named one takes its fields apart
        items = [mapped(item, change) for item in value]
        return kind(*items) if hasattr(value, "_fields") else tuple(items)
    if _registered(value):
        from torch.utils._pytree import tree_map

        return tree_map(lambda leaf: mapped(leaf, change), value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        held = {key: mapped(item, change) for key, item in vars(value).items()}
        if all(held[key] is item for key, item in vars(value).items()):
            return value
        made = object.__new__(kind)
        vars(made).update(held)
        return made
    if isinstance(value, dict):
        made = value.copy()
        dict.update(made, {key: mapped(item, change) for key, item in value.items()})
        return made
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return value


def once(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``change``, which answers the same object again for one that it met before."""
    met: dict[int, tuple[Any, Any]] = {}

    def changed(value: Any) -> Any:
        if id(value) not in met:
            met[id(value)] = (value, change(value))
        return met[id(value)][1]

    return changed


def _registered(value: Any) -> bool:
    from torch.utils._pytree import SUPPORTED_NODES

    return type(value) in SUPPORTED_NODES


def _leaves(value: Any) -> list[Any]:
    from torch.utils._pytree import tree_leaves

    return list(tree_leaves(value))
