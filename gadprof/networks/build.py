"""Builds a plan as nn.Modules: the same channels that ``cost`` reads, with the papers' class names.

A block's module has the children and settings that its node names, and the node's ``forward`` as
its own; export, ``torch.compile`` and tracing follow it like any other Python.

Weights start as in the official HRNet code: convolutions normal with standard deviation 0.001,
batch normalisation 1 and 0; linear layers as torch starts them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from gadprof.errors import SourceError
from gadprof.networks import plan as p
from gadprof.networks.node import kind_of, methods_of
from gadprof.networks.spec import ModelSpec, plan_of
from gadprof.results.files import load_tensors


def build_spec(spec: ModelSpec) -> nn.Module:
    """Build the network of a spec on the current default device, in training mode."""
    module = build(plan_of(spec))
    if not all(parameter.is_meta for parameter in module.parameters()):
        initialise(module)  # what has no memory needs no weights
    return module


def initialise(module: nn.Module, *, std: float = 0.001) -> None:
    """Set starting weights as the official HRNet code does; draws from the global generator.

    Weights on the meta device have no values and stay as they are.
    """
    for part in module.modules():
        if any(weight.is_meta for weight in part.parameters(recurse=False)):
            continue
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def build(node: p.Node) -> nn.Module:
    """Build one node and everything below it; each place gets parameters of its own.

    Raises TypeError for a node without a forward.
    """
    if isinstance(node, p.Layer):
        return node.module()
    kind: Any = type(node)
    module = class_of(kind, kind_of(node))()
    for name, value in node.settings().items():
        setattr(module, name, value)
    for name, child in node.children().items():
        module.add_module(name, _child(child))
    node.started(module)
    return module


def _child(child: Any) -> nn.Module | None:
    if isinstance(child, tuple):
        return nn.ModuleList([_child(item) for item in child])  # type: ignore[misc]
    return None if child is None else build(child)


@cache
def class_of(kind: Any, name: str) -> type[nn.Module]:
    """The class, of that name, of the modules that nodes of a kind become."""
    methods = dict(methods_of(kind))
    if "forward" not in methods:
        raise TypeError(f"no forward for {kind.__name__}")
    if kind.base == "Sequential":
        if name == "Sequential":
            return nn.Sequential
        del methods["forward"]  # torch's own does the same
    said: dict[str, Any] = {"__doc__": kind.__doc__, "__module__": __name__}
    said["__reduce__"] = lambda self: (blank, (kind, name), self.__getstate__())
    return type(name, (getattr(nn, kind.base),), {**methods, **said})


def blank(kind: Any, name: str) -> nn.Module:
    """A module of a class that a copy or a pickle fills; its class cannot be found by name."""
    made = class_of(kind, name)
    return made.__new__(made)


class Several(nn.Module):
    """A module of a list of maps, called with the maps one by one; gives a tuple.

    Counters that name every input find them all under ``maps``.
    """

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, *maps: torch.Tensor, **named: tuple[torch.Tensor, ...]) -> Any:
        """Maps (N, C_i, H_i, W_i) to maps of the same shapes."""
        return tuple(self.unit(list(maps or named["maps"])))


def load_weights(module: nn.Module, path: str) -> nn.Module:
    """Load a checkpoint of tensors alone (``weights_only=True``) with ``strict=True``.

    Takes a plain state dict, or one under ``state_dict`` or ``model``, and names that start with
    ``module.``. Raises SourceError that names the first missing, unexpected or misshapen key.
    """
    import os

    if not os.path.isfile(path):
        raise SourceError(f"weights file {path!r} does not exist")
    try:
        loaded = load_tensors(path)
    except Exception as error:
        raise SourceError(
            f"weights file {path!r} cannot be read as a PyTorch checkpoint of tensors alone "
            f"({type(error).__name__})"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise SourceError(f"weights file {path!r} holds no state dict")
    if all(str(key).startswith("module.") for key in loaded):
        loaded = {str(key)[len("module.") :]: value for key, value in loaded.items()}
    _check_state(module, loaded, path)
    module.load_state_dict(loaded, strict=True)
    return module


def _check_state(module: nn.Module, loaded: dict[Any, Any], path: str) -> None:
    own = module.state_dict()
    missing = [key for key in own if key not in loaded]
    unexpected = [str(key) for key in loaded if key not in own]
    if missing or unexpected:
        parts = []
        if missing:
            parts.append(f"{len(missing)} missing keys, the first is {missing[0]!r}")
        if unexpected:
            parts.append(f"{len(unexpected)} unexpected keys, the first is {unexpected[0]!r}")
        raise SourceError(
            f"weights file {path!r} does not fit the model: {'; '.join(parts)}; "
            "name the model that the weights were trained with"
        )
    for key, value in own.items():
        if tuple(loaded[key].shape) != tuple(value.shape):
            raise SourceError(
                f"weights file {path!r} does not fit the model: {key!r} has shape "
                f"{tuple(loaded[key].shape)}, the model needs {tuple(value.shape)}; "
                "set the model's width and joints to the checkpoint's"
            )
