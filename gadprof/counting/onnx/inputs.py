"""Gives every input of an ONNX graph a shape: the file's own, with its open dimensions bound.

Promises that a dimension bound under one name is the same everywhere. The first dimension, where
it is open, is the batch; any other open dimension has to be given. Refuses a shape that a fixed
dimension contradicts, and says which dimension is open where none was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gadprof.counting.inputs import Input, check_sizes
from gadprof.counting.onnx.file import DTYPES
from gadprof.errors import InputShapeError


@dataclass(frozen=True)
class Bound:
    """Concrete shapes (batch included) of a graph's inputs, and what named dimensions became."""

    shapes: Mapping[str, tuple[int, ...]]
    names: Mapping[str, int] = field(default_factory=dict)


def graph_inputs(graph: Any) -> list[Any]:
    """The inputs that a caller gives: old files list their weights among them."""
    weights = {item.name for item in graph.initializer}
    return [item for item in graph.input if item.name not in weights]


def dimensions(info: Any) -> list[int | str] | None:
    """A value's sizes, its open dimensions by name ("?" where they have none); None: no shape."""
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return [  # some exporters write an open size as -1 or 0
        int(size.dim_value) if size.dim_value > 0 else size.dim_param or "?"
        for size in kind.shape.dim
    ]


def bind(
    path: str,
    graph: Any,
    given: Sequence[Input] = (),
    *,
    batch: int = 1,
) -> Bound:
    """Shapes of every input from what the user gave, in the graph's order.

    What is ``given`` binds by name, or in order; its shapes are without the batch (with it where
    they have the input's full rank). Raises InputShapeError.
    """
    inputs = graph_inputs(graph)
    known = ", ".join(item.name for item in inputs)
    if len(given) > len(inputs):
        plural = "s" * (len(inputs) != 1)
        raise InputShapeError(
            f"{path} takes {len(inputs)} input{plural} ({known}), not {len(given)}"
        )
    wanted = {item.name: item for item in given if item.name}
    for name in wanted:
        if name not in [item.name for item in inputs]:
            raise InputShapeError(f"{path} has no input {name!r}; it has {known}")
    for item in given:
        if item.literal or item.file:
            raise InputShapeError(f"{path} is a graph: give a shape for {item.name or known}")
    unnamed = [item.name for item in inputs if item.name not in wanted]
    wanted.update(zip(unnamed, [item for item in given if not item.name], strict=False))
    names: dict[str, int] = {}
    bound: dict[str, tuple[int, ...]] = {}
    for item in sorted(inputs, key=lambda item: item.name not in wanted):
        asked = wanted.get(item.name)
        if asked is not None:
            _check_type(path, item, asked)
        bound[item.name] = _bind_one(path, item, asked.shape if asked else None, names, batch)
    return Bound({item.name: bound[item.name] for item in inputs}, names)


def _check_type(path: str, info: Any, asked: Input) -> None:
    own = DTYPES.get(info.type.tensor_type.elem_type, "unknown")
    if asked.dtype and asked.dtype != own:
        raise InputShapeError(
            f"{path}: input {info.name!r} is {own}, not {asked.dtype}; leave the type away"
        )


def _bind_one(
    path: str, info: Any, given: tuple[int, ...] | None, names: dict[str, int], batch: int
) -> tuple[int, ...]:
    own = dimensions(info)
    if given is not None and own is not None and len(own) == 4 and len(given) == 2:
        given = (own[1] if isinstance(own[1], int) else 3, *given)  # a picture's two sides
    if given is not None:
        check_sizes(given, batch)
    if own is None:
        if given is None:
            raise InputShapeError(
                f"{path} states no shape for input {info.name!r}; type --input 3x224x224"
            )
        return (batch, *given)
    written = "x".join(map(str, own))
    if given is not None and len(given) == len(own) - 1:
        given = (batch if isinstance(own[0], str) or batch > 1 else own[0], *given)
    if given is not None and len(given) != len(own):
        raise InputShapeError(
            f"{path}: input {info.name!r} is {written}, which {'x'.join(map(str, given))} "
            f"cannot be; give {len(own) - 1} sizes, the batch apart"
        )
    sizes = []
    for index, size in enumerate(own):
        value = _size(path, info.name, own, index, given, names, batch)
        if isinstance(size, str) and size != "?":
            known = names.setdefault(size, value)
            if known != value:
                raise InputShapeError(
                    f"{path}: dimension {size!r} cannot be both {known} and {value}"
                )
        sizes.append(value)
    return tuple(sizes)


def _size(
    path: str,
    name: str,
    own: list[int | str],
    index: int,
    given: tuple[int, ...] | None,
    names: dict[str, int],
    batch: int,
) -> int:
    size, written = own[index], "x".join(map(str, own))
    if isinstance(size, int):
        asked = given[index] if given is not None else (batch if index == 0 and batch > 1 else size)
        if asked != size:
            what = "batch" if index == 0 else f"dimension {index}"
            raise InputShapeError(
                f"{path} was exported with input {name!r} fixed at {written}; its {what} cannot be "
                f"{asked}: leave it away, or export with dynamic shapes"
            )
        return size
    if given is not None:
        return given[index]
    if size in names:
        return names[size]
    if index == 0:
        return batch
    label = f"dimension {index}" if size == "?" else f"dimension {index} ({size})"
    example = "x".join("224" if isinstance(item, str) else str(item) for item in own[1:])
    raise InputShapeError(
        f"{path} leaves {label} of input {name!r} open ({written}); give its size: "
        f"--input {example}"
    )
