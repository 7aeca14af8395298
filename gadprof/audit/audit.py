"""Run every counter for real on one model and explain each number against ours.

Promises: each backend runs in a process of its own; its number is what that run printed, ours comes
from the trace, and the ledger from the counter's convention, so that a residual of 0 means that
the convention is understood. A backend that fails costs its own row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gadprof.audit.backends import BackendCount, describe_error, installed_backends
from gadprof.audit.counter_process import DEFAULT_TIMEOUT_S, run_isolated
from gadprof.audit.ledger import Difference, Ledger, make_ledger
from gadprof.models.guarded import call_guarded
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.audit.observe import Observation
    from gadprof.counting.records import Trace
    from gadprof.results.page import Page


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
class Audit(Tabular):
    """One model under every backend. ``note`` says where the trace ran, if not on meta.

    ``uncovered`` are operations that we did not count, each with how often it ran; ``ours`` is
    then a lower bound.
    """

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    batch: int
    ours: int
    params: int
    note: str
    backends: tuple[AuditRow, ...]
    uncovered: Mapping[str, int] = field(default_factory=dict)

    def page(self) -> Page:
        """What each counter reported, the ledgers and the JSON document."""
        from gadprof.audit.page import audit_page

        return audit_page([self])

    @property
    def explained(self) -> bool:
        """Whether every backend that answered is explained to the last operation."""
        return all(row.residual == 0 for row in self.backends if row.error is None)


@dataclass(frozen=True)
class ModelLedgers:
    """One model's trace in short, and for each backend its ledger, or why there is none."""

    ours: int
    params: int
    input_shapes: tuple[tuple[int, ...], ...]
    note: str
    ledgers: Mapping[str, Ledger | str]
    uncovered: Mapping[str, int] = field(default_factory=dict)

    def row(self, answer: BackendCount) -> AuditRow:
        """What a backend reported, with its ledger."""
        ledger = self.ledgers[answer.name]
        differences: tuple[Difference, ...] = ()
        residual: int | float | None = None
        if answer.reported is not None:
            if isinstance(ledger, Ledger):
                differences, residual = ledger.differences, ledger.residual(answer.reported)
            else:
                residual = answer.reported - self.ours
        return AuditRow(
            answer.name,
            answer.distribution,
            answer.version,
            answer.reported,
            answer.unit,
            self.ours,
            differences,
            residual,
            answer.params,
            answer.uncovered,
            answer.error,
            ledger if isinstance(ledger, str) and answer.reported is not None else None,
        )


def audit(
    model: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    backends: Sequence[str] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Audit one model string.

    ``shapes`` are without batch. Code of the user's runs in child processes only. Raises
    GadprofError where the model cannot be traced.
    """
    from gadprof.models.sources import resolve

    names = tuple(backends) if backends is not None else installed_backends()
    request = {"model": model, "shapes": shapes, "batch": batch, "backends": names}
    if resolve(model).runs_user_code:
        explained = call_guarded(
            f"{__name__}:explain_request",
            ModelLedgers,
            request,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
        )
    else:
        explained = explain_request(request)
    rows = []
    for name in names:
        progress(f"{model}: {name}")
        answer = run_isolated(name, model, shapes, batch, timeout_s, memory_limit_bytes)
        rows.append(explained.row(answer))
    return Audit(
        model,
        explained.input_shapes,
        batch,
        explained.ours,
        explained.params,
        explained.note,
        tuple(rows),
        explained.uncovered,
    )


def explain_request(request: Mapping[str, Any]) -> ModelLedgers:
    """Trace the model of a request and make the ledgers of its backends."""
    trace, observation = observe_model(request["model"], request["shapes"], request["batch"])
    return explain_all(request["backends"], trace, observation)


def observe_model(
    model: str, shapes: tuple[tuple[int, ...], ...] = (), batch: int = 1
) -> tuple[Trace, Observation]:
    """Our trace of a model string, and what other counters can see of it.

    On the meta device, or on the CPU where the model does not run there. Raises GadprofError.
    """
    from gadprof.audit.observe import observe
    from gadprof.models.counting import count_here
    from gadprof.models.sources import load

    def again() -> Observation:
        loaded = load(model, shapes=shapes, batch=batch)
        return observe(loaded.module, loaded.args, loaded.kwargs)

    trace, loaded = count_here(model, shapes=shapes, batch=batch)
    module, args, kwargs = loaded.module, loaded.args, loaded.kwargs
    if trace.device == "meta":
        module, args, kwargs = module.to("meta"), on_meta(args), on_meta(kwargs)
        return trace, observe(module, args, kwargs, again)
    return trace, observe(module, args, kwargs)


def on_meta(inputs: Any) -> Any:
    """Inputs with every tensor on the meta device, one that is given twice as one."""
    from gadprof.counting.trace.trees import mapped, once

    return mapped(inputs, once(lambda tensor: tensor.to("meta")))


def explain_all(backends: Sequence[str], trace: Trace, observation: Observation) -> ModelLedgers:
    """The ledgers of several backends for one model."""
    return ModelLedgers(
        trace.macs,
        trace.params,
        tuple(shape[1:] for shape in trace.input_shapes),
        trace.note,
        {name: _ledger(name, trace, observation) for name in backends},
        dict(trace.uncovered),
    )


def explain(answer: BackendCount, trace: Trace, observation: Observation) -> AuditRow:
    """One backend's answer with its ledger."""
    return explain_all((answer.name,), trace, observation).row(answer)


def _ledger(name: str, trace: Trace, observation: Observation) -> Ledger | str:
    from gadprof.audit.conventions import convention, read

    try:
        return make_ledger(convention(name), read(name, observation, trace), trace)
    except Exception as error:
        if observation.again is not None and observation.with_values is not None:
            return _ledger(name, trace, observation.with_values)
        return f"its view of the model failed: {describe_error(error)}"
