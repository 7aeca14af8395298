"""The view of functions: those that counters replace, and products as a function mode sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gadprof.audit.views.describe import describe
from gadprof.audit.views.records import FunctionCall, ModuleCall
from gadprof.counting.trace.fused_attention import fused_on_cpu

# the functions that counters are known to replace, by the namespace that holds them
PATCHED: dict[str, list[str]] = {
    "F": [
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "relu",
        "prelu",
        "elu",
        "leaky_relu",
        "relu6",
        "silu",
        "gelu",
        "batch_norm",
        "layer_norm",
        "instance_norm",
        "group_norm",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "upsample",
        "interpolate",
        "softmax",
        "embedding",
        "scaled_dot_product_attention",
    ],
    "torch": ["matmul", "mm", "bmm", "addmm", "baddbmm", "mul", "add", "einsum"],
    "Tensor": ["matmul", "mm", "bmm", "addmm", "mul", "add"],
}

_NAMESPACES: dict[str, Any] = {"F": F, "torch": torch, "Tensor": torch.Tensor}

# the products that a function mode sees, also those that no module's rule stands for
_MODE_FUNCTIONS: dict[Any, str] = {
    torch.matmul: "matmul",
    torch.Tensor.matmul: "matmul",
    torch.Tensor.__matmul__: "matmul",
    torch.bmm: "bmm",
    torch.Tensor.bmm: "bmm",
    torch.einsum: "einsum",
    F.linear: "linear",
    F.multi_head_attention_forward: "multi_head_attention_forward",
    F.scaled_dot_product_attention: "scaled_dot_product_attention",
}


class Inside(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows when a kernel runs: meta kernels call functions of torch that no model called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.running = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.running = False


@contextlib.contextmanager
def patches(
    stack: list[str], events: list[ModuleCall | FunctionCall], inside: Inside
) -> Iterator[None]:
    """Replace every function in ``PATCHED`` by one that records its call; undone by the caller's
    ``everything_restored``, and here already for a clean end."""
    originals: list[tuple[Any, str, Any, bool]] = []

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if inside.running:
                return original(*args, **kwargs)
            fused = (
                fused_on_cpu(*args, **kwargs)
                if name == "F.scaled_dot_product_attention"
                else (False, False)
            )
            events.append(
                FunctionCall(name, tuple(stack), describe(args), describe(kwargs), None, fused)
            )
            return original(*args, **kwargs)

        return recorded

    try:
        for space, names in PATCHED.items():
            owner = _NAMESPACES[space]
            for name in names:
                original = getattr(owner, name)
                originals.append((owner, name, original, name in vars(owner)))
                setattr(owner, name, wrap(f"{space}.{name}", original))
        yield
    finally:
        for owner, name, original, own in originals:
            if own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)


class Functions(TorchFunctionMode):
    def __init__(self, stack: list[str], events: list[ModuleCall | FunctionCall]) -> None:
        super().__init__()
        self._stack = stack
        self._events = events

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = _MODE_FUNCTIONS.get(func)
        if name is not None:
            self._events.append(
                FunctionCall(
                    name, tuple(self._stack), describe(args), describe(kwargs), describe(result)
                )
            )
        return result
