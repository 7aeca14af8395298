"""Maps that are not there: shapes with a memory behind them, on which a block's forward runs.

A ``Map`` answers the operators and methods that blocks use of a tensor, and the functions below
those that torch has as functions; given tensors, they call torch. What an operation gives (its
shape, and whether it is new memory or a view) is said here, once for a trace and for a cost; what
is noted of it is the business of the ``Run`` behind the map. Sizes are ints, in a sweep also int64
arrays; the batch comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

Shape = tuple[Any, ...]


class Run(Protocol):
    """One reading of a plan."""

    def new(self, shape: Shape) -> Map:
        """A map with memory of its own, alive from now on."""

    def note(
        self, name: str, overload: str, key: Any, args: Any, ins: Sequence[Map], out: Map
    ) -> Map:
        """Note an operation by torch's name; ``key`` is what of ``args`` is not in the shapes."""

    def refuse(self, a: Shape, b: Shape) -> Exception:
        """What to raise where maps of these shapes meet and do not fit."""


class Map:
    """A float32 tensor that is not there; ``strides`` None where it lies row by row."""

    __slots__ = ("memory", "run", "shape", "strides")

    dtype = "torch.float32"

    def __init__(
        self, run: Any, shape: Shape, memory: Any, strides: tuple[int, ...] | None = None
    ) -> None:
        self.run = run
        self.shape = shape
        self.memory = memory
        self.strides = strides

    # --- what counting rules ask

    def dim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return prod(self.shape)

    def element_size(self) -> int:
        return 4

    def stride(self) -> tuple[int, ...]:
        """As torch's; UNKNOWN where a size is an array."""
        if self.strides is not None:
            return self.strides
        known = all(type(size) is int for size in self.shape)
        return row_strides(self.shape) if known else UNKNOWN

    def is_floating_point(self) -> bool:
        return True

    def is_complex(self) -> bool:
        return False

    # --- arithmetic

    def __add__(self, other: Map) -> Map:
        run = self.run
        if not fits(self.shape, other.shape):
            raise run.refuse(self.shape, other.shape)
        ins = (self, other)
        return run.note("aten.add", "Tensor", None, ins, ins, run.new(self.shape))  # type: ignore[no-any-return]

    def __radd__(self, other: float) -> Map:
        """A number plus a map, as Python's ``sum`` begins."""
        run = self.run
        return run.note("aten.add", "Tensor", other, (self, other), (self,), run.new(self.shape))  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> Map:
        run = self.run
        if not isinstance(other, Map):
            out = run.new(self.shape)
            return run.note("aten.mul", "Tensor", other, (self, other), (self,), out)  # type: ignore[no-any-return]
        if len(self.shape) != len(other.shape) or not all(
            type(a) is not int or type(b) is not int or b in (1, a)
            for a, b in zip(self.shape, other.shape, strict=True)
        ):
            raise run.refuse(self.shape, other.shape)
        ins = (self, other)
        return run.note("aten.mul", "Tensor", None, ins, ins, run.new(self.shape))  # type: ignore[no-any-return]

    def __matmul__(self, other: Map) -> Map:
        run, rows, inner = self.run, self.shape[:-1], self.shape[-1]
        if not fits((*rows[:-1], inner), other.shape[:-1]):
            raise run.refuse(self.shape, other.shape)
        out, ins = run.new((*rows, other.shape[-1])), (self, other)
        return run.note("aten.matmul", "default", None, ins, ins, out)  # type: ignore[no-any-return]

    def sum(self, dim: int) -> Map:
        return self._reduced("aten.sum", "dim_IntList", (dim,), keepdim=False)

    def mean(self, dim: int, keepdim: bool = False) -> Map:
        return self._reduced("aten.mean", "dim", (dim,), keepdim=keepdim)

    def amax(self, dim: int | tuple[int, ...], keepdim: bool = False) -> Map:
        dims = dim if isinstance(dim, tuple) else (dim,)
        return self._reduced("aten.amax", "default", dims, keepdim=keepdim)

    def _reduced(self, name: str, overload: str, dims: tuple[int, ...], *, keepdim: bool) -> Map:
        shape = tuple(
            1 if index in dims else size
            for index, size in enumerate(self.shape)
            if keepdim or index not in dims
        )
        run = self.run
        args = (self, list(dims), keepdim)
        return run.note(name, overload, (dims, keepdim), args, (self,), run.new(shape))  # type: ignore[no-any-return]

    # --- the same memory seen otherwise

    def _view(self, name: str, overload: str, shape: Shape, strides: tuple[int, ...] | None) -> Map:
        out = Map(self.run, shape, self.memory, strides)
        return self.run.note(name, overload, shape, (self,), (self,), out)  # type: ignore[no-any-return]

    def __getitem__(self, key: Any) -> Map:
        """``x[:, start:stop]`` and ``x[:, index]`` of the channels."""
        _, chosen = key
        shape = self.shape
        if not isinstance(chosen, slice):
            strides = self.stride()
            left = (*strides[:1], *strides[2:])
            return self._view("aten.select", "int", (shape[0], *shape[2:]), left)
        start = 0 if chosen.start is None else chosen.start
        stop = shape[1] if chosen.stop is None else chosen.stop
        kept = stop - start
        if type(kept) is not int or type(shape[1]) is not int:  # a sweep's arrays lie anyhow
            return self._view("aten.slice", "Tensor", (shape[0], kept, *shape[2:]), None)
        if kept == shape[1]:
            return self._view("aten.alias", "default", shape, self.strides)
        if not 0 < kept <= shape[1] - start:
            raise self.run.refuse(shape, (shape[0], stop, *shape[2:]))
        return self._view("aten.slice", "Tensor", (shape[0], kept, *shape[2:]), self.stride())

    def unsqueeze(self, dim: int) -> Map:
        at = dim if dim >= 0 else dim + len(self.shape) + 1
        strides = self.strides
        shape = (*self.shape[:at], 1, *self.shape[at:])
        if strides:
            step = strides[at] * self.shape[at] if at < len(strides) else 1
            strides = (*strides[:at], step, *strides[at:])
        return self._view("aten.unsqueeze", "default", shape, strides)

    def contiguous(self) -> Map:
        """This map where it lies row by row, else a copy that does."""
        if self.strides is None:
            return self
        out = self.run.new(self.shape)
        return self.run.note("aten.clone", "default", None, (self,), (self,), out)  # type: ignore[no-any-return]

    def transpose(self, a: int, b: int) -> Map:
        """Two dimensions that lie side by side, swapped."""

        def swapped(values: tuple[Any, ...]) -> tuple[Any, ...]:
            made = list(values)
            made[a], made[b] = values[b], values[a]
            return tuple(made)

        strides: Any = UNKNOWN
        if self.strides is None and any(
            type(self.shape[i]) is int and self.shape[i] == 1 for i in (a, b)
        ):
            strides = None
        elif (lying := self.stride()) is not UNKNOWN:
            strides = swapped(lying)
        return self._view("aten.transpose", "int", swapped(self.shape), strides)

    def flatten(self, start: int) -> Map:
        return self.reshape(*self.shape[:start], size_of(self.shape[start:]))

    def reshape(self, *shape: Any) -> Map:
        """A view where the memory allows one, else a copy in the order of the new shape."""
        if any(type(size) is int and size == -1 for size in shape):
            rest = size_of(tuple(size for size in shape if type(size) is not int or size != -1))
            missing = size_of(self.shape) // rest
            shape = tuple(missing if type(size) is int and size == -1 else size for size in shape)
        strides = viewed_strides(self.shape, self.strides, shape)
        if strides is not UNKNOWN:
            return self._view("aten.view", "default", shape, strides)
        copy: Map = self.run.new(self.shape)
        self.run.note("aten.clone", "default", None, (self,), (self,), copy)
        return copy._view("aten._unsafe_view", "default", shape, None)


# the strides of a map whose sizes are arrays and that no longer lies row by row
UNKNOWN: Any = ()


def size_of(shape: Shape) -> Any:
    """The number of elements of a shape."""
    total: Any = 1
    for size in shape:
        total = total * size
    return total


def fits(a: Shape, b: Shape) -> bool:
    """Whether two shapes are equal; arrays are taken on trust."""
    try:
        return a == b
    except ValueError:  # whether arrays are equal has no one answer
        return len(a) == len(b)


def row_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a plain row-major tensor, as torch writes them."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def viewed_strides(
    shape: Shape, strides: tuple[int, ...] | None, into: Shape
) -> tuple[int, ...] | None:
    """The strides of a map seen in another shape; UNKNOWN where only a copy has that shape."""
    if strides is None or strides is UNKNOWN:
        return strides
    if strides == row_strides(shape) or size_of(shape) == 1:
        return None
    # runs of dimensions that lie side by side, from the last; each has to be filled exactly
    made: list[int] = []
    sizes = list(into)
    step, run = strides[-1], 1
    for index in range(len(shape) - 1, -1, -1):
        run *= shape[index]
        whole = index == 0 or (shape[index - 1] != 1 and strides[index - 1] != run * step)
        if not whole:
            continue
        filled = 1
        while sizes and (filled < run or sizes[-1] == 1):
            made.append(filled * step)
            filled *= sizes.pop()
        if filled != run:
            return UNKNOWN  # type: ignore[no-any-return]
        if index > 0:
            step, run = strides[index - 1], 1
    return None if sizes else tuple(reversed(made))


# --- functions of torch and of maps ---------------------------------------------------------------


def cat(maps: Sequence[Any]) -> Any:
    """torch.cat(maps, 1)."""
    first = maps[0]
    if not isinstance(first, Map):
        import torch

        return torch.cat(list(maps), 1)
    shape = first.shape
    channels = shape[1]
    for other in maps[1:]:
        if not fits((shape[0], *shape[2:]), (other.shape[0], *other.shape[2:])):
            raise first.run.refuse(shape, other.shape)
        channels = channels + other.shape[1]
    out = first.run.new((shape[0], channels, *shape[2:]))
    return first.run.note("aten.cat", "default", None, (list(maps), 1), maps, out)


def stack(maps: Sequence[Any]) -> Any:
    """torch.stack(maps, 1), of maps of one shape."""
    first = maps[0]
    if not isinstance(first, Map):
        import torch

        return torch.stack(list(maps), 1)
    out = first.run.new((first.shape[0], len(maps), *first.shape[1:]))
    return first.run.note("aten.stack", "default", None, (list(maps), 1), maps, out)


def softmax(x: Any, dim: int) -> Any:
    """torch.softmax."""
    if not isinstance(x, Map):
        import torch

        return torch.softmax(x, dim)
    out = x.run.new(x.shape)
    return x.run.note("aten.softmax", "int", dim, (x, dim), (x,), out)


def interpolate(x: Any, size: tuple[Any, Any], mode: str = "nearest") -> Any:
    """torch.nn.functional.interpolate to a height and width; bilinear aligns the corners."""
    if not isinstance(x, Map):
        from torch.nn import functional

        align = None if mode == "nearest" else True
        return functional.interpolate(x, size=size, mode=mode, align_corners=align)
    out = x.run.new((*x.shape[:2], *size))
    name = f"aten.upsample_{mode}2d"
    return x.run.note(name, "vec", None, (x, size), (x,), out)


def adaptive_avg_pool2d(x: Any, size: tuple[Any, Any]) -> Any:
    """torch.nn.functional.adaptive_avg_pool2d."""
    if not isinstance(x, Map):
        from torch.nn import functional

        return functional.adaptive_avg_pool2d(x, size)
    out = x.run.new((*x.shape[:2], *size))
    return x.run.note("aten.adaptive_avg_pool2d", "default", None, (x, size), (x,), out)


def warp(x: Any, theta: Any) -> Any:
    """Sample (N, C, H, W) bilinearly on the affine grid of (N, 2, 3)."""
    n, c, h, w = x.shape
    if not isinstance(x, Map):
        from torch.nn import functional

        grid = functional.affine_grid(theta, [n, c, h, w], align_corners=False)
        return functional.grid_sample(
            x, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )
    run = x.run
    args = (theta, [n, c, h, w], False)
    made = run.new((n, h, w, 2))
    grid = run.note("aten.affine_grid_generator", "default", (c, h, w), args, (theta,), made)
    sampled = run.new(x.shape)
    return run.note(
        "aten.grid_sampler", "default", None, (x, grid, 0, 0, False), (x, grid), sampled
    )
