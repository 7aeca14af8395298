"""Which module is running: every module of a model by its path, and its calls followed.

``take_inventory`` walks a model once; ``followed`` keeps a recorder at the innermost running module
by replacing ``torch.nn.Module.__call__`` for this thread. Refuses TorchScript. Lazy layers get
their shapes in a copy.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gadprof.counting.rules.quantized import packed_tensors
from gadprof.counting.rules.sparse import stored, stored_bytes
from gadprof.counting.trace.dispatch import META
from gadprof.counting.trace.patches import beneath, seen_here, training_flags
from gadprof.counting.trace.recorder import Frame, Recorder, dtype_name, plain_shape
from gadprof.counting.trace.trees import mapped, tensors_in
from gadprof.errors import ModelFailedError


class UnshapedError(ModelFailedError):
    """A model holds lazy parameters, which have no shape yet."""


@dataclass(frozen=True)
class Inventory:
    """What a model owns, found in one walk: frames by module identity, and its tensors.

    ``parameters`` and ``buffers`` hold each distinct tensor once with its first path;
    ``owned`` maps a module's identity to the element count of the parameters it owns first;
    ``places`` maps a layer without tensors that several modules hold to its frame under each of
    them, by their paths; ``packed`` holds path, elements and bytes of each tensor within torch's
    packed objects.
    """

    frames: dict[int, Frame]
    modules: list[nn.Module]
    parameters: list[tuple[str, torch.Tensor]]
    buffers: list[tuple[str, torch.Tensor]]
    owned: dict[int, int]
    aliases: dict[int, list[str]] = field(default_factory=dict)
    packed: list[tuple[str, int, int]] = field(default_factory=list)
    places: dict[int, dict[str, Frame]] = field(default_factory=dict)

    def frames_of_places(self) -> list[tuple[nn.Module, Frame]]:
        """The frames of shared layers under all but their first holders."""
        shared = [module for module in self.modules if id(module) in self.places]
        return [
            (module, frame)
            for module in shared
            for frame in self.places[id(module)].values()
            if frame is not self.frames[id(module)]
        ]


def take_inventory(root: nn.Module) -> Inventory:
    """Walk a model once, in registration order.

    Raises UnshapedError for lazy parameters and ModelFailedError for TorchScript.
    """
    frames: dict[int, Frame] = {}
    modules: list[nn.Module] = []
    parameters: list[tuple[str, torch.Tensor]] = []
    buffers: list[tuple[str, torch.Tensor]] = []
    owned: dict[int, int] = {}
    aliases: dict[int, list[str]] = {}
    seen: set[int] = set()
    packed: list[tuple[str, int, int]] = []
    scripted, plain, lazy = torch.jit.ScriptModule, nn.Parameter, nn.UninitializedParameter
    # whether modules of a type may hold packed weights in attributes of their own
    packs: dict[type, bool] = {}
    script = torch.ScriptObject

    def walk(module: nn.Module, path: str) -> None:
        identity = id(module)
        kind = type(module)
        if kind not in packs and isinstance(module, scripted):
            raise ModelFailedError(
                f"{f'{path!r} is' if path else 'this is'} a TorchScript module, which torch runs "
                "out of sight; count the module that it was made from, or export it to ONNX"
            )
        if identity in frames:
            aliases.setdefault(identity, []).append(path)
            return
        if kind not in packs:
            packs[kind] = not kind.__module__.startswith("torch.nn.")
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
                raise UnshapedError(
                    f"parameter '{prefix}{name}' is lazy and has no shape yet; "
                    "run the model once before counting it"
                )
            parameters.append((prefix + name, parameter))
            count += learnt(parameter)
        if packs[kind]:
            for name, value in state.items():
                if type(value) is script and id(value) not in seen:
                    seen.add(id(value))
                    for tensor in packed_tensors(value):
                        elements = tensor.numel()
                        packed.append((prefix + name, elements, elements * tensor.element_size()))
                        count += elements
        owned[identity] = count
        for name, buffer in state["_buffers"].items():
            if buffer is not None and id(buffer) not in seen:
                seen.add(id(buffer))
                buffers.append((prefix + name, buffer))
        for name, child in state["_modules"].items():
            if child is not None:
                walk(child, prefix + name)

    walk(root, "")
    places: dict[int, dict[str, Frame]] = {}
    for module in modules if aliases else ():
        found = aliases.get(id(module))
        if found and not (module._modules or module._parameters or module._buffers):
            first = frames[id(module)]
            kept = places[id(module)] = {first.path.rpartition(".")[0]: first}
            for path in found:
                kept.setdefault(path.rpartition(".")[0], Frame(path, first.module_type))
    return Inventory(frames, modules, parameters, buffers, owned, aliases, packed, places)


def learnt(parameter: torch.Tensor) -> int:
    """The numbers of a parameter: of a sparse one those that it stores."""
    return parameter.numel() if parameter.layout is torch.strided else stored(parameter)


def materialised(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> nn.Module:
    """A copy of a model with lazy layers whose parameters have the shapes that these inputs give.

    The model itself stays lazy. Raises UnshapedError where the copy does not run.
    """
    held = (*module.parameters(), *module.buffers())
    unshaped: dict[int, Any] = {
        id(item): _unshaped(item) for item in held if torch.nn.parameter.is_lazy(item)
    }
    copied = copy.deepcopy(module, unshaped)
    with training_flags(list(copied.modules()), False), torch.random.fork_rng(devices=[]):
        try:
            with torch.no_grad():
                copied.to(META)(*mapped(tuple(args), _on_meta), **mapped(dict(kwargs), _on_meta))
        except Exception as error:
            raise UnshapedError(
                "the model has lazy layers and does not run with these inputs "
                f"({type(error).__name__}: {error}); run it once before counting it"
            ) from error
    return copied


def _unshaped(tensor: Any) -> Any:
    kind: Any = type(tensor)
    return kind(device=META, dtype=tensor.dtype)


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to(META)


_PLAIN = (torch.Tensor, nn.Parameter)  # made of nothing else, as nearly every tensor of a model


def bytes_of(tensor: torch.Tensor) -> int:
    """The memory of a parameter or a buffer: of what it is made of, where it is made of others."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(bytes_of(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return stored_bytes(tensor)


def bytes_by_dtype(held: Iterable[tuple[str, torch.Tensor]]) -> dict[Any, int]:
    """The memory of named parameters or buffers by the type of what they are made of."""
    found: dict[Any, int] = {}
    plain, strided = _PLAIN, torch.strided
    for _, tensor in held:
        if type(tensor) in plain and tensor.layout is strided:
            dtype = tensor.dtype
            found[dtype] = found.get(dtype, 0) + tensor.nbytes
            continue
        inner = [tensor]
        if hasattr(tensor, "__tensor_flatten__"):
            inner = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        for part in inner:
            found[part.dtype] = found.get(part.dtype, 0) + bytes_of(part)
    return found


def weight_bytes(
    parameters: Mapping[Any, int], buffers: Mapping[Any, int], inventory: Inventory
) -> dict[str, int]:
    """The memory of parameters, buffers and packed weights by the name of their type."""
    named: dict[str, int] = {}
    for dtype, nbytes in (*parameters.items(), *buffers.items()):
        name = dtype_name(dtype)
        named[name] = named.get(name, 0) + nbytes
    for _, elements, nbytes in inventory.packed:
        label = {1: "int8", 2: "float16", 4: "float32"}.get(nbytes // max(1, elements), "packed")
        named[label] = named.get(label, 0) + nbytes
    return named


def quantised_weights(inventory: Inventory) -> dict[str, tuple[str, str]]:
    """For parameters made of integers: the type that inputs are quantised to, and their own."""
    found: dict[str, tuple[str, str]] = {}
    for name, tensor in inventory.parameters:
        if type(tensor) in _PLAIN or not hasattr(tensor, "__tensor_flatten__"):
            continue
        parts = [getattr(tensor, part) for part in tensor.__tensor_flatten__()[0]]
        numbers = next((item for item in parts if not item.is_floating_point()), None)
        if numbers is not None:
            packed = 2 * numbers.numel() == tensor.numel()
            own = "int4" if packed else dtype_name(numbers.dtype)
            inputs = own if getattr(tensor, "act_quant_kwargs", None) is not None else ""
            found[name] = (inputs, own)
    return found


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
    return alike(twin, tensor)


def alike(made: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A new tensor as a parameter where the original is one, with its flag and attributes."""
    if isinstance(tensor, nn.Parameter):
        made = nn.Parameter(made, requires_grad=tensor.requires_grad)
    elif tensor.is_leaf and tensor.requires_grad:
        made.requires_grad_()
    if tensor.__dict__:
        made.__dict__.update(tensor.__dict__)
    return made


@contextlib.contextmanager
def followed(inventory: Inventory, recorder: Recorder) -> Iterator[None]:
    """Keep the recorder's frame at the innermost running module while the block runs."""
    frames, places = inventory.frames, inventory.places
    original = beneath(nn.Module, "__call__")

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        frame = frames.get(id(self))
        if frame is None:
            return original(self, *args, **kwargs)
        outer, outer_call = recorder.frame, recorder.call
        if id(self) in places:  # it is whoever calls it that it works for
            frame = places[id(self)].get(outer.path, frame)
        recorder.frame = frame
        recorder.call = frame.calls
        frame.calls += 1
        try:
            output = original(self, *args, **kwargs)
        finally:
            recorder.frame, recorder.call = outer, outer_call
        frame.input_shapes.append(_shapes(args, kwargs))
        frame.output_shapes.append(
            (plain_shape(output),) if isinstance(output, torch.Tensor) else _shapes(output, None)
        )
        return output

    with seen_here(nn.Module, {"__call__": call}):
        yield


def _shapes(values: Any, more: Any) -> tuple[tuple[int, ...], ...]:
    if type(values) is tuple and len(values) == 1 and isinstance(values[0], torch.Tensor):
        first: tuple[tuple[int, ...], ...] = (plain_shape(values[0]),)
    else:
        first = tuple([plain_shape(tensor) for tensor in tensors_in(values)])
    if more:
        return first + tuple(map(plain_shape, tensors_in(more)))
    return first
