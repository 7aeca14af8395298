"""torchprofile's ``profile_macs``: handlers on the operators of a jit trace.

Source: torchprofile/handlers.py of torchprofile 0.1.0.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gadprof.audit.conventions import (
    ACTIVATION,
    ELEMENTWISE,
    GROUPS_MISSED,
    NORMALISATION,
    OTHER_FORMULA,
    POOLING,
    REDUCTION,
    RESIZE,
    TRANSPOSED,
    Entry,
    Reading,
)
from gadprof.audit.conventions.fvcore import missed_beside, missed_by_a_jit_trace
from gadprof.audit.conventions.layers import within
from gadprof.audit.observe import JitNode, Observation, Shape
from gadprof.counting.records import Trace
from gadprof.counting.rules.einsum import einsum_macs

_POOLING = {f"aten::{kind}avg_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3)}


def read(observation: Observation, trace: Trace) -> Reading:
    """What torchprofile's handlers make of the trace's operators."""
    entries: list[Entry] = []
    fused = observation.fused_with_gradients(hooked=False)
    for node in observation.jit:
        if not within(node.path, fused):
            entries.extend(_entries(node))
    return Reading(tuple(entries), missed_beside(fused, missed_by_a_jit_trace))


def _entries(node: JitNode) -> list[Entry]:
    kind = node.kind.lower()
    operation = kind.removeprefix("aten::")
    given = node.inputs
    output: Any = node.outputs[0] if node.outputs else None

    def mac(amount: int, category: str) -> list[Entry]:
        return [Entry(amount, node.path, operation, category)]

    def extra(amount: int, cause: str) -> list[Entry]:
        return [Entry(amount, node.path, operation, "", cause)] if amount else []

    if kind in _POOLING:
        return extra(output.elements, POOLING)
    match kind:
        case "aten::_convolution":
            return _convolution(node)
        case "aten::addmm":
            return mac(given[1].elements * given[2].sizes[1], "linear")
        case "aten::addmv":
            return mac(given[1].elements, "matmul")
        case "aten::bmm":
            return mac(given[0].elements * given[1].sizes[-1], "matmul")
        case "aten::baddbmm":
            return mac(given[1].elements * given[2].sizes[-1], "matmul")
        case "aten::linear":
            return mac(given[0].elements * given[1].sizes[0], "linear")
        case "aten::matmul":
            return mac(matmul_macs(given[0].sizes, given[1].sizes, output.sizes), "matmul")
        case "aten::mul" | "aten::mul_":
            return extra(output.elements, ELEMENTWISE)
        case "aten::batch_norm" | "aten::instance_norm":
            return extra(output.elements * isinstance(given[1], Shape), NORMALISATION)
        case "aten::layer_norm" | "aten::group_norm":
            return extra(output.elements * isinstance(given[2], Shape), NORMALISATION)
        case "aten::mean":
            return extra(output.elements, REDUCTION)
        case "aten::leaky_relu":
            return extra(output.elements, ACTIVATION)
        case "aten::upsample_bilinear2d":
            return extra(4 * output.elements, RESIZE)
        case "aten::grid_sampler":
            return extra({1: 0, 2: 16}.get(given[2], 4) * output.elements, RESIZE)
        case "aten::lstm":
            return mac(_lstm(node), "rnn")
        case "aten::einsum":
            return _einsum(node)
        case "aten::scaled_dot_product_attention":
            query, key, value = given[0].sizes, given[1].sizes, given[2].sizes
            pairs = prod(query[:-1]) * key[-2]
            return mac(pairs * (query[-1] + value[-1]), "attention")
        case _:
            return []


def matmul_macs(a: tuple[int, ...], b: tuple[int, ...], output: tuple[int, ...]) -> int:
    """Multiply-adds of a matrix product of any ranks."""
    return prod(output) * a[-1]


def _convolution(node: JitNode) -> list[Entry]:
    x, weight, output = node.inputs[0], node.inputs[1].sizes, node.outputs[0]
    transposed = bool(node.inputs[6])
    positions = (x if transposed else output).sizes[2:]
    true = x.sizes[0] * prod(weight) * prod(positions)
    per_output = weight[1] if output.sizes[1] == weight[0] else weight[0]
    counted = output.elements * per_output * prod(weight[2:])
    entries = [Entry(true, node.path, "_convolution", "convolution")]
    if not transposed and counted != true:
        entries.append(Entry(counted - true, node.path, "_convolution", "", OTHER_FORMULA))
    if transposed:
        groups = output.sizes[1] // weight[1]
        at_output = output.elements * (weight[0] // groups) * prod(weight[2:])
        parts = ((at_output - true, TRANSPOSED), (counted - at_output, GROUPS_MISSED))
        entries += [
            Entry(amount, node.path, "_convolution", "", cause) for amount, cause in parts if amount
        ]
    return entries


def _lstm(node: JitNode) -> int:
    x, output, state = node.inputs[0], node.outputs[0], node.outputs[1]
    hidden = state.sizes[-1]
    directions = output.sizes[-1] // hidden
    layers = state.sizes[0] // directions
    macs = sum(
        4 * hidden * ((x.sizes[-1] if layer == 0 else hidden * directions) + hidden)
        for layer in range(layers)
    )
    return int(output.sizes[0] * output.sizes[1] * directions * macs)


def _einsum(node: JitNode) -> list[Entry]:
    equation: Any = node.inputs[0]
    shapes = [shape.sizes if isinstance(shape, Shape) else None for shape in node.inputs[1]]
    if not equation or "..." in equation or None in shapes:
        return []
    sizes: dict[str, int] = {}
    for subscript, shape in zip(equation.split("->")[0].split(","), shapes, strict=False):
        sizes.update(zip(subscript.replace(" ", ""), shape or (), strict=False))
    counted = prod(sizes.values())
    true = einsum_macs(equation, [shape or () for shape in shapes])
    entries = [Entry(true, node.path, "einsum", "matmul")]
    if counted != true:
        entries.append(Entry(counted - true, node.path, "einsum", "", OTHER_FORMULA))
    return entries
