"""What each ONNX operator costs, by the same rules as torch's operation of the same meaning.

Promises that an operator costs what its torch namesake costs, so that one network gives one count
either way; a table says which namesake. An operator that is in no table is uncovered. A user's own
rule (``gadprof.rule("com_example::Gate", …)``, dots of a domain as underscores) wins.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from gadprof.counting.onnx.contrib import DOMAINS, contrib_work
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.rules.einsum import einsum_macs
from gadprof.counting.rules.products import attention_work, convolution_work, linear_work, rnn_work
from gadprof.counting.rules.reductions import batch_norm_work, resize_work, window_pool_work
from gadprof.counting.rules.registry import BUILT_IN, is_added, rule_for
from gadprof.counting.rules.work import Work

OnnxRule = Callable[[Step], Work]

# one input, one output, every element alike: ONNX operator -> torch's operation
_UNARY = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Log": "log",
    "Sqrt": "sqrt", "Reciprocal": "reciprocal", "Neg": "neg", "Abs": "abs", "Sign": "sign",
    "Floor": "floor", "Ceil": "ceil", "Round": "round", "Erf": "erf", "Sin": "sin", "Cos": "cos",
    "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh",
    "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Gelu": "gelu", "Selu": "selu",
    "Elu": "elu", "Celu": "celu", "LeakyRelu": "leaky_relu", "PRelu": "prelu",
    "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "Softplus": "softplus",
    "Softsign": "softsign", "Mish": "mish", "Swish": "silu", "ThresholdedRelu": "threshold",
    "Shrink": "softshrink", "IsNaN": "isnan", "IsInf": "isinf", "Not": "logical_not",
    "BitwiseNot": "bitwise_not",
}  # fmt: skip

_BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "And": "logical_and",
    "Or": "logical_or", "Xor": "logical_xor", "Equal": "eq", "Less": "lt", "Greater": "gt",
    "LessOrEqual": "le", "GreaterOrEqual": "ge", "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "BitShift": "bitwise_left_shift",
    "Where": "where", "Mod": "remainder",
}  # fmt: skip

_REDUCTIONS = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "amax", "ReduceMin": "amin",
    "ReduceProd": "prod", "ReduceL2": "linalg_vector_norm", "ReduceLogSumExp": "logsumexp",
    "ArgMax": "argmax", "ArgMin": "argmin",
}  # fmt: skip

_MOVEMENT = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), "view"),
    **dict.fromkeys(("Shape", "Size"), "query"),
    **dict.fromkeys(
        ("Constant", "ConstantOfShape", "Range", "EyeLike", "OneHot", "HannWindow",
         "HammingWindow", "BlackmanWindow"), "fill",
    ),
    **dict.fromkeys(
        ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
         "Multinomial"), "random",
    ),
    **dict.fromkeys(("Cast", "CastLike", "BitCast"), "cast"),
    **dict.fromkeys(("Concat",), "concatenation"),
    **dict.fromkeys(
        ("Transpose", "Split", "Slice", "GatherElements", "GatherND", "Pad", "Expand", "Tile",
         "DepthToSpace", "SpaceToDepth", "NonZero", "Trilu", "Compress", "ReverseSequence",
         "Col2Im", "CenterCropPad", "MaxUnpool", "TensorScatter"), "copy",
    ),
}  # fmt: skip

VIEWS = frozenset(name for name, kind in _MOVEMENT.items() if kind == "view")
MOVING = frozenset((*_MOVEMENT, "Gather"))


def onnx_work(step: Step) -> Work | None:
    """The cost of a node, or None where no rule knows its operator."""
    name = operation_name(step)
    if is_added(name):
        rule = rule_for(name)
        assert rule is not None
        return rule(step.inputs, step.attributes, step.outputs)
    if step.domain in DOMAINS or (not step.domain and step.op == "SimplifiedLayerNormalization"):
        return contrib_work(step, onnx_work)
    if step.domain:
        return None
    if step.op in _UNARY:
        return _aten(_UNARY[step.op], [step.inputs[0]], step)
    if step.op in _BINARY:
        return _aten(_BINARY[step.op], [item for item in step.inputs if item is not None], step)
    if step.op in _REDUCTIONS:
        return _aten(_REDUCTIONS[step.op], [step.inputs[0]], step)
    if step.op in _MOVEMENT:
        return _movement(_MOVEMENT[step.op], step)
    rule_of_op = RULES.get(step.op)
    return None if rule_of_op is None else rule_of_op(step)


def operation_name(step: Step) -> str:
    """The name under which a node is listed and a user's rule is found."""
    return f"{step.domain.replace('.', '_') or 'onnx'}.{step.op}"


def label_of(op: str) -> str:
    """torch's word for what an operator does elementwise."""
    return {**_UNARY, **_BINARY, **_REDUCTIONS, **_LABELS}.get(op, op.lower())


_LABELS = {"Clip": "clamp", "Softmax": "softmax", "LogSoftmax": "log_softmax", "Pow": "pow",
           "CumSum": "cumsum", "TopK": "topk", "Max": "maximum", "Min": "minimum",
           "Sum": "add"}  # fmt: skip


def _aten(name: str, args: list[Any], step: Step) -> Work:
    return BUILT_IN[f"aten.{name}"](args, {}, step.outputs)


def _first(step: Step, index: int = 0) -> OnnxTensor:
    tensor = step.inputs[index]
    assert tensor is not None
    return tensor


def _out(step: Step) -> OnnxTensor:
    tensor = step.outputs[0]
    assert tensor is not None
    return tensor


def _has(step: Step, index: int) -> bool:
    return len(step.inputs) > index and step.inputs[index] is not None


def _movement(kind: str, step: Step) -> Work:
    if kind in ("view", "query") or step.op == "Constant":
        return Work(kind, bytes_read=0, bytes_written=0)
    if kind in ("fill", "random"):
        return Work(kind, bytes_read=0)
    if step.op in ("Slice", "GatherElements", "GatherND", "Compress", "Split"):
        return Work(kind, bytes_read=sum(out.size_bytes() for out in step.outputs if out))
    return Work(kind)


def _gather(step: Step) -> Work:
    out = _out(step).size_bytes()
    indices = _first(step, 1).size_bytes()
    return Work(
        "embedding" if _first(step).is_floating_point() else "copy", bytes_read=out + indices
    )


def _spatial(step: Step, name: str, default: int, rank: int) -> tuple[int, ...]:
    return tuple(step.attributes.get(name) or (default,) * rank)


def _made_of_zeros(step: Step, index: int) -> bool:
    """Whether an input is zeros that the graph makes itself, as torch's exporter writes no bias."""
    return index in step.made and not step.values[index].any()


def _convolution(x: int, w: int, bias: int, *, transposed: bool = False) -> OnnxRule:
    def rule(step: Step) -> Work:
        weight = _first(step, w)
        rank = weight.dim() - 2
        pads = _spatial(step, "pads", 0, 2 * rank)
        words = step.attributes.get("auto_pad", b"NOTSET")
        padding: Any = pads[:rank] if pads[:rank] == pads[rank:] else pads
        return convolution_work(
            _first(step, x).shape,
            weight.shape,
            _out(step).shape,
            bias=_has(step, bias) and not _made_of_zeros(step, bias),
            stride=_spatial(step, "strides", 1, rank),
            padding=padding if words in (b"NOTSET", b"VALID") else words.decode().lower(),
            dilation=_spatial(step, "dilations", 1, rank),
            transposed=transposed,
            output_padding=_spatial(step, "output_padding", 0, rank),
            groups=int(step.attributes.get("group", 1)),
        )

    return rule


def _deformed(step: Step) -> Work:
    """Bilinear samples (4 taps), a mask, then the convolution."""
    work = _convolution(0, 1, 3)(step)
    weight, out = _first(step, 1), _out(step)
    sites = out.shape[0] * prod(out.shape[2:]) * _first(step).shape[1] * prod(weight.shape[2:])
    return Work(
        "convolution",
        macs=work.macs,
        adds=work.adds + 3 * sites,
        multiplies=(5 if _has(step, 4) else 4) * sites,
        attributes=work.attributes,
        functional="deform_conv2d",
    )


def _gemm(step: Step) -> Work:
    a, b = _first(step).shape, _first(step, 1).shape
    rows = a[::-1] if step.attributes.get("transA") else a
    weight = b if step.attributes.get("transB") else b[::-1]
    added = _has(step, 2) and step.attributes.get("beta", 1.0) != 0
    work = linear_work(rows, weight, bias=added)
    output = _out(step).numel()
    scaled = output * (step.attributes.get("alpha", 1.0) != 1)
    scaled += output * (added and step.attributes.get("beta", 1.0) != 1)
    return Work(
        "linear", macs=work.macs, adds=work.adds, multiplies=scaled, attributes=work.attributes
    )


def _product(a: int, b: int) -> OnnxRule:
    def rule(step: Step) -> Work:
        return BUILT_IN["aten.matmul"]([_first(step, a), _first(step, b)], {}, step.outputs)

    return rule


def _einsum(step: Step) -> Work:
    equation = step.attributes["equation"].decode()
    shapes = [tensor.shape for tensor in step.inputs if tensor is not None]
    return Work("matmul", macs=einsum_macs(equation, shapes), attributes={"equation": equation})


def _attention(step: Step) -> Work:
    """The Attention operator: (batch, heads, length, size), or heads folded into the last."""
    shapes = []
    for index, heads in enumerate(("q_num_heads", "kv_num_heads", "kv_num_heads")):
        shape = _first(step, index).shape
        if len(shape) == 3:
            count = int(step.attributes[heads])
            shape = (shape[0], count, shape[1], shape[2] // count)
        shapes.append(shape)
    query, key, value = shapes
    past = _first(step, 4).shape[-2] if _has(step, 4) else 0
    key = (*key[:-2], key[-2] + past, key[-1])
    value = (*value[:-2], value[-2] + past, value[-1])
    return attention_work(
        query, key, value, mask=_has(step, 3), causal=bool(step.attributes.get("is_causal", 0))
    )


def _recurrent(cell: str) -> OnnxRule:
    def rule(step: Step) -> Work:
        x, weight = _first(step), _first(step, 1)
        name = cell
        if cell == "rnn":
            words = step.attributes.get("activations") or [b"Tanh"]
            name = "rnn_relu" if words[0] == b"Relu" else "rnn_tanh"
        return rnn_work(
            name,
            rows=x.shape[0] * x.shape[1],
            input_size=x.shape[2],
            hidden_size=int(step.attributes["hidden_size"]),
            proj_size=0,
            layers=1,
            directions=weight.shape[0],
            bias=_has(step, 3),
            steps=x.shape[step.attributes.get("layout", 0)],
            batch=x.shape[1 - step.attributes.get("layout", 0)],
        )

    return rule


def _batch_norm(step: Step) -> Work:
    x = _first(step)
    return batch_norm_work(
        x.numel(),
        x.shape[1] if x.dim() > 1 else 1,
        affine=True,
        training=bool(step.attributes.get("training_mode", 0)),
    )


def _row_norm(name: str) -> OnnxRule:
    def rule(step: Step) -> Work:
        x = _first(step)
        axis = int(step.attributes.get("axis", -1)) % max(1, x.dim())
        return BUILT_IN[f"aten.{name}"]([x, x.shape[axis:], _first(step, 1)], {}, step.outputs)

    return rule


def _group_norm(step: Step) -> Work:
    groups = int(step.attributes["num_groups"])
    return BUILT_IN["aten.group_norm"]([_first(step), groups, _first(step, 1)], {}, step.outputs)


def _instance_norm(step: Step) -> Work:
    return BUILT_IN["aten.instance_norm"]([_first(step), _first(step, 1)], {}, step.outputs)


def _softmax(log: bool) -> OnnxRule:
    def rule(step: Step) -> Work:
        axis = int(step.attributes.get("axis", -1 if step.opset >= 13 else 1))
        name = "aten.log_softmax" if log else "aten.softmax"
        return BUILT_IN[name]([_first(step), axis], {}, step.outputs)

    return rule


def _window_pool(average: bool) -> OnnxRule:
    def rule(step: Step) -> Work:
        kernel = tuple(step.attributes["kernel_shape"])
        return window_pool_work(
            average, _first(step).numel(), _out(step).numel(), prod(kernel), kernel=kernel
        )

    return rule


def _global_pool(average: bool) -> OnnxRule:
    def rule(step: Step) -> Work:
        x, out = _first(step), _out(step)
        return window_pool_work(
            average, x.numel(), out.numel(), prod(x.shape[2:]), output_size=out.shape[2:]
        )

    return rule


def _resize(step: Step) -> Work:
    """Only the sizes that change are interpolated between two (linear) or four (cubic) taps."""
    mode = step.attributes.get("mode", b"nearest").decode()
    x, out = _first(step), _out(step)
    if mode == "nearest" or x.shape == out.shape:
        return resize_work("nearest", out.numel())
    rank = max(1, x.dim() - 2)
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(rank, mode)
    if mode == "cubic":
        return resize_work("bicubic", out.numel(), 4**rank)
    return resize_work(name, out.numel(), 2**rank)


def _clip(step: Step) -> Work:
    bounds: list[Any] = [0 if _has(step, index) else None for index in (1, 2)]
    if step.opset < 11:
        bounds = [step.attributes.get("min"), step.attributes.get("max")]
    return BUILT_IN["aten.clamp"]([_first(step), *bounds], {}, step.outputs)


def _pow(step: Step) -> Work:
    value = step.values.get(1)
    exponent: Any = float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None
    return BUILT_IN["aten.pow"]([_first(step), exponent], {}, step.outputs)


def _variadic(adds: int, comparisons: int, mean: bool = False) -> OnnxRule:
    def rule(step: Step) -> Work:
        out = _out(step)
        count = out.numel() * (len(step.inputs) - 1) if out.is_floating_point() else 0
        return Work(
            "elementwise",
            adds=adds * count,
            comparisons=comparisons * count,
            multiplies=out.numel() if mean else 0,
        )

    return rule


def _reduced(name: str, *, transcendentals: int = 0, multiplies: int = 0, compare: int = 0) -> Any:
    """A sum of what each input element was made into."""

    def rule(step: Step) -> Work:
        x, out = _first(step), _out(step)
        count = x.numel() if x.is_floating_point() else 0
        return Work(
            "reduction",
            adds=max(0, count - out.numel()),
            multiplies=multiplies * count,
            comparisons=compare * count,
            transcendentals=transcendentals * out.numel() if x.is_floating_point() else 0,
            attributes={"input_elements": x.numel(), "reduction": name},
        )

    return rule


def _scan(step: Step) -> Work:
    return BUILT_IN["aten.cumsum"]([_first(step)], {}, step.outputs)


def _topk(step: Step) -> Work:
    axis = int(step.attributes.get("axis", -1))
    return BUILT_IN["aten.topk"]([_first(step), _out(step).shape[axis]], {}, step.outputs)


def _scatter(index_of_updates: int) -> OnnxRule:
    def rule(step: Step) -> Work:
        words = step.attributes.get("reduction", b"none")
        updates = _first(step, index_of_updates)
        if words == b"none":
            return Work("copy")
        return Work("elementwise", adds=updates.numel() if updates.is_floating_point() else 0)

    return rule


def _grid_sample(step: Step) -> Work:
    return BUILT_IN["aten.grid_sampler"]([_first(step)], {}, step.outputs)


def _dropout(step: Step) -> Work:
    """Nothing but a copy unless the file was exported for training."""
    training = step.values.get(2)
    if training is None or not bool(training.reshape(-1)[0]):
        return Work("view", bytes_read=0, bytes_written=0)
    count = _out(step).numel()
    return Work("elementwise", comparisons=count, multiplies=count)


def _quantize(step: Step) -> Work:
    """A division, a rounding and two bounds an element; a zero point is one addition."""
    count = _out(step).numel()
    return Work("elementwise", multiplies=count, comparisons=3 * count, adds=count * _has(step, 2))


def _quantize_dynamically(step: Step) -> Work:
    """Extremes first, then the quantisation with a zero point."""
    count = _first(step).numel()
    return Work("elementwise", multiplies=count, comparisons=5 * count, adds=count)


def _dequantize(step: Step) -> Work:
    count = _out(step).numel()
    return Work("elementwise", multiplies=count, adds=count * _has(step, 2))


def _local_response(step: Step) -> Work:
    """x / (bias + alpha / size x sum of squares over the window) ^ beta."""
    count, size = _out(step).numel(), int(step.attributes["size"])
    return Work(
        "normalization",
        adds=count * size,
        multiplies=count * (size + 2),
        transcendentals=count,
        attributes={"norm": "local_response_norm", "affine": False, "training": False},
    )


def _lp_norm(step: Step) -> Work:
    count = _out(step).numel()
    rows = count // max(1, _out(step).shape[int(step.attributes.get("axis", -1))])
    return Work(
        "normalization",
        adds=count - rows,
        multiplies=2 * count,
        transcendentals=rows,
        attributes={"norm": "lp_norm", "affine": False, "training": False},
    )


def _rotary(step: Step) -> Work:
    """Each pair (a, b) becomes (a cos - b sin, b cos + a sin)."""
    count = _out(step).numel()
    return Work("elementwise", adds=count, multiplies=2 * count)


def _transform(step: Step) -> Work:
    from gadprof.counting.rules.reductions import fft_work

    x = _first(step)
    axis = step.values.get(2)
    index = int(axis.reshape(-1)[0]) if axis is not None else int(step.attributes.get("axis", -2))
    total = x.numel() // max(1, x.shape[-1])
    return fft_work(total, (x.shape[index],), real=x.shape[-1] == 1)


RULES: dict[str, OnnxRule] = {
    "Conv": _convolution(0, 1, 2),
    "ConvTranspose": _convolution(0, 1, 2, transposed=True),
    "ConvInteger": _convolution(0, 1, 99),
    "QLinearConv": _convolution(0, 3, 8),
    "DeformConv": _deformed,
    "Gemm": _gemm,
    "MatMul": _product(0, 1),
    "MatMulInteger": _product(0, 1),
    "QLinearMatMul": _product(0, 3),
    "Einsum": _einsum,
    "Attention": _attention,
    "LSTM": _recurrent("lstm"),
    "GRU": _recurrent("gru"),
    "RNN": _recurrent("rnn"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _row_norm("layer_norm"),
    "RMSNormalization": _row_norm("rms_norm"),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response,
    "LpNormalization": _lp_norm,
    "RotaryEmbedding": _rotary,
    "Softmax": _softmax(False),
    "LogSoftmax": _softmax(True),
    "MaxPool": _window_pool(False),
    "AveragePool": _window_pool(True),
    "GlobalAveragePool": _global_pool(True),
    "GlobalMaxPool": _global_pool(False),
    "Resize": _resize,
    "Upsample": _resize,
    "GridSample": _grid_sample,
    "Clip": _clip,
    "Pow": _pow,
    "Sum": _variadic(1, 0),
    "Mean": _variadic(1, 0, mean=True),
    "Max": _variadic(0, 1),
    "Min": _variadic(0, 1),
    "ReduceL1": _reduced("l1", compare=1),
    "ReduceSumSquare": _reduced("sum_square", multiplies=1),
    "ReduceLogSum": _reduced("log_sum", transcendentals=1),
    "CumSum": _scan,
    "TopK": _topk,
    "Gather": _gather,
    "ScatterElements": _scatter(2),
    "ScatterND": _scatter(2),
    "Scatter": _scatter(2),
    "Dropout": _dropout,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _quantize_dynamically,
    "DFT": _transform,
}
