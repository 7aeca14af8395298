"""What a model seems to want to be called with, guessed after it has failed.

Promises one short clause that only states what the model itself declares (the arguments of its
forward, a configured image size, what its first layer takes), and an input to try only where the
model has just run with it. Says nothing where what was given fits that, for then the fault lies
elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Runs = Callable[[tuple[Any, ...], dict[str, Any]], bool]


@dataclass(frozen=True)
class Guess:
    """Words about the model, and the input that may suit it: sizes without batch, and its type."""

    words: str
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def text(self) -> str:
        """The input as it is typed after ``--input``."""
        sizes = "x".join(map(str, self.shape))
        return f"{sizes}:{self.dtype}" if self.dtype else sizes


def wanted_input(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    error: BaseException,
    runs: Runs = lambda args, kwargs: False,
) -> str:
    """A clause such as ``its first convolution takes 3 channels: try 3x224x224``, or "".

    ``runs`` says whether the model runs with other arguments; nothing is suggested that does not.
    """
    called = getattr(type(module).forward, "__qualname__", "forward")
    if isinstance(error, TypeError) and f"{called}() " in str(error):
        names = [
            name
            for name, item in inspect.signature(module.forward).parameters.items()
            if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        ]
        return f"its forward takes {', '.join(names)}" if names else "its forward takes no input"
    place = _first_tensor(args, kwargs)
    if place is None:
        return ""
    key, given = place
    said = ""
    for guess in _guesses(module, given, error):
        said = said or guess.words
        if guess.shape and runs(*_with(args, kwargs, key, _like(guess, given))):
            name = f"{key}=" if isinstance(key, str) else ""
            typed = "--input " if name or guess.dtype else ""
            return f"{guess.words}{guess.words and ': '}try {typed}{name}{guess.text}"
    return said


def _first_tensor(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[int | str, torch.Tensor] | None:
    places: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for key, item in places:
        if isinstance(item, torch.Tensor) and item.dim():
            return key, item
    return None


def _with(
    args: Sequence[Any], kwargs: Mapping[str, Any], key: int | str, value: torch.Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(key, str):
        return tuple(args), {**kwargs, key: value}
    return tuple(value if index == key else item for index, item in enumerate(args)), dict(kwargs)


def _like(guess: Guess, given: torch.Tensor) -> torch.Tensor:
    dtype = getattr(torch, guess.dtype) if guess.dtype else None
    return torch.empty((given.shape[0], *guess.shape), dtype=dtype, device="meta")


def _guesses(module: nn.Module, given: torch.Tensor, error: BaseException) -> Iterator[Guess]:
    """What may suit, the likeliest first; those without words are common inputs."""
    shape = tuple(given.shape[1:])
    weight = next((item for item in module.parameters() if item.is_floating_point()), None)
    kind = str(given.dtype).removeprefix("torch.")
    if weight is not None and "type" in str(error) and given.is_floating_point():
        own = str(weight.dtype).removeprefix("torch.")
        if own != kind:
            yield Guess(f"its weights are {own}", shape, own)
            return
    declared = _declared(module)
    if declared and declared != shape:
        yield Guess(f"it seems to want {'x'.join(map(str, declared))}", declared)
    first = _first_layer(module, given, shape)
    if first is not None:
        yield first
    if len(shape) == 2:  # a picture whose channels were left out
        yield Guess("", (3, *shape))
    yield Guess("", (3, 224, 224))
    yield Guess("", (128,), "int64")


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


def _first_layer(module: nn.Module, given: torch.Tensor, shape: tuple[int, ...]) -> Guess | None:
    """What the first layer with weights takes, where the input does not have it."""
    for path, layer in module.named_modules():
        name = f" ({path})" if path else ""
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            rank = len(layer.kernel_size)
            rest = shape[-rank:] if len(shape) >= rank else (224,) * rank
            if len(shape) == rank + 1 and shape[0] == layer.in_channels:
                return None
            words = f"its first convolution{name} takes {layer.in_channels} channels"
            return Guess(words, (layer.in_channels, *rest))
        if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
            kind = "attention" if isinstance(layer, nn.MultiheadAttention) else "recurrent layer"
            size: Any = layer.embed_dim if kind == "attention" else layer.input_size
            if len(shape) == 2 and shape[-1] == size:
                return None
            length = shape[-2] if len(shape) > 1 else 16
            words = f"its first {kind}{name} takes sequences of {size} features"
            return Guess(words, (length, int(size)), "float32")
        if isinstance(layer, nn.Linear):
            if shape and shape[-1] == layer.in_features:
                return None
            words = f"its first linear layer{name} takes {layer.in_features} features"
            return Guess(words, (*shape[:-1], layer.in_features))
        if isinstance(layer, nn.Embedding):
            if not given.is_floating_point():
                return None
            return Guess(f"its first layer{name} looks up integers", (128,), "int64")
    return None
