"""calflops: patched functions of torch, added up by module; two flops a multiply-add.

Source: calflops/calculate_pipline.py and pytorch_ops.py of calflops 0.3. The walk that adds up
meets a shared module once a parent, each time with the sum of all its calls. Convolutions are
counted at sizes worked out from stride and padding, a resize by the sizes asked for alone.
"""

from __future__ import annotations

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
    GROUPS_TWICE,
    NORMALISATION,
    POOLING,
    RECURRENT_MISSED,
    RESIZE,
    ROUNDING,
    SOFTMAX,
    TWICE,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import NN, first_input, occurrences, within
from gadprof.audit.conventions.ptflops import elementwise, operands, recurrent_parts
from gadprof.audit.observe import FunctionCall, ModuleCall, ModuleInfo, Observation, Shape
from gadprof.counting.records import Trace
from gadprof.counting.rules.einsum import einsum_macs, planned_flops

RECURRENT = frozenset(
    f"{NN}.rnn.{cell}{suffix}" for cell in ("RNN", "GRU", "LSTM") for suffix in ("", "Cell")
)

_ONE_AN_ELEMENT: dict[str, str] = {
    **{
        f"F.{name}": ACTIVATION
        for name in ("relu", "prelu", "elu", "leaky_relu", "relu6", "silu", "gelu")
    },
    **{
        f"F.{kind}pool{n}d": POOLING
        for kind in ("avg_", "max_", "adaptive_avg_", "adaptive_max_")
        for n in (1, 2, 3)
    },
    "F.softmax": SOFTMAX,
}

_CONV_ARGS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED_ARGS = (
    "input",
    "weight",
    "bias",
    "stride",
    "padding",
    "output_padding",
    "groups",
    "dilation",
)


def read(observation: Observation, trace: Trace) -> Reading:
    """What the patched functions and the recurrent hooks add up."""
    modules = observation.modules
    met = occurrences(modules)
    entries: list[Entry] = []
    fused = observation.fused_with_gradients(hooked=True)
    for event in observation.calls:
        if isinstance(event, FunctionCall):
            if any(path in fused for path in event.stack):
                continue
            owner = _owner(event.stack, modules)
            if owner is None:
                continue
            once = _function(event)
        elif modules[event.path].type in RECURRENT:
            owner, once = event.path, _recurrent(modules[event.path], event)
        else:
            continue
        entries.extend(once)
        repeats = met[owner] - 1
        amount = repeats * sum(entry.amount for entry in once)
        if amount:
            entries.append(Entry(amount, owner, modules[owner].class_name, "", TWICE))

    def missed(path: str, kind: str) -> str:
        if within(path, fused):
            return FAST_PATH_MISSED
        if kind == "attention":
            return ATTENTION_MISSED
        return RECURRENT_MISSED if kind == "rnn" else FUNCTION_MISSED

    return Reading(tuple(entries), missed)


def _owner(stack: tuple[str, ...], modules: dict[str, ModuleInfo]) -> str | None:
    """The innermost running module that calflops keeps a sum for."""
    return next((path for path in reversed(stack) if modules[path].type not in RECURRENT), None)


def _function(call: FunctionCall) -> list[Entry]:
    def mac(macs: int, kind: str) -> list[Entry]:
        return [Entry(2 * macs, call.path, call.name, kind)]

    def extra(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, call.name, "", cause)] if amount else []

    first: Any = operands(call)[0] if call.name != "torch.einsum" else None
    cause = _ONE_AN_ELEMENT.get(call.name)
    if cause is not None:
        return extra(first.elements, cause)
    match call.name:
        case "F.linear":
            weight = call.args[1] if len(call.args) > 1 else call.kwargs["weight"]
            return mac(first.elements * weight.sizes[0], "linear")
        case "F.conv1d" | "F.conv2d" | "F.conv3d":
            return _convolution(call)
        case "F.conv_transpose1d" | "F.conv_transpose2d" | "F.conv_transpose3d":
            return _transposed(call)
        case "F.batch_norm" | "F.layer_norm" | "F.group_norm" | "F.instance_norm":
            return extra(_normalisation(call), NORMALISATION)
        case "F.upsample" | "F.interpolate":
            return extra(_resized(call), RESIZE)
        case "torch.matmul" | "Tensor.matmul":
            return mac(first.elements * operands(call)[1].sizes[-1], "matmul")
        case "torch.addmm" | "Tensor.addmm" | "torch.baddbmm":
            added, left, right = call.args[:3]
            return mac(left.elements * right.sizes[-1], "matmul") + extra(added.elements, BIAS)
        case "torch.mul" | "torch.add" | "Tensor.mul" | "Tensor.add":
            return extra(elementwise(*operands(call)), ELEMENTWISE)
        case "torch.einsum":
            return _einsum(call)
        case _:
            return []


def _bound(call: FunctionCall, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, call.args, strict=False)) | dict(call.kwargs)


def _spread(value: Any, length: int) -> tuple[int, ...]:
    return value if type(value) is tuple else (value,) * length


def _positions(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> int:
    return prod(
        (size + 2 * p - (d * (k - 1) + 1)) // s + 1
        for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )


def _convolution(call: FunctionCall) -> list[Entry]:
    given = _bound(call, _CONV_ARGS)
    x, weight = given["input"].sizes, given["weight"].sizes
    length, groups = len(x) - 2, int(given.get("groups", 1))
    dilation = _spread(given.get("dilation", 1), length)
    padding = given.get("padding", 0)
    if padding == "valid":
        padding = (0,) * length
    elif padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, weight[2:], strict=True))
    stride = _spread(given.get("stride", 1), length)
    positions = x[0] * _positions(x[2:], weight[2:], stride, _spread(padding, length), dilation)
    macs = prod(weight[2:]) * x[1] * (weight[0] // groups) * positions
    entries = [Entry(2 * macs, call.path, call.name, "convolution")]
    if given.get("bias") is not None:
        entries.append(Entry(weight[0] * positions, call.path, call.name, "", BIAS))
    return entries


def _transposed(call: FunctionCall) -> list[Entry]:
    given = _bound(call, _TRANSPOSED_ARGS)
    x, weight = given["input"].sizes, given["weight"].sizes
    length, groups = len(x) - 2, int(given.get("groups", 1))
    true = prod(weight[2:]) * x[1] * weight[1] * x[0] * prod(x[2:])
    macs = prod(weight[2:]) * x[1] * (weight[1] // groups) * x[0] * prod(x[2:])
    entries = [Entry(2 * true, call.path, call.name, "convolution")]
    if macs != true:  # the weight holds a group's outputs already
        entries.append(Entry(2 * (macs - true), call.path, call.name, "", GROUPS_TWICE))
    if given.get("bias") is not None:
        stride, padding, dilation = (
            _spread(given.get(name, default), length)
            for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
        )
        positions = _positions(x[2:], weight[2:], stride, padding, dilation)
        entries.append(Entry(weight[1] * x[0] * positions, call.path, call.name, "", BIAS))
    return entries


def _normalisation(call: FunctionCall) -> int:
    names = {
        "F.batch_norm": (
            [
                "input",
                "running_mean",
                "running_var",
                "weight",
                "bias",
                "training",
                "momentum",
                "eps",
            ]
        ),
        "F.layer_norm": ["input", "normalized_shape", "weight", "bias", "eps"],
        "F.group_norm": ["input", "num_groups", "weight", "bias", "eps"],
        "F.instance_norm": (
            [
                "input",
                "running_mean",
                "running_var",
                "weight",
                "bias",
                "use_input_stats",
                "momentum",
                "eps",
            ]
        ),
    }[call.name]
    given = _bound(call, tuple(names))
    affine = isinstance(given.get("weight"), Shape)
    elements = int(given["input"].elements)
    if call.name == "F.batch_norm" and not given.get("training", False):
        return elements * (2 if affine else 1)
    return elements * (5 if affine else 4)


def _resized(call: FunctionCall) -> int:
    size = call.kwargs.get("size", call.args[1] if len(call.args) > 1 else None)
    if size is not None:
        return int(prod(size)) if isinstance(size, (tuple, list)) else int(size)
    return int(operands(call)[0].elements)


def _einsum(call: FunctionCall) -> list[Entry]:
    equation, *given = call.args
    if len(given) == 1 and isinstance(given[0], (list, tuple)) and not isinstance(given[0], Shape):
        given = list(given[0])
    shapes = [operand.sizes for operand in given]
    true = 2 * einsum_macs(equation, shapes)
    counted = int(planned_flops(equation.replace(" ", ""), shapes))
    entries = [Entry(true, call.path, call.name, "matmul")]
    if counted != true:
        entries.append(Entry(counted - true, call.path, call.name, "", ROUNDING))
    return entries


def _recurrent(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    x = first_input(call)
    evaluations = x[0] if info.class_name.endswith("Cell") else x[0] * x[1]
    macs, biases, gates = recurrent_parts(info)
    rows = sum(shape[0] for name, shape in info.own.items() if name.startswith("weight_"))
    return [
        Entry(2 * evaluations * macs, call.path, info.class_name, "rnn"),
        Entry(evaluations * (biases), call.path, info.class_name, "", BIAS),
        Entry(evaluations * (gates - rows), call.path, info.class_name, "", GATES),
    ]
