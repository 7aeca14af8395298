"""How a foreign counter is kept from leaving anything behind.

``untouched`` remembers a module (every submodule's attributes, hooks, flags, buffers), torch's
patchable names, global hooks, tracing and gradient state and all random states, and puts each of
them back, also after an exception. Parameter values are not copied: no counter writes to them, and
a copy would double the memory of the model.
"""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_file


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what a counter prints, warns and logs."""
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


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


@contextlib.contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Put a module and torch back as they were when the block ends, however it ends."""
    restores = [
        *_remember_modules(module),
        *(_remember_namespace(owner) for owner in (torch, nn.functional, torch.Tensor)),
        *(_remember_container(value) for value in _global_hooks()),
        _remember_random(),
        _remember_modes(),
    ]
    try:
        with default_algorithms():
            yield
    finally:
        for restore in restores:
            restore()


def _remember_modules(root: nn.Module) -> list[Any]:
    return [_remember_module(module) for module in list(root.modules())]


def _remember_module(module: nn.Module) -> Any:
    attributes = dict(vars(module))
    contents = [_remember_container(value) for value in attributes.values() if _is_container(value)]
    buffers = [
        (buffer, None if buffer.is_meta else buffer.detach().clone())
        for buffer in module._buffers.values()
        if buffer is not None
    ]
    parameters = [
        (parameter, parameter.requires_grad, parameter.grad)
        for parameter in module._parameters.values()
        if parameter is not None
    ]

    def restore() -> None:
        _put_back(vars(module), attributes)
        for restore_content in contents:
            restore_content()
        for buffer, value in buffers:  # batch norm writes without raising the version
            if value is not None and not torch.equal(buffer, value):
                with torch.no_grad():
                    buffer.copy_(value)
        for parameter, requires_grad, gradient in parameters:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            parameter.grad = gradient

    return restore


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, set))


def _remember_container(value: Any) -> Any:
    content = value.copy()

    def restore() -> None:
        if isinstance(value, dict):
            if list(value.items()) != list(content.items()):
                value.clear()
                value.update(content)
        elif value != content:
            value.clear()
            value.update(content)

    def safe_restore() -> None:
        try:
            restore()
        except (RuntimeError, ValueError):  # tensors inside a dict do not compare to one bool
            value.clear()
            value.update(content)

    return safe_restore


def _put_back(namespace: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [name for name in namespace if name not in before]:
        del namespace[name]
    for name, value in before.items():
        if name not in namespace or namespace[name] is not value:
            namespace[name] = value


def _remember_namespace(owner: Any) -> Any:
    """Functions of torch that some counters replace; only callables that were there are restored,
    and on ``torch.Tensor`` names that were added (they shadow inherited methods) are removed."""
    before = {name: value for name, value in vars(owner).items() if callable(value)}

    def restore() -> None:
        for name, value in before.items():
            if vars(owner).get(name) is not value:
                setattr(owner, name, value)
        if isinstance(owner, type):
            for name in [name for name, value in vars(owner).items() if callable(value)]:
                if name not in before:
                    delattr(owner, name)

    return restore


def _global_hooks() -> list[Any]:
    return [
        value
        for name, value in vars(module_file).items()
        if name.startswith("_global_") and _is_container(value)
    ]


def _remember_random() -> Any:
    python_state = random.getstate()
    torch_state = torch.get_rng_state()
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    numpy_state = numpy_random.get_state() if numpy_random is not None else None
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]

    def restore() -> None:
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy_random is not None:
            numpy_random.set_state(numpy_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)

    return restore


def _remember_modes() -> Any:
    grad = torch.is_grad_enabled()
    dtype = torch.get_default_dtype()

    def restore() -> None:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch._C._get_tracing_state() is not None:
            getattr(torch._C, "_set_tracing_state")(None)  # noqa: B009 - not in torch's stubs

    return restore
