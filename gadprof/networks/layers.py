"""Layers: the nodes that compute, each with all that is known of it in one class.

A layer says what torch's module is (``module``), what shape it gives (``output``), whether that is
its input's memory (``reuses``), which tensors and settings the module holds (``tensors``,
``settings``), what it adds to a cost (``counts``) and which operation a trace sees (``operation``).
Shapes have the batch first. Cost and trace look at nothing else; torch is imported by ``module``
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from gadprof.counting.rules.work import window
from gadprof.networks.maps import Map, Shape, size_of
from gadprof.networks.node import Node, Number

if TYPE_CHECKING:
    from torch import nn

Counts = dict[str, Any]
# torch's name, its overload, and its arguments
Operation = tuple[str, str, tuple[Any, ...]]

# floating-point operations per counted element of each elementwise kind, where that is not one:
# additions, multiplications, comparisons and transcendental functions alike
FLOPS_PER_ELEMENT: Mapping[str, int] = {
    "batch_norm": 2,
    "hardtanh": 2,
    "sigmoid": 3,
    "silu": 4,
    "hardswish": 5,
    "hardsigmoid": 4,
    "upsample": 0,
    "softmax": 5,
    "affine_grid_generator": 5,  # three multiplications and two additions a coordinate
}

# a correction where the operations of an element depend on more than its kind
FLOPS_BEYOND = "flops_beyond"
BILINEAR_FLOPS = 7  # four multiplications and three additions an output element


@cache
def torch_class(name: str) -> tuple[Callable[..., nn.Module], frozenset[str]]:
    """A class of torch.nn and what its modules are made from."""
    from inspect import signature

    from torch import nn

    kind = getattr(nn, name)
    return kind, frozenset(signature(kind).parameters)


class Layer(Node):
    """Base of layers: a map to a map.

    ``torch`` names the class of torch.nn, and ``axis`` the dimension whose size the first field is
    (0 where any will do).
    """

    torch: ClassVar[str]
    axis: ClassVar[int] = 0

    def children(self) -> Mapping[str, Any]:
        return {}

    def module(self) -> nn.Module:
        """Torch's module, made from its settings."""
        kind, taken = torch_class(self.torch)
        given = {**self.settings(), "bias": getattr(self, "bias", True)}
        return kind(**{name: value for name, value in given.items() if name in taken})

    def output(self, shape: Shape) -> Shape:
        """The shape that an input gives."""
        return shape

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether torch's module takes an input of this shape."""
        return not self.axis or shape[self.axis] == getattr(self, self._names[0])

    def reuses(self) -> bool:
        """Whether the output is the input's own memory."""
        return False

    def counts(self, shape: Shape, out: Shape) -> Counts:
        """Parameters and work of one call (see ``cost.Row``)."""
        return {}

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        """Parameters by name, in torch's order."""
        return ()

    def buffers(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        """Buffers by name, in torch's order; one without dimensions is an int64."""
        return ()

    def settings(self) -> Mapping[str, Any]:
        """The plain attributes of torch's module."""
        return {}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        """What a trace sees, given the input, parameters and buffers; None for nothing."""
        return None


def pair(value: Any) -> tuple[Any, Any]:
    """A size for height and for width."""
    return value if isinstance(value, tuple) else (value, value)


def product_counts(kind: str, weights: Any, uses: Any, out: Shape, bias: Any) -> Counts:
    """Weights of which each is used so often, and the channels that have a bias (0 for none)."""
    made = size_of(out)
    counts = {f"params.{kind}": weights, f"macs.{kind}": weights * uses, "activations": made}
    if type(bias) is not int or bias:
        counts["params.bias"] = bias
        counts["bias_adds"] = made
    return counts


class Conv(Layer):
    """A 2-D convolution; ``padding`` None means "same" for odd kernels at stride 1: k // 2."""

    c_in: Number
    c_out: Number
    k: int | tuple[int, int] = 3
    stride: int = 1
    padding: int | tuple[int, int] | None = None
    groups: Number = 1
    bias: bool = False
    dilation: int = 1

    torch: ClassVar[str] = "Conv2d"
    axis: ClassVar[int] = 1

    @property
    def pads(self) -> tuple[Any, Any]:
        """Zeros above and below, left and right."""
        kh, kw = pair(self.k)
        return (kh // 2, kw // 2) if self.padding is None else pair(self.padding)

    def output(self, shape: Shape) -> Shape:
        n, _, height, width = shape
        (kh, kw), (ph, pw) = pair(self.k), self.pads
        stride, dilation = self.stride, self.dilation
        return (
            n,
            self.c_out,
            window(height, kh, stride, ph, dilation),
            window(width, kw, stride, pw, dilation),
        )

    def counts(self, shape: Shape, out: Shape) -> Counts:
        kh, kw = pair(self.k)
        weights = self.c_in * self.c_out * kh * kw // self.groups
        uses = out[0] * out[2] * out[3]
        return product_counts("convolution", weights, uses, out, self.c_out if self.bias else 0)

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        weight = ("weight", (self.c_out, self.c_in // self.groups, *pair(self.k)))
        return (weight, ("bias", (self.c_out,))) if self.bias else (weight,)

    def settings(self) -> Mapping[str, Any]:
        return convolution_settings(self, self.pads, dilation=self.dilation)

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return convolution(self, x, *owned)


class ConvTranspose(Layer):
    """A 2-D transposed convolution."""

    c_in: Number
    c_out: Number
    k: int
    stride: int
    padding: int
    output_padding: int = 0
    groups: Number = 1
    bias: bool = False

    torch: ClassVar[str] = "ConvTranspose2d"
    axis: ClassVar[int] = 1

    def output(self, shape: Shape) -> Shape:
        beyond = self.k + self.output_padding - 2 * self.padding
        grown = [(size - 1) * self.stride + beyond for size in shape[2:]]
        return (shape[0], self.c_out, *grown)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        weights = self.c_in * self.c_out * self.k * self.k // self.groups
        # each weight meets each *input* position once
        uses = shape[0] * shape[2] * shape[3]
        return product_counts("convolution", weights, uses, out, self.c_out if self.bias else 0)

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        weight = ("weight", (self.c_in, self.c_out // self.groups, self.k, self.k))
        return (weight, ("bias", (self.c_out,))) if self.bias else (weight,)

    def settings(self) -> Mapping[str, Any]:
        return convolution_settings(
            self, self.padding, transposed=True, output_padding=self.output_padding
        )

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return convolution(self, x, *owned)


def convolution_settings(
    node: Conv | ConvTranspose,
    padding: Any,
    *,
    dilation: int = 1,
    transposed: bool = False,
    output_padding: int = 0,
) -> Mapping[str, Any]:
    """The attributes of torch's convolutions."""
    return {
        "in_channels": node.c_in,
        "out_channels": node.c_out,
        "kernel_size": pair(node.k),
        "stride": pair(node.stride),
        "padding": pair(padding),
        "dilation": pair(dilation),
        "transposed": transposed,
        "output_padding": pair(output_padding),
        "groups": node.groups,
        "padding_mode": "zeros",
    }


def convolution(node: Conv | ConvTranspose, x: Map, weight: Map, bias: Any = None) -> Operation:
    """What a trace sees of either convolution."""
    told = node.settings()
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
    overload = "input" if told["transposed"] else "default"  # how torch calls it
    return "aten.convolution", overload, (x, weight, bias, *[told[name] for name in names])


class BatchNorm(Layer):
    """Batch normalisation over ``c`` channels, with scale and shift."""

    c: Number

    torch: ClassVar[str] = "BatchNorm2d"
    axis: ClassVar[int] = 1

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return {"params.normalisation": 2 * self.c, "elementwise.batch_norm": size_of(shape)}

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        return ("weight", (self.c,)), ("bias", (self.c,))

    def buffers(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        return (
            ("running_mean", (self.c,)), ("running_var", (self.c,)), ("num_batches_tracked", ())
        )  # fmt: skip

    def settings(self) -> Mapping[str, Any]:
        return {
            "num_features": self.c,
            "eps": 1e-5,
            "momentum": 0.1,
            "affine": True,
            "track_running_stats": True,
        }

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.batch_norm", "default", (x, *owned[:4], False)


class Linear(Layer):
    """A fully connected layer on the last dimension."""

    c_in: Number
    c_out: Number
    bias: bool = True

    torch: ClassVar[str] = "Linear"
    axis: ClassVar[int] = -1

    def output(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.c_out)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        weights = self.c_in * self.c_out
        rows = size_of(shape[:-1])
        return product_counts("linear", weights, rows, out, self.c_out if self.bias else 0)

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        weight = ("weight", (self.c_out, self.c_in))
        return (weight, ("bias", (self.c_out,))) if self.bias else (weight,)

    def settings(self) -> Mapping[str, Any]:
        return {"in_features": self.c_in, "out_features": self.c_out}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.linear", "default", (x, *owned)


# kind -> torch's class, its operation, and whether it can work in place
ACTIVATIONS: Mapping[str, tuple[str, str, bool]] = {
    "relu": ("ReLU", "relu", True),
    "relu6": ("ReLU6", "hardtanh", True),  # torch runs ReLU6 as the clamp that it is
    "silu": ("SiLU", "silu", True),
    "hardswish": ("Hardswish", "hardswish", True),
    "hardsigmoid": ("Hardsigmoid", "hardsigmoid", True),
    "sigmoid": ("Sigmoid", "sigmoid", False),
}


class Activation(Layer):
    """An elementwise activation: relu, relu6, hardswish, hardsigmoid, sigmoid or silu."""

    kind: str = "relu"
    inplace: bool = True

    @property
    def torch(self) -> str:  # type: ignore[override]
        """The class of torch.nn."""
        return ACTIVATIONS[self.kind][0]

    def reuses(self) -> bool:
        return self.inplace

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return {f"elementwise.{ACTIVATIONS[self.kind][1]}": size_of(shape)}

    def settings(self) -> Mapping[str, Any]:
        clamp = {"min_val": 0.0, "max_val": 6.0} if self.kind == "relu6" else {}
        return {**clamp, "inplace": self.inplace} if ACTIVATIONS[self.kind][2] else {}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        name = f"aten.{ACTIVATIONS[self.kind][1]}{'_' if self.inplace else ''}"
        return name, "default", (x, 0.0, 6.0) if self.kind == "relu6" else (x,)


def pool_counts(read: Any, work: Any) -> Counts:
    """Pooling counts the elements that it reads; its operations may be more or fewer."""
    return {"elementwise.pool": read, FLOPS_BEYOND: work - read}


class MaxPool(Layer):
    """Max pooling."""

    k: int
    stride: int
    padding: int = 0

    torch: ClassVar[str] = "MaxPool2d"

    def output(self, shape: Shape) -> Shape:
        sizes = [window(size, self.k, self.stride, self.padding) for size in shape[2:]]
        return (*shape[:2], *sizes)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return pool_counts(size_of(shape), size_of(out) * (self.k * self.k - 1))

    def settings(self) -> Mapping[str, Any]:
        return {
            "kernel_size": self.k,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": 1,
            "return_indices": False,
            "ceil_mode": False,
        }

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        args = (x, pair(self.k), pair(self.stride), pair(self.padding), (1, 1), False)
        return "aten.max_pool2d", "default", args


class AvgPool(Layer):
    """Average pooling; ``ceil`` keeps a last window that is not full, the mean of what it holds.

    ``pads_count`` is whether the zeros around a map count into a mean; with ``ceil`` they do not.
    """

    k: int
    stride: int
    padding: int = 0
    ceil: bool = False
    pads_count: bool = True

    torch: ClassVar[str] = "AvgPool2d"

    def output(self, shape: Shape) -> Shape:
        more = self.stride - 1 if self.ceil else 0
        sizes = [window(size + more, self.k, self.stride, self.padding) for size in shape[2:]]
        return (*shape[:2], *sizes)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return pool_counts(size_of(shape), size_of(out) * self.k * self.k)

    def settings(self) -> Mapping[str, Any]:
        return {
            "kernel_size": self.k,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil,
            "count_include_pad": self.pads_count and not self.ceil,
            "divisor_override": None,
        }

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        places = (pair(self.k), pair(self.stride), pair(self.padding))
        return "aten.avg_pool2d", "default", (
            x, *places, self.ceil, self.pads_count and not self.ceil,
        )  # fmt: skip


class AdaptivePool(Layer):
    """Average pooling to a given height and width, whatever the input's."""

    height: int
    width: int

    torch: ClassVar[str] = "AdaptiveAvgPool2d"

    def output(self, shape: Shape) -> Shape:
        return (*shape[:2], self.height, self.width)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return adaptive_counts(shape, out)

    def settings(self) -> Mapping[str, Any]:
        return {"output_size": (self.height, self.width)}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.adaptive_avg_pool2d", "default", (x, (self.height, self.width))


def adaptive_counts(shape: Shape, out: Shape) -> Counts:
    """Adaptive pooling reads what each of its windows covers; the windows may overlap."""
    covered = [
        sum(-(-((i + 1) * size) // places) - (i * size) // places for i in range(places))
        for size, places in zip(shape[2:], out[2:], strict=True)
    ]
    return pool_counts(size_of(shape), size_of((*shape[:2], *covered)))


class GlobalPool(Layer):
    """The mean over height and width, kept as 1×1."""

    torch: ClassVar[str] = "AdaptiveAvgPool2d"

    def output(self, shape: Shape) -> Shape:
        return (*shape[:2], 1, 1)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return {"elementwise.pool": size_of(shape)}

    def settings(self) -> Mapping[str, Any]:
        return {"output_size": 1}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.adaptive_avg_pool2d", "default", (x, (1, 1))


class Flatten(Layer):
    """(C, H, W) to (C·H·W,)."""

    torch: ClassVar[str] = "Flatten"

    def output(self, shape: Shape) -> Shape:
        return (shape[0], size_of(shape[1:]))

    def reuses(self) -> bool:
        return True

    def settings(self) -> Mapping[str, Any]:
        return {"start_dim": 1, "end_dim": -1}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.view", "default", (x, self.output(x.shape))


class Upsample(Layer):
    """Enlarge height and width by an integer factor; ``mode`` is nearest or bilinear."""

    scale: int
    mode: str = "nearest"

    torch: ClassVar[str] = "Upsample"

    def output(self, shape: Shape) -> Shape:
        return (*shape[:2], shape[2] * self.scale, shape[3] * self.scale)

    def counts(self, shape: Shape, out: Shape) -> Counts:
        return upsample_counts(out, self.mode)

    def settings(self) -> Mapping[str, Any]:
        return {
            "name": "Upsample",
            "size": None,
            "scale_factor": float(self.scale),
            "mode": self.mode,
            "align_corners": None if self.mode == "nearest" else False,
            "recompute_scale_factor": None,
        }

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return f"aten.upsample_{self.mode}2d", "vec", (x, None)


def upsample_counts(out: Shape, mode: str) -> Counts:
    """Enlarging reads one element for each that it writes, or works on four."""
    made = size_of(out)
    return {
        "elementwise.upsample": made,
        FLOPS_BEYOND: 0 if mode == "nearest" else BILINEAR_FLOPS * made,
    }


class Identity(Layer):
    """Its input."""

    torch: ClassVar[str] = "Identity"

    def reuses(self) -> bool:
        return True


class LayerNorm(Layer):
    """Normalisation of the last dimension, of size ``c``, with scale and shift."""

    c: Number

    torch: ClassVar[str] = "LayerNorm"
    axis: ClassVar[int] = -1

    def counts(self, shape: Shape, out: Shape) -> Counts:
        elements, rows = size_of(shape), size_of(shape[:-1])
        return {
            "params.normalisation": 2 * self.c,
            "elementwise.layer_norm": elements,
            # a mean and a variance a row, a root, then scale and shift
            FLOPS_BEYOND: 7 * elements + rows,
        }

    def tensors(self) -> Sequence[tuple[str, tuple[int, ...]]]:
        return ("weight", (self.c,)), ("bias", (self.c,))

    def settings(self) -> Mapping[str, Any]:
        return {"normalized_shape": (self.c,), "eps": 1e-5, "elementwise_affine": True}

    def operation(self, x: Map, *owned: Map) -> Operation | None:
        return "aten.layer_norm", "default", (x, (self.c,), *owned)
