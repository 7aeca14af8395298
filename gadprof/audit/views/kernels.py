"""Foreign counters on the meta device, without what meta kernels do inside.

A counter that replaces functions of torch would also count the calls that meta kernels, which are
written in Python, make within; on a CPU a kernel makes none. While a kernel runs, every replaced
function is put back.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

_NAMESPACES: tuple[Any, ...] = (torch, F, torch.Tensor)


class Unpatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs each operation with torch's functions as they were when this was made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._before = [dict(vars(owner)) for owner in _NAMESPACES]
        self._replaced: list[tuple[Any, str, Any, Any]] | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self._replaced is None:  # by now the counter has replaced what it replaces
            self._replaced = list(self._found())
        for owner, name, original, _ in self._replaced:
            setattr(owner, name, original)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            for owner, name, _, replaced in self._replaced:
                setattr(owner, name, replaced)

    def _found(self) -> Any:
        for owner, before in zip(_NAMESPACES, self._before, strict=True):
            for name, value in vars(owner).items():
                original = before.get(name, getattr(torch._C.TensorBase, name, None))
                if callable(value) and original is not None and value is not original:
                    yield owner, name, original, value
