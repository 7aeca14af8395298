"""What a model does to its own parameters alone, answered by stand-ins as the rest is.

A token that is expanded, a table of positions that is indexed, a filter that is normalised: no
stand-in is among the arguments, so that torch would really run them. While the mode is active they
go to the engine, as does a tensor that is made on the meta device. Everything else passes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gadprof.counting.trace.replay import Replayer
from gadprof.counting.trace.stand_in import META, METHODS, StandIn
from gadprof.counting.trace.trees import tensors_in

_NAMES = METHODS | {"__getitem__", "__rsub__", "__rtruediv__", "__rpow__", "cat", "stack"}
_FACTORIES = frozenset((torch.zeros, torch.ones, torch.empty, torch.full, torch.arange))


class OwnTensors(TorchFunctionMode):
    """Answers functions of torch on parameters and buffers alone by the engine of a run."""

    def __init__(self, engine: Replayer) -> None:
        super().__init__()
        self.engine = engine

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        engine, kwargs = self.engine, kwargs or {}
        if engine.recording or engine.preparing:
            return func(*args, **kwargs)
        if StandIn in types:
            return engine.call(func, args, kwargs)
        if getattr(func, "__name__", "") in _NAMES:
            given = tensors_in((args, kwargs))
            if given and all(id(tensor) in engine.numbers for tensor in given):
                return engine.call(func, args, kwargs)
        elif func in _FACTORIES and torch.device(kwargs.get("device") or "cpu") == META:
            return engine.call(func, args, kwargs)
        return func(*args, **kwargs)
