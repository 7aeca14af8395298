"""Which module is running: attribution to paths, and a model left as it was found.

``observed`` gives every module of a model a frame, follows calls by replacing
``torch.nn.Module.__call__`` while the block runs (on this thread only), swaps parameters and
buffers for meta stand-ins, and puts everything back, also after an exception: parameters,
buffers, attributes, hooks, training flags, the ``__call__`` itself and the random states.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from operator import is_
from threading import get_ident
from typing import Any

import torch
from torch import nn

from gadprof.audit.backends.restore import default_algorithms
from gadprof.counting.trace.dispatch import META, tensors_in
from gadprof.counting.trace.recorder import Frame, Recorder
from gadprof.errors import ModelFailedError


@dataclass(frozen=True)
class Inventory:
    """What a model owns, found in one walk: frames by module identity, and its tensors.

    ``parameters`` and ``buffers`` hold each distinct tensor once with its first path;
    ``owners`` maps a module's identity to the element count of the parameters it owns first.
    """

    frames: dict[int, Frame]
    modules: list[nn.Module]
    parameters: list[tuple[str, torch.Tensor]]
    buffers: list[tuple[str, torch.Tensor]]
    owned: dict[int, int]
    aliases: dict[int, list[str]] = field(default_factory=dict)


def take_inventory(root: nn.Module) -> Inventory:
    """Walk a model once, in registration order.

    Raises ModelFailedError for lazy parameters and for TorchScript.
    """
    frames: dict[int, Frame] = {}
    modules: list[nn.Module] = []
    parameters: list[tuple[str, torch.Tensor]] = []
    buffers: list[tuple[str, torch.Tensor]] = []
    owned: dict[int, int] = {}
    aliases: dict[int, list[str]] = {}
    seen: set[int] = set()
    scripted, plain, lazy = torch.jit.ScriptModule, nn.Parameter, nn.UninitializedParameter
    eager: set[type] = set()

    def walk(module: nn.Module, path: str) -> None:
        identity = id(module)
        kind = type(module)
        if kind not in eager and isinstance(module, scripted):
            raise ModelFailedError(
                f"{f'{path!r} is' if path else 'this is'} a TorchScript module, which torch runs "
                "out of sight; count the module that it was made from, or export it to ONNX"
            )
        if identity in frames:
            aliases.setdefault(identity, []).append(path)
            return
        eager.add(kind)
        frames[identity] = Frame(path, kind.__name__)
        modules.append(module)
        prefix = path + "." if path else ""
        state = module.__dict__
        count = 0
        for name, parameter in state["_parameters"].items():
            if parameter is None or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if type(parameter) is not plain and isinstance(parameter, lazy):
                raise ModelFailedError(
                    f"parameter '{prefix}{name}' is lazy and has no shape yet; "
                    "run the model once before counting it"
                )
            parameters.append((prefix + name, parameter))
            count += parameter.numel()
        owned[identity] = count
        for name, buffer in state["_buffers"].items():
            if buffer is not None and id(buffer) not in seen:
                seen.add(id(buffer))
                buffers.append((prefix + name, buffer))
        for name, child in state["_modules"].items():
            if child is not None:
                walk(child, prefix + name)

    walk(root, "")
    return Inventory(frames, modules, parameters, buffers, owned, aliases)


def meta_twin(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor like another one: shape, strides, type and gradient flag."""
    if tensor.layout is not torch.strided:
        return tensor
    with torch.no_grad():
        try:
            twin = torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META
            )
        except RuntimeError:
            twin = torch.empty(tensor.shape, dtype=tensor.dtype, device=META)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad) if tensor.is_leaf else twin


@contextlib.contextmanager
def preserved(
    inventory: Inventory, *, train: bool | None, locked: Container[type] = ()
) -> Iterator[None]:
    """Put every module's attributes and the random states back when the block ends.

    ``train`` False puts all modules in eval mode meanwhile; True puts them in training mode
    unless the model is in training mode already; None leaves the flags. Modules of the very types
    in ``locked`` are known not to change in the block (``locked_layers``) but for that flag.
    """
    dicts: list[tuple[dict[str, Any], dict[str, Any]]] = []
    lists: list[tuple[list[Any] | set[Any], list[Any] | set[Any]]] = []
    flags: list[tuple[dict[str, Any], bool]] = []
    for module in inventory.modules:
        live = module.__dict__
        if type(module) in locked:
            continue
        dicts.append((live, live.copy()))
        for key in ("_parameters", "_buffers", "_modules"):
            store = live.get(key)
            if store is not None:  # an empty one may be filled
                dicts.append((store, store.copy()))
        if not type(module).__module__.startswith("torch.nn.modules."):
            _remember(live, dicts, lists)
    states = _random_states()
    try:
        if train is False or (train and not inventory.modules[0].training):
            for module in inventory.modules:
                if module.training is not train:
                    flags.append((module.__dict__, module.training))
                    module.__dict__["training"] = train
        with default_algorithms():
            yield
    finally:
        for live, flag in flags:
            live["training"] = flag
        for store, content in reversed(dicts):
            if [*store] != [*content] or not all(map(is_, store.values(), content.values())):
                store.clear()
                store.update(content)
        for sequence, items in lists:
            if len(sequence) != len(items) or not all(map(is_, sequence, items)):
                sequence.clear()
                sequence.extend(items) if isinstance(sequence, list) else sequence.update(items)
        _restore_random_states(states)


def _remember(live: dict[str, Any], dicts: list[Any], lists: list[Any]) -> None:
    """Add the containers that a module of the user's may fill while it runs, as caches are."""
    for key, value in live.items():
        if type(value) is dict and key not in ("_parameters", "_buffers", "_modules"):
            dicts.append((value, value.copy()))
        elif type(value) is list or type(value) is set:
            lists.append((value, value.copy()))


def swap_for(inventory: Inventory, make: Callable[[torch.Tensor], torch.Tensor]) -> dict[int, Any]:
    """Put ``make(tensor)`` in the place of every parameter and buffer, one for each tensor.

    Returns the stand-in of each original by identity. ``preserved`` undoes it.
    """
    twins: dict[int, Any] = {}
    keep: list[torch.Tensor] = []

    def twin_of(tensor: torch.Tensor) -> torch.Tensor:
        found = twins.get(id(tensor))
        if found is None:
            keep.append(tensor)
            found = twins[id(tensor)] = make(tensor)
        return found

    for module in inventory.modules:
        attributes = module.__dict__
        for key in ("_parameters", "_buffers"):
            store = attributes[key]
            if store:
                attributes[key] = {
                    name: None if tensor is None else twin_of(tensor)
                    for name, tensor in store.items()
                }
    for module in inventory.modules:
        for name, value in list(module.__dict__.items()):
            # recurrent layers keep a list of their parameters beside the registered ones
            if type(value) is list and any(id(item) in twins for item in value):
                module.__dict__[name] = [twins.get(id(item), item) for item in value]
    return twins


@contextlib.contextmanager
def followed(inventory: Inventory, recorder: Recorder) -> Iterator[None]:
    """Keep the recorder's frame at the innermost running module while the block runs."""
    frames = inventory.frames
    thread = get_ident()
    original = nn.Module.__call__

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        frame = frames.get(id(self))
        if frame is None or get_ident() != thread:
            return original(self, *args, **kwargs)
        outer, outer_call = recorder.frame, recorder.call
        recorder.frame = frame
        recorder.call = frame.calls
        frame.calls += 1
        try:
            output = original(self, *args, **kwargs)
        finally:
            recorder.frame, recorder.call = outer, outer_call
        frame.input_shapes.append(_shapes(args, kwargs))
        frame.output_shapes.append(
            (tuple(output.shape),) if isinstance(output, torch.Tensor) else _shapes(output, None)
        )
        return output

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def _shapes(values: Any, more: Any) -> tuple[tuple[int, ...], ...]:
    if type(values) is tuple and len(values) == 1 and isinstance(values[0], torch.Tensor):
        first: tuple[tuple[int, ...], ...] = (tuple(values[0].shape),)
    else:
        first = tuple([tuple(tensor.shape) for tensor in tensors_in(values)])
    if more:
        return first + tuple(tuple(tensor.shape) for tensor in tensors_in(more))
    return first


def _random_states() -> tuple[Any, ...]:
    numpy = sys.modules.get("numpy")
    accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    return (
        torch.get_rng_state(),
        random.getstate(),
        None if numpy is None else numpy.random.get_state(),
        accelerator,
    )


def _restore_random_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    if states[2] is not None:
        sys.modules["numpy"].random.set_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state_all(states[3])
