"""Rules of torch's own quantised operations, whose weights lie packed where no shape is seen.

A quantised product multiplies what the plain one does, in integers of eight bits; its attribute
``mac_dtype`` says so. A static one scales, shifts, rounds and bounds each result (a multiplication,
an addition, three comparisons); a dynamic one seeks its input's bounds (two comparisons),
quantises it likewise, and scales its results back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from gadprof.counting.rules.products import convolution_work, linear_work, rnn_work
from gadprof.counting.rules.work import Rule, Work, elements, told

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_SOURCE = "torch.ao.quantization: affine quantisation"


def packed_tensors(packed: Any) -> Iterator[Any]:
    """The tensors that a packed object of torch's holds, weights first."""
    unpack = getattr(packed, "unpack", None)
    yield from _tensors(unpack() if unpack is not None else packed.__getstate__())


def _tensors(value: Any) -> Iterator[Any]:
    if hasattr(value, "element_size"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif type(value).__name__ == "ScriptObject":
        yield from packed_tensors(value)


def _quantised(work: Work, outputs: int, *, comparisons: int = 0) -> Work:
    """A static product's work with the scaling of its results."""
    return Work(
        work.kind,
        macs=work.macs,
        adds=work.adds + outputs,
        multiplies=outputs,
        comparisons=3 * outputs + comparisons,
        attributes={**work.attributes, "mac_dtype": "int8"},
    )


def _dynamic(work: Work, inputs: int, outputs: int, comparisons: int = 0) -> Work:
    return Work(
        work.kind,
        macs=work.macs,
        adds=work.adds + inputs + outputs,
        multiplies=work.multiplies + inputs + outputs,
        comparisons=work.comparisons + 5 * inputs + comparisons,
        transcendentals=work.transcendentals,
        attributes={**work.attributes, "mac_dtype": "int8"},
        functional=work.functional,
    )


def _linear(relu: bool, dynamic: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        weight, bias, *_ = [*packed_tensors(args[1]), None]
        outputs = elements(outs[0])
        work = linear_work(args[0].shape, weight.shape, bias=bias is not None)
        extra = outputs if relu else 0
        if dynamic:
            return _dynamic(work, elements(args[0]), outputs, extra)
        return _quantised(work, outputs, comparisons=extra)

    return told(rule, "rows x in x out int8 MACs, and the scaling of values", _SOURCE)


def _half_linear(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    weight, bias, *_ = [*packed_tensors(args[1]), None]
    work = linear_work(args[0].shape, weight.shape, bias=bias is not None)
    return Work("linear", macs=work.macs, adds=work.adds, attributes=work.attributes)


def _convolution(relu: bool, transposed: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        packed = args[1]
        weight, bias, *_ = [*packed_tensors(packed), None]
        rank = len(weight.shape) - 2
        last = [tuple(getattr(packed, name)())[-rank:]
                for name in ("stride", "padding", "dilation", "output_padding")]  # fmt: skip
        work = convolution_work(
            args[0].shape,
            weight.shape,
            outs[0].shape,
            bias=bias is not None,
            stride=last[0],
            padding=last[1],
            dilation=last[2],
            transposed=transposed,
            output_padding=last[3],
            groups=int(packed.groups()),
        )
        outputs = elements(outs[0])
        return _quantised(work, outputs, comparisons=outputs if relu else 0)

    return told(rule, "the convolution's MACs in int8, and the scaling of results", _SOURCE)


def _each(adds: int, multiplies: int, comparisons: int, transcendentals: int = 0) -> Rule:
    """Values are brought back, worked on, and quantised again."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        count = elements(outs[0])
        read = sum(elements(item) for item in args if hasattr(item, "numel"))
        return Work(
            "elementwise",
            adds=count * (adds + 1) + read,
            multiplies=count * (multiplies + 1) + read,
            comparisons=count * (comparisons + 3),
            transcendentals=count * transcendentals,
        )

    return told(rule, "the plain operation, its inputs scaled back and its result scaled", _SOURCE)


def _compare(count: int) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        return Work("activation", comparisons=count * elements(outs[0]))

    return told(rule, f"{count} comparisons an element", _SOURCE)


def _normalised(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    count = elements(outs[0])
    return Work(
        "normalization",
        adds=count,
        multiplies=count,
        comparisons=3 * count,
        attributes={"norm": "batch_norm", "affine": True, "training": False},
    )


def _recurrent(cell: str, one_step: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        x = args[0]
        hidden = args[1][0] if isinstance(args[1], (tuple, list)) else args[1]
        if one_step:
            rows, steps, batch, layers, directions = x.shape[0], 1, x.shape[0], 1, 1
        else:
            layers, directions = int(args[4]), 2 if args[7] else 1
            rows = prod(x.shape[:-1])
            steps = x.shape[1 if args[8] else 0]
            batch = rows // max(1, steps)
        work = rnn_work(
            cell,
            rows=rows,
            input_size=x.shape[-1],
            hidden_size=hidden.shape[-1],
            proj_size=0,
            layers=layers,
            directions=directions,
            bias=True,
            steps=steps,
            batch=batch,
        )
        return _dynamic(work, rows * (x.shape[-1] + hidden.shape[-1]), 0)

    return told(rule, "the recurrent layer's MACs in int8, its inputs quantised", _SOURCE)


def _embedding_bag(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Each value read is scaled and shifted; a bag's values are added."""
    size = int(outs[0].shape[-1])
    read = elements(args[1]) * size
    return Work(
        "reduction",
        adds=read + max(0, read - elements(outs[0])),
        multiplies=read,
        attributes={"input_elements": read},
    )


def _packing(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return Work("copy")


RULES: dict[str, Rule] = {
    **{
        f"quantized.{name}": _linear(relu, dynamic)
        for name, relu, dynamic in (
            ("linear", False, False), ("linear_relu", True, False),
            ("linear_leaky_relu", True, False), ("linear_dynamic", False, True),
            ("linear_relu_dynamic", True, True),
        )
    },
    **{
        f"quantized.{name}": told(_half_linear, "rows x in x out MACs on weights of 16 bits")
        for name in ("linear_dynamic_fp16", "linear_relu_dynamic_fp16")
    },
    **{
        f"quantized.conv{d}d{end}": _convolution(end == "_relu", False)
        for d in (1, 2, 3) for end in ("", "_relu", "_dynamic")
    },
    **{f"quantized.conv_transpose{d}d": _convolution(False, True) for d in (1, 2, 3)},
    **{f"quantized.{name}": _each(1, 0, 0) for name in ("add", "add_out", "add_scalar")},
    **{f"quantized.{name}": _each(0, 1, 0) for name in ("mul", "mul_out", "mul_scalar")},
    "quantized.add_relu": _each(1, 0, 1),
    "quantized.add_scalar_relu": _each(1, 0, 1),
    "quantized.mul_relu": _each(0, 1, 1),
    "quantized.cat": _each(0, 0, 0),
    "quantized.hardswish": _each(1, 2, 2),
    "quantized.leaky_relu": _each(0, 1, 1),
    "quantized.prelu": _each(0, 1, 1),
    "quantized.sigmoid": _each(1, 1, 0, 1),
    "quantized.elu": _each(1, 1, 1, 1),
    "quantized.celu": _each(1, 2, 1, 1),
    "quantized.softmax": _each(2, 1, 1, 1),
    "quantized.layer_norm": _each(5, 3, 0),
    "quantized.group_norm": _each(5, 3, 0),
    "quantized.instance_norm": _each(5, 3, 0),
    "quantized.relu6": _compare(2),
    "quantized.clamp": _compare(2),
    "quantized.threshold": _compare(1),
    **{
        f"quantized.batch_norm{end}": told(_normalised, "an addition, a multiplication an element")
        for end in ("", "1d", "2d", "3d", "_relu", "2d_relu", "3d_relu")
    },
    "aten.quantized_lstm": _recurrent("lstm", False),
    "aten.quantized_gru": _recurrent("gru", False),
    **{
        f"quantized.quantized_{cell}_cell_dynamic": _recurrent(cell, True)
        for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu")
    },
    **{
        f"quantized.{name}": told(_embedding_bag, "a scaling a value, and the bag's additions")
        for name in ("embedding_bag_byte", "embedding_bag_4bit",
                     "embedding_bag_byte_rowwise_offsets",
                     "embedding_bag_4bit_rowwise_offsets", "embedding_byte", "embedding_4bit")
    },
    **{
        f"quantized.{name}": told(_packing, "no arithmetic")
        for name in ("linear_prepack", "linear_unpack", "conv2d_prepack", "conv2d_unpack",
                     "conv1d_prepack", "conv3d_prepack", "embedding_bag_prepack")
    },
}  # fmt: skip
