"""Every aten operation of a run, seen below Python: recorded, then really executed.

The mode records composite operations that have a rule of their own whole (``aten.linear``,
attention, recurrent layers) and takes all others apart. Tensors that the model holds outside its
parameters and buffers are replaced by stand-ins without memory when they meet a meta tensor.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from gadprof.counting.rules.registry import WHOLE, is_added, rule_for
from gadprof.counting.rules.sparse import is_sparse
from gadprof.counting.trace.higher_order import run_bodies
from gadprof.counting.trace.quick_shapes import QUICK, quick_output
from gadprof.counting.trace.recorder import Recorder
from gadprof.counting.trace.trees import mapped, tensors_in
from gadprof.counting.trace.workspaces import lies_channels_last

META = torch.device("meta")
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd

# gradients that torch takes apart on meta and has kernels of their own for on every other device:
# (gradient, input) to a tensor like the input
_WHOLE_GRADIENTS = frozenset(("aten.silu_backward",))

# a CPU's convolution answers in its input's layout, the meta device's in the plain one
_CONVOLUTIONS = ("aten.convolution", "aten.convolution_backward")

# operations that make tensors from nothing: large ones are made on meta
_FACTORIES = frozenset(
    f"aten.{name}"
    for name in ("empty", "zeros", "ones", "full", "rand", "randn", "arange", "eye", "randint")
)
_LARGE = 65536


class RecordingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records each operation that the dispatcher sees while it is active.

    ``real`` says that the model runs for its values, so that nothing of it is made on meta.
    """

    supports_higher_order_operators = True

    def __init__(self, recorder: Recorder, *, quick: bool = False, real: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder
        self.quick = quick
        self.real = real
        self.asleep = False  # while another count runs within this one
        self._facts: dict[Any, tuple[str, str, bool]] = {}
        self._imported = len(sys.modules)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.asleep:
            return func(*args, **kwargs)
        for kind in types:
            if hasattr(kind, "__tensor_flatten__"):  # it says itself which plain tensors it is of
                return NotImplemented
        facts = self._facts.get(func)
        if facts is None:
            facts = self._facts[func] = _describe(func)
        name, overload, apart = facts
        if name[:13] == "higher_order." and not is_added(name):
            result = run_bodies(self, name[13:], args)
            if result is not NotImplemented:
                return result
        if apart and name not in _WHOLE_GRADIENTS:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if self.quick and not kwargs and name in QUICK:
            result = self._quickly(name, overload, args)
            if result is not None:
                return result
        ins = tensors_in(args)
        if kwargs:
            ins += tensors_in(kwargs)
        on_meta = False
        for tensor in ins:
            if tensor.is_meta:
                on_meta = True
            if not self.real and is_sparse(tensor):
                raise RuntimeError(f"{name} on a sparse tensor costs what its values say")
        if on_meta:
            args, kwargs, ins = self._stand_ins(name, args, kwargs, ins)
        elif name in _FACTORIES and not ins and not self.real:
            kwargs = _large_on_meta(name, args, kwargs)
        if self.recorder.gradients:
            self.recorder.place(_last_node(), _running_node())
        result = self._run(func, name, args, kwargs, on_meta)
        self.recorder.record(name, overload, args, kwargs, ins, tensors_in(result))
        return result

    def _quickly(self, name: str, overload: str, args: tuple[Any, ...]) -> Any:
        """The output by gadprof's own shape rule, recorded; None where torch has to say."""
        ins = [value for value in args if isinstance(value, torch.Tensor)]
        for tensor in ins:
            if not tensor.is_meta:
                return None
        result = quick_output(name, overload, args)
        if result is not None:
            self.recorder.record_quick(name, overload, args, ins, result)
        return result

    def _run(self, func: Any, name: str, args: Any, kwargs: Any, on_meta: bool) -> Any:
        if on_meta and name in _WHOLE_GRADIENTS:
            return torch.empty_like(args[1])
        if on_meta and name == "aten._nested_tensor_from_mask_left_aligned":
            return False  # sequences are then counted with their padding
        if on_meta and name == "aten._grouped_mm" and args[0].dim() == 2 and args[1].dim() == 3:
            return args[0].new_empty((args[0].shape[0], args[1].shape[-1]))
        result = func(*args, **kwargs)
        if len(sys.modules) != self._imported:
            # importing torch._dynamo leaves a frame in a cycle, and with it every local variable
            # of its callers, the model's maps among them
            gc.collect()
            self._imported = len(sys.modules)
        if on_meta and self.recorder.gradients and name in _CONVOLUTIONS:
            return _laid_out_as_on_a_cpu(name, args, result)
        return result

    def _stand_ins(
        self, name: str, args: Any, kwargs: Any, ins: list[torch.Tensor]
    ) -> tuple[Any, Any, list[torch.Tensor]]:
        """Replace real tensors by meta ones, and a wish to leave the meta device by staying."""
        if kwargs.get("device") is not None and kwargs["device"] != META:
            kwargs = {**kwargs, "device": META}
        if name in ("aten.copy_", "aten.copy") and not args[0].is_meta:
            return args, kwargs, ins
        if all(tensor.is_meta or tensor.dim() == 0 for tensor in ins):
            return args, kwargs, ins
        args = mapped(args, self._replaced)
        kwargs = mapped(kwargs, self._replaced)
        return args, kwargs, [*tensors_in(args), *tensors_in(kwargs)]

    def _replaced(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_meta or tensor.dim() == 0:
            return tensor
        twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
        self.recorder.alias(twin, tensor)
        return twin


@contextlib.contextmanager
def outer_counts_asleep() -> Iterator[None]:
    """Counts that this thread is in the middle of record nothing while the block runs."""
    stack = _get_current_dispatch_mode_stack()
    awake = [mode for mode in stack if isinstance(mode, RecordingMode) and not mode.asleep]
    for mode in awake:
        mode.asleep = True
    try:
        yield
    finally:
        for mode in awake:
            mode.asleep = False


def _laid_out_as_on_a_cpu(name: str, args: tuple[Any, ...], result: Any) -> Any:
    """A convolution's output, or its gradient by the input, channels last where the input is."""
    x = args[0] if name == "aten.convolution" else args[1]
    made = result if name == "aten.convolution" else result[0]
    if made is None or made.dim() != 4 or not lies_channels_last(x.shape, x.stride()):
        return result
    made = torch.empty_like(made, memory_format=torch.channels_last)
    return made if name == "aten.convolution" else (made, *result[1:])


def _last_node() -> int:
    """The sequence number of the autograd node made last."""
    return int(torch._C._autograd._get_sequence_nr()) - 1


def _running_node() -> int | None:
    """The sequence number of the autograd node that runs now, in a backward pass."""
    node = torch._C._current_autograd_node()
    return None if node is None else int(node._sequence_nr())


def _describe(func: Any) -> tuple[str, str, bool]:
    """Name, overload, and whether the operation is to be taken apart."""
    schema = getattr(func, "_schema", None)
    if schema is None:  # a higher-order operator
        plain = func.name() if callable(getattr(func, "name", None)) else func
        return f"higher_order.{plain}", "", False
    name = str(schema.name).replace("::", ".")
    try:
        composite = func.has_kernel_for_dispatch_key(_COMPOSITE)
    except RuntimeError:  # a question that is asked in Python alone
        composite = False
    apart = composite and name not in WHOLE and not is_added(name)
    if apart and not name.startswith("aten.") and rule_for(name) is not None:
        apart = False
    return name, str(schema.overload_name) or "default", apart


def _large_on_meta(name: str, args: Any, kwargs: Any) -> Any:
    sizes = args[0] if args else kwargs.get("size", ())
    if not isinstance(sizes, (list, tuple)):
        return kwargs
    count = 1
    for size in sizes:
        count *= int(size) if isinstance(size, int) else 1
    return {**kwargs, "device": META} if count > _LARGE else kwargs
