"""What a CUDA card does otherwise than the meta device: fused attention, and autocast's formats.

Promises, while its contexts are active, that attention which torch's memory-efficient kernel takes
is one operation that saves what the kernel saves (with the padded copy that it makes of a bias),
any other attention its parts, and that under mixed
precision every tensor is allocated in the format that torch's autocast on CUDA gives it. Autocast
itself does not act on meta tensors, so its lists of operations are told here. Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

ROW_BYTES = 16
BIAS_ALIGNMENT = 16  # elements: what a row of a bias is padded to

# what autocast runs in half precision, and in single precision (torch's "Autocast Op Reference")
HALF = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "conv_tbc", "addmm", "addmv", "addr", "matmul", "__matmul__", "__rmatmul__", "einsum", "mm",
    "mv", "linear", "bmm", "baddbmm", "addbmm", "chain_matmul", "scaled_dot_product_attention",
    "prelu",
)  # fmt: skip
SINGLE = (
    "layer_norm", "group_norm", "softmax", "log_softmax", "softmin", "pow", "__pow__", "rsqrt",
    "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "sum", "prod", "cumsum",
    "cumprod", "norm", "cosine_similarity", "cross_entropy", "nll_loss", "mse_loss", "softplus",
    "renorm", "cdist", "dist", "tan", "acos", "asin", "cosh", "sinh", "erfinv", "rms_norm",
)  # fmt: skip
# torch casts all inputs of these to the widest among them
WIDEST = ("cat", "concat", "stack", "addcdiv", "addcmul", "bilinear", "cross", "grid_sample",
          "index_put", "scatter_add", "tensordot", "vdot", "dot")  # fmt: skip


class FusedAttention(TorchFunctionMode):
    """While active, attention is the memory-efficient kernel's where that takes it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and _is_taken(*args, **kwargs):
            return _efficient(*args, **kwargs)
        return func(*args, **kwargs)


def _is_taken(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
) -> bool:
    """Four dimensions, and rows of whole 16 bytes, are what the kernel asks for."""
    width = ROW_BYTES // query.element_size()
    return query.dim() == 4 and not (query.shape[-1] % width or value.shape[-1] % width)


def _efficient(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    if enable_gqa and key.shape[1] != query.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = (item.repeat_interleave(times, 1) for item in (key, value))
    bias = attn_mask
    if bias is not None:
        if bias.dtype is torch.bool:
            zeros = torch.zeros_like(bias, dtype=query.dtype)
            bias = zeros.masked_fill_(bias.logical_not(), float("-inf"))
        keys = int(bias.shape[-1])
        if keys % BIAS_ALIGNMENT:
            bias = F.pad(bias, (0, BIAS_ALIGNMENT - keys % BIAS_ALIGNMENT))[..., :keys]
        bias = bias.to(query.dtype).expand(*query.shape[:-1], key.shape[-2])
    gradients = torch.is_grad_enabled()
    operation = torch.ops.aten._scaled_dot_product_efficient_attention
    output: torch.Tensor = operation(
        query, key, value, bias, gradients, dropout_p, is_causal, scale=scale
    )[0]
    return output


class Autocast(TorchFunctionMode):
    """While active, operations run in the formats of autocast with ``half`` as the narrow one.

    A parameter is cast once and its narrow copy kept while the context lasts, as autocast keeps it.
    """

    def __init__(self, half: torch.dtype) -> None:
        super().__init__()
        self._half = half
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __exit__(self, *error: Any) -> None:
        self._kept.clear()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in HALF:
            args, kwargs = self._each(args, self._narrow), self._each(kwargs, self._narrow)
        elif name in SINGLE:
            args, kwargs = self._each(args, self._wide), self._each(kwargs, self._wide)
        elif name in WIDEST:
            args = self._to_widest(args)
        return func(*args, **kwargs)

    def _each(self, value: Any, cast: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        if isinstance(value, torch.Tensor):
            return cast(value)
        if type(value) in (tuple, list):
            return type(value)([self._each(item, cast) for item in value])
        if type(value) is dict:
            return {key: self._each(item, cast) for key, item in value.items()}
        return value

    def _narrow(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is not torch.float32:
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad):
            return tensor.to(self._half)
        kept = self._kept.get(id(tensor))
        if kept is None:
            kept = self._kept[id(tensor)] = (tensor, tensor.to(self._half))
        return kept[1]

    def _wide(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.float() if tensor.dtype is self._half else tensor

    def _to_widest(self, args: tuple[Any, ...]) -> Any:
        found: list[torch.dtype] = []

        def look(tensor: torch.Tensor) -> torch.Tensor:
            found.append(tensor.dtype)
            return tensor

        self._each(args, look)
        if torch.float32 in found and self._half in found:
            return self._each(args, self._wide)
        return args
