"""The grammar of inputs, the same in every command and in Python, and the tensors that it names.

One input is ``[NAME=]SHAPE[:TYPE][VALUES]``, its shape without the batch::

    3x256x192                 by position           256x192         a picture, where one is taken
    mask=128:bool=ones        by keyword            ids=7:int64<1000  integers below 1000
    time=:float32             the batch alone       boxes=[100x4]   the whole shape, no batch
    batch.image=3x64x64       a key of a dict       images[0]=[3x64x64]  an item of a list
    steps:=5  flag:=true      a JSON value, as it is
    inputs.pt  inputs.npz     a file of inputs: tensors, a list of them, or a dict by keyword

A model string may carry its own: ``timm:vit_base_patch16_224@3x224x224``, several after one
another. Parsing needs no torch. Refuses, with an example of what to type, an unknown type, a name
that is no keyword, a name given twice, and sizes beyond any machine's memory.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input, abridged, check_sizes
from gadprof.errors import InputShapeError, nearest

if TYPE_CHECKING:
    import torch

DTYPES = (
    "float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8",
    "bool", "complex64", "complex128",
)  # fmt: skip
FILLS = ("ones", "zeros", "arange")
FILES = (".pt", ".pth", ".npz", ".npy")

_KEYWORD = r"[A-Za-z_]\w*(?:\.\w+|\[\d{1,4}\])*"
_SIZES = r"\d+(?:\s*[x×,]\s*\d+)*"
_INPUT = re.compile(
    r"\s*(?:(?P<name>[^=:<]*)=)?(?P<shape>[^=:<]*)(?::(?P<dtype>[^=:<]*))?"
    r"(?P<fill><[^=:<]*|=[^=:<]*)?\s*"
)
# what follows an @ in a model string is an input only where it looks like one
_ATTACHED = re.compile(
    rf"(?:(?:{_KEYWORD})?:=.+|(?:{_KEYWORD}=)?(?:\[\s*(?:{_SIZES})?\s*\]|{_SIZES})(?::\w+)?[<=]?[\w.+-]*"
    rf"|(?:{_KEYWORD}=)?:\w+[<=]?[\w.+-]*|{_KEYWORD}=|.+\.(?:pt|pth|npz|npy))",
    re.IGNORECASE,
)


def parse_input(text: str) -> Input:
    """Read one input. Raises InputShapeError."""
    name, literal, value = text.partition(":=")
    if literal and ("=" not in name):
        return _literal(text, name.strip(), value.strip())
    match = _INPUT.fullmatch(text)
    if match is None:
        raise InputShapeError(
            f"input {abridged(text)!r} is not [NAME=]SHAPE[:TYPE]; type for example mask=128:int64"
        )
    keyword, shape, dtype, fill = match.group("name", "shape", "dtype", "fill")
    shape = shape.strip()
    if shape.lower().endswith(FILES) and keyword is None and dtype is None and fill is None:
        return Input(file=shape)
    if keyword is not None:
        keyword = _keyword(text, keyword)
    if dtype is not None and dtype not in DTYPES:
        raise InputShapeError(
            f"input {abridged(text)!r} has the unknown type {abridged(dtype)!r}"
            + (nearest(dtype, DTYPES) or f"; known are {', '.join(DTYPES)}")
        )
    whole = shape.startswith("[") and shape.endswith("]")
    inside = shape[1:-1].strip() if whole else shape
    alone = not inside and (whole or keyword or dtype)
    sizes = () if alone else _sizes(text, inside, keyword or "")
    return Input(sizes, dtype or "", keyword or "", _fill(text, fill, dtype), whole)


def parse_inputs(texts: Iterable[str]) -> tuple[Input, ...]:
    """Read every ``--input`` of a command line. Raises InputShapeError."""
    found = tuple(parse_input(text) for text in texts)
    named = [item.name for item in found if item.name]
    for name in named:
        if named.count(name) > 1:
            raise InputShapeError(f"input {name!r} is given more than once; give it once")
    if len(found) > 1 and any(item.file for item in found):
        raise InputShapeError("a file of inputs holds them all; give it alone")
    return found


def split_inputs(text: str) -> tuple[str, tuple[Input, ...]]:
    """A model string without the inputs that it carries after ``@``, and those.

    Raises InputShapeError.
    """
    carried: list[str] = []
    while "@" in text:
        head, _, last = text.rpartition("@")
        if not head or not _ATTACHED.fullmatch(last.strip()):
            break
        text, carried = head, [last, *carried]
    return text, parse_inputs(carried)


def _literal(text: str, name: str, value: str) -> Input:
    if name and not re.fullmatch(_KEYWORD, name):
        raise InputShapeError(f"input {abridged(text)!r} names no keyword; type steps:=5")
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        quoted = json.dumps(abridged(value))
        raise InputShapeError(
            f"input {abridged(text)!r} is no JSON value; type for example {name}:={quoted}"
        ) from None
    return Input(name=name, literal=value)


def _keyword(text: str, name: str) -> str:
    name = name.strip()
    if not re.fullmatch(_KEYWORD, name):
        raise InputShapeError(
            f"input {abridged(text)!r} names no keyword; type for example mask=128:int64"
        )
    return name


def _sizes(text: str, shape: str, name: str) -> tuple[int, ...]:
    if not re.fullmatch(_SIZES, shape.lower()):
        way = "type for example 3x256x192"
        if name and re.fullmatch(r"-?\d+\.\d*|true|false|none|null", shape.lower()):
            value = {"none": "null"}.get(shape.lower(), shape.lower())
            way = f"for a value that is no tensor type {name}:={value}"
        raise InputShapeError(f"input {abridged(text)!r} is not a shape; {way}")
    return check_sizes(tuple(_integer(part) for part in re.split("[x×,]", shape.lower())))


def _integer(digits: str) -> int:
    digits = digits.strip()
    return int(digits) if len(digits) < 20 else 10 ** len(digits[:50])


def _fill(text: str, fill: str | None, dtype: str | None) -> str:
    """What the tensor holds, checked: ``<N`` keeps its sign."""
    if fill is None:
        return ""
    sign, value = fill[0], fill[1:].strip()
    if sign == "<":
        if not re.fullmatch(r"[1-9]\d{0,17}", value) or (dtype and "int" not in dtype):
            raise InputShapeError(
                f"input {abridged(text)!r} has no bound for integers; type ids=7:int64<1000"
            )
        return f"<{value}"
    if value in FILLS or re.fullmatch(r"[+-]?\d{1,18}(?:\.\d{0,18})?(?:e[+-]?\d{1,2})?", value):
        return value
    raise InputShapeError(
        f"input {abridged(text)!r} holds {abridged(value)!r}, which is no number and none of "
        f"{', '.join(FILLS)}; type mask=10:bool=ones"
    )


# --- tensors --------------------------------------------------------------------------------------


def call_of(
    inputs: Sequence[Input], batch: int, *, device: str, default: torch.dtype | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments by position and by keyword that inputs stand for.

    Raises InputShapeError or SourceError.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for item in inputs:
        if item.file:
            more, named = _read_file(item.file, device)
            args.extend(more)
            kwargs.update(named)
            continue
        if item.literal:
            value = json.loads(item.literal)
        else:
            value = example(item, batch, device=device, default=default)
        if item.name:
            _place(kwargs, item.name, value)
        else:
            args.append(value)
    return tuple(args), kwargs


def _place(kwargs: dict[str, Any], name: str, value: Any) -> None:
    """Put a value under a name such as ``batch.image`` or ``boxes[0]``."""
    keys: list[str | int] = [
        int(index) if index else key for key, index in re.findall(r"(\w+)(?!\w*\])|\[(\d+)\]", name)
    ]
    holder: Any = kwargs
    for position, key in enumerate(keys):
        last = position == len(keys) - 1
        fitting = isinstance(holder, list) if isinstance(key, int) else isinstance(holder, dict)
        if not fitting or (isinstance(key, int) and key > len(holder)):
            raise InputShapeError(
                f"input {name!r} does not fit those before it; items of a list are given in order "
                "from [0], keys of a dict as name.key"
            )
        absent = key == len(holder) if isinstance(key, int) else key not in holder
        if last:
            if not absent:
                raise InputShapeError(f"input {name!r} is given more than once; give it once")
            made = value
        elif absent:
            made = [] if isinstance(keys[position + 1], int) else {}
        else:
            holder = holder[key]
            continue
        if isinstance(key, int):
            holder.append(made)
        else:
            holder[key] = made
        holder = made


def example(
    item: Input, batch: int, *, device: str, default: torch.dtype | None = None
) -> torch.Tensor:
    """A tensor for an input: normal numbers, zeros for integers, true for booleans, or its fill."""
    import torch

    shape = item.shape if item.whole else (batch, *item.shape)
    check_sizes(item.shape, 1 if item.whole else batch)
    dtype: torch.dtype | None = getattr(torch, item.dtype) if item.dtype else default
    if item.fill.startswith("<") and not item.dtype:
        dtype = torch.int64
    if device == "meta":
        return torch.empty(shape, device=device, dtype=dtype)
    if item.fill:
        return _filled(item.fill, shape, dtype or torch.float32).to(device)
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        return torch.full(shape, dtype == torch.bool, dtype=dtype, device=device)
    if dtype is not None and dtype.is_complex:
        return torch.randn(shape, dtype=dtype, device=device)
    return torch.randn(shape, dtype=torch.float32).to(device=device, dtype=dtype)


def _filled(fill: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    import torch

    if fill.startswith("<"):
        return torch.randint(0, int(fill[1:]), shape).to(dtype)
    if fill == "arange":
        count = 1
        for size in shape:
            count *= size
        return torch.arange(count).reshape(shape).to(dtype)
    number = {"ones": 1.0, "zeros": 0.0}.get(fill)
    return torch.full(shape, float(fill) if number is None else number).to(dtype)


def _read_file(path: str, device: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a file holds; it is read without running anything that is in it."""
    from gadprof.errors import SourceError
    from gadprof.results.files import load_tensors

    if not os.path.isfile(path):
        raise SourceError(f"file of inputs {path!r} does not exist")
    try:
        held = load_tensors(path) if path.lower().endswith((".pt", ".pth")) else _read_numpy(path)
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise SourceError(f"file of inputs {path!r} cannot be read: {words}") from error
    from torch.utils import _pytree as pytree

    def moved(value: Any) -> Any:
        return value.to(device) if hasattr(value, "to") else value

    held = pytree.tree_map(moved, held)
    if isinstance(held, Mapping):
        if set(held) and set(held) <= {"args", "kwargs"}:
            return tuple(held.get("args", ())), dict(held.get("kwargs", {}))
        return (), {str(name): value for name, value in held.items()}
    return (tuple(held), {}) if isinstance(held, (tuple, list)) else ((held,), {})


def _read_numpy(path: str) -> Any:
    """Arrays as tensors: those that numpy named itself (``arr_0``) by position."""
    import numpy as np
    import torch

    held = np.load(path, allow_pickle=False)
    if isinstance(held, np.ndarray):
        return torch.from_numpy(held)
    arrays = {name: torch.from_numpy(np.ascontiguousarray(held[name])) for name in held.files}
    unnamed = [name for name in arrays if re.fullmatch(r"arr_\d+", name)]
    return {
        "args": tuple(arrays.pop(name) for name in unnamed),
        "kwargs": arrays,
    }
