"""A model's own tensors, replaced by others for the counting thread, without touching the model.

While the mode is active, every function of torch that is given a parameter or a buffer of the model
is given its substitute instead: a meta tensor, or a private copy that a real run may write to. The
modules keep what they hold, so that another thread may run the same model meanwhile. What no
function of torch is asked (an address, ``numpy()``) is the original's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Substitutes(TorchFunctionMode):
    """Gives functions of torch the substitutes of the tensors in ``twins``, by identity."""

    def __init__(self, twins: Mapping[int, Any]) -> None:
        super().__init__()
        self.twins = twins

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        args = self._all(args)
        return func(*args, **{key: self._one(value) for key, value in kwargs.items()}) if (
            kwargs
        ) else func(*args)  # fmt: skip

    def _all(self, values: Any) -> tuple[Any, ...]:
        return tuple([self._one(value) for value in values])

    def _one(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.twins.get(id(value), value)
        kind = type(value)
        if kind is list or kind is tuple:
            return kind([self._one(item) for item in value])
        if kind is dict:
            return {key: self._one(item) for key, item in value.items()}
        return value
