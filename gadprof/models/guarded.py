"""Calls a function on a model in a process of its own: what it does there harms nobody else.

Promises: a model that raises, prints, hangs, exits, crashes or takes all the memory becomes one
ModelFailedError with the reason; a bad model string keeps its own error. The answer comes back
whole, as plain data that is checked against the record that it has to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gadprof import errors
from gadprof.errors import GadprofError, ModelFailedError
from gadprof.results.rebuild import SchemaError, from_plain
from gadprof.workers.limits import ProcessLimits, default_memory_bytes
from gadprof.workers.process import Worker, WorkerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_TIMEOUT_S = 300.0
SERVICE = f"{__name__}:service"

Record = TypeVar("Record")


def call_guarded(
    call: str,
    kind: type[Record],
    request: dict[str, Any],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> Record:
    """Call ``module:function`` with a request in a child process; the ``kind`` that it returns.

    ``request`` names the model under ``model``; it is plain data, its tuples lists where it
    arrives. Raises ModelFailedError, or the GadprofError that the function raised.
    """
    model = request["model"]
    memory = default_memory_bytes() if memory_limit_bytes is None else memory_limit_bytes
    try:
        with Worker(SERVICE, limits=ProcessLimits(memory)) as worker:
            value = worker.request("call", timeout_s=timeout_s, call=call, request=request)
            return from_plain(kind, value)
    except WorkerFailedError as failure:
        raise _told(model, failure) from None
    except SchemaError as error:
        raise ModelFailedError(
            f"{model}: answered with what is no {kind.__name__.lower()} ({error})"
        ) from None


def _told(model: str, failure: WorkerFailedError) -> GadprofError:
    """The error that the child raised, or what befell it, with the model's name before it."""
    own = getattr(errors, failure.raised, None)
    if isinstance(own, type) and issubclass(own, GadprofError):
        told = own.__new__(own)
        told.args = (failure.reason,)
        return told
    last = f": {failure.tail[-1]}" if failure.kind == "crash" and failure.tail else ""
    return ModelFailedError(f"{model}: {failure.reason.removeprefix('it ')}{last}")


def service() -> Callable[[dict[str, Any]], Any]:
    """What the child serves: calls of functions of gadprof by name."""

    def answer(message: dict[str, Any]) -> Any:
        import importlib

        from gadprof.models.sources import find_beside

        request = from_plain(dict[str, Any], message["request"])
        find_beside(request["model"])
        module, _, name = message["call"].partition(":")
        return getattr(importlib.import_module(module), name)(request)

    return answer
