"""Values and modules as records: shapes in place of tensors, plain settings in place of objects."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gadprof.audit.views.records import ModuleInfo, Shape


def describe(value: Any) -> Any:
    """A value with shapes in place of tensors; what is neither plain nor a tensor becomes None."""
    if isinstance(value, torch.Tensor):
        return Shape(tuple(int(size) for size in value.shape))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return tuple(describe(item) for item in value)
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    return None


def describe_module(module: nn.Module, path: str, paths: dict[nn.Module, str]) -> ModuleInfo:
    settings = {
        name: describe(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and is_plain(value)
    }
    settings["bias_present"] = getattr(module, "bias", None) is not None
    own = {
        name: tuple(value.shape) for name, value in module._parameters.items() if value is not None
    }
    for name in ("weight", "bias"):  # one that is computed from others, as weight norms do
        if name not in own and isinstance(getattr(module, name, None), torch.Tensor):
            own[name] = tuple(getattr(module, name).shape)
    return ModuleInfo(
        path=path,
        types=tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__),
        settings=settings,
        children=tuple(paths[child] for child in module.children()),
        own=own,
        parameters=tuple((name, tuple(value.shape)) for name, value in module.named_parameters()),
        training=module.training,
    )


def is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
