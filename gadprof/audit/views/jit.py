"""The view of a jit trace, which sees composite functions before they fall apart; also on meta."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gadprof.audit.views.describe import is_plain
from gadprof.audit.views.records import JitNode, Shape
from gadprof.counting.trace.trees import tensors_in


def jit_nodes(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[JitNode, ...]:
    """The nodes of a jit trace of a module, in order."""
    trace: Callable[..., Any] = getattr(torch.jit, "_get_trace_graph")  # noqa: B009
    try:
        with Untraced():  # type: ignore[no-untyped-call]
            graph, _ = trace(module, inputs)
    except RuntimeError as error:
        if "JIT inputs/outputs" not in str(error):
            raise
        with Untraced():  # type: ignore[no-untyped-call]
            graph, _ = trace(_Tensors(module), inputs)
    return tuple(_describe_node(node) for node in graph.nodes())


class _Tensors(nn.Module):
    """A module whose output, which a tracer would refuse, is the tensors in it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any) -> list[torch.Tensor]:
        """Run it."""
        return tensors_in(self.inner(*args))


@contextlib.contextmanager
def module_scopes(paths: dict[nn.Module, str]) -> Iterator[None]:
    handles: list[Any] = []

    def push(module: nn.Module, _: Any) -> None:
        state = torch._C._get_tracing_state()
        if state is not None:
            state.push_scope(paths[module] or "<root>")

    def pop(module: nn.Module, _: Any, __: Any) -> None:
        state = torch._C._get_tracing_state()
        if state is not None:
            state.pop_scope()

    try:
        for module in paths:
            handles.append(module.register_forward_pre_hook(push))
            handles.append(module.register_forward_hook(pop))
        yield
    finally:
        for handle in handles:
            handle.remove()


class Untraced(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations with the jit tracer switched off, once it has noted them.

    Meta kernels are written in Python, and a tracer would hand them sizes that are tensors. The
    tracer does not note ``conv2d`` and its kin but the ``_convolution`` that a CPU would call
    within; on meta nothing calls it, so that it is called here.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        set_state: Callable[[Any], None] = getattr(torch._C, "_set_tracing_state")  # noqa: B009
        state = torch._C._get_tracing_state()
        if state is None:
            return self._execute(func, args, kwargs)
        key = torch._C._parse_dispatch_key("Tracer")
        assert key is not None
        tracer = torch._C.DispatchKeySet(key)
        included = torch._C._dispatch_tls_local_include_set() - tracer
        excluded = torch._C._dispatch_tls_local_exclude_set() - tracer
        if func is torch.ops.aten.convolution.default:
            with torch._C._ForceDispatchKeyGuard(included | tracer, excluded), self:
                return torch.ops.aten._convolution.default(*args[:9], False, False, True, True)
        with torch._C._ForceDispatchKeyGuard(included, excluded):
            set_state(None)
            try:
                return self._execute(func, args, kwargs)
            finally:
                set_state(state)

    def _execute(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        if func is torch.ops.aten._convolution.default:
            return torch.ops.aten.convolution.default(*args[:9])
        return func(*args, **(kwargs or {}))


def _describe_node(node: Any) -> JitNode:
    path = node.scopeName().rpartition("/")[2]
    return JitNode(
        node.kind(),
        "" if path == "<root>" else path,
        tuple(_describe_jit_value(value) for value in node.inputs()),
        tuple(_describe_jit_value(value) for value in node.outputs()),
    )


def _describe_jit_value(value: Any) -> Any:
    if value.isCompleteTensor():
        return Shape(tuple(value.type().sizes()))
    producer = value.node()
    if producer.kind() == "prim::Constant":
        constant = value.toIValue()
        return constant if is_plain(constant) else None
    if producer.kind() == "prim::ListConstruct":
        return tuple(_describe_jit_value(item) for item in producer.inputs())
    return None
