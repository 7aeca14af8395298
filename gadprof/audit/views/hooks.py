"""The view of hooks on modules: every call with its shapes, and whether it could be fused.

Recurrent layers on the meta device are cut short: they would fall apart into thousands of
operations that no hook sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gadprof.audit.views.describe import describe
from gadprof.audit.views.records import FunctionCall, ModuleCall
from gadprof.counting.trace.trees import tensors_in


@contextlib.contextmanager
def module_hooks(
    paths: dict[nn.Module, str], stack: list[str], events: list[ModuleCall | FunctionCall]
) -> Iterator[None]:
    handles: list[Any] = []
    fast: list[tuple[bool, bool]] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        stack.append(paths[module])
        taken = takes_fast_path(module, args, kwargs)
        fast.append((taken, taken and _is_frozen(module, args, kwargs)))

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        events.append(
            ModuleCall(
                paths[module],
                tuple(stack),
                describe(args),
                describe(kwargs),
                describe(output),
                *fast.pop(),
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


def _is_frozen(module: nn.Module, args: Any, kwargs: Any) -> bool:
    tensors = [*module.parameters(), *tensors_in(args), *tensors_in(kwargs)]
    return not any(tensor.requires_grad for tensor in tensors)


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
    query: Any = given.get("query")
    key: Any = given.get("key")
    value: Any = given.get("value")
    weight: Any = module.in_proj_weight
    masks: list[Any] = [given.get("attn_mask"), given.get("key_padding_mask")]
    if any(mask is not None and torch.is_floating_point(mask) for mask in masks):
        return False
    return bool(
        isinstance(query, torch.Tensor)
        and query.dim() == 3
        and query is key
        and key is value
        and weight is not None
        and query.dtype == weight.dtype
        and module.num_heads % 2 == 0
        and module.batch_first
        and module.bias_k is None
        and module.bias_v is None
        and not module.add_zero_attn
        and module._qkv_same_embed_dim
        and not torch.is_autocast_enabled()
    )


@contextlib.contextmanager
def short_recurrence() -> Iterator[None]:
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
