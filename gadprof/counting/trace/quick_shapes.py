"""The output of frequent operations on the meta device, without torch's own meta kernels.

Promises the very shape, type and strides that torch gives, or None where that is not certain (a
layout that is not contiguous, sizes to broadcast, a type to promote), so that the slow way is
taken. Only for a forward pass without gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gadprof.counting.rules.work import window

META = torch.device("meta")

Quick = Callable[[Sequence[Any]], Any]


def _same(args: Sequence[Any]) -> Any:
    x = args[0]
    if not x.is_contiguous() or not x.is_floating_point():
        return None
    return torch.empty(x.shape, dtype=x.dtype, device=META)


def _in_place(args: Sequence[Any]) -> Any:
    return args[0]


def _pointwise(args: Sequence[Any]) -> Any:
    x, y = args[0], args[1]
    if type(y) in (int, float):
        return _same(args)
    if (
        not isinstance(y, torch.Tensor)
        or x.dtype != y.dtype
        or not x.is_contiguous()
        or not y.is_contiguous()
    ):
        return None
    if x.shape != y.shape and not _stretched(y.shape, x.shape):
        return None
    return torch.empty(x.shape, dtype=x.dtype, device=META)


def _stretched(small: torch.Size, whole: torch.Size) -> bool:
    """Whether one shape broadcasts to the other, whose strides are then plain."""
    pairs = zip(small, whole, strict=False)
    return (
        len(small) == len(whole)
        and 1 not in whole[1:]
        and all(one in (1, all_of_it) for one, all_of_it in pairs)
    )


def _batch_norm(args: Sequence[Any]) -> Any:
    # input, weight, bias, running_mean, running_var, training, …
    if len(args) < 6 or args[5] or args[3] is None or args[0].dim() < 2:
        return None
    if args[0].shape[1] != args[3].shape[0] or args[3].dtype != args[0].dtype:
        return None
    return _same(args)


def _convolution(args: Sequence[Any]) -> Any:
    # input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    if len(args) != 9 or args[6]:
        return None
    x, weight, _, stride, padding, dilation, _, _, groups = args
    if (
        x.dim() != 4
        or weight.dim() != 4
        or not x.is_contiguous()
        or not weight.is_contiguous()
        or x.dtype != weight.dtype
        or x.shape[1] != weight.shape[1] * groups
        or weight.shape[0] % groups
        # ambiguous strides: torch may take these for channels-last
        or x.shape[1] == 1
        or weight.shape[1] == 1 == weight.shape[2] * weight.shape[3]
    ):
        return None
    height = window(x.shape[2], weight.shape[2], stride[0], padding[0], dilation[0])
    width = window(x.shape[3], weight.shape[3], stride[-1], padding[-1], dilation[-1])
    if height < 1 or width < 1:
        return None
    return torch.empty((x.shape[0], weight.shape[0], height, width), dtype=x.dtype, device=META)


def _linear(args: Sequence[Any]) -> Any:
    x, weight = args[0], args[1]
    if not x.is_contiguous() or x.dtype != weight.dtype or x.shape[-1] != weight.shape[-1]:
        return None
    if weight.dim() != 2 or x.dim() < 2:
        return None
    return torch.empty((*x.shape[:-1], weight.shape[0]), dtype=x.dtype, device=META)


QUICK: Mapping[str, Quick] = {
    **{
        name: quick
        for activation in (
            "relu",
            "silu",
            "sigmoid",
            "hardswish",
            "hardsigmoid",
            "hardtanh",
            "tanh",
        )
        for name, quick in (
            (f"aten.{activation}", _same),
            (f"aten.{activation}_", _in_place),
        )
    },
    "aten.gelu": _same,
    "aten.relu6": _same,
    "aten.layer_norm": _same,
    "aten.add": _pointwise,
    "aten.mul": _pointwise,
    "aten.batch_norm": _batch_norm,
    "aten.convolution": _convolution,
    "aten.linear": _linear,
}


def quick_output(name: str, overload: str, args: Sequence[Any]) -> Any:
    """The operation's output, or None where torch has to say."""
    if overload not in ("default", "Tensor"):
        return None
    quick = QUICK.get(name)
    return None if quick is None else quick(args)
