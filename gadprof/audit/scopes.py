"""Which part of a model a published figure may stand for, found in the trace alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

from gadprof.counting.kinds import MATMUL_KINDS
from gadprof.counting.records import Operation, Trace


@dataclass(frozen=True)
class Scope:
    """A part of a model, or a form of it: its multiply-adds, and how odd it is to publish it."""

    name: str
    words: str
    cost: float
    macs: Callable[[Trace], int]


def scope_macs(scope: Scope, trace: Trace) -> int:
    """Multiply-adds of a scope; 0 where the model has no such part or the part is the whole."""
    amount = scope.macs(trace)
    return 0 if scope.name != "whole" and amount == trace.macs else amount


def last_output(trace: Trace) -> frozenset[int]:
    """Indices of the forward operations that the last one needs, itself among them.

    What only serves other outputs (heads for intermediate supervision) is not in it.
    """
    needed: set[int] = set()
    kept: set[int] = set()
    for position, operation in reversed(list(enumerate(trace.forward))):
        made = {item.storage for item in operation.outputs}
        if not kept or made & needed:
            kept.add(position)
            needed |= made | {item.storage for item in operation.inputs}
    return frozenset(kept)


def _alone(trace: Trace) -> Trace:
    """The trace without the operations that only serve outputs before the last."""
    kept = last_output(trace)
    dropped = {
        operation.index for position, operation in enumerate(trace.forward) if position not in kept
    }
    if not dropped:
        return trace
    return replace(
        trace,
        operations=tuple(item for item in trace.operations if item.index not in dropped),
    )


def scope_params(trace: Trace) -> Iterator[tuple[str, int]]:
    """Readings of a model's number of parameters: all, trainable, without classifier."""
    yield "all parameters", trace.params
    if trace.trainable_params != trace.params:
        yield "trainable parameters", trace.trainable_params
    head = classifier(trace)
    if head is not None:
        inside = sum(
            record.own_params
            for path, record in trace.modules.items()
            if path == head or path.startswith(f"{head}.")
        )
        if inside:
            yield f"parameters without the classifier '{head}'", trace.params - inside
    if trace.buffers:
        yield "parameters and buffers", trace.params + trace.buffers
    alone = _alone(trace)
    if alone is not trace:
        used = {operation.module for operation in alone.forward}
        unused = {operation.module for operation in trace.forward} - used
        spared = sum(trace.modules[path].own_params for path in unused if path in trace.modules)
        yield "parameters that the last output needs", trace.params - spared


def products(trace: Trace) -> tuple[Operation, ...]:
    """The forward operations that hold multiply-adds."""
    return tuple(op for op in trace.forward if op.macs and op.kind in MATMUL_KINDS)


def classifier(trace: Trace) -> str | None:
    """The path of the child of the model that does the last product, if others do more before."""
    found = products(trace)
    if not found or not found[-1].module:
        return None
    head = found[-1].module.partition(".")[0]
    inside = sum(op.macs for op in found if _within(op, head))
    return head if 0 < inside < trace.macs / 2 else None


def _within(operation: Operation, path: str) -> bool:
    return operation.module == path or operation.module.startswith(f"{path}.")


def _without_classifier(trace: Trace) -> int:
    head = classifier(trace)
    if head is None:
        return 0
    return sum(op.macs for op in products(trace) if not _within(op, head))


def _convolutions(trace: Trace) -> int:
    return sum(op.macs for op in products(trace) if op.kind == "convolution")


def _layers(trace: Trace) -> int:
    """Everything but attention's two products."""
    return sum(op.macs for op in products(trace) if op.kind != "attention" and op.kind != "matmul")


def _without_first(trace: Trace) -> int:
    found = products(trace)
    return trace.macs - found[0].macs if found and found[0].kind == "convolution" else 0


def _stride_in_first(trace: Trace) -> int:
    """Bottlenecks whose 3×3 convolution has the stride, counted as if their first 1×1 had it."""
    by_module = {op.module: op for op in products(trace) if op.kind == "convolution"}
    saved = 0
    for path, second in by_module.items():
        parent, _, name = path.rpartition(".")
        first = by_module.get(f"{parent}.conv1") if name == "conv2" else None
        if first is None or tuple(second.attributes["stride"]) == (1, 1):
            continue
        if tuple(first.attributes["kernel"]) != (1, 1) or tuple(first.attributes["stride"]) != (
            1,
            1,
        ):
            continue
        fewer = prod(second.outputs[0].shape[2:])
        saved += first.macs - first.macs // prod(first.outputs[0].shape[2:]) * fewer
    return trace.macs - saved if saved else 0


SCOPES: tuple[Scope, ...] = (
    Scope(
        "whole",
        "multiply-adds of convolutions and matrix products of the whole model, no bias",
        0.0,
        lambda trace: trace.macs,
    ),
    Scope(
        "without classifier",
        "convolutions and matrix products without the last stage (the classifier or head)",
        1.5,
        _without_classifier,
    ),
    Scope("convolutions only", "convolutions alone", 1.5, _convolutions),
    Scope(
        "without attention products",
        "convolutions and linear layers, without attention's two matrix products",
        1.5,
        _layers,
    ),
    Scope(
        "stride in the first 1x1",
        "the first published form of the bottleneck, with its stride in the first 1×1 convolution "
        "instead of the 3×3 (the network of the original paper, not the one that was given)",
        -0.5,  # for these networks likelier than any odd unit: it is where their figures come from
        _stride_in_first,
    ),
    Scope(
        "last output alone",
        "what the last output needs, without heads that only serve other outputs in training",
        1.0,
        lambda trace: _alone(trace).macs,
    ),
    Scope(
        "last output alone, stride in the first 1x1",
        "what the last output needs, with the bottlenecks' stride in the first 1×1 convolution "
        "instead of the 3×3 (the first published form of the ResNet)",
        1.5,
        lambda trace: 0 if _alone(trace) is trace else _stride_in_first(_alone(trace)),
    ),
    Scope(
        "without the first convolution",
        "convolutions and matrix products without the first convolution",
        4.0,
        _without_first,
    ),
)
