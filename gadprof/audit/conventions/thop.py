"""The original ``thop``: hooks on exact module types, run with gradients off.

Source: thop/profile.py and thop/vision/basic_hooks.py of thop 0.1.1. The walk that adds up stops
at a counted module (a ``Sequential`` or ``ModuleList`` excepted) and meets a shared module once a
parent, each time with the sum of all its calls; such a module also has a hook for each parent.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ACTIVATION,
    ATTENTION_MISSED,
    FUNCTION_MISSED,
    NORMALISATION,
    POOLING,
    RECURRENT_MISSED,
    RESIZE,
    SOFTMAX,
    TRANSPOSED,
    TWICE,
    TYPE_MISSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import (
    CONTAINERS,
    CONVOLUTIONS,
    LINEAR,
    NN,
    TRANSPOSED_CONVOLUTIONS,
    convolution_macs,
    first_input,
    nearest_rule,
    occurrences,
    output_sizes,
    recurrent,
    recurrent_entries,
)
from gadprof.audit.observe import ModuleCall, ModuleInfo, Observation
from gadprof.counting.records import Trace

RULES: dict[str, str] = {
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, "transposed"),
    **{f"{NN}.batchnorm.BatchNorm{n}d": "normalisation" for n in (1, 2, 3)},
    **{f"{NN}.instancenorm.InstanceNorm{n}d": "normalisation" for n in (1, 2, 3)},
    f"{NN}.batchnorm.SyncBatchNorm": "normalisation",
    f"{NN}.normalization.LayerNorm": "normalisation",
    f"{NN}.activation.PReLU": "prelu",
    f"{NN}.activation.Softmax": "softmax",
    **{f"{NN}.pooling.AvgPool{n}d": "pool" for n in (1, 2, 3)},
    **{f"{NN}.pooling.AdaptiveAvgPool{n}d": "adaptive pool" for n in (1, 2, 3)},
    LINEAR: "linear",
    **{
        f"{NN}.upsampling.{name}": "upsample"
        for name in ("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d")
    },
    **{f"{NN}.rnn.{cell}Cell": "cell" for cell in ("RNN", "GRU", "LSTM")},
    **{f"{NN}.rnn.{cell}": "recurrent" for cell in ("RNN", "GRU", "LSTM")},
    **dict.fromkeys(
        (
            f"{NN}.padding.ZeroPad2d",
            f"{NN}.activation.ReLU",
            f"{NN}.activation.ReLU6",
            f"{NN}.activation.LeakyReLU",
            *(f"{NN}.pooling.MaxPool{n}d" for n in (1, 2, 3)),
            *(f"{NN}.pooling.AdaptiveMaxPool{n}d" for n in (1, 2, 3)),
            f"{NN}.dropout.Dropout",
            f"{NN}.container.Sequential",
            f"{NN}.pixelshuffle.PixelShuffle",
        ),
        "zero",
    ),
}

_RESIZE = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}


def read(observation: Observation, trace: Trace) -> Reading:
    """What the hooks add up, as the closing walk meets it."""
    modules = observation.modules
    rules = {path: RULES[info.type] for path, info in modules.items() if info.type in RULES}
    stop = frozenset(path for path in rules if path and modules[path].type not in CONTAINERS)
    met = occurrences(modules, stop)
    hooks = occurrences(modules)
    entries: list[Entry] = []
    for call in observation.calls:
        if not isinstance(call, ModuleCall) or call.path not in rules or call.path not in met:
            continue
        once = _layer(rules[call.path], modules[call.path], call)
        entries.extend(once)
        repeats = hooks[call.path] * met[call.path] - 1
        if repeats:
            amount = repeats * sum(entry.amount for entry in once)
            if amount:
                entries.append(Entry(amount, call.path, modules[call.path].class_name, "", TWICE))

    def missed(path: str, kind: str) -> str:
        info = modules.get(path)
        if info is not None and path not in rules and nearest_rule(info, RULES) is not None:
            return TYPE_MISSED
        if kind == "attention":
            return ATTENTION_MISSED
        return RECURRENT_MISSED if kind == "rnn" else FUNCTION_MISSED

    return Reading(tuple(entries), missed)


def _layer(rule: str, info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    x, y = first_input(call), output_sizes(call)
    name = info.class_name

    def extra(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, name, "", cause)] if amount else []

    match rule:
        case "zero":
            return []
        case "convolution":
            macs = convolution_macs(info, call, transposed=False)
            return [Entry(macs, call.path, name, "convolution")]
        case "transposed":
            true = convolution_macs(info, call, transposed=True)
            weight, groups = info.own["weight"], int(info.settings["groups"])
            counted = prod(y) * (x[1] // groups) * prod(weight[2:])
            return [
                Entry(true, call.path, name, "convolution"),
                *extra(counted - true, TRANSPOSED),
            ]
        case "linear":
            macs = int(info.settings["in_features"]) * prod(y)
            return [Entry(macs, call.path, name, "linear")]
        case "normalisation":
            affine = info.settings.get("affine") or info.settings.get("elementwise_affine")
            return extra(prod(x) * (4 if affine else 2), NORMALISATION)
        case "prelu":
            return extra(prod(x) * (not info.training), ACTIVATION)
        case "softmax":
            features = x[int(info.settings["dim"])]
            return extra(prod(x) // features * (3 * features - 1), SOFTMAX)
        case "pool":
            return extra(prod(y), POOLING)
        case "adaptive pool":
            return extra(_adaptive_pool(x, y), POOLING)
        case "upsample":
            return extra(_RESIZE.get(str(info.settings.get("mode")), 0) * prod(y), RESIZE)
        case "cell" | "recurrent":
            evaluations = x[0] if rule == "cell" else x[0] * x[1]
            macs, biases, gates = recurrent(info, evaluations, projected=False)
            return list(recurrent_entries(info, call, macs, biases + gates))
        case _:
            raise TypeError(f"no rule {rule}")


def _adaptive_pool(x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """thop divides sizes as floating-point numbers and cuts the product."""
    window = 1.0
    for size, output in zip(x[2:], y[2:], strict=True):
        window *= size / output
    return int((window + 1) * prod(y))
