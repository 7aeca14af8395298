"""``ultralytics-thop``: hooks that walk a type's ancestors, and a mode that sees products.

Source: thop/profile.py, thop/vision/basic_hooks.py and thop/rnn_hooks.py of ultralytics-thop 2.2.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ACTIVATION,
    FUNCTION_MISSED,
    NORMALISATION,
    POOLING,
    RESIZE,
    SOFTMAX,
    TYPE_MISSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import (
    ATTENTION,
    CONVOLUTIONS,
    LINEAR,
    NN,
    TRANSPOSED_CONVOLUTIONS,
    convolution_macs,
    first_input,
    nearest_rule,
    output_sizes,
    recurrent,
    recurrent_entries,
)
from gadprof.audit.observe import FunctionCall, ModuleCall, ModuleInfo, Observation, Shape
from gadprof.counting.records import Trace
from gadprof.counting.rules.einsum import einsum_macs

# the types with a rule, and what the rule counts; "zero" counts nothing and hides nothing
RULES: dict[str, str] = {
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, "transposed"),
    **dict.fromkeys(
        (
            f"{NN}.batchnorm._NormBase",
            f"{NN}.normalization.LayerNorm",
            f"{NN}.normalization.GroupNorm",
            f"{NN}.normalization.RMSNorm",
        ),
        "normalisation",
    ),
    f"{NN}.activation.PReLU": "prelu",
    **{
        f"{NN}.activation.{name}": "softmax"
        for name in ("Softmax", "LogSoftmax", "Softmin", "Softmax2d")
    },
    **{f"{NN}.pooling.AvgPool{n}d": "pool" for n in (1, 2, 3)},
    **{f"{NN}.pooling.AdaptiveAvgPool{n}d": "adaptive pool" for n in (1, 2, 3)},
    LINEAR: "linear",
    f"{NN}.linear.Bilinear": "bilinear",
    **{
        f"{NN}.upsampling.{name}": "upsample"
        for name in ("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d")
    },
    **{f"{NN}.rnn.{cell}Cell": "cell" for cell in ("RNN", "GRU", "LSTM")},
    **{f"{NN}.rnn.{cell}": "recurrent" for cell in ("RNN", "GRU", "LSTM")},
    ATTENTION: "attention",
    **dict.fromkeys(
        (
            f"{NN}.padding._ConstantPadNd",
            f"{NN}.padding._ReflectionPadNd",
            f"{NN}.padding._ReplicationPadNd",
            f"{NN}.padding._CircularPadNd",
            f"{NN}.dropout._DropoutNd",
            f"{NN}.activation.ReLU",
            f"{NN}.activation.ReLU6",
            f"{NN}.activation.LeakyReLU",
            f"{NN}.pooling._MaxUnpoolNd",
            *(f"{NN}.pooling.MaxPool{n}d" for n in (1, 2, 3)),
            *(f"{NN}.pooling.AdaptiveMaxPool{n}d" for n in (1, 2, 3)),
            *(f"{NN}.pooling.FractionalMaxPool{n}d" for n in (2, 3)),
            *(
                f"{NN}.container.{name}"
                for name in (
                    "Sequential",
                    "ModuleList",
                    "ModuleDict",
                    "ParameterList",
                    "ParameterDict",
                )
            ),
            f"{NN}.linear.Identity",
            f"{NN}.flatten.Flatten",
            f"{NN}.flatten.Unflatten",
            f"{NN}.fold.Unfold",
            f"{NN}.pixelshuffle.PixelShuffle",
            f"{NN}.pixelshuffle.PixelUnshuffle",
            f"{NN}.channelshuffle.ChannelShuffle",
            f"{NN}.sparse.Embedding",
        ),
        "zero",
    ),
}

_RESIZE = {
    "nearest": 0,
    "nearest-exact": 0,
    "linear": 5,
    "bilinear": 11,
    "bicubic": 259,
    "trilinear": 31,
}


def read(observation: Observation, trace: Trace) -> Reading:
    """What the hooks and the function mode add up."""
    rules = {
        path: found[1]
        for path, info in observation.modules.items()
        if (found := nearest_rule(info, RULES)) is not None and found[1] != "zero"
    }
    entries: list[Entry] = []
    for event in observation.functions:
        if isinstance(event, FunctionCall):
            if not any(path in rules for path in event.stack):
                entries.extend(_function(event))
        elif event.path in rules:
            entries.extend(_layer(rules[event.path], observation.modules[event.path], event))

    def missed(path: str, kind: str) -> str:
        return TYPE_MISSED if path in rules else FUNCTION_MISSED

    return Reading(tuple(entries), missed)


def _layer(rule: str, info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    x, y = first_input(call), output_sizes(call)

    def extra(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, info.class_name, "", cause)] if amount else []

    match rule:
        case "convolution" | "transposed":
            macs = convolution_macs(info, call, transposed=rule == "transposed")
            return [Entry(macs, call.path, info.class_name, "convolution")]
        case "linear":
            macs = int(info.settings["in_features"]) * prod(y)
            return [Entry(macs, call.path, info.class_name, "linear")]
        case "bilinear":
            settings = info.settings
            macs = (settings["in1_features"] + 1) * settings["in2_features"] * prod(y)
            return [Entry(macs, call.path, info.class_name, "linear")]
        case "normalisation":
            affine = info.settings.get("affine") or info.settings.get("elementwise_affine")
            return extra(prod(x) * (4 if affine else 2), NORMALISATION)
        case "prelu":
            return extra(prod(x) * (not info.training), ACTIVATION)
        case "softmax":
            return extra(_softmax(info, x), SOFTMAX)
        case "pool":
            return extra(_pool(info, x, y), POOLING)
        case "adaptive pool":
            windows = prod(
                o if i == o else sum(-(-(j + 1) * i // o) - j * i // o for j in range(o))
                for i, o in zip(x, y, strict=False)
            )
            return extra(windows + prod(y), POOLING)
        case "upsample":
            return extra(_RESIZE.get(str(info.settings.get("mode")), 0) * prod(y), RESIZE)
        case "recurrent" | "cell":
            evaluations = (
                (x[0] if len(x) == 2 else 1)
                if rule == "cell"
                else (x[0] if len(x) == 2 else x[0] * x[1])
            )
            macs, biases, gates = recurrent(info, evaluations)
            return list(recurrent_entries(info, call, macs, biases + gates))
        case "attention":
            return _attention(info, call)
        case _:
            raise TypeError(f"no rule {rule}")


def _softmax(info: ModuleInfo, x: tuple[int, ...]) -> int:
    dim = -3 if info.class_name == "Softmax2d" else info.settings.get("dim")
    if dim is None:
        dim = 0 if len(x) in (0, 1, 3) else 1
    features = x[dim] if x else 1
    rows = prod(x) // features if features else 0
    total = rows * (2 * features + max(features - 1, 0))
    if info.class_name == "Softmin":
        total += prod(x)
    elif info.class_name == "LogSoftmax":
        total += rows
    return total


def _pool(info: ModuleInfo, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    settings = info.settings
    dims = next(n for n in (1, 2, 3) if any(name.endswith(f"AvgPool{n}d") for name in info.types))

    def spread(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return (value,) * dims if isinstance(value, int) else tuple(value)

    kernel, stride, padding = (spread(settings[k]) for k in ("kernel_size", "stride", "padding"))
    windows = 1
    for size, output, k, s, p in zip(x[-dims:], y[-dims:], kernel, stride, padding, strict=True):
        low, high = (-p, size + p) if settings["count_include_pad"] else (0, size)
        windows *= sum(
            max(min(i * s - p + k, high) - max(i * s - p, low), 0) for i in range(output)
        )
    return prod(x[:-dims]) * windows + prod(y)


def _attention(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    settings = info.settings
    out = call.output[0] if isinstance(call.output, (tuple, list)) else call.output
    weights = call.output[1] if isinstance(call.output, tuple) and len(call.output) > 1 else None
    if isinstance(call.output, Shape):
        out, weights = call.output, None
    first, unbatched = bool(settings.get("batch_first")), len(out.sizes) == 2
    target = out.sizes[-2] if first or unbatched else out.sizes[0]
    batch = 1 if unbatched else out.sizes[0 if first else 1]
    appended = ("bias_k" in info.own) + bool(settings.get("add_zero_attn"))
    if isinstance(weights, Shape):
        attended = weights.sizes[-1]
    else:
        key = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
        attended = (key.sizes[-2] if first or unbatched else key.sizes[0]) + appended
    width = int(settings["embed_dim"])
    widths = int(settings["kdim"]) + int(settings["vdim"])
    projections = width * (2 * target * width + (attended - appended) * widths)
    products = 2 * target * attended * width
    rows = batch * int(settings["num_heads"]) * target
    softmax = rows * (2 * attended + max(attended - 1, 0))
    name = info.class_name
    return [
        Entry(batch * projections, call.path, name, "linear"),
        Entry(batch * products, call.path, name, "attention"),
        Entry(softmax, call.path, name, "", SOFTMAX),
    ]


def _function(call: FunctionCall) -> list[Entry]:
    match call.name:
        case "matmul" | "bmm":
            first = call.args[0] if call.args else call.kwargs["input"]
            amount = call.output.elements * first.sizes[-1]
            return [Entry(amount, call.path, call.name, "matmul")]
        case "linear":
            first = call.args[0] if call.args else call.kwargs["input"]
            amount = call.output.elements * first.sizes[-1]
            return [Entry(amount, call.path, call.name, "linear")]
        case "scaled_dot_product_attention":
            names = ("query", "key", "value")
            given = dict(zip(names, call.args, strict=False)) | dict(call.kwargs)
            query, key, value = (given[name].sizes for name in names)
            pairs = call.output.elements // value[-1] * key[-2]
            amount = pairs * (query[-1] + value[-1])
            return [Entry(amount, call.path, call.name, "attention")]
        case "einsum":
            return _einsum(call)
        case "multi_head_attention_forward":
            return _functional_attention(call)
        case _:
            return []


def _einsum(call: FunctionCall) -> list[Entry]:
    equation, *operands = call.args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if len(operands) != 2:
        return []
    shapes = [operand.sizes for operand in operands]
    return [Entry(einsum_macs(equation, shapes), call.path, "einsum", "matmul")]


def _functional_attention(call: FunctionCall) -> list[Entry]:
    key, value, width, heads = call.args[1], call.args[2], call.args[3], call.args[4]
    out = call.output[0] if isinstance(call.output, tuple) else call.output
    weights = call.output[1] if isinstance(call.output, tuple) else None
    unbatched = len(out.sizes) == 2
    target = out.sizes[-2] if unbatched else out.sizes[0]
    batch = 1 if unbatched else out.sizes[1]
    appended = (call.args[7] is not None) + bool(call.args[9])
    if isinstance(weights, Shape):
        attended = weights.sizes[-1]
    else:
        attended = (key.sizes[-2] if unbatched else key.sizes[0]) + appended
    projections = width * (
        2 * target * width + (attended - appended) * (key.sizes[-1] + value.sizes[-1])
    )
    softmax = batch * heads * target * (2 * attended + max(attended - 1, 0))
    return [
        Entry(batch * projections, call.path, call.name, "linear"),
        Entry(batch * 2 * target * attended * width, call.path, call.name, "attention"),
        Entry(softmax, call.path, call.name, "", SOFTMAX),
    ]
