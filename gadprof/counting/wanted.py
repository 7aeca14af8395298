"""What a model seems to want to be called with, guessed after it has failed.

Promises one short clause that only states what the model itself declares: the arguments of its
forward, a configured image size, or what its first layer takes. Says nothing where what was given
fits that, for then the fault lies elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn


def wanted_input(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], error: BaseException
) -> str:
    """A clause such as ``it seems to want 3x224x224``, or ""."""
    called = getattr(type(module).forward, "__qualname__", "forward")
    if isinstance(error, TypeError) and f"{called}() " in str(error):
        names = [
            name
            for name, item in inspect.signature(module.forward).parameters.items()
            if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        ]
        return f"its forward takes {', '.join(names)}" if names else "its forward takes no input"
    given = [item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor)]
    if not given:
        return ""
    shape = tuple(given[0].shape[1:])
    weight = next((item for item in module.parameters() if item.is_floating_point()), None)
    if weight is not None and "type" in str(error):
        kinds = [str(item.dtype).removeprefix("torch.") for item in (weight, given[0])]
        if given[0].is_floating_point() and kinds[0] != kinds[1]:
            sizes = "x".join(map(str, shape))
            return f"its weights are {kinds[0]}: try --input {sizes}:{kinds[0]}"
    declared = _declared(module)
    if declared and declared != shape:
        return f"it seems to want {'x'.join(map(str, declared))}"
    return _first_layer(module, given[0], shape)


def _declared(module: nn.Module) -> tuple[int, ...]:
    """The input shape that a model states about itself, () where it states none."""
    config = getattr(module, "default_cfg", None)
    if isinstance(config, Mapping) and config.get("input_size"):
        return tuple(int(size) for size in config["input_size"])
    examples: Any = getattr(module, "example_input_shapes", None)
    if isinstance(examples, (tuple, list)) and examples:
        return tuple(int(size) for size in examples[0])
    size: Any = getattr(module, "image_size", None)
    if size is None:
        size = getattr(getattr(module, "config", None), "image_size", None)
    layer = next((item for item in module.modules() if isinstance(item, nn.Conv2d)), None)
    if layer is None or not isinstance(size, (int, tuple, list)):
        return ()
    height, width = (size, size) if isinstance(size, int) else size
    return (layer.in_channels, int(height), int(width))


def _first_layer(module: nn.Module, given: torch.Tensor, shape: tuple[int, ...]) -> str:
    """What the first layer with weights takes, where the input does not have it."""
    for path, layer in module.named_modules():
        name = f" ({path})" if path else ""
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            rank = len(layer.kernel_size)
            rest = shape[-rank:] if len(shape) >= rank else ()
            if len(shape) == rank + 1 and shape[0] == layer.in_channels:
                return ""
            sizes = "x".join(map(str, rest or ("N",) * rank))
            return (
                f"its first convolution{name} takes {layer.in_channels} channels: "
                f"try {layer.in_channels}x{sizes}"
            )
        if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
            kind = "attention" if isinstance(layer, nn.MultiheadAttention) else "recurrent layer"
            size = layer.embed_dim if kind == "attention" else layer.input_size
            if len(shape) == 2 and shape[-1] == size:
                return ""
            length = shape[-2] if len(shape) > 1 else 16
            return (
                f"its first {kind}{name} takes sequences of {size} features: "
                f"try --input {length}x{size}:float32"
            )
        if isinstance(layer, nn.Linear):
            if shape and shape[-1] == layer.in_features:
                return ""
            return f"its first linear layer{name} takes {layer.in_features} features"
        if isinstance(layer, nn.Embedding):
            if not given.is_floating_point():
                return ""
            return f"its first layer{name} looks up integers: try --input 128:int64"
    return ""
