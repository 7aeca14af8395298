"""How much work a module has by stage and operation class, from a count of its operations.

Promises exact sums of the counted records: MACs, FLOPs, bytes. Refuses nothing; a class that
exists in a profile and not here did no arithmetic.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gadprof.measuring.explain.classes import class_of_record
from gadprof.measuring.explain.stages import stages_of

if TYPE_CHECKING:
    from gadprof.counting.records import Trace


@dataclass(frozen=True)
class Work:
    """The work of one (stage, class): ``traffic_bytes`` is what operations read and wrote."""

    stage: str
    operation_class: str
    operations: int
    macs: int
    flops: int
    traffic_bytes: int


def work_of(trace: Trace, module: Any) -> tuple[Work, ...]:
    """The operations of a module's trace, added up by stage and class."""
    stages = stages_of(module)
    sums: dict[tuple[str, str], list[int]] = {}
    for operation in trace.operations:
        word = class_of_record(operation)
        if word == "view":
            continue
        entry = sums.setdefault((stages.of(operation.module), word), [0, 0, 0, 0])
        entry[0] += 1
        entry[1] += operation.macs
        entry[2] += operation.flops
        entry[3] += operation.bytes_read + operation.bytes_written
    return tuple(Work(stage, word, *values) for (stage, word), values in sums.items())


def work_reply(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, train: bool
) -> dict[str, Any]:
    """The work as plain data, and whether something was not counted. Raises GadprofError."""
    from gadprof.counting.count import count

    trace = count(module, args, kwargs, train=train)
    work = [asdict(item) for item in work_of(trace, module)]
    return {"work": work, "at_least": trace.at_least}


def predicted_peak(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, train: bool, kernels: bool
) -> int:
    """Peak bytes that a count predicts: parameters, buffers, and the most that lived at once.

    ``kernels`` adds the buffers of the CPU's convolution kernels, which are known for one thread;
    elsewhere the maps alone are predicted.
    """
    from gadprof.counting.count import count

    trace = count(module, args, kwargs, train=train)
    live = trace.allocator_peak_bytes if kernels else trace.peak_activation_bytes
    return int(trace.param_bytes + trace.buffer_bytes + live)
