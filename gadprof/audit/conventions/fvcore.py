"""fvcore's ``FlopCountAnalysis``: handles on the operators of a jit trace.

Source: fvcore/nn/flop_count.py and jit_handles.py of fvcore 0.1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor, prod
from typing import Any

from gadprof.audit.conventions import (
    ATTENTION_MISSED,
    FAST_PATH_MISSED,
    NORMALISATION,
    OPERATION_MISSED,
    POOLING,
    RECURRENT_MISSED,
    RESIZE,
    ROUNDING,
    Entry,
    Reading,
)
from gadprof.audit.conventions.layers import within
from gadprof.audit.observe import JitNode, Observation, Shape
from gadprof.counting.records import Trace
from gadprof.counting.rules.einsum import einsum_macs, planned_flops


def read(observation: Observation, trace: Trace) -> Reading:
    """What fvcore's handles make of the trace's operators."""
    entries: list[Entry] = []
    fused = observation.fused_with_gradients(hooked=True)
    for node in observation.jit:
        if not within(node.path, fused):
            entries.extend(_entries(node))
    return Reading(tuple(entries), missed_beside(fused, missed_by_a_jit_trace))


def missed_beside(
    fused: frozenset[str], otherwise: Callable[[str, str], str]
) -> Callable[[str, str], str]:
    """Why something was missed: the fused path that it lies in, or ``otherwise``."""

    def missed(path: str, kind: str) -> str:
        return FAST_PATH_MISSED if within(path, fused) else otherwise(path, kind)

    return missed


def missed_by_a_jit_trace(path: str, kind: str) -> str:
    """Why a counter of jit operators counts nothing for this kind of work."""
    return {"attention": ATTENTION_MISSED, "rnn": RECURRENT_MISSED}.get(kind, OPERATION_MISSED)


def _entries(node: JitNode) -> list[Entry]:
    operation = node.kind.removeprefix("aten::")
    given = node.inputs

    def mac(amount: int | float, kind: str) -> list[Entry]:
        return [Entry(amount, node.path, operation, kind)]

    def extra(amount: int | float, cause: str) -> list[Entry]:
        return [Entry(amount, node.path, operation, "", cause)]

    match node.kind:
        case "aten::_convolution":
            positions = (given[0] if given[6] else node.outputs[0]).sizes[2:]
            return mac(given[0].sizes[0] * given[1].elements * prod(positions), "convolution")
        case "aten::linear":
            return mac(given[0].elements * given[1].sizes[0], "linear")
        case "aten::addmm":
            return mac(given[1].elements * given[2].sizes[1], "linear")
        case "aten::matmul" | "aten::mm" | "aten::bmm":
            return mac(given[0].elements * given[1].sizes[-1], "matmul")
        case "aten::einsum":
            return _einsum(node)
        case "aten::batch_norm":
            scale = (5 if _is_tensor(given[1]) else 4) if given[5] else 1 + _is_tensor(given[1])
            return extra(given[0].elements * scale, NORMALISATION)
        case "aten::group_norm" | "aten::layer_norm":
            return extra(given[0].elements * (4 + _is_tensor(given[2])), NORMALISATION)
        case "aten::instance_norm":
            return extra(given[0].elements * (4 + _is_tensor(given[1])), NORMALISATION)
        case "aten::upsample_nearest2d":
            return extra(node.outputs[0].elements, RESIZE)
        case "aten::upsample_bilinear2d" | "aten::grid_sampler":
            return extra(4 * node.outputs[0].elements, RESIZE)
        case "aten::adaptive_avg_pool2d":
            return extra(given[0].elements, POOLING)
        case _:
            return []


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Shape)


def _einsum(node: JitNode) -> list[Entry]:
    equation = node.inputs[0].replace(" ", "")
    shapes = [shape.sizes for shape in node.inputs[1]]
    letters = dict.fromkeys(letter for letter in equation if letter.isalpha())
    canonical = equation.translate({ord(x): 97 + i for i, x in enumerate(letters)})
    true = einsum_macs(equation, shapes)
    if canonical == "abc,abd->acd":
        counted: float = prod(shapes[0]) * shapes[-1][-1]
    elif canonical == "abc,adc->adb":
        counted = prod(shapes[0]) * shapes[-1][1]
    else:
        counted = float(floor(planned_flops(equation, shapes) / 2))
    if counted == true:
        return [Entry(true, node.path, "einsum", "matmul")]
    return [
        Entry(true, node.path, "einsum", "matmul"),
        Entry(counted - true, node.path, "einsum", "", ROUNDING),
    ]
