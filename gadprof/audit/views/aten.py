"""The view below autograd: matrix products and convolutions among the aten operations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gadprof.audit.views.describe import describe
from gadprof.audit.views.records import AtenCall
from gadprof.counting.trace.fused_attention import fused_on_cpu
from gadprof.counting.trace.patches import beneath, seen_here

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


@contextlib.contextmanager
def mark_attention(marks: list[tuple[bool, bool]]) -> Iterator[None]:
    """While attention runs, ``marks`` says last whether a CPU would fuse it."""
    original = beneath(F, "scaled_dot_product_attention")

    def marked(*args: Any, **kwargs: Any) -> Any:
        marks.append(fused_on_cpu(*args, **kwargs))
        try:
            return original(*args, **kwargs)
        finally:
            marks.pop()

    with seen_here(F, {"scaled_dot_product_attention": marked}):
        yield
