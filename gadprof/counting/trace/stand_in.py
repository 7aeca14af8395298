"""A tensor's stand-in: a shape, strides and a type that a module's own ``forward`` can run on.

A stand-in answers what most modules ask of a tensor; for everything else it raises RefusedError
and remembers that it did, so that a count by stand-ins is either the very trace that torch's own
dispatcher would give or no count at all. It calls itself a ``torch.Tensor`` when asked by
``isinstance``; ``type`` would tell it apart, which is why only known code is run on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from gadprof.counting.trace.lifetimes import OwnStorage, Storage, contiguous_strides

META = torch.device("meta")


class RefusedError(Exception):
    """Something that stand-ins cannot answer with certainty; the slow way has to."""


class Spec:
    """Shape, strides and type of a tensor, one object for all that are equal within a count."""

    __slots__ = (
        "contiguous", "dtype", "floating", "nbytes", "shape", "shapes", "size_bytes", "strides",
    )  # fmt: skip

    def __init__(self, shape: torch.Size, strides: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape = shape
        self.shapes = (tuple(shape),)
        self.strides = strides
        self.dtype = dtype
        self.size_bytes = dtype.itemsize
        self.nbytes = shape.numel() * dtype.itemsize
        self.floating = dtype.is_floating_point
        self.contiguous = strides == contiguous_strides(shape)


class Engine:
    """What a stand-in asks for the result of a function; one a run."""

    refused = ""

    def refuse(self, what: str) -> RefusedError:
        """Remember the first refusal, also where the model swallows the exception."""
        self.refused = self.refused or what
        return RefusedError(what)

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result of a torch function with stand-ins among its arguments."""
        raise NotImplementedError

    def add(self, left: Any, right: Any) -> Any:
        """left + right."""
        return self.call(torch.Tensor.add, (left, right), {})


class StandIn:
    """One tensor that is not there."""

    __slots__ = ("engine", "spec", "storage")
    _is_param = False  # what ``isinstance(x, nn.Parameter)`` asks
    is_nested = False  # what a recorder asks of every tensor

    def __init__(self, engine: Engine, spec: Spec, storage: Storage | OwnStorage) -> None:
        self.engine = engine
        self.spec = spec
        self.storage = storage

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return torch.Tensor

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return engine_of(args, kwargs or {}).call(func, args, kwargs or {})

    @property
    def shape(self) -> torch.Size:
        return self.spec.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.spec.dtype

    @property
    def device(self) -> torch.device:
        return META

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    @property
    def requires_grad(self) -> bool:
        return False

    @property
    def is_meta(self) -> bool:
        return True

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def layout(self) -> torch.layout:
        return torch.strided

    def dim(self) -> int:
        return len(self.spec.shape)

    def size(self, dim: int | None = None) -> Any:
        return self.spec.shape if dim is None else self.spec.shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        return self.spec.strides if dim is None else self.spec.strides[dim]

    def numel(self) -> int:
        return self.spec.shape.numel()

    def element_size(self) -> int:
        return self.spec.size_bytes

    def is_floating_point(self) -> bool:
        return self.spec.floating

    def is_complex(self) -> bool:
        return self.spec.dtype.is_complex

    def __len__(self) -> int:
        if not self.spec.shape:
            raise self.engine.refuse("len of a number")
        return self.spec.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.engine.call(torch.Tensor.unbind, (self, 0), {}))

    def __hash__(self) -> int:
        return id(self)

    def __add__(self, other: Any) -> Any:
        return self.engine.add(self, other)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            method = getattr(torch.Tensor, name)
            engine = self.engine
            return lambda *args, **kwargs: engine.call(method, (self, *args), kwargs)
        raise self.engine.refuse(f"attribute {name}")


def engine_of(args: Any, kwargs: Any) -> Engine:
    """The engine of the first stand-in among some arguments."""
    for value in (*args, *kwargs.values()):
        if type(value) is StandIn:
            return value.engine
        if isinstance(value, (list, tuple)):
            for item in value:
                if type(item) is StandIn:
                    return item.engine
    raise RefusedError("stand-ins deep inside an argument")


# methods whose result is a function of shapes, strides, types and plain arguments
METHODS = frozenset((
    "abs", "add", "add_", "amax", "amin", "argmax", "bmm", "chunk", "clamp", "clamp_", "clone",
    "contiguous", "cos", "cumsum", "detach", "div", "div_", "exp", "expand", "expand_as", "flatten",
    "flip", "float", "long", "matmul", "max", "mean", "min", "mm", "movedim", "mul", "mul_",
    "narrow", "neg", "norm", "permute", "pow", "prod", "relu", "relu_", "repeat", "reshape",
    "reshape_as", "roll", "rsqrt", "select", "sigmoid", "sigmoid_", "sin", "softmax", "split",
    "sqrt", "square", "squeeze", "std", "sub", "sub_", "sum", "t", "tanh", "tile", "to",
    "transpose", "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "var", "view", "view_as",
))  # fmt: skip

_OPERATORS = (
    "__sub__", "__mul__", "__truediv__", "__matmul__", "__pow__", "__radd__", "__rsub__",
    "__rmul__", "__rtruediv__", "__rpow__", "__neg__", "__getitem__", "__iadd__", "__imul__",
    "__isub__", "__itruediv__",
)  # fmt: skip

# what every object has and answers the same for a stand-in
_PLAIN = frozenset((
    "__class__", "__delattr__", "__getattribute__", "__init__", "__init_subclass__", "__new__",
    "__setattr__", "__sizeof__", "__subclasshook__",
))  # fmt: skip


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(torch.Tensor, name)

    def apply(self: StandIn, *args: Any) -> Any:
        return self.engine.call(function, (self, *args), {})

    return apply


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(self: StandIn, *args: Any, **kwargs: Any) -> Any:
        raise self.engine.refuse(name)

    return refuse


for _name in _OPERATORS:
    setattr(StandIn, _name, _operator(_name))
for _name in {*dir(torch.Tensor), "__format__", "__repr__", "__str__", "__reduce__", "__dir__"}:
    if (
        _name.startswith("__")
        and _name not in _OPERATORS
        and _name not in vars(StandIn)
        and (_name not in _PLAIN)
        and callable(getattr(torch.Tensor, _name))
    ):
        setattr(StandIn, _name, _refusal(_name))
