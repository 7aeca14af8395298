"""The summary of the official HRNet code: convolution and linear layers, one sample, by 2^30.

Source: ``lib/utils/utils.py``, ``get_model_summary`` of the deep-high-resolution-net.pytorch
repository: a hook on every module with a weight whose class name holds ``Conv`` multiplies the
weight's elements with the output's positions; one on ``nn.Linear`` the output's elements with the
input's second size.
"""

from __future__ import annotations

from math import prod

from gadprof.audit.conventions import (
    ATTENTION_MISSED,
    FUNCTION_MISSED,
    OTHER_FORMULA,
    TRANSPOSED,
    Entry,
    Reading,
)
from gadprof.audit.observe import ModuleCall, Observation, Shape
from gadprof.counting.records import Trace


def read(observation: Observation, trace: Trace) -> Reading:
    """Multiply-adds by the official code's rule."""
    entries: list[Entry] = []
    for call in observation.calls:
        if not isinstance(call, ModuleCall) or not call.path:
            continue
        info = observation.modules[call.path]
        if not isinstance(call.output, Shape) or "weight" not in info.own:
            continue
        weight = info.own["weight"]
        if "Conv" in info.class_name:
            amount = prod(weight) * prod(call.output.sizes[2:])
            true = amount
            if any("ConvTranspose" in name for name in info.types):
                given = call.args[0]
                true = prod(weight) * prod(given.sizes[2:])
            entries.append(Entry(true, call.path, info.class_name, "convolution"))
            if amount != true:
                entries.append(Entry(amount - true, call.path, info.class_name, "", TRANSPOSED))
        elif "torch.nn.modules.linear.Linear" in info.types:
            given = call.args[0]
            amount = call.output.elements * given.sizes[1]
            true = call.output.elements * weight[1]
            entries.append(Entry(true, call.path, info.class_name, "linear"))
            if amount != true:
                entries.append(Entry(amount - true, call.path, info.class_name, "", OTHER_FORMULA))
    return Reading(
        tuple(entries),
        lambda path, kind: ATTENTION_MISSED if kind == "attention" else FUNCTION_MISSED,
    )
