"""The operators of TensorFlow Lite by their number in the file, and what each costs.

Promises that an operator costs what torch's of the same meaning costs, so that one network gives
one count either way. A quantised operator counts the arithmetic on the numbers that its integers
stand for. Maps are laid out with channels last; a convolution's weight is (output, height, width,
input), a depthwise one's (1, height, width, output). What is in no table is uncovered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.rules.products import convolution_work, linear_work
from gadprof.counting.rules.reductions import resize_work, window_pool_work
from gadprof.counting.rules.registry import BUILT_IN, is_added, rule_for
from gadprof.counting.rules.work import Work

OPERATORS: tuple[str, ...] = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION", "L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC", "LSH_PROJECTION",
    "LSTM", "MAX_POOL_2D", "MUL", "RELU", "RELU_N1_TO_1", "RELU6", "RESHAPE", "RESIZE_BILINEAR",
    "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH", "CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL",
    "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD", "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER",
    "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "MEAN", "SUB", "DIV", "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP",
    "TOPK_V2", "SPLIT", "LOG_SOFTMAX", "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU",
    "MAXIMUM", "ARG_MAX", "MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL",
    "LESS_EQUAL", "SELECT", "SLICE", "SIN", "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE",
    "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG", "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN",
    "FAKE_QUANT", "REDUCE_PROD", "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND",
    "LOGICAL_NOT", "UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE",
    "FILL", "FLOOR_MOD", "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE",
    "MIRROR_PAD", "ABS", "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS",
    "WHERE", "RANK", "ELU", "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG",
    "ROUND", "HARD_SWISH", "IF", "WHILE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND", "SELECT_V2", "DENSIFY", "SEGMENT_SUM", "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE", "BROADCAST_TO", "RFFT2D", "CONV_3D",
    "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE", "VAR_HANDLE", "READ_VARIABLE",
    "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL", "BUCKETIZE", "RANDOM_UNIFORM",
    "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1", "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2", "UNSORTED_SEGMENT_MIN", "SIGN",
    "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT", "STABLEHLO_LOGISTIC", "STABLEHLO_ADD",
    "STABLEHLO_DIVIDE", "STABLEHLO_MULTIPLY", "STABLEHLO_MAXIMUM", "STABLEHLO_RESHAPE",
    "STABLEHLO_CLAMP", "STABLEHLO_CONCATENATE", "STABLEHLO_BROADCAST_IN_DIM",
    "STABLEHLO_CONVOLUTION", "STABLEHLO_SLICE", "STABLEHLO_CUSTOM_CALL", "STABLEHLO_REDUCE",
    "STABLEHLO_ABS", "STABLEHLO_AND", "STABLEHLO_COSINE", "STABLEHLO_EXPONENTIAL",
    "STABLEHLO_FLOOR", "STABLEHLO_LOG", "STABLEHLO_MINIMUM", "STABLEHLO_NEGATE", "STABLEHLO_OR",
    "STABLEHLO_POWER", "STABLEHLO_REMAINDER", "STABLEHLO_RSQRT", "STABLEHLO_SELECT",
    "STABLEHLO_SUBTRACT", "STABLEHLO_TANH", "STABLEHLO_SCATTER", "STABLEHLO_COMPARE",
    "STABLEHLO_CONVERT", "STABLEHLO_DYNAMIC_SLICE", "STABLEHLO_DYNAMIC_UPDATE_SLICE",
    "STABLEHLO_PAD", "STABLEHLO_IOTA", "STABLEHLO_DOT_GENERAL", "STABLEHLO_REDUCE_WINDOW",
    "STABLEHLO_SORT", "STABLEHLO_WHILE", "STABLEHLO_GATHER", "STABLEHLO_TRANSPOSE", "DILATE",
    "STABLEHLO_RNG_BIT_GENERATOR", "REDUCE_WINDOW", "STABLEHLO_COMPOSITE", "STABLEHLO_SHIFT_LEFT",
    "STABLEHLO_CBRT",
)  # fmt: skip

# what a field "activation" names: torch's operation
_ACTIVATIONS = {1: "relu", 2: "hardtanh", 3: "hardtanh", 4: "tanh", 5: "sign"}

# every element alike: operator -> torch's operation
ELEMENTWISE = {
    "ADD": "add", "SUB": "sub", "MUL": "mul", "DIV": "div", "MAXIMUM": "maximum",
    "MINIMUM": "minimum", "RELU": "relu", "RELU6": "hardtanh", "RELU_N1_TO_1": "hardtanh",
    "RELU_0_TO_1": "hardtanh", "LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hardswish",
    "LEAKY_RELU": "leaky_relu", "ELU": "elu", "PRELU": "prelu", "GELU": "gelu", "EXP": "exp",
    "LOG": "log", "SQRT": "sqrt", "RSQRT": "rsqrt", "ABS": "abs", "NEG": "neg", "SIN": "sin",
    "COS": "cos", "FLOOR": "floor", "CEIL": "ceil", "ROUND": "round", "SIGN": "sign",
    "LESS": "lt", "LESS_EQUAL": "le", "GREATER": "gt", "GREATER_EQUAL": "ge", "EQUAL": "eq",
    "NOT_EQUAL": "ne", "SELECT": "where", "SELECT_V2": "where", "LOGICAL_AND": "logical_and",
    "LOGICAL_OR": "logical_or", "LOGICAL_NOT": "logical_not", "FLOOR_DIV": "div",
    "FLOOR_MOD": "remainder", "ATAN2": "atan2",
}  # fmt: skip
_REDUCTIONS = {
    "MEAN": "mean", "SUM": "sum", "REDUCE_MAX": "amax", "REDUCE_MIN": "amin",
    "REDUCE_PROD": "prod", "ARG_MAX": "argmax", "ARG_MIN": "argmin",
}  # fmt: skip
VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "BITCAST")
_MOVEMENT = {
    **dict.fromkeys(VIEWS, "view"),
    **dict.fromkeys(("SHAPE", "RANK"), "query"),
    **dict.fromkeys(("FILL", "ZEROS_LIKE", "RANGE", "ONE_HOT"), "fill"),
    **dict.fromkeys(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"), "random"),
    **dict.fromkeys(("CONCATENATION", "PACK"), "concatenation"),
    "CAST": "cast",
    **dict.fromkeys(
        ("TRANSPOSE", "SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "PAD", "PADV2", "MIRROR_PAD",
         "TILE", "BROADCAST_TO", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND",
         "BATCH_TO_SPACE_ND", "UNPACK", "REVERSE_V2", "REVERSE_SEQUENCE", "GATHER_ND",
         "SCATTER_ND", "WHERE", "MATRIX_DIAG", "MATRIX_SET_DIAG", "DYNAMIC_UPDATE_SLICE",
         "BROADCAST_ARGS", "DENSIFY"), "copy",
    ),
}  # fmt: skip
MOVING = frozenset(_MOVEMENT)


def tflite_work(step: Step) -> Work | None:
    """The cost of one operator with the activation that is fused into it, None without a rule."""
    name = f"tflite.{step.op}"
    if is_added(name):
        rule = rule_for(name)
        assert rule is not None
        return rule(step.inputs, step.attributes, step.outputs)
    work = _plain_work(replace(step, inputs=tuple(map(_number, step.inputs)),
                               outputs=tuple(map(_number, step.outputs))))  # fmt: skip
    activation = _ACTIVATIONS.get(int(step.attributes.get("activation", 0)))
    if work is None or activation is None:
        return work
    out = _number(step.outputs[0])
    more = BUILT_IN[f"aten.{activation}"]([out], {}, [out])
    return replace(
        work,
        adds=work.adds + more.adds,
        multiplies=work.multiplies + more.multiplies,
        comparisons=work.comparisons + more.comparisons,
        transcendentals=work.transcendentals + more.transcendentals,
    )


def _number(tensor: OnnxTensor | None) -> OnnxTensor | None:
    """A tensor of small integers as the numbers that they stand for."""
    if tensor is not None and tensor.dtype in ("int8", "uint8", "int16", "int4"):
        return replace(tensor, dtype="float32")
    return tensor


def _plain_work(step: Step) -> Work | None:
    if step.op in ELEMENTWISE:
        given = [item for item in step.inputs if item is not None]
        return BUILT_IN[f"aten.{ELEMENTWISE[step.op]}"](given, {}, step.outputs)
    if step.op in _REDUCTIONS:
        return BUILT_IN[f"aten.{_REDUCTIONS[step.op]}"]([step.inputs[0]], {}, step.outputs)
    if step.op in _MOVEMENT:
        kind = _MOVEMENT[step.op]
        nothing = 0 if kind in ("view", "query") else None
        return Work(kind, bytes_read=nothing, bytes_written=nothing)
    rule = _RULES.get(step.op)
    return None if rule is None else rule(step)


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, H, W, C) as (N, C, H, W)."""
    return (shape[0], shape[-1], *shape[1:-1])


def _shape(step: Step, index: int) -> tuple[int, ...]:
    tensor = step.inputs[index]
    assert tensor is not None
    return tensor.shape


def _out(step: Step) -> OnnxTensor:
    tensor = step.outputs[0]
    assert tensor is not None
    return tensor


def _has(step: Step, index: int) -> bool:
    return len(step.inputs) > index and step.inputs[index] is not None


def _settings(step: Step) -> dict[str, Any]:
    options = step.attributes
    return {
        "stride": (int(options.get("stride_h", 1)), int(options.get("stride_w", 1))),
        "padding": "same" if options.get("padding", 0) == 0 else "valid",
        "dilation": (int(options.get("dilation_h", 1)), int(options.get("dilation_w", 1))),
        "output_padding": (0, 0),
    }


def _convolution(step: Step) -> Work:
    x, weight = _first(_shape(step, 0)), _first(_shape(step, 1))
    groups = max(1, x[1] // max(1, weight[1]))
    return convolution_work(
        x, weight, _first(_out(step).shape), bias=_has(step, 2), transposed=False, groups=groups,
        **_settings(step),
    )  # fmt: skip


def _depthwise(step: Step) -> Work:
    x, weight = _first(_shape(step, 0)), _shape(step, 1)
    return convolution_work(
        x, (weight[3], 1, *weight[1:3]), _first(_out(step).shape), bias=_has(step, 2),
        transposed=False, groups=x[1], **_settings(step),
    )  # fmt: skip


def _transposed(step: Step) -> Work:
    """Its inputs are the output's shape, the weight (output, h, w, input), the map and a bias."""
    weight = _first(_shape(step, 1))
    return convolution_work(
        _first(_shape(step, 2)), (weight[1], weight[0], *weight[2:]), _first(_out(step).shape),
        bias=_has(step, 3), transposed=True, groups=1, **_settings(step),
    )  # fmt: skip


def _linear(step: Step) -> Work:
    weight = _shape(step, 1)
    rows = prod(_shape(step, 0)) // weight[-1]
    return linear_work((rows, weight[-1]), weight, bias=_has(step, 2))


def _matmul(step: Step) -> Work:
    shapes = []
    for index, key in enumerate(("adjoint_x", "adjoint_y")):
        shape = _shape(step, index)
        shapes.append((*shape[:-2], shape[-1], shape[-2]) if step.attributes.get(key) else shape)
    a, b = (OnnxTensor(shape, "float32") for shape in shapes)
    return BUILT_IN["aten.matmul"]([a, b], {}, step.outputs)


def _pool(average: bool) -> Callable[[Step], Work]:
    def rule(step: Step) -> Work:
        kernel = (int(step.attributes["height"]), int(step.attributes["width"]))
        given = prod(_shape(step, 0))
        return window_pool_work(average, given, _out(step).numel(), prod(kernel), kernel=kernel)

    return rule


def _softmax(name: str) -> Callable[[Step], Work]:
    def rule(step: Step) -> Work:
        return BUILT_IN[f"aten.{name}"]([step.inputs[0], -1], {}, step.outputs)

    return rule


def _resize(mode: str, taps: int | None) -> Callable[[Step], Work]:
    def rule(step: Step) -> Work:
        if _shape(step, 0) == _out(step).shape:
            return resize_work("nearest", _out(step).numel())
        return resize_work(mode, _out(step).numel(), taps)

    return rule


def _lookup(step: Step) -> Work:
    out = _out(step).size_bytes()
    return Work("embedding" if _out(step).is_floating_point() else "copy", bytes_read=out)


def _each(adds: int = 0, multiplies: int = 0, comparisons: int = 0) -> Callable[[Step], Work]:
    """So many operations an output element."""

    def rule(step: Step) -> Work:
        count = _out(step).numel()
        return Work(
            "elementwise",
            adds=adds * count,
            multiplies=multiplies * count,
            comparisons=comparisons * count,
        )

    return rule


def _summed(step: Step) -> Work:
    return Work("elementwise", adds=_out(step).numel() * (len(step.inputs) - 1))


def _power(step: Step) -> Work:
    return BUILT_IN["aten.pow"]([step.inputs[0], None], {}, step.outputs)


def _normalised(step: Step) -> Work:
    """Each row over the root of its sum of squares."""
    count = _out(step).numel()
    rows = count // max(1, _out(step).shape[-1])
    return Work(
        "normalization", adds=count - rows, multiplies=2 * count, transcendentals=rows,
        attributes={"norm": "lp_norm", "affine": False, "training": False},
    )  # fmt: skip


def _topk(step: Step) -> Work:
    return BUILT_IN["aten.topk"]([step.inputs[0], _out(step).shape[-1]], {}, step.outputs)


def _cumulated(step: Step) -> Work:
    return BUILT_IN["aten.cumsum"]([step.inputs[0]], {}, step.outputs)


_RULES: Mapping[str, Callable[[Step], Work]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _linear,
    "BATCH_MATMUL": _matmul,
    "AVERAGE_POOL_2D": _pool(True),
    "MAX_POOL_2D": _pool(False),
    "SOFTMAX": _softmax("softmax"),
    "LOG_SOFTMAX": _softmax("log_softmax"),
    "RESIZE_BILINEAR": _resize("bilinear", 4),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest", None),
    "GATHER": _lookup,
    "EMBEDDING_LOOKUP": _lookup,
    "QUANTIZE": _each(adds=1, multiplies=1, comparisons=3),
    "DEQUANTIZE": _each(adds=1, multiplies=1),
    "SQUARE": _each(multiplies=1),
    "SQUARED_DIFFERENCE": _each(adds=1, multiplies=1),
    "ADD_N": _summed,
    "POW": _power,
    "L2_NORMALIZATION": _normalised,
    "TOPK_V2": _topk,
    "CUMSUM": _cumulated,
}

# inputs by operator that are weights, whatever their type or size
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "TRANSPOSE_CONV": (1, 3),
    "FULLY_CONNECTED": (1, 2), "BATCH_MATMUL": (0, 1), "EMBEDDING_LOOKUP": (1,), "PRELU": (1,),
    "DEQUANTIZE": (0,),
}  # fmt: skip
