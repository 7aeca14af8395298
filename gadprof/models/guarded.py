"""Counts a model in a process of its own: what it does there harms nobody else.

Promises: a model that raises, prints, hangs, exits, crashes or takes all the memory becomes one
ModelFailedError with the reason; a bad model string keeps its own error. The trace comes back
whole, as plain data that is checked. Built-in and package models go the same way as the user's
files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gadprof import errors
from gadprof.counting.records import Trace
from gadprof.errors import GadprofError, ModelFailedError
from gadprof.results.rebuild import SchemaError, from_plain
from gadprof.workers.limits import Limits, default_memory_bytes
from gadprof.workers.process import Worker, WorkerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gadprof.counting.inputs import Input

DEFAULT_TIMEOUT_S = 300.0
SERVICE = f"{__name__}:service"

Record = TypeVar("Record")


def count_guarded(
    model: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    train: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    inputs: tuple[Input, ...] = (),
) -> Trace:
    """Count one run of a model string in a child process.

    ``shapes`` are inputs without batch (empty: the model's own), ``inputs`` the same with types
    and keywords. ``memory_limit_bytes`` defaults
    to four fifths of the machine's memory. Raises ModelFailedError, or the GadprofError that
    reading the model string gives.
    """
    request = {"model": model, "shapes": shapes, "batch": batch, "train": train}
    return call_guarded(
        f"{__name__}:trace_of",
        Trace,
        {**request, "inputs": inputs},
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )


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
        with Worker(SERVICE, limits=Limits(memory)) as worker:
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


def trace_of(request: dict[str, Any]) -> Trace:
    """Count the model of a request. Raises GadprofError, and what building the model raises."""
    from gadprof.counting.inputs import Input
    from gadprof.models.counting import trace_here

    given = {name: request[name] for name in ("batch", "train")}
    shapes = tuple(tuple(shape) for shape in request["shapes"])
    inputs = tuple(from_plain(Input, item) for item in request["inputs"])
    return trace_here(request["model"], **given, shapes=shapes, inputs=inputs)
