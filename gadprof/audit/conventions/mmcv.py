"""The counter of mmcv (``get_model_complexity_info``), with which mmpose filled its tables.

Source: ``mmcv/cnn/utils/flops_counter.py`` of mmcv 1.3, itself after ptflops: hooks on exact module
types, each call added: convolutions with their bias, transposed ones at the input, two a normalised
element, one an activated, pooled (read) or enlarged (written) element. Linear layers leave their
bias out; functions, sigmoids and products of tensors count zero.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ACTIVATION,
    ATTENTION_MISSED,
    BIAS,
    FUNCTION_MISSED,
    NORMALISATION,
    POOLING,
    RESIZE,
    TYPE_MISSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import (
    CONVOLUTIONS,
    LINEAR,
    NN,
    convolution_macs,
    first_input,
    output_sizes,
)
from gadprof.audit.observe import ModuleCall, ModuleInfo, Observation
from gadprof.counting.records import Trace

_TRANSPOSED = f"{NN}.conv.ConvTranspose2d"
_UPSAMPLE = f"{NN}.upsampling.Upsample"
_ACTIVATIONS = frozenset(
    f"{NN}.activation.{name}" for name in ("ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6")
)
_POOLS = frozenset(
    f"{NN}.pooling.{kind}Pool{n}d"
    for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg")
    for n in (1, 2, 3)
)
_NORMS = frozenset(
    (
        *(f"{NN}.batchnorm.BatchNorm{n}d" for n in (1, 2, 3)),
        *(f"{NN}.instancenorm.InstanceNorm{n}d" for n in (1, 2, 3)),
        f"{NN}.normalization.GroupNorm",
        f"{NN}.normalization.LayerNorm",
    )
)


def read(observation: Observation, trace: Trace) -> Reading:
    """What the hooks add up for one sample."""
    entries: list[Entry] = []
    for call in observation.calls:
        if isinstance(call, ModuleCall):
            info = observation.modules[call.path]
            entries += _entries(info, call)

    def missed(path: str, kind: str) -> str:
        info = observation.modules.get(path)
        if kind == "attention":
            return ATTENTION_MISSED
        return TYPE_MISSED if info is not None and "weight" in info.own else FUNCTION_MISSED

    batch = observation.batch
    if batch > 1:  # the sum is divided by the batch
        entries = [
            Entry(entry.amount / batch, entry.path, entry.operation, entry.kind, entry.cause)
            for entry in entries
        ]
    return Reading(tuple(entries), missed)


def _entries(info: ModuleInfo, call: ModuleCall) -> list[Entry]:
    kind, name = info.type, info.class_name

    def other(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, call.path, name, "", cause)] if amount else []

    if kind in CONVOLUTIONS or kind == _TRANSPOSED:
        transposed = kind == _TRANSPOSED
        macs = convolution_macs(info, call, transposed=transposed)
        bias = 0
        if "bias" in info.own:
            sizes = output_sizes(call)
            bias = prod(sizes)
            if transposed:  # the height stands for the width
                bias = bias // sizes[-1] * sizes[-2]
        return [Entry(macs, call.path, name, "convolution"), *other(bias, BIAS)]
    if kind == LINEAR:
        amount = prod(first_input(call)) * output_sizes(call)[-1]
        return [Entry(amount, call.path, name, "linear")]
    if kind in _ACTIVATIONS:
        return other(prod(output_sizes(call)), ACTIVATION)
    if kind in _POOLS:
        return other(prod(first_input(call)), POOLING)
    if kind in _NORMS:
        affine = info.settings.get("affine") or info.settings.get("elementwise_affine")
        return other(prod(first_input(call)) * (2 if affine else 1), NORMALISATION)
    if kind == _UPSAMPLE:
        return other(prod(output_sizes(call)), RESIZE)
    return []
