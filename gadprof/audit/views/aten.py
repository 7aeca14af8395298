"""The view below autograd: matrix products and convolutions among the aten operations."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from gadprof.audit.views.describe import describe
from gadprof.audit.views.records import AtenCall

_ATEN = ("convolution", "_convolution", "mm", "addmm", "bmm", "baddbmm")


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(
        self, stack: list[str], attention: list[tuple[bool, bool]], events: list[AtenCall]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stack = stack
        self._attention = attention
        self._events = events

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        namespace, _, name = str(func.overloadpacket).partition(".")
        if namespace == "aten" and name in _ATEN:
            inside = bool(self._attention)
            self._events.append(
                AtenCall(
                    name,
                    tuple(self._stack),
                    describe(args),
                    describe(result),
                    inside,
                    self._attention[-1] if inside else (False, False),
                )
            )
        return result
