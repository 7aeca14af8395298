"""ptflops' pytorch engine: hooks on exact module types, and patched functions of torch.

Source: ptflops/pytorch_engine.py and pytorch_ops.py of ptflops 0.7. What the hooks count is divided
by the batch, what the patched functions count is not. The walk that adds up does not enter a
counted module, so that the layers within one (timm's ``Attention``) are lost.
"""

from __future__ import annotations

import sys
from math import prod
from typing import Any

from gadprof.audit.conventions import (
    ACTIVATION,
    ATTENTION_MISSED,
    BIAS,
    ELEMENTWISE,
    FAST_PATH_MISSED,
    FUNCTION_MISSED,
    GATES,
    NORMALISATION,
    OTHER_FORMULA,
    PATCHED_TWICE,
    POOLING,
    RECURRENT_MISSED,
    RESIZE,
    SHADOWED,
    SOFTMAX,
    TWICE,
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
    occurrences,
    output_sizes,
    within,
)
from gadprof.audit.observe import FunctionCall, ModuleCall, ModuleInfo, Observation, Shape
from gadprof.counting.records import Trace

ONE_SAMPLE = "hooks divided by the batch"

RULES: dict[str, str] = {
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, "transposed"),
    "torchvision.ops.deform_conv.DeformConv2d": "deformable",
    **{
        f"{NN}.activation.{name}": "activation"
        for name in ("ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6", "GELU")
    },
    **{
        f"{NN}.pooling.{kind}Pool{n}d": "pool"
        for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
        for n in (1, 2, 3)
    },
    **{f"{NN}.batchnorm.BatchNorm{n}d": "normalisation" for n in (1, 2, 3)},
    **{f"{NN}.instancenorm.InstanceNorm{n}d": "normalisation" for n in (1, 2, 3)},
    f"{NN}.normalization.GroupNorm": "normalisation",
    f"{NN}.normalization.LayerNorm": "normalisation",
    LINEAR: "linear",
    f"{NN}.upsampling.Upsample": "upsample",
    **{f"{NN}.rnn.{cell}": "recurrent" for cell in ("RNN", "GRU", "LSTM")},
    **{f"{NN}.rnn.{cell}Cell": "cell" for cell in ("RNN", "GRU", "LSTM")},
    ATTENTION: "attention",
}

# what each patched function counts as; the elements of its first argument unless told otherwise
FUNCTIONS: dict[str, str] = {
    **{f"F.{name}": ACTIVATION for name in ("relu", "prelu", "elu", "relu6", "gelu", "silu")},
    **{
        f"F.{kind}pool{n}d": POOLING
        for kind in ("avg_", "max_", "adaptive_avg_", "adaptive_max_")
        for n in (1, 2, 3)
    },
    "F.softmax": SOFTMAX,
    "F.upsample": RESIZE,
    "F.interpolate": RESIZE,
}

_PRODUCTS = ("torch.matmul", "torch.mm", "torch.bmm", "Tensor.matmul", "Tensor.mm", "Tensor.bmm")
_ADDED_PRODUCTS = ("torch.addmm", "torch.baddbmm", "Tensor.addmm")
_ELEMENTWISE = ("torch.mul", "torch.add", "Tensor.mul", "Tensor.add")


def read(observation: Observation, trace: Trace) -> Reading:
    """What the hooks and the patched functions add up."""
    modules = observation.modules
    known = _rules()
    rules = {path: known[info.type] for path, info in modules.items() if info.type in known}
    met = occurrences(modules, frozenset(rules))
    hooked: list[Entry] = []
    patched: list[Entry] = []
    fused = observation.fused_with_gradients(hooked=True)
    for event in observation.calls:
        if isinstance(event, FunctionCall):
            if any(path in fused for path in event.stack):
                continue
            patched.extend(_function(event, event.path in rules))
        elif event.path in rules and event.path in met:
            once = _layer(rules[event.path], modules[event.path], event)
            hooked.extend(once)
            repeats = met[event.path] - 1
            if repeats:
                amount = repeats * sum(entry.amount for entry in once)
                hooked.append(Entry(amount, event.path, modules[event.path].class_name, "", TWICE))
    batch = observation.batch if len(observation.args) == 1 and not observation.kwargs else 1
    if batch > 1:
        whole = sum(entry.amount for entry in hooked)
        patched.append(Entry(whole / batch - whole, "", "hooks", "", ONE_SAMPLE))

    def missed(path: str, kind: str) -> str:
        if path not in met:
            return SHADOWED
        if within(path, fused) and path not in rules:
            return FAST_PATH_MISSED
        if path not in rules and nearest_rule(modules[path], RULES) is not None:
            return TYPE_MISSED
        if kind == "attention":
            return ATTENTION_MISSED
        return RECURRENT_MISSED if kind == "rnn" else FUNCTION_MISSED

    return Reading((*hooked, *patched), missed)


def _rules() -> dict[str, str]:
    """The rules, with timm's attention under the name that it has where it is loaded."""
    loaded = sys.modules.get("timm.models.vision_transformer")
    attention = getattr(loaded, "Attention", None)
    if attention is None:
        return RULES
    return {**RULES, f"{attention.__module__}.{attention.__qualname__}": "timm attention"}


def _layer(rule: str, info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    x, y = first_input(call), output_sizes(call)
    name, biased = info.class_name, bool(info.settings["bias_present"])

    def mac(amount: int, kind: str) -> Entry:
        return Entry(amount, call.path, name, kind)

    def extra(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, name, "", cause)] if amount else []

    match rule:
        case "convolution" | "transposed":
            macs = convolution_macs(info, call, transposed=rule == "transposed")
            return [mac(macs, "convolution"), *extra(biased * prod(y), BIAS)]
        case "deformable":
            macs = convolution_macs(info, call, transposed=False)
            modulated = len(call.args) == 3 and call.args[2] is not None
            weight = info.own["weight"]
            positions = x[0] * prod(y[2:])
            return [
                mac(macs, "convolution"),
                *extra(positions * prod(weight[2:]) * (24 + modulated), OTHER_FORMULA),
                *extra(biased * prod(y), BIAS),
            ]
        case "linear":
            rows = prod(x[:-1])
            return [mac(rows * x[-1] * y[-1], "linear"), *extra(biased * rows * y[-1], BIAS)]
        case "activation":
            return extra(prod(y), ACTIVATION)
        case "pool":
            return extra(prod(x), POOLING)
        case "normalisation":
            return extra(prod(x) * (2 if info.settings.get("affine") else 1), NORMALISATION)
        case "upsample":
            return extra(prod(y[1:]), RESIZE)  # the hook reads the first sample of the output
        case "attention":
            return _attention(info, call)
        case "timm attention":
            batch, tokens, _ = x
            heads, size = int(info.settings["num_heads"]), int(info.settings["head_dim"])
            return [
                mac(batch * heads * 2 * tokens * tokens * size, "attention"),
                *extra(batch * tokens * size * heads, ELEMENTWISE),
                *extra(batch * tokens * tokens * heads, SOFTMAX),
            ]
        case "recurrent" | "cell":
            return _recurrent(rule, info, call)
        case _:
            raise TypeError(f"no rule {rule}")


def _attention(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    query, key, value = (item.sizes for item in call.args[:3])
    first = bool(info.settings.get("batch_first"))
    batch, length = (query[0], 1) if first else (query[1], 0)
    nq, nk, nv = query[length], key[length], value[length]
    dq, dk, dv = query[2], key[2], value[2]
    heads = int(info.settings["num_heads"])
    linear = nq * dq * dq + nk * dk * dk + nv * dv * dv + nq * dv * dv
    biases = nq * dv + ((nq + nk + nv) * dq if "in_proj_bias" in info.own else 0)
    products = heads * nq * nk * (dq // heads + dv // heads)
    name = info.class_name
    return [
        Entry(batch * linear, call.path, name, "linear"),
        Entry(batch * products, call.path, name, "attention"),
        Entry(batch * biases, call.path, name, "", BIAS),
        Entry(batch * nq * dq, call.path, name, "", ELEMENTWISE),
        Entry(batch * heads * nq * nk, call.path, name, "", SOFTMAX),
    ]


def _recurrent(rule: str, info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    x = first_input(call)
    evaluations = x[0] if rule == "cell" else x[0] * x[1]
    macs, biases, gates = recurrent_parts(info)
    name = info.class_name
    return [
        Entry(evaluations * macs, call.path, name, "rnn"),
        Entry(evaluations * biases, call.path, name, "", BIAS),
        Entry(evaluations * gates, call.path, name, "", GATES),
    ]


def recurrent_parts(info: ModuleInfo) -> tuple[int, int, int]:
    """Weights, biases and gate operations of one step, both directions, as two counters have it."""
    cell = info.class_name.endswith("Cell")
    suffixes = [""] if cell else [f"_l{i}" for i in range(int(info.settings["num_layers"]))]
    directions = 2 if info.settings.get("bidirectional") else 1
    hidden = int(info.settings["hidden_size"])
    gates = {"RNN": 1, "GRU": 7, "LSTM": 10}[info.class_name.removesuffix("Cell")]
    own = info.own
    macs = sum(prod(own[f"weight_ih{s}"]) + prod(own[f"weight_hh{s}"]) for s in suffixes)
    biases = sum(
        prod(own.get(f"bias_ih{s}", (0,))) + prod(own.get(f"bias_hh{s}", (0,))) for s in suffixes
    )
    return directions * macs, directions * biases, directions * len(suffixes) * gates * hidden


def _function(call: FunctionCall, hooked: bool) -> list[Entry]:
    """``hooked``: the innermost module has a rule, so that this counts its work a second time."""

    def mac(amount: int) -> list[Entry]:
        return [Entry(amount, call.path, call.name, "matmul")]

    def extra(amount: int | float, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, call.name, "", cause)] if amount else []

    if call.name in _PRODUCTS:
        first, second = operands(call)
        return mac(first.elements * second.sizes[-1])
    if call.name in _ADDED_PRODUCTS:
        added, first, second = (item for item in call.args[:3])
        beta = call.kwargs.get("beta", 1)
        bias = added.elements if beta != 0 else 0
        return mac(first.elements * second.sizes[-1]) + extra(bias, BIAS)
    if call.name in _ELEMENTWISE:
        return extra(elementwise(*operands(call)), ELEMENTWISE)
    cause = FUNCTIONS.get(call.name)
    if cause is None:
        return []
    amount = resized(call) if cause == RESIZE else operands(call)[0].elements
    return extra(amount, PATCHED_TWICE if hooked else cause)


def operands(call: FunctionCall) -> tuple[Any, Any]:
    """The first two arguments, by position or by name."""
    given = list(call.args)
    for name in ("input", "other", "mat2"):
        if name in call.kwargs and len(given) < 2:
            given.append(call.kwargs[name])
    return given[0], given[1] if len(given) > 1 else None


def elementwise(first: Any, second: Any) -> int:
    """Elements of a product or sum as two counters work them out (larger of each two sizes)."""
    if not isinstance(first, Shape):
        return second.elements if isinstance(second, Shape) else 1
    if not isinstance(second, Shape):
        return first.elements
    a, b = first.sizes, second.sizes
    rank = max(len(a), len(b))
    return prod(max(a[i] if i < len(a) else 1, b[i] if i < len(b) else 1) for i in range(rank))


def resized(call: FunctionCall) -> int | float:
    """Elements of a resized tensor as ptflops works them out from size or scale."""
    x = operands(call)[0]
    size = call.kwargs.get("size", call.args[1] if len(call.args) > 1 else None)
    if size is not None:
        if isinstance(size, (tuple, list)):
            return int(prod(size) * prod(x.sizes[:2]))
        return int(int(size) ** (len(x.sizes) - 2) * prod(x.sizes[:2]))
    scale = call.kwargs.get("scale_factor", call.args[2] if len(call.args) > 2 else None)
    if isinstance(scale, tuple) and len(scale) == len(x.sizes) - 2:
        return int(x.elements * int(prod(scale)))
    assert isinstance(scale, (int, float))
    amount: int | float = x.elements * scale ** (len(x.sizes) - 2)
    return amount
