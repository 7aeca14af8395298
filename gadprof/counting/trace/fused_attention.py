"""Attention as a CPU runs it: one fused kernel, where the meta device takes it apart.

A trace keeps the parts, whose counts are the textbook's. What a CPU allocates is another matter:
its kernel keeps a logarithm of sums a row for the backward pass, not the table of scores.
``fused_attention`` puts torch's own fused operation, which has shapes on meta and a gradient, in
the place of every call that a CPU would fuse.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# what only the parts of scaled-dot-product attention are made of
PARTS = ("aten._safe_softmax", "aten._scaled_dot_product_attention_math")

FUSED = torch.nn.functional.scaled_dot_product_attention


def has_parts(names: Iterable[str]) -> bool:
    """Whether operations of these names hold attention that was taken apart."""
    return any(name in PARTS for name in names)


class fused_attention(TorchFunctionMode):  # noqa: N801  (a context, named as one)
    """While active, attention that a CPU would fuse is one operation and its gradient another."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is FUSED and fused_on_cpu(*args, **kwargs)[1]:
            return _fused(*args, **kwargs)
        return func(*args, **kwargs)


class attention_by_sequence(TorchFunctionMode):  # noqa: N801  (a context, named as one)
    """While active, attention of jagged tensors runs for each sequence with its own length.

    Torch's own asks for an accelerator's kernels before it runs anywhere.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is FUSED and args and args[0].is_nested and args[0].layout is torch.jagged:
            return _by_sequence(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _by_sequence(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """(batch, heads, jagged, size) each; the result has the query's lengths."""
    flat = [tensor.transpose(1, 2) for tensor in (query, key, value)]
    made = []
    for parts in zip(*(tensor.unbind() for tensor in flat), strict=True):
        given = [part.transpose(0, 1).unsqueeze(0) for part in parts]
        output = FUSED(
            given[0], given[1], given[2], attn_mask, dropout_p, is_causal,
            scale=scale, enable_gqa=enable_gqa,
        )  # fmt: skip
        made.append(output.squeeze(0).transpose(0, 1))
    offsets = flat[0].offsets()  # type: ignore[attr-defined]
    joined = torch.nested.nested_tensor_from_jagged(torch.cat(made), offsets=offsets)
    return joined.transpose(1, 2)


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    flat = query.dim() == 3
    if flat:  # as torch does: one batch of heads
        query, key, value = (item.unsqueeze(0) for item in (query, key, value))
        attn_mask = None if attn_mask is None else attn_mask.unsqueeze(0)
    operation = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output: torch.Tensor = operation(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]
    return output.squeeze(0) if flat else output


@contextlib.contextmanager
def flex_attention_as_it_is() -> Iterator[None]:
    """While active, torch runs its flexible attention without compiling it first.

    A compiled one cannot be observed and raises. It has no rule, since what its score and mask
    functions do is the model's own.
    """
    flex = sys.modules.get("torch.nn.attention.flex_attention")
    name = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"
    if flex is None or not hasattr(flex, name):
        yield
        return
    before = getattr(flex, name)
    setattr(flex, name, True)
    try:
        yield
    finally:
        setattr(flex, name, before)


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
                    choose: Callable[..., int] = torch._fused_sdp_choice
                    choice = choose(
                        *tensors, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
                    )
                answers.append(int(choice) != 0)
            except (RuntimeError, NotImplementedError, TypeError):
                answers.append(False)
    return answers[0], answers[1]


def _blank(tensor: torch.Tensor, grad: bool) -> torch.Tensor:
    blank = torch.empty_strided(
        tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device="cpu"
    ).requires_grad_(grad and tensor.requires_grad)
    return blank.unsqueeze(0) if blank.dim() == 3 else blank  # as torch does before it chooses
