"""What each family of counters can see of one forward pass, as plain records.

Counters look at a model from four places: hooks on modules, functions of torch that they replace,
a jit trace, and the operations below autograd. ``Observation`` runs the model once for each place
that is asked for (on the meta device no arithmetic happens) and keeps records of names and shapes,
never a tensor. Conventions map these records to each counter's number.

The module is left as it was. Raises what the model raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gadprof.counting.backends.untouched import quiet, untouched


@dataclass(frozen=True, slots=True)
class Shape:
    """A tensor, reduced to its sizes."""

    sizes: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return prod(self.sizes)


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module: its exact type and ancestors, its settings and its own parameters' shapes.

    ``types`` are the dotted names of the type and its ancestors, the most derived first;
    ``settings`` are its plain attributes (numbers, strings, tuples of them); ``children`` are the
    paths of its distinct children, shared modules under their first path; ``parameters`` are
    (name, shape) of every parameter below it, each shared one once.
    """

    path: str
    types: tuple[str, ...]
    settings: Mapping[str, Any]
    children: tuple[str, ...]
    own: Mapping[str, tuple[int, ...]]
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    training: bool

    @property
    def type(self) -> str:
        """The dotted name of its exact type."""
        return self.types[0]

    @property
    def class_name(self) -> str:
        """The bare name of its type."""
        return self.types[0].rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module. ``stack`` holds the paths of the running modules, this one last.

    ``fast_path`` says that ``nn.MultiheadAttention`` (or an encoder layer) would take its fused
    path on a CPU or GPU with gradients off. ``fast_layer``: only where no hook is attached.
    """

    path: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    fast_path: bool = False


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One call of a torch function, with shapes in place of tensors.

    ``fused`` is set for scaled-dot-product attention: whether a CPU would run its fused kernel,
    with gradients off and on.
    """

    name: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any = None
    fused: tuple[bool, bool] = (False, False)

    @property
    def path(self) -> str:
        """The innermost running module."""
        return self.stack[-1] if self.stack else ""


@dataclass(frozen=True, slots=True)
class JitNode:
    """One node of the jit trace: lower-cased operator, module path, inputs and output shapes.

    An input is a ``Shape``, a constant, a tuple of shapes (a list of tensors) or None.
    """

    kind: str
    path: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AtenCall:
    """One product or convolution below autograd. ``attention`` and ``fused`` tell that it ran
    inside scaled-dot-product attention that a CPU would have fused (gradients off, on)."""

    name: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    output: Any
    attention: bool
    fused: tuple[bool, bool]

    @property
    def path(self) -> str:
        """The innermost running module."""
        return self.stack[-1] if self.stack else ""


# the functions that counters are known to replace, by the namespace that holds them
PATCHED: dict[str, tuple[str, ...]] = {
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
}  # type: ignore[assignment]

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

_ATEN = ("convolution", "_convolution", "mm", "addmm", "bmm", "baddbmm")


@dataclass(frozen=True)
class Observation:
    """One model with one set of inputs, looked at from four places, each on first use.

    Hand it a module on the meta device to spend no arithmetic and no memory.
    """

    module: nn.Module = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)

    @cached_property
    def modules(self) -> dict[str, ModuleInfo]:
        """Every distinct module by its first path, in registration order."""
        paths = self._paths
        return {path: _describe_module(module, path, paths) for module, path in paths.items()}

    @cached_property
    def batch(self) -> int:
        """The first dimension of the first tensor input, 1 where there is none."""
        tensors = [value for value in (*self.args, *self.kwargs.values()) if torch.is_tensor(value)]
        return int(tensors[0].shape[0]) if tensors and tensors[0].dim() else 1

    @cached_property
    def calls(self) -> tuple[ModuleCall | FunctionCall, ...]:
        """Module calls, and calls of the functions that counters replace, in order of return."""
        events: list[ModuleCall | FunctionCall] = []
        inside = _Inside()
        with (
            self._run() as stack,
            _hooks(self._paths, stack, events),
            _patches(stack, events, inside),
            _short_recurrence(),
            inside,
        ):
            self._forward()
        return tuple(events)

    @cached_property
    def functions(self) -> tuple[ModuleCall | FunctionCall, ...]:
        """Module calls, and products as a torch function mode sees them (not those inside)."""
        events: list[ModuleCall | FunctionCall] = []
        with (
            self._run() as stack,
            _hooks(self._paths, stack, events),
            _short_recurrence(),
            torch.no_grad(),
            _Functions(stack, events),
        ):
            self._forward()
        return tuple(events)

    @cached_property
    def aten(self) -> tuple[AtenCall, ...]:
        """Products and convolutions below autograd, with the attention that they belong to."""
        events: list[AtenCall] = []
        calls: list[ModuleCall | FunctionCall] = []
        with self._run() as stack, _hooks(self._paths, stack, calls):
            attention: list[tuple[bool, bool]] = []
            with _mark_attention(attention), _Aten(stack, attention, events):
                self._forward()
        return tuple(events)

    @cached_property
    def jit(self) -> tuple[JitNode, ...]:
        """The nodes of a jit trace, which sees composite functions before they fall apart."""
        with self._run() as stack, _scopes(self._paths):
            del stack
            inputs = self.args
            if self.kwargs:
                from gadprof.counting.backends.positional import positional

                inputs = positional(self.module, self.args, dict(self.kwargs), "a jit trace")
            with _Untraced():
                graph, _ = torch.jit._get_trace_graph(self.module, inputs)
            return tuple(_describe_node(node) for node in graph.nodes())

    @cached_property
    def fast_paths(self) -> dict[str, bool]:
        """For each attention or encoder layer that ran: whether it would take its fused path."""
        found: dict[str, bool] = {}
        for call in self.calls:
            if isinstance(call, ModuleCall) and call.fast_path:
                found[call.path] = True
        return found

    @cached_property
    def _paths(self) -> dict[nn.Module, str]:
        return {module: path for path, module in self.module.named_modules()}

    @contextlib.contextmanager
    def _run(self) -> Iterator[list[str]]:
        with untouched(self.module), quiet(), torch.enable_grad():
            yield []

    def _forward(self) -> None:
        self.module(*self.args, **self.kwargs)


def observe(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> Observation:
    """An observation of one module with one set of inputs; nothing runs until it is asked."""
    return Observation(module, tuple(args), dict(kwargs or {}))


def describe(value: Any) -> Any:
    """A value with shapes in place of tensors; what is neither plain nor a tensor becomes None."""
    if isinstance(value, torch.Tensor):
        return Shape(tuple(int(size) for size in value.shape))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return tuple(describe(item) for item in value)
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    return None


def _describe_module(module: nn.Module, path: str, paths: dict[nn.Module, str]) -> ModuleInfo:
    settings = {
        name: describe(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and _is_plain(value)
    }
    settings["bias_present"] = getattr(module, "bias", None) is not None
    return ModuleInfo(
        path=path,
        types=tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__),
        settings=settings,
        children=tuple(paths[child] for child in module.children()),
        own={
            name: tuple(value.shape)
            for name, value in module._parameters.items()
            if value is not None
        },
        parameters=tuple((name, tuple(value.shape)) for name, value in module.named_parameters()),
        training=module.training,
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


@contextlib.contextmanager
def _hooks(
    paths: dict[nn.Module, str], stack: list[str], events: list[ModuleCall | FunctionCall]
) -> Iterator[None]:
    handles: list[Any] = []
    fast: list[bool] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        stack.append(paths[module])
        fast.append(takes_fast_path(module, args, kwargs))

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        events.append(
            ModuleCall(
                paths[module],
                tuple(stack),
                describe(args),
                describe(kwargs),
                describe(output),
                fast.pop(),
            )
        )
        stack.pop()

    try:
        for module in paths:
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def takes_fast_path(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an attention or encoder layer would take its fused path with gradients off.

    The conditions are those of ``nn.MultiheadAttention.forward`` and
    ``nn.TransformerEncoderLayer.forward``, without the one on the device.
    """
    if not torch.backends.mha.get_fastpath_enabled() or module.training:
        return False
    if isinstance(module, nn.MultiheadAttention):
        return _attention_is_fast(module, args, kwargs)
    if isinstance(module, nn.TransformerEncoderLayer):
        attention = module.self_attn
        source = args[0] if args else kwargs.get("src")
        return bool(
            isinstance(source, torch.Tensor)
            and source.dim() == 3
            and attention.batch_first
            and attention.in_proj_bias is not None
            and attention._qkv_same_embed_dim
            and module.activation_relu_or_gelu
            and module.norm1.eps == module.norm2.eps
            and attention.num_heads % 2 == 0
            and not torch.is_autocast_enabled()
        )
    return False


def _attention_is_fast(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    given = dict(zip(names, args, strict=False)) | kwargs
    query, key, value = given.get("query"), given.get("key"), given.get("value")
    masks = [given.get("attn_mask"), given.get("key_padding_mask")]
    if any(mask is not None and torch.is_floating_point(mask) for mask in masks):
        return False
    return bool(
        isinstance(query, torch.Tensor)
        and query.dim() == 3
        and query is key
        and key is value
        and module.in_proj_weight is not None
        and query.dtype == module.in_proj_weight.dtype
        and module.num_heads % 2 == 0
        and module.batch_first
        and module.bias_k is None
        and module.bias_v is None
        and not module.add_zero_attn
        and module._qkv_same_embed_dim
        and not torch.is_autocast_enabled()
    )


@contextlib.contextmanager
def _short_recurrence() -> Iterator[None]:
    """On meta a recurrent layer falls apart into thousands of operations that no hook sees; return
    tensors of the right shapes at once."""
    space = torch._VF

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def short(*args: Any) -> Any:
            if len(args) != 9 or not args[0].is_meta:  # packed sequences have another signature
                return original(*args)
            x, hidden, _, _, _, _, _, bidirectional, batch_first = args
            states = hidden if isinstance(hidden, tuple) else (hidden,)
            width = states[0].shape[-1] * (2 if bidirectional else 1)
            del batch_first
            output = x.new_empty((*x.shape[:-1], width))
            return (output, *(state.new_empty(state.shape) for state in states))

        return short

    originals = {name: getattr(space, name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}
    try:
        for name, original in originals.items():
            setattr(space, name, wrap(name, original))
        yield
    finally:
        for name in originals:
            delattr(space, name)


class _Inside(TorchDispatchMode):
    """Knows when a kernel runs: meta kernels call functions of torch that no model called."""

    def __init__(self) -> None:
        super().__init__()
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
def _patches(
    stack: list[str], events: list[ModuleCall | FunctionCall], inside: _Inside
) -> Iterator[None]:
    """Replace every function in ``PATCHED`` by one that records its call; undone by the caller's
    ``untouched``, and here already for a clean end."""
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


class _Functions(TorchFunctionMode):
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


@contextlib.contextmanager
def _mark_attention(marks: list[tuple[bool, bool]]) -> Iterator[None]:
    original = F.scaled_dot_product_attention

    def marked(*args: Any, **kwargs: Any) -> Any:
        marks.append(fused_on_cpu(*args, **kwargs))
        try:
            return original(*args, **kwargs)
        finally:
            marks.pop()

    F.scaled_dot_product_attention = marked  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = original


class _Aten(TorchDispatchMode):
    def __init__(
        self, stack: list[str], attention: list[tuple[bool, bool]], events: list[AtenCall]
    ) -> None:
        super().__init__()
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


def fused_on_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[bool, bool]:
    """Whether a CPU would run fused attention for these tensors, with gradients off and on.

    Asks torch itself, with uninitialised tensors of the same sizes and strides.
    """
    answers: list[bool] = []
    with torch.utils._python_dispatch._disable_current_modes():
        for grad in (False, True):
            tensors = [_blank(tensor, grad) for tensor in (query, key, value)]
            mask = None if attn_mask is None else _blank(attn_mask, grad)
            try:
                with torch.set_grad_enabled(grad):
                    choice = torch._fused_sdp_choice(
                        *tensors, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
                    )
                answers.append(int(choice) != 0)
            except (RuntimeError, NotImplementedError, TypeError):
                answers.append(False)
    return answers[0], answers[1]


def _blank(tensor: torch.Tensor, grad: bool) -> torch.Tensor:
    blank = torch.empty_strided(
        tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device="cpu"
    )
    return blank.requires_grad_(grad and tensor.requires_grad)


@contextlib.contextmanager
def _scopes(paths: dict[nn.Module, str]) -> Iterator[None]:
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


class _Untraced(TorchDispatchMode):
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
        tracer = torch._C.DispatchKeySet(torch._C._parse_dispatch_key("Tracer"))
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
        return constant if _is_plain(constant) else None
    if producer.kind() == "prim::ListConstruct":
        return tuple(_describe_jit_value(item) for item in producer.inputs())
    return None
