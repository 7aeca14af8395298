"""A model, and torch around it, put back as they were, however a run ended.

``model_restored`` remembers all that a model's modules hold: attributes, hooks of every kind with
their companions, registered tensors, containers nested in them, plain objects of the model's own
(a configuration, a cache), the attributes of its classes and torch's global hooks. What a run
changed is put back, each container in place, so that whoever else holds it sees the same again.
Values of tensors are put back where they are asked for or where no stand-in covers them.
Refuses nothing; what lies in C objects, closures or modules' globals is out of reach.
"""

from __future__ import annotations

import contextlib
import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from operator import is_
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_file

from gadprof.counting.trace.patches import patched_names

# what holds nothing that can change
_ATOMS = frozenset((
    bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size,
    torch.memory_format, torch.layout, types.FunctionType, types.BuiltinFunctionType, type,
    types.ModuleType, types.MethodType, range, slice, type(Ellipsis), torch.Generator,
))  # fmt: skip
# libraries whose objects are not a model's own, and are as large as the library
_FOREIGN = ("torch", "numpy", "threading", "logging", "_thread", "weakref", "builtins", "ctypes",
            "multiprocessing", "concurrent", "asyncio", "re", "inspect", "importlib", "abc",
            "functools", "itertools", "io", "_io", "typing")  # fmt: skip
_MOST_OBJECTS = 1_000_000
_MOST_BYTES = 256 * 2**20  # of tensors outside parameters and buffers


class _Memory:
    """What was found in one walk, and how to put it back."""

    def __init__(self) -> None:
        self.maps: list[tuple[Any, dict[Any, Any]]] = []
        self.empty: list[Any] = []
        self.lists: list[tuple[Any, list[Any]]] = []
        self.sets: list[tuple[set[Any], set[Any]]] = []
        self.slots: list[tuple[Any, str, Any]] = []
        self.tensors: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.seen: set[int] = set()
        self.bytes = 0

    def module(self, module: nn.Module, registered: Container[str] = ()) -> None:
        """Remember a module's attributes and what hangs on them."""
        maps, empty, atoms = self.maps, self.empty, _ATOMS
        live = module.__dict__
        maps.append((live, live.copy()))
        for name, value in live.items():
            kind = type(value)
            if kind is OrderedDict or kind is dict:
                if not value:
                    empty.append(value)
                elif name in registered:
                    maps.append((value, value.copy()))
                else:
                    self.visit(value)
            elif kind not in atoms:
                self.visit(value)

    def visit(self, root: Any) -> None:
        """Remember whatever can be reached from a value."""
        waiting = [root]
        seen = self.seen
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind in _ATOMS or id(value) in seen or len(seen) > _MOST_OBJECTS:
                continue
            seen.add(id(value))
            if isinstance(value, torch.Tensor):
                self.tensor(value)
            elif isinstance(value, dict):
                self.maps.append((value, dict(value)))
                waiting.extend(value.values())
            elif isinstance(value, (list, deque)):
                self.lists.append((value, list(value)))
                waiting.extend(value)
            elif isinstance(value, set):
                self.sets.append((value, set(value)))
            elif isinstance(value, (tuple, frozenset)):
                waiting.extend(value)
            elif isinstance(value, nn.Module):  # one that no module registered
                self.module(value)
            elif kind.__module__.partition(".")[0] not in _FOREIGN and not isinstance(value, type):
                held = getattr(value, "__dict__", None)
                if type(held) is dict:
                    waiting.append(held)
                self._slots(value, kind, waiting)

    def _slots(self, value: Any, kind: type, waiting: list[Any]) -> None:
        for base in kind.__mro__:
            names = vars(base).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                if name in ("__dict__", "__weakref__"):
                    continue
                with contextlib.suppress(AttributeError):
                    held = getattr(value, name)
                    self.slots.append((value, name, held))
                    waiting.append(held)

    def tensor(self, tensor: torch.Tensor) -> None:
        """Remember the values of a tensor that no stand-in covers, within reason."""
        if tensor.is_meta or tensor.layout is not torch.strided or type(tensor) not in (
            torch.Tensor, nn.Parameter, nn.Buffer,
        ):  # fmt: skip
            return
        size = tensor.numel() * tensor.element_size()
        if self.bytes + size <= _MOST_BYTES:
            self.bytes += size
            self.tensors.append((tensor, tensor.detach().clone()))

    def restore(self) -> None:
        """Put everything back that is not what it was."""
        for store in self.empty:
            if store:
                store.clear()
        for store, content in reversed(self.maps):
            same = len(store) == len(content) and all(map(is_, store.values(), content.values()))
            if same and [*store] == [*content]:
                continue
            plain = OrderedDict if isinstance(store, OrderedDict) else dict
            plain.clear(store)
            for key, value in content.items():
                plain.__setitem__(store, key, value)
        for sequence, items in self.lists:
            if len(sequence) != len(items) or not all(map(is_, sequence, items)):
                sequence.clear()
                sequence.extend(items)
        for group, members in self.sets:
            if len(group) != len(members) or not all(item in group for item in members):
                group.clear()
                group.update(members)
        for owner, name, held in self.slots:
            if getattr(owner, name, None) is not held:
                with contextlib.suppress(AttributeError, TypeError):
                    object.__setattr__(owner, name, held)
        for tensor, values in self.tensors:
            _write_back(tensor, values)


def _write_back(tensor: torch.Tensor, values: torch.Tensor) -> None:
    with torch.no_grad(), torch.inference_mode(tensor.is_inference()):
        if tensor.shape != values.shape or tensor.dtype != values.dtype:
            tensor.data = values
        elif not torch.equal(tensor.detach(), values):
            tensor.detach().copy_(values)


def _remember_classes(kinds: Iterable[type], memory: _Memory) -> Callable[[], None]:
    """The attributes of classes, and the containers among those of the user's."""
    classes = {base: None for kind in kinds for base in kind.__mro__ if base is not object}
    before = [(base, dict(vars(base)), patched_names(base)) for base in classes]
    for base, content, _ in before:
        if base.__module__.partition(".")[0] not in _FOREIGN:
            for name, value in content.items():
                if name[:2] != "__" and isinstance(value, (dict, list, set, deque)):
                    memory.visit(value)

    def restore() -> None:
        for base, content, hidden in before:
            now = vars(base)
            if len(now) == len(content) and all(map(is_, now.values(), content.values())):
                continue
            hidden = hidden | patched_names(base)  # another count's to put back
            with contextlib.suppress(AttributeError, TypeError):  # a class may forbid it
                for name in [name for name in now if name not in content and name not in hidden]:
                    delattr(base, name)
                for name, value in content.items():
                    if now.get(name) is not value and name not in hidden:
                        setattr(base, name, value)

    return restore


@contextlib.contextmanager
def model_restored(
    modules: list[nn.Module], *, values: bool = False, locked: Container[type] = ()
) -> Iterator[None]:
    """Put modules, their classes and the random states back when the block ends.

    ``values`` also puts back what buffers hold and parameters' gradients and flags. Modules of the
    very types in ``locked`` are known not to change in the block and are passed over.
    """
    memory = _Memory()
    registered = ("_parameters", "_buffers", "_modules")
    memory.seen.update(map(id, modules))
    for module in modules:
        if type(module) in locked:
            continue
        memory.module(module, registered)
    owned = [(*m._parameters.values(), *m._buffers.values()) for m in modules] if values else []
    flags = []
    for tensor in {
        id(item): item for group in owned for item in group if item is not None
    }.values():
        flags.append((tensor, tensor.requires_grad, tensor.grad if tensor.is_leaf else None))
        if not isinstance(tensor, nn.Parameter):
            memory.tensor(tensor)
    for name, value in vars(module_file).items():
        if name[:8] == "_global_" and isinstance(value, (dict, set)):
            memory.visit(value)
    kinds = {type(module): None for module in modules}
    classes = _remember_classes(kinds, memory)
    states = _random_states()
    try:
        yield
    finally:
        memory.restore()
        classes()
        for tensor, requires_grad, gradient in flags:
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            if tensor.is_leaf and tensor.grad is not gradient:
                tensor.grad = gradient
        _restore_random_states(states)


@contextlib.contextmanager
def default_algorithms() -> Iterator[None]:
    """Run without ``torch.use_deterministic_algorithms``, which is put back afterwards.

    While it is on, resizing on any device but the CPU, the meta device among them, falls apart into
    many elementary operations that the network does not have.
    """
    if not torch.are_deterministic_algorithms_enabled():
        yield
        return
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)


def _random_states() -> tuple[Any, ...]:
    numpy = getattr(sys.modules.get("numpy"), "random", None)
    accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    return (
        torch.get_rng_state(),
        random.getstate(),
        None if numpy is None else numpy.get_state(),
        accelerator,
    )


def _restore_random_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    if states[2] is not None:
        sys.modules["numpy"].random.set_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state_all(states[3])
