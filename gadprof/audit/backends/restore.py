"""How a foreign counter is kept from leaving anything behind.

``everything_restored`` puts back a module (``model_restored``), torch's patchable names, and
tracing and gradient state, also after an exception. Parameter values are not copied: no counter
writes to them, and a copy would double the memory of the model.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gadprof.counting.restore import default_algorithms, model_restored


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
def everything_restored(module: nn.Module) -> Iterator[None]:
    """Put a module and torch back as they were when the block ends, however it ends."""
    restores = [
        *(_remember_namespace(owner) for owner in (torch, nn.functional, torch.Tensor)),
        _remember_modes(),
    ]
    with model_restored(list(module.modules()), values=True), default_algorithms():
        try:
            yield
        finally:
            for restore in restores:
                restore()


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


def _remember_modes() -> Any:
    grad = torch.is_grad_enabled()
    dtype = torch.get_default_dtype()

    def restore() -> None:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch._C._get_tracing_state() is not None:
            getattr(torch._C, "_set_tracing_state")(None)  # noqa: B009 - not in torch's stubs

    return restore
