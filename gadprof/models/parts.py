"""Where a model's cost lies: its stages and its kinds of block, from the plan, or from a trace.

Promises that the parts of either division add up exactly to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gadprof.networks.blocks.names import BLOCK_KINDS
from gadprof.networks.cost import Row, breakdown
from gadprof.networks.shapes import stage_of
from gadprof.networks.spec import ModelSpec, plan_of

if TYPE_CHECKING:
    from gadprof.models.sources import Source


@dataclass(frozen=True)
class Part:
    """A part of a network: how often it occurs, and its exact counts at one batch size."""

    name: str
    occurrences: int
    params: int
    macs: int
    activations: int


def by_stage(spec: ModelSpec, shape: tuple[int, ...], batch: int = 1) -> tuple[Part, ...]:
    """The network's stages, in the order in which they run."""
    rows = [row for row in breakdown(plan_of(spec), shape) if row.depth == 1]
    return _grouped([(stage_of(row.path), row, 1) for row in rows], batch)


def by_block(spec: ModelSpec, shape: tuple[int, ...], batch: int = 1) -> tuple[Part, ...]:
    """Kinds of block, the costliest first; what lies in no block is named by its role."""
    rows = breakdown(plan_of(spec), shape)
    pairs: list[tuple[str, Row, int]] = []
    inside = -1  # depth of the block that the walk is in, -1 outside of any
    for row in rows:
        if inside >= 0 and row.depth > inside:
            continue
        inside = -1
        if row.kind in BLOCK_KINDS:
            inside = row.depth
            pairs.append((row.kind, row, 1))
        elif row.leaf:
            pairs.append((_role(row), row, 1))
    parts = [part for part in _grouped(pairs, batch) if part.params or part.macs]
    return tuple(sorted(parts, key=lambda part: (-part.macs, -part.params, part.name)))


def _role(row: Row) -> str:
    if "fuse_layers" in row.path:
        return "fusion layers"
    if row.path.startswith("transition"):
        return "transitions"
    return f"{stage_of(row.path)} layers"


def _grouped(pairs: Sequence[tuple[str, Row, int]], batch: int) -> tuple[Part, ...]:
    totals: dict[str, list[int]] = {}
    for name, row, times in pairs:
        total = totals.setdefault(name, [0, 0, 0, 0])
        total[0] += times
        for key, value in row.counts.items():
            if key.startswith("params."):
                total[1] += value
            elif key.startswith("macs."):
                total[2] += value * batch
            elif key == "activations":
                total[3] += value * batch
    return tuple(Part(name, *total) for name, total in totals.items())


def traced_by_stage(
    source: Source, shapes: tuple[tuple[int, ...], ...], batch: int = 1
) -> tuple[Part, ...]:
    """A traced model's direct children (what lies in none is named ``(model)``)."""
    return _traced(source, shapes, batch, lambda path, kind: path.split(".", 1)[0] or "(model)")


def traced_by_type(
    source: Source, shapes: tuple[tuple[int, ...], ...], batch: int = 1
) -> tuple[Part, ...]:
    """A traced model's modules by class, the costliest first."""
    parts = _traced(source, shapes, batch, lambda path, kind: kind)
    used = [part for part in parts if part.params or part.macs]
    return tuple(sorted(used, key=lambda part: (-part.macs, -part.params, part.name)))


def _traced(
    source: Source,
    shapes: tuple[tuple[int, ...], ...],
    batch: int,
    group: Callable[[str, str], str],
) -> tuple[Part, ...]:
    from gadprof.models.counting import trace_model

    trace = trace_model(source, shapes=shapes, batch=batch)
    totals: dict[str, list[int]] = {}
    for path, module in trace.modules.items():
        if module.own_params:
            total = totals.setdefault(group(path, module.type), [0, 0, 0, 0])
            total[0] += 1
            total[1] += module.own_params
    for operation in trace.forward:
        if operation.macs or operation.activations:
            name = group(operation.module, operation.module_type)
            total = totals.setdefault(name, [1, 0, 0, 0])
            total[2] += operation.macs
            total[3] += operation.activations
    return tuple(Part(name, *total) for name, total in totals.items())
