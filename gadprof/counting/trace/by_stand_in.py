"""A forward pass of known code on stand-ins: the trace in a fraction of the dispatcher's time.

``forward`` runs a model's own ``forward`` methods and promises the very events that the dispatcher
would have recorded, or raises RefusedError; modules of the types in ``LOCKED`` are as before
afterwards. Only code of torch.nn, gadprof, timm and torchvision is run so; hooks, patched methods,
active modes and whatever a stand-in cannot answer are refused. An operation that reaches the
dispatcher behind the stand-ins' back is seen there and refused too.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_file

from gadprof.counting.trace.layers import HANDLERS, Layers
from gadprof.counting.trace.lifetimes import Level
from gadprof.counting.trace.locked_layers import locked
from gadprof.counting.trace.modules import Inventory
from gadprof.counting.trace.own_tensors import OwnTensors
from gadprof.counting.trace.patches import beneath, seen_here
from gadprof.counting.trace.recorder import Recorder
from gadprof.counting.trace.replay import Tripwire
from gadprof.counting.trace.stand_in import RefusedError, StandIn

KNOWN_PACKAGES = frozenset(("gadprof", "timm", "torchvision"))
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# what a run on stand-ins refuses to see changed, so that nobody need remember it
LOCKED = frozenset((*HANDLERS, *CONTAINERS))
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")


def forward(
    module: nn.Module,
    inventory: Inventory,
    recorder: Recorder,
    numbers: Mapping[int, int],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run a model on stand-ins for its inputs; the recorder then holds the events.

    ``numbers`` are the storage numbers of parameters and buffers by identity. Returns the output
    with stand-ins in it. Raises RefusedError, and what the model raises.
    """
    _check(inventory)
    level = Level(recorder.live, recorder.peak, recorder._next)
    mode = Tripwire(recorder, quick=True)
    engine = mode.engine = Layers(recorder, mode, level)
    engine.numbers = dict(numbers)
    given = _stand_ins(engine, args)
    named = _stand_ins(engine, kwargs)
    frames, places = inventory.frames, inventory.places
    original = beneath(nn.Module, "__call__")
    handlers = HANDLERS
    leaves = {kind for kind in {type(item) for item in inventory.modules} if _is_layer(kind)}

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        frame = frames.get(id(self))
        if frame is None:
            if engine.recording:
                return original(self, *args, **kwargs)
            raise engine.refuse(f"{type(self).__name__}, which the model does not hold")
        if engine.recording:
            raise engine.refuse("a module called inside a leaf")
        if places and id(self) in places:
            frame = places[id(self)].get(recorder.frame.path, frame)
        at = frame.calls
        frame.calls = at + 1
        kind = type(self)
        if kind in leaves:
            handler = handlers.get(kind)
            if handler is not None and not kwargs and len(args) == 1 and type(args[0]) is StandIn:
                output = handler(engine, self, frame, at, args[0])
            else:
                output = engine.leaf(self, frame, at, args, kwargs)
        else:
            outer, outer_call = recorder.frame, recorder.call
            recorder.frame, recorder.call = frame, at
            try:
                if kind is nn.Sequential and len(args) == 1 and not kwargs:
                    (output,) = args
                    for child in self.__dict__["_modules"].values():
                        output = call(child, output)
                else:
                    output = self.forward(*args, **kwargs)
            finally:
                recorder.frame, recorder.call = outer, outer_call
        if kwargs or len(args) != 1 or type(args[0]) is not StandIn:
            frame.input_shapes.append(_shapes((args, kwargs)))
        else:
            frame.input_shapes.append(args[0].spec.shapes)
        frame.output_shapes.append(
            output.spec.shapes if type(output) is StandIn else _shapes(output)
        )
        return output

    doors = {"__call__": call, **locked(frames, LOCKED, engine.refuse)}
    with seen_here(nn.Module, doors), mode, _own_tensors(engine, inventory, leaves):
        output = call(module, *given, **named)
    if engine.refused:
        raise RefusedError(engine.refused)
    recorder.peak, recorder._next = level.peak, level.next
    return output


def _own_tensors(
    engine: Layers, inventory: Inventory, leaves: set[type]
) -> contextlib.AbstractContextManager[Any]:
    """What answers work on parameters alone, for models with some outside the layers of torch.nn.

    It is asked at every function of torch, reading a weight's shape included, so that others go
    without.
    """
    for module in inventory.modules:
        state = module.__dict__
        if type(module) not in leaves and (state["_parameters"] or state["_buffers"]):
            return OwnTensors(engine)
    return contextlib.nullcontext()


def _check(inventory: Inventory) -> None:
    """Refuse a model with code that is not known to be safe on stand-ins."""
    if any(getattr(module_file, name) for name in _GLOBAL_HOOKS):
        raise RefusedError("global hooks")
    if torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        raise RefusedError("an active mode")
    if torch.is_autocast_enabled() or torch.is_autocast_enabled("cpu"):
        raise RefusedError("autocast")
    for kind in {type(module) for module in inventory.modules}:
        _check_type(kind)
    for module in inventory.modules:
        state = module.__dict__
        if (
            state["_forward_hooks"]
            or state["_forward_pre_hooks"]
            or state.get("_compiled_call_impl") is not None
            or "forward" in state
            or (state["_modules"] and _is_layer(type(module)))
        ):
            raise RefusedError("hooks or a patched forward")


def _check_type(kind: type[nn.Module]) -> None:
    if kind.__call__ is not nn.Module.__call__:
        raise RefusedError(f"{kind.__name__} has its own __call__")
    if kind in CONTAINERS or _is_layer(kind):
        home = sys.modules.get(kind.__module__)
        code = getattr(kind.forward, "__code__", None)
        if (
            code is None
            or home is None
            or (kind.forward is not nn.Module.forward and code.co_filename != _file_of(kind))
        ):
            raise RefusedError(f"{kind.__name__}.forward is not torch's own")
    elif kind.__module__.partition(".")[0] not in KNOWN_PACKAGES:
        raise RefusedError(f"code of {kind.__module__}")


def _file_of(kind: type[nn.Module]) -> str:
    for base in kind.__mro__:
        if "forward" in vars(base):
            return str(getattr(sys.modules[base.__module__], "__file__", ""))
    return ""


def _is_layer(kind: type[nn.Module]) -> bool:
    """Whether a type is one of torch.nn that holds no module of its own."""
    return (
        kind.__module__.startswith("torch.nn.modules.")
        and kind not in CONTAINERS
        and kind.__module__ not in ("torch.nn.modules.activation", "torch.nn.modules.transformer")
    ) or (kind.__module__ == "torch.nn.modules.activation" and kind is not nn.MultiheadAttention)


def _stand_ins(engine: Layers, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            raise RefusedError("an input that requires a gradient")
        return engine.stand_in(value)
    if type(value) in (tuple, list):
        return type(value)([_stand_ins(engine, item) for item in value])
    if type(value) is dict:
        return {name: _stand_ins(engine, item) for name, item in value.items()}
    return value


def _shapes(value: Any) -> tuple[Any, ...]:
    found: list[Any] = []
    _collect(value, found)
    return tuple(found)


def _collect(value: Any, found: list[Any]) -> None:
    if type(value) is StandIn:
        found.extend(value.spec.shapes)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, torch.Tensor):
        found.append(tuple(value.shape))
    elif hasattr(value, "__dataclass_fields__"):
        _collect(list(vars(value).values()), found)
