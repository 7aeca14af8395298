"""The operators of ONNX Runtime's optimiser and quantiser (com.microsoft): shapes and costs.

Promises that a fused or quantised operator costs what the plain operators cost that it stands for:
its multiply-adds to the last one, its activation and its bias apart. Scales and zero points of a
quantised operator are part of it, as they are of ONNX's own QLinearConv. An operator that is not
here is listed as uncovered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.rules.products import attention_work, linear_work, rnn_work
from gadprof.counting.rules.registry import BUILT_IN
from gadprof.counting.rules.work import Work

Shape = tuple[int, ...]
# shapes of the outputs of one of ONNX's own operators: name, shapes of its inputs, attributes
Infer = Callable[[str, Sequence[Shape], Mapping[str, Any]], list[Shape]]
OwnWork = Callable[[Step], Work | None]

DOMAINS = ("com.microsoft", "com.microsoft.nchwc")


@dataclass(frozen=True)
class Namesake:
    """The plain operator that another stands for, and which of its inputs are that one's."""

    op: str
    inputs: tuple[int, ...]
    quantised: bool = False


_PLAIN: Mapping[str, Namesake] = {
    "QLinearAdd": Namesake("Add", (0, 3), True),
    "QLinearMul": Namesake("Mul", (0, 3), True),
    "QLinearSigmoid": Namesake("Sigmoid", (0,), True),
    "QLinearLeakyRelu": Namesake("LeakyRelu", (0,), True),
    "QLinearSoftmax": Namesake("Softmax", (0,), True),
    "QLinearAveragePool": Namesake("AveragePool", (0,), True),
    "QLinearGlobalAveragePool": Namesake("GlobalAveragePool", (0,), True),
    "QLinearReduceMean": Namesake("ReduceMean", (0,), True),
    "QLinearWhere": Namesake("Where", (0, 1, 4), True),
    "QLinearConv": Namesake("Conv", (0, 3, 8), True),
    "QGemm": Namesake("Gemm", (0, 3, 6), True),
    "FusedConv": Namesake("Conv", (0, 1, 2)),
    "NhwcFusedConv": Namesake("Conv", (0, 1, 2)),
    "NhwcConv": Namesake("Conv", (0, 1, 2)),
    "Conv": Namesake("Conv", (0, 1, 2)),
    "FusedGemm": Namesake("Gemm", (0, 1, 2)),
    "MaxPool": Namesake("MaxPool", (0,)),
    "NhwcMaxPool": Namesake("MaxPool", (0,)),
    "AveragePool": Namesake("AveragePool", (0,)),
    "GlobalAveragePool": Namesake("GlobalAveragePool", (0,)),
    "GlobalMaxPool": Namesake("GlobalMaxPool", (0,)),
    "Gelu": Namesake("Gelu", (0,)),
    "QuickGelu": Namesake("Swish", (0,)),
    "BiasAdd": Namesake("Add", (0, 2)),
    "QuantizeLinear": Namesake("QuantizeLinear", (0, 1, 2)),
    "DequantizeLinear": Namesake("DequantizeLinear", (0, 1, 2)),
    "GatherND": Namesake("GatherND", (0, 1)),
    "GridSample": Namesake("GridSample", (0, 1)),
    "Trilu": Namesake("Trilu", (0,)),
}  # fmt: skip
_SAME_SHAPE = (
    "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Gelu", "QuickGelu", "FastGelu",
    "BiasGelu", "BiasAdd", "BiasSoftmax", "SkipLayerNormalization", "GroupNorm", "RotaryEmbedding",
    "SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization", "QuantizeLinear",
    "DequantizeLinear", "Trilu",
)  # fmt: skip
# attributes that ONNX's own operators do not have
_FOREIGN = ("activation", "activation_params", "channels_last", "activation_alpha")


def contrib_shapes(step: Step, infer: Infer) -> list[tuple[Shape, str]] | None:
    """Shape and type of every output, or None where nothing here tells them."""
    shape = _shapes(step, infer)
    if shape is None:
        return None
    return [(item, _dtype(step)) for item in shape]


def plain_name(op: str) -> str:
    """ONNX's own operator that one stands for, by which people know it; else its own name."""
    plain = _PLAIN.get(op)
    if plain is not None:
        return plain.op
    return {"BiasGelu": "Gelu", "FastGelu": "Gelu", "BiasSoftmax": "Softmax"}.get(op, op)


def contrib_work(step: Step, own: OwnWork) -> Work | None:
    """The cost of one operator, or None where nothing here knows it."""
    if step.op in _WORK:
        return _WORK[step.op](step)
    plain = _PLAIN.get(step.op)
    if plain is None:
        return None
    work = own(_as(step, plain))
    if work is None:
        return None
    return _with_activation(step, work) if plain.op in ("Conv", "Gemm") else work


def _as(step: Step, plain: Namesake) -> Step:
    """The step as its namesake: data inputs alone, numbers instead of their quantised form."""
    inputs = tuple(_number(_given(step, index), plain) for index in plain.inputs)
    outputs = tuple(_number(item, plain) for item in step.outputs)
    if _channels_last(step):
        first = None if inputs[0] is None else replace(inputs[0], shape=_first(inputs[0].shape))
        last = outputs[0]
        outputs = (None if last is None else replace(last, shape=_first(last.shape)),)
        inputs = (first, *inputs[1:])
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    names = tuple(step.names_in[index] for index in plain.inputs if index < len(step.names_in))
    return replace(
        step,
        op=plain.op,
        domain="",
        inputs=inputs,
        outputs=outputs,
        attributes={key: item for key, item in step.attributes.items() if key not in _FOREIGN},
        names_in=names,
        made=frozenset(),
        opset=13,
    )


def _number(tensor: OnnxTensor | None, plain: Namesake) -> OnnxTensor | None:
    if tensor is None or not plain.quantised or tensor.dtype == "bool":
        return tensor
    return replace(tensor, dtype="float32")


def _with_activation(step: Step, work: Work) -> Work:
    """A product with what was fused into it: a sum with another map, and an activation."""
    out = step.outputs[0]
    assert out is not None
    count = out.numel()
    adds = work.adds + count * (_given(step, 3) is not None and step.op.endswith("Conv")
                                and not step.op.startswith("Q"))  # fmt: skip
    name = step.attributes.get("activation", b"")
    name = name.decode() if isinstance(name, bytes) else str(name)
    found = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "LeakyRelu": "leaky_relu",
             "Clip": "hardtanh", "HardSigmoid": "hardsigmoid"}.get(name)  # fmt: skip
    if not found:
        return replace(work, adds=adds)
    more = BUILT_IN[f"aten.{found}"]([out], {}, [out])
    return replace(
        work,
        adds=adds + more.adds,
        multiplies=work.multiplies + more.multiplies,
        comparisons=work.comparisons + more.comparisons,
        transcendentals=work.transcendentals + more.transcendentals,
    )


# --- shapes ---------------------------------------------------------------------------------------


def _given(step: Step, index: int) -> OnnxTensor | None:
    return step.inputs[index] if index < len(step.inputs) else None


def _shape(step: Step, index: int) -> Shape:
    tensor = _given(step, index)
    assert tensor is not None
    return tensor.shape


def _first(shape: Shape) -> Shape:
    """(N, …, C) as (N, C, …)."""
    return (shape[0], shape[-1], *shape[1:-1])


def _last(shape: Shape) -> Shape:
    """(N, C, …) as (N, …, C)."""
    return (shape[0], *shape[2:], shape[1])


def _channels_last(step: Step) -> bool:
    return step.op.startswith("Nhwc") or bool(step.attributes.get("channels_last", 0))


def _dtype(step: Step) -> str:
    """The type of the outputs."""
    if step.op in (
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "DequantizeLinear",
        "QAttention",
    ):
        return "float32"
    if step.op == "QuantizeLinear":
        zero = _given(step, 2)
        return zero.dtype if zero is not None else "uint8"
    if step.op == "QGemm" and _given(step, 8) is None:
        return "float32"
    at = {"EmbedLayerNormalization": 2, "QLinearConcat": 2, "QLinearWhere": 1}.get(step.op, 0)
    tensor = _given(step, at)
    return tensor.dtype if tensor is not None else "float32"


def _shapes(step: Step, infer: Infer) -> list[Shape] | None:
    if step.op in _SAME_SHAPE:
        return [_shape(step, 0)] * len(step.names_out)
    match step.op:
        case "QLinearConcat":
            shapes = [item.shape for item in step.inputs[2::3] if item is not None]
            return infer("Concat", shapes, {"axis": step.attributes["axis"]})
        case "QLinearMul" | "QLinearAdd":
            return infer("Add", [_shape(step, 0), _shape(step, 3)], {})
        case "QLinearWhere":
            return infer("Where", [_shape(step, index) for index in (0, 1, 4)], {})
        case "FusedMatMul" | "TransposeMatMul":
            return infer("MatMul", list(_transposed(step)), {})
        case "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" | "MatMulInteger16":
            return infer("MatMul", [_shape(step, 0), _shape(step, 1)], {})
        case "MatMulNBits":
            return [(*_shape(step, 0)[:-1], int(step.attributes["N"]))]
        case "Attention" | "QAttention":
            return [(*_shape(step, 0)[:-1], _value_size(step))]
        case "MultiHeadAttention":
            value = _given(step, 2)
            width = value.shape[-1] if value is not None and value.dim() == 3 else None
            return [(*_shape(step, 0)[:2], width or _shape(step, 0)[-1])]
        case "EmbedLayerNormalization":
            rows = _shape(step, 0)
            return [(*rows, _shape(step, 2)[-1]), (rows[0],), (*rows, _shape(step, 2)[-1])]
        case "ReorderInput":
            return [_shape(step, 0)]
        case "ReorderOutput":
            x = _shape(step, 0)
            shape = (x[0], int(step.attributes.get("channels", x[1])), *x[2:])
            return [_last(shape) if _channels_last(step) else shape]
        case "Upsample":
            x, scales = _shape(step, 0), step.attributes.get("scales") or (1,) * 4
            return [tuple(int(size * scale) for size, scale in zip(x, scales, strict=True))]
    plain = _PLAIN.get(step.op)
    if plain is None:
        return None
    shapes = [_shape(step, i) for i in plain.inputs if _given(step, i) is not None]
    attributes = {key: item for key, item in step.attributes.items() if key not in _FOREIGN}
    if not _channels_last(step):
        return infer(plain.op, shapes, attributes)
    found = infer(plain.op, [_first(shapes[0]), *shapes[1:]], attributes)
    return [_last(shape) for shape in found]


def _transposed(step: Step) -> tuple[Shape, Shape]:
    """The two shapes that a product with transpositions multiplies."""
    found = []
    for index, key in enumerate(("transA", "transB")):
        shape = _shape(step, index)
        if step.attributes.get(key.replace("trans", "transBatch"), 0):
            shape = (*shape[1:-1], shape[0], shape[-1])
        if step.attributes.get(key, 0):
            shape = (*shape[:-2], shape[-1], shape[-2])
        found.append(shape)
    return found[0], found[1]


def _value_size(step: Step) -> int:
    sizes = step.attributes.get("qkv_hidden_sizes")
    return int(sizes[2]) if sizes else _shape(step, 1)[-1] // 3


# --- costs ----------------------------------------------------------------------------------------


def _matmul(a: Shape, b: Shape, out: OnnxTensor | None, *, bias: bool, scaled: bool) -> Work:
    assert out is not None
    left, right = OnnxTensor(a, "float32"), OnnxTensor(b, "float32")
    work = BUILT_IN["aten.matmul"]([left, right], {}, [out])
    return replace(
        work,
        adds=work.adds + out.numel() * bias,
        multiplies=work.multiplies + out.numel() * scaled,
    )


def _fused_matmul(step: Step) -> Work:
    a, b = _transposed(step)
    scaled = step.attributes.get("alpha", 1.0) != 1
    return _matmul(a, b, step.outputs[0], bias=False, scaled=scaled)


def _integer_matmul(bias: int) -> Callable[[Step], Work]:
    def rule(step: Step) -> Work:
        added = _given(step, bias) is not None
        return _matmul(_shape(step, 0), _shape(step, 1), step.outputs[0], bias=added, scaled=True)

    return rule


def _dynamic_matmul(step: Step) -> Work:
    """The extremes and the quantisation of the input, then the product."""
    work = _integer_matmul(4)(step)
    count = prod(_shape(step, 0))
    return replace(
        work,
        adds=work.adds + count,
        multiplies=work.multiplies + count,
        comparisons=work.comparisons + 5 * count,
    )


def _few_bits(step: Step) -> Work:
    """Weights of a few bits by blocks: each is scaled once, then the product."""
    rows, k, n = prod(_shape(step, 0)[:-1]), int(step.attributes["K"]), int(step.attributes["N"])
    work = linear_work((rows, k), (n, k), bias=_given(step, 5) is not None)
    zero = _given(step, 3) is not None
    return replace(work, multiplies=work.multiplies + n * k, adds=work.adds + n * k * zero)


def _projected_attention(bias: int) -> Callable[[Step], Work]:
    """One projection to query, key and value, then attention."""

    def rule(step: Step) -> Work:
        batch, length, width = _shape(step, 0)
        out, value = _shape(step, 1)[-1], _value_size(step)
        heads = int(step.attributes["num_heads"])
        sizes = step.attributes.get("qkv_hidden_sizes") or (value, value, value)
        project = linear_work(
            (batch * length, width), (out, width), bias=_given(step, bias) is not None
        )
        past = _given(step, 8 if step.op == "QAttention" else 4)
        keys = length + (past.shape[-2] if past is not None else 0)
        query = (batch, heads, length, int(sizes[0]) // heads)
        mixed = attention_work(
            query, (batch, heads, keys, query[-1]), (batch, heads, keys, value // heads),
            mask=_given(step, 5 if step.op == "QAttention" else 3) is not None,
            causal=bool(step.attributes.get("unidirectional", 0)),
        )  # fmt: skip
        return replace(
            mixed,
            macs=mixed.macs + project.macs,
            adds=mixed.adds + project.adds,
            attributes={**mixed.attributes, "projection_macs": project.macs},
            functional="",
        )

    return rule


def _heads_attention(step: Step) -> Work:
    """Attention on projected queries, keys and values, heads in the last size or apart."""
    heads = int(step.attributes["num_heads"])
    kv_heads = int(step.attributes.get("kv_num_heads", heads))
    query = _shape(step, 0)
    if len(query) == 5 or _given(step, 1) is None:  # packed into one
        batch, length, width = query[0], query[1], prod(query[2:])
        total = heads + 2 * kv_heads
        size = width // total
        keys, value_size = length, size
    else:
        batch, length = query[:2]
        size = query[2] // heads
        key = _shape(step, 1)
        keys = key[-2] if len(key) == 4 else key[1]
        value = _given(step, 2)
        value_size = size
        if value is not None:
            value_size = value.shape[-1] if value.dim() == 4 else value.shape[-1] // kv_heads
    past = _given(step, 3 if step.op == "GroupQueryAttention" else 6)
    keys += past.shape[-2] if past is not None and past.dim() == 4 else 0
    return attention_work(
        (batch, heads, length, size),
        (batch, heads, keys, size),
        (batch, heads, keys, value_size),
        mask=step.op == "MultiHeadAttention" and _given(step, 5) is not None,
        causal=step.op == "GroupQueryAttention" or bool(step.attributes.get("unidirectional", 0)),
    )


def _gelu_with_bias(step: Step) -> Work:
    x = step.inputs[0]
    work = BUILT_IN["aten.gelu"]([x], {}, step.outputs)
    return replace(work, adds=work.adds + prod(_shape(step, 0)) * (_given(step, 1) is not None))


def _skip_norm(norm: str) -> Callable[[Step], Work]:
    """A sum with the skipped map, and a bias where there is one, then the normalisation."""

    def rule(step: Step) -> Work:
        x = step.inputs[0]
        assert x is not None
        work = BUILT_IN[f"aten.{norm}"]([x, x.shape[-1:], _given(step, 2)], {}, step.outputs)
        sums = 1 + (_given(step, 4 if norm == "layer_norm" else 3) is not None)
        return replace(work, adds=work.adds + sums * x.numel())

    return rule


def _rms_norm(step: Step) -> Work:
    x = step.inputs[0]
    assert x is not None
    return BUILT_IN["aten.rms_norm"]([x, x.shape[-1:], _given(step, 1)], {}, step.outputs[:1])


def _embed_norm(step: Step) -> Work:
    """Words, positions and segments looked up and added, then the normalisation."""
    out = step.outputs[0]
    assert out is not None
    work = BUILT_IN["aten.layer_norm"]([out, out.shape[-1:], _given(step, 5)], {}, [out])
    return replace(work, adds=work.adds + out.numel() * (1 + (_given(step, 4) is not None)))


def _softmax_with_bias(step: Step) -> Work:
    x = step.inputs[0]
    assert x is not None
    work = BUILT_IN["aten.softmax"]([x, int(step.attributes.get("axis", 1))], {}, step.outputs)
    return replace(work, adds=work.adds + x.numel())


def _recurrent(step: Step) -> Work:
    """An LSTM with integer weights (directions, inputs, 4 x hidden)."""
    x, weight = _shape(step, 0), _shape(step, 1)
    return rnn_work(
        "lstm", rows=x[0] * x[1], input_size=x[2], hidden_size=int(step.attributes["hidden_size"]),
        proj_size=0, layers=1, directions=weight[0], bias=_given(step, 3) is not None, steps=x[0],
        batch=x[1],
    )  # fmt: skip


def _copy(step: Step) -> Work:
    return Work("copy")


def _rotary(step: Step) -> Work:
    count = prod(_shape(step, 0))
    return Work("elementwise", adds=count, multiplies=2 * count)


def _resized(step: Step) -> Work:
    from gadprof.counting.rules.reductions import resize_work

    out = step.outputs[0]
    assert out is not None
    mode = step.attributes.get("mode", b"nearest")
    if mode in (b"nearest", "nearest"):
        return resize_work("nearest", out.numel())
    return resize_work("bilinear", out.numel(), 4)


_WORK: Mapping[str, Callable[[Step], Work]] = {
    "QLinearConcat": lambda step: Work("concatenation"),
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "MatMulInteger16": _integer_matmul(99),
    "MatMulIntegerToFloat": _integer_matmul(6),
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulNBits": _few_bits,
    "Attention": _projected_attention(2),
    "QAttention": _projected_attention(2),
    "MultiHeadAttention": _heads_attention,
    "GroupQueryAttention": _heads_attention,
    "FastGelu": _gelu_with_bias,
    "BiasGelu": _gelu_with_bias,
    "BiasSoftmax": _softmax_with_bias,
    "SkipLayerNormalization": _skip_norm("layer_norm"),
    "SkipSimplifiedLayerNormalization": _skip_norm("rms_norm"),
    "SimplifiedLayerNormalization": _rms_norm,
    "EmbedLayerNormalization": _embed_norm,
    "DynamicQuantizeLSTM": _recurrent,
    "ReorderInput": _copy,
    "ReorderOutput": _copy,
    "RotaryEmbedding": _rotary,
    "Upsample": _resized,
}

# inputs by operator that are weights, whatever their type, size or name
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "QLinearConv": (3, 8), "QGemm": (3, 6), "FusedConv": (1, 2), "NhwcConv": (1, 2),
    "NhwcFusedConv": (1, 2), "Conv": (1, 2), "FusedGemm": (0, 1, 2), "FusedMatMul": (0, 1),
    "TransposeMatMul": (0, 1), "MatMulInteger16": (1,), "MatMulIntegerToFloat": (1, 6),
    "DynamicQuantizeMatMul": (1, 4), "Attention": (1, 2), "QAttention": (1, 2), "FastGelu": (1,),
    "BiasGelu": (1,), "BiasAdd": (1,), "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3), "EmbedLayerNormalization": (2, 3, 4, 5, 6),
    "DynamicQuantizeLSTM": (1, 2, 3, 7), "DequantizeLinear": (0,), "MatMulNBits": (1, 5),
    "QLinearAdd": (0, 3), "QLinearMul": (0, 3), "MultiHeadAttention": (3,), "GroupNorm": (1, 2),
}  # fmt: skip
