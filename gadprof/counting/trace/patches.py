"""Names of torch that are something else for one thread while it counts.

``seen_here`` replaces an attribute of a class or module for the calling thread alone: every other
thread finds what was there, and blocks that overlap in several threads end in any order.
``training_flags`` does the same for the ``training`` flag of a model's modules, so that a model
counted in eval mode goes on training elsewhere. Both nest: the innermost block is the one seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Lock, get_ident
from typing import Any

from torch import nn

_lock = Lock()
_doors: dict[tuple[int, str], _Door] = {}  # what is replaced now; empty when nothing is counted


class _Door:
    """One replaced attribute: what was there, and each thread's replacements."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name
        self.own = name in vars(owner)
        self.original = getattr(owner, name)
        self.threads: dict[int, list[Any]] = {}
        threads, original = self.threads, self.original

        def door(*args: Any, **kwargs: Any) -> Any:
            here = threads.get(get_ident())
            return (here[-1] if here else original)(*args, **kwargs)

        self.function = door
        for label in ("__name__", "__qualname__", "__doc__", "__module__", "__signature__"):
            if hasattr(original, label):
                with contextlib.suppress(AttributeError, TypeError):
                    setattr(door, label, getattr(original, label))
        setattr(owner, name, door)

    def close(self) -> bool:
        """Put the original back, unless somebody put another replacement on top meanwhile."""
        if vars(self.owner).get(self.name) is not self.function:
            return False
        if self.own:
            setattr(self.owner, self.name, self.original)
        else:
            delattr(self.owner, self.name)
        return True


@contextlib.contextmanager
def seen_here(owner: Any, replacements: dict[str, Any]) -> Iterator[None]:
    """While the block runs, this thread finds ``replacements`` under these names of ``owner``."""
    thread = get_ident()
    opened: list[_Door] = []
    try:
        with _lock:
            for name, replacement in replacements.items():
                door = _doors.get((id(owner), name))
                if door is None:
                    door = _doors[id(owner), name] = _Door(owner, name)
                door.threads.setdefault(thread, []).append(replacement)
                opened.append(door)
        yield
    finally:
        with _lock:
            for door in opened:
                door.threads[thread].pop()
                if not door.threads[thread]:
                    del door.threads[thread]
                if not door.threads and door.close():
                    del _doors[id(owner), door.name]


def beneath(owner: Any, name: str) -> Any:
    """What a name of ``owner`` is without any replacement of ``seen_here``."""
    door = _doors.get((id(owner), name))
    return getattr(owner, name) if door is None else door.original


def patched_names(owner: type) -> set[str]:
    """The attributes of a class that some thread has replaced now."""
    if not _doors and not _flags:
        return set()
    names = {name for identity, name in tuple(_doors) if identity == id(owner)}
    return names | {"training"} if owner is nn.Module else names


_flags: dict[int, list[dict[int, bool]]] = {}  # thread -> training flags by module identity


class _Training:
    """``nn.Module.training`` while some thread sees flags of its own."""

    def __get__(self, module: Any, kind: type | None = None) -> Any:
        if module is None:
            raise AttributeError("training")
        here = _flags.get(get_ident())
        if here and id(module) in here[-1]:
            return here[-1][id(module)]
        try:
            return module.__dict__["training"]
        except KeyError:
            raise AttributeError("training") from None

    def __set__(self, module: Any, value: bool) -> None:
        here = _flags.get(get_ident())
        if here and id(module) in here[-1]:
            here[-1][id(module)] = value
        else:
            module.__dict__["training"] = value


@contextlib.contextmanager
def training_flags(modules: list[nn.Module], train: bool) -> Iterator[None]:
    """While the block runs, this thread sees these modules in training mode, or in eval mode.

    Does nothing where they are in that mode already.
    """
    if all(module.training is train for module in modules):
        yield
        return
    thread = get_ident()
    with _lock:
        _flags.setdefault(thread, []).append({id(module): train for module in modules})
        if "training" not in vars(nn.Module):
            nn.Module.training = _Training()  # type: ignore[assignment]
    try:
        yield
    finally:
        with _lock:
            _flags[thread].pop()
            if not _flags[thread]:
                del _flags[thread]
            if not _flags:
                del nn.Module.training
