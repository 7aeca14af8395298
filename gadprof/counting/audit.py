"""Run every counter for real on one model and explain each number against ours.

Promises: each backend runs in a process of its own; its number is what that run printed, ours comes
from the trace, and the ledger from the counter's convention, so that a residual of 0 means that
the convention is understood. A backend that fails costs its own row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadprof.counting.backends import BackendCount, describe_error, installed_backends
from gadprof.counting.isolation import DEFAULT_TIMEOUT_S, Worker
from gadprof.counting.ledger import Difference, make_ledger

if TYPE_CHECKING:
    from gadprof.counting.observe import Observation
    from gadprof.counting.records import Trace


@dataclass(frozen=True)
class AuditRow:
    """One backend: what it reported, ours, the ledger between them, and what stays unexplained.

    ``reported`` and ``residual`` are in ``unit``; ``ours`` is in MACs and the first difference,
    ``unit``, turns it into the backend's. ``error`` is why the backend gave no number,
    ``unexplained`` why its convention could not be applied.
    """

    name: str
    distribution: str | None
    version: str | None
    reported: int | float | None
    unit: str
    ours: int
    differences: tuple[Difference, ...]
    residual: int | float | None
    params: int | None
    uncovered: tuple[tuple[str, int], ...]
    error: str | None
    unexplained: str | None = None


@dataclass(frozen=True)
class Audit:
    """One model under every backend. ``note`` says where the trace ran, if not on meta."""

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    batch: int
    ours: int
    params: int
    note: str
    backends: tuple[AuditRow, ...]

    @property
    def explained(self) -> bool:
        """Whether every backend that answered is explained to the last operation."""
        return all(row.residual == 0 for row in self.backends if row.error is None)


def audit(
    model: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    backends: Sequence[str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    worker: Worker | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Audit one model string.

    ``shapes`` are without batch. ``worker`` is a process to reuse for several models; without one
    every backend gets a fresh process. Raises GadprofError where the model cannot be traced.
    """
    names = tuple(backends) if backends is not None else installed_backends()
    trace, observation = look(model, shapes, batch)
    rows = []
    for name in names:
        progress(f"{model}: {name}")
        with_worker = worker if worker is not None else Worker(memory_limit_bytes)
        try:
            answer = with_worker.count(name, model, shapes, batch, timeout_s)
        finally:
            if worker is None:
                with_worker.close()
        rows.append(explain(answer, trace, observation))
    return Audit(
        model,
        tuple(shape[1:] for shape in trace.input_shapes),
        batch,
        trace.macs,
        trace.params,
        trace.note,
        tuple(rows),
    )


def look(
    model: str, shapes: tuple[tuple[int, ...], ...] = (), batch: int = 1
) -> tuple[Trace, Observation]:
    """Our trace of a model string, and what other counters can see of it.

    On the meta device, or on the CPU where the model does not run there. Raises GadprofError.
    """
    from gadprof.counting.observe import observe
    from gadprof.counting.trace import count
    from gadprof.sources import load

    try:
        loaded = load(model, shapes=shapes, batch=batch, device="meta")
        module, args, kwargs = loaded.module, loaded.args, loaded.kwargs
    except Exception:  # a model that computes while it is built
        loaded = load(model, shapes=shapes, batch=batch)
        module = loaded.module.to("meta")
        args, kwargs = on_meta(loaded.args), on_meta(loaded.kwargs)
    trace = count(module, args, kwargs, name=model)
    if trace.device != "meta":
        loaded = load(model, shapes=shapes, batch=batch)
        module, args, kwargs = loaded.module, loaded.args, loaded.kwargs
        trace = count(module, args, kwargs, name=model)
    return trace, observe(module, args, kwargs)


def on_meta(inputs: Any) -> Any:
    """Inputs with every tensor on the meta device."""
    import torch
    from torch.utils._pytree import tree_map_only

    return tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), inputs)


def explain(answer: BackendCount, trace: Trace, observation: Observation) -> AuditRow:
    """The ledger of one backend's answer."""
    from gadprof.counting.conventions import convention, read

    differences: tuple[Difference, ...] = ()
    residual: int | float | None = None
    unexplained = None
    if answer.reported is not None:
        try:
            reading = read(answer.name, observation, trace)
            ledger = make_ledger(answer.reported, convention(answer.name), reading, trace)
            differences, residual = ledger.differences, ledger.residual
        except Exception as error:
            unexplained = f"its view of the model failed: {describe_error(error)}"
            residual = answer.reported - trace.macs
    return AuditRow(
        answer.name,
        answer.distribution,
        answer.version,
        answer.reported,
        answer.unit,
        trace.macs,
        differences,
        residual,
        answer.params,
        answer.uncovered,
        answer.error,
        unexplained,
    )
