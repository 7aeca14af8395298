"""Our own convention, and the official HRNet code's, read from the trace."""

from __future__ import annotations

from gadprof.audit.conventions import OPERATION_MISSED, Entry, Reading
from gadprof.audit.observe import Observation
from gadprof.counting.kinds import MATMUL_KINDS
from gadprof.counting.records import Trace


def read(observation: Observation, trace: Trace) -> Reading:
    """Every multiply-accumulate of the trace."""
    entries = tuple(
        Entry(operation.macs, operation.module, operation.name, operation.kind)
        for operation in trace.forward
        if operation.macs and operation.kind in MATMUL_KINDS
    )
    return Reading(entries, lambda path, kind: OPERATION_MISSED)
