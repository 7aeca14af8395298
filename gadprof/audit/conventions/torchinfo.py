"""torchinfo's ``total_mult_adds``: parameters of leaf modules times a guess at positions.

Source: torchinfo/layer_info.py and model_statistics.py of torchinfo 1.8.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ATTENTION_MISSED,
    BIAS,
    FUNCTION_MISSED,
    NORMALISATION,
    ONE_POSITION,
    OTHER_FORMULA,
    RECURRENT_MISSED,
    TRANSPOSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import (
    LINEAR,
    NN,
    TRANSPOSED_CONVOLUTIONS,
    convolution_macs,
    output_sizes,
)
from gadprof.audit.observe import ModuleCall, ModuleInfo, Observation
from gadprof.counting.records import Trace

_CONVOLUTION = f"{NN}.conv._ConvNd"
_RECURRENT = f"{NN}.rnn.RNNBase"
_NORMALISATION = (
    f"{NN}.batchnorm._NormBase",
    f"{NN}.normalization.LayerNorm",
    f"{NN}.normalization.GroupNorm",
    f"{NN}.normalization.RMSNorm",
)


def read(observation: Observation, trace: Trace) -> Reading:
    """Mult-adds of every call of every leaf module."""
    entries: list[Entry] = []
    for call in observation.calls:
        if isinstance(call, ModuleCall):
            info = observation.modules[call.path]
            if not info.children and info.parameters and info.type not in _WRAPPERS:
                entries.extend(_leaf(info, call))

    def missed(path: str, kind: str) -> str:
        info = observation.modules.get(path)
        if info is not None and not info.children and LINEAR in info.types:
            return ONE_POSITION
        if kind == "attention":
            return ATTENTION_MISSED
        return RECURRENT_MISSED if kind == "rnn" else FUNCTION_MISSED

    return Reading(tuple(entries), missed)


_WRAPPERS = frozenset(
    f"{NN}.container.{name}" for name in ("ParameterList", "ParameterDict", "ModuleList")
)


def _leaf(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    sizes = output_sizes(call)
    if not sizes:
        return []
    entries: list[Entry] = []

    def add(amount: int, kind: str = "", cause: str = "") -> None:
        if amount:
            entries.append(Entry(amount, call.path, info.class_name, kind, cause))

    named_conv = "Conv" in info.class_name
    for name, shape in info.parameters:
        if name in ("weight", "bias"):
            counted = prod(shape) * (prod(sizes[:1] + sizes[2:]) if named_conv else sizes[0])
        elif "weight" in name or "bias" in name:
            counted = prod(shape) * prod(sizes[:2])
        else:
            continue
        if "bias" in name:
            add(counted, cause=BIAS)
        elif any(kind in info.types for kind in _NORMALISATION):
            add(counted, cause=NORMALISATION)
        elif name == "weight" and _CONVOLUTION in info.types:
            _convolution(info, call, counted, add)
        elif name == "weight" and LINEAR in info.types:
            add(counted, "linear")
        elif _RECURRENT in info.types:
            add(counted, "rnn")
        else:
            add(counted, cause=OTHER_FORMULA)
    return entries


def _convolution(info: ModuleInfo, call: ModuleCall, counted: int, add: object) -> None:
    assert callable(add)
    transposed = any(name in TRANSPOSED_CONVOLUTIONS for name in info.types)
    true = convolution_macs(info, call, transposed=transposed)
    add(true, "convolution")
    if counted != true:
        named_conv = "Conv" in info.class_name
        cause = TRANSPOSED if transposed else OTHER_FORMULA if named_conv else ONE_POSITION
        add(counted - true, "", cause)
