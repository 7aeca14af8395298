"""A trace added up: by module, by type of module, by operation, or by stage.

Promises that the rows of every division add up to the whole; a shared module is counted at each of
its calls and a shared weight once. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gadprof.counting.records import Operation, Trace

Division = Literal["module", "type", "op", "stage"]


@dataclass(frozen=True)
class Line:
    """One row: what it is, and its exact counts; ``share`` is of the model's MACs.

    ``depth`` is the module's level (0 is the model); ``calls`` how often it ran (operations: how
    many). ``bytes`` are read and written.
    """

    name: str
    type: str
    depth: int
    calls: int
    params: int
    macs: int
    flops: int
    activations: int
    bytes: int
    share: float


def lines(trace: Trace, by: Division = "module", *, depth: int | None = None) -> tuple[Line, ...]:
    """The rows of a trace under a division; ``depth`` limits the levels of ``module``."""
    if by == "module":
        return _by_module(trace, depth)
    if by == "op":
        return _grouped(trace, lambda op: op.name, {})
    if by == "type":
        own: dict[str, int] = {}
        for record in trace.modules.values():
            own[record.type] = own.get(record.type, 0) + record.own_params
        return _grouped(trace, lambda op: op.module_type, own)
    own = {}
    for path, record in trace.modules.items():
        own[stage_name(path)] = own.get(stage_name(path), 0) + record.own_params
    return _grouped(trace, lambda op: stage_name(op.module), own)


def stage_name(path: str) -> str:
    """The top-level part of a path; a first pair of convolutions and norms is the stem."""
    head = path.split(".", 1)[0]
    if head in ("conv1", "bn1", "conv2", "bn2", "relu", "conv_stem", "patch_embed"):
        return "stem"
    return head or "(model)"


def _line(
    trace: Trace, name: str, kind: str, depth: int, calls: int, params: int, ops: list[Operation]
) -> Line:
    macs = sum(op.macs for op in ops)
    return Line(
        name,
        kind,
        depth,
        calls,
        params,
        macs,
        sum(op.flops for op in ops),
        sum(op.activations for op in ops if op.phase == "forward"),
        sum(op.bytes_read + op.bytes_written for op in ops),
        macs / trace.macs if trace.macs else 0.0,
    )


def _by_module(trace: Trace, depth: int | None) -> tuple[Line, ...]:
    """Each module with everything below it, in order of registration."""
    below: dict[str, list[Operation]] = {path: [] for path in trace.modules}
    params = dict.fromkeys(trace.modules, 0)
    for op in trace.operations:
        for path in ancestors(op.module):
            below.setdefault(path, []).append(op)
    for path, record in trace.modules.items():
        for upper in ancestors(path):
            params[upper] = params.get(upper, 0) + record.own_params
    found = []
    for path, record in trace.modules.items():
        level = 0 if not path else path.count(".") + 1
        if depth is None or level <= depth:
            name = path or trace.model
            found.append(
                _line(trace, name, record.type, level, record.calls, params[path], below[path])
            )
    return tuple(found)


def ancestors(path: str) -> tuple[str, ...]:
    """A path and every path above it, the model ("") first."""
    if not path:
        return ("",)
    parts = path.split(".")
    return ("", *(".".join(parts[: end + 1]) for end in range(len(parts))))


def _grouped(
    trace: Trace, key: Callable[[Operation], str], own: dict[str, int]
) -> tuple[Line, ...]:
    groups: dict[str, list[Operation]] = {name: [] for name in own}
    for op in trace.operations:
        groups.setdefault(key(op), []).append(op)
    made = [
        _line(trace, name, "", 0, len(ops), own.get(name, 0), ops)
        for name, ops in groups.items()
        if ops or own.get(name)
    ]
    return tuple(sorted(made, key=lambda line: (-line.macs, -line.flops, -line.params, line.name)))
