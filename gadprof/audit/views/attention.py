"""Which attention a CPU would fuse: torch itself is asked, with tensors that hold nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F


@contextlib.contextmanager
def mark_attention(marks: list[tuple[bool, bool]]) -> Iterator[None]:
    original = F.scaled_dot_product_attention

    def marked(*args: Any, **kwargs: Any) -> Any:
        marks.append(fused_on_cpu(*args, **kwargs))
        try:
            return original(*args, **kwargs)
        finally:
            marks.pop()

    F.scaled_dot_product_attention = marked
    try:
        yield
    finally:
        F.scaled_dot_product_attention = original


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
