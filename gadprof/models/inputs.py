"""What a model is called with, as the command line and Python write it: shape, type, keyword.

Promises plain frozen data without torch. One input is ``[NAME=][SHAPE][:DTYPE]``, its shape
without the batch: ``3x256x192``, ``128:int64``, ``mask=128:bool``, ``time=:float32`` (the batch
alone). ``256x192`` and nothing else is an image of three channels. Refuses an unknown type, an
empty name, a size that is not positive, and names that are given twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input
from gadprof.errors import InputShapeError, nearest
from gadprof.networks.spec import parse_shape

if TYPE_CHECKING:
    import torch

DTYPES = (
    "float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8",
    "bool", "complex64", "complex128",
)  # fmt: skip


def parse_input(text: str) -> Input:
    """Read one ``--input``. Raises InputShapeError."""
    match = re.fullmatch(r"\s*(?:([^=:]*)=)?([^=:]*)(?::([^=:]*))?\s*", text)
    if match is None:
        raise InputShapeError(
            f"input {text!r} is not [NAME=]SHAPE[:TYPE]; type for example mask=128:int64"
        )
    name, shape, dtype = match.groups()
    if name is not None and not name.strip().isidentifier():
        raise InputShapeError(f"input {text!r} names no keyword; type for example mask=128:int64")
    if dtype is not None and dtype not in DTYPES:
        raise InputShapeError(
            f"input {text!r} has the unknown type {dtype!r}{nearest(dtype, DTYPES)}; "
            f"known are {', '.join(DTYPES)}"
        )
    sizes = () if not shape.strip() and (name or dtype) else parse_shape(shape)
    if (name or dtype) and len(re.split("[x×,]", shape.lower())) == 2:
        sizes = sizes[
            1:
        ]  # only an image that nothing else is said of has three channels by default
    return Input(sizes, dtype or "", (name or "").strip())


def parse_inputs(texts: Iterable[str]) -> tuple[Input, ...]:
    """Read every ``--input`` of a command line. Raises InputShapeError."""
    found = tuple(parse_input(text) for text in texts)
    named = [item.name for item in found if item.name]
    for name in named:
        if named.count(name) > 1:
            raise InputShapeError(f"input {name!r} is given more than once; give it once")
    return found


def example(item: Input, batch: int, *, device: str, default: torch.dtype | None = None) -> Any:
    """A tensor for an input: normal numbers, zeros for integers, true for booleans."""
    import torch

    shape = (batch, *item.shape)
    dtype = getattr(torch, item.dtype) if item.dtype else default
    if device == "meta":
        return torch.empty(shape, device=device, dtype=dtype)
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        return torch.full(shape, dtype == torch.bool, dtype=dtype, device=device)
    if dtype is not None and dtype.is_complex:
        return torch.randn(shape, dtype=dtype, device=device)
    return torch.randn(shape, dtype=torch.float32).to(device=device, dtype=dtype)
