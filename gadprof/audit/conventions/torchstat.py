"""torchstat, with which the authors of Lite-HRNet and its followers filled their tables.

Source: torchstat's ``compute_flops.py`` as in ``tools/torchstat`` of those repositories. A leaf
module keeps the figures of its last call alone, so that one that runs twice counts once; a
convolution counts its bias, two are a normalised element, a pooling counts its windows, an adaptive
one windows that are one longer on each side, an ``Upsample`` the positions of one map. Functions,
sigmoids and products of tensors count zero. A printed M is 2^20 and a G 2^30.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ACTIVATION,
    ATTENTION_MISSED,
    BIAS,
    FUNCTION_MISSED,
    NORMALISATION,
    ONCE,
    POOLING,
    RESIZE,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import LINEAR, NN, convolution_macs, first_input, output_sizes
from gadprof.audit.observe import ModuleCall, ModuleInfo, Observation
from gadprof.counting.records import Trace

_CONV = f"{NN}.conv.Conv2d"
_TRANSPOSED = f"{NN}.conv.ConvTranspose2d"
_RULES: dict[str, str] = {
    _CONV: "convolution",
    _TRANSPOSED: "transposed",
    f"{NN}.batchnorm.BatchNorm2d": "normalisation",
    **{f"{NN}.pooling.{kind}Pool2d": "pooling" for kind in ("Avg", "Max")},
    **{f"{NN}.pooling.Adaptive{kind}Pool2d": "adaptive" for kind in ("Avg", "Max")},
    **{
        f"{NN}.activation.{name}": "activation"
        for name in ("ReLU", "ReLU6", "PReLU", "ELU", "LeakyReLU")
    },
    f"{NN}.upsampling.Upsample": "upsample",
    LINEAR: "linear",
}


def read(observation: Observation, trace: Trace) -> Reading:
    """What the leaf modules hold after one forward pass."""
    last: dict[str, ModuleCall] = {}
    for call in observation.calls:
        if isinstance(call, ModuleCall) and not observation.modules[call.path].children:
            last[call.path] = call
    entries: list[Entry] = []
    for path, call in last.items():
        entries += _entries(observation.modules[path], call)

    def missed(path: str, kind: str) -> str:
        if kind == "attention":
            return ATTENTION_MISSED
        return ONCE if path in last else FUNCTION_MISSED

    return Reading(tuple(entries), missed)


def _entries(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    rule = next((_RULES[name] for name in info.types if name in _RULES), "")
    given, made, name = first_input(call), output_sizes(call), info.class_name

    def other(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, name, "", cause)] if amount else []

    match rule:
        case "convolution" | "transposed":
            macs = convolution_macs(info, call, transposed=rule == "transposed")
            bias = prod(made) if "bias" in info.own else 0
            return [Entry(macs, call.path, name, "convolution"), *other(bias, BIAS)]
        case "linear":
            if len(given) != 2:
                return []
            return [Entry(given[0] * given[1] * made[1], call.path, name, "linear")]
        case "normalisation":
            return other(prod(given) * (2 if info.settings.get("affine") else 1), NORMALISATION)
        case "activation":
            return other(prod(given), ACTIVATION)
        case "pooling":
            return other(_windows(info, given), POOLING)
        case "adaptive":
            return other(_adaptive(given, made), POOLING)
        case "upsample":
            return other(prod(made[2:]) * given[0], RESIZE)
        case _:
            return []


def _windows(info: ModuleInfo, given: tuple[int, ...]) -> int:
    """Elements of all windows; the first stride and the height's padding serve both sides."""

    def pair(key: str) -> tuple[int, int]:
        value = info.settings.get(key)
        if isinstance(value, (tuple, list)):
            return int(value[0]), int(value[1])
        assert isinstance(value, int)
        return value, value

    kernel, stride, padding = pair("kernel_size"), pair("stride"), pair("padding")
    n, c, height, width = given
    across = (width + 2 * padding[0] - kernel[0]) // stride[0] + 1
    down = (height + 2 * padding[1] - kernel[1]) // stride[0] + 1
    return n * c * across * down * kernel[0] * kernel[1]


def _adaptive(given: tuple[int, ...], made: tuple[int, ...]) -> int:
    """Elements of windows that are taken one longer on each side than they are."""

    def lengths(size: int, out: int) -> int:
        return sum(-(-((i + 1) * size) // out) - i * size // out + 1 for i in range(out))

    n, c, height, width = given
    return n * c * lengths(height, made[2]) * lengths(width, made[3])
