"""A trace as stacks with weights, which viewers of profiles draw as flames and timelines.

Promises that the weights of a quantity add up to the model's exact total, in the order in which
the operations ran. A stack goes from the model through its modules to the operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gadprof.results.stacks import Quantity, Stacks

if TYPE_CHECKING:
    from gadprof.counting.records import Trace


def stacks_of(trace: Trace) -> Stacks:
    """MACs, FLOPs and bytes moved of every operation, under its modules."""
    operations = trace.operations
    moved = tuple(item.bytes_read + item.bytes_written for item in operations)
    return Stacks(
        trace.model,
        tuple(_stack(trace, item.module, item.name) for item in operations),
        (
            Quantity("MACs", "MAC", tuple(item.macs for item in operations)),
            Quantity("FLOPs", "FLOP", tuple(item.flops for item in operations)),
            Quantity("bytes read and written", "byte", moved),
        ),
    )


def _stack(trace: Trace, path: str, operation: str) -> tuple[str, ...]:
    parts = path.split(".") if path else []
    modules = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return (trace.model, *(_named(trace, module) for module in modules), operation)


def _named(trace: Trace, path: str) -> str:
    record = trace.modules.get(path)
    return f"{path} ({record.type})" if record is not None else path
