"""The child's side: serve requests one after another until the parent closes the pipe.

Promises: the limits hold before the service is imported; a copy that a model forks never answers in
its place; whatever the service raises becomes one answer that says what happened; standard input is
closed. Refuses a service that cannot be imported, in its first answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from gadprof.errors import GadprofError
from gadprof.workers.keeper import serve_under_keeper
from gadprof.workers.limits import ProcessLimits, apply
from gadprof.workers.wire import WireClosedError, read_message, write_message

Service = Callable[[dict[str, Any]], Any]


def main(incoming: int, outgoing: int) -> None:
    """Set up as the first message says, then serve; never returns."""
    try:
        setup = read_message(incoming)
    except WireClosedError:
        os._exit(0)
    sys.path[:] = [str(entry) for entry in setup["path"]]
    cpus = setup["cpus"]
    if cpus and hasattr(os, "sched_setaffinity"):
        # before the interpreter has started any thread, so that all inherit it
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)
    serve_under_keeper(setup["parent"], (incoming, outgoing), private_folder=setup["folder"])
    serve(incoming, outgoing, setup["service"], ProcessLimits(**setup["limits"]))


def serve(incoming: int, outgoing: int, name: str, limits: ProcessLimits) -> None:
    """Answer until the pipe closes; ``name`` is the service as ``module:function``. Never returns.

    The first message out tells this process's number; each further one holds a ``value`` or an
    ``error``.
    """
    for descriptor in (incoming, outgoing):
        os.set_inheritable(descriptor, False)

    pipes = [incoming, outgoing]

    def forget_pipes() -> None:
        while pipes:  # once: their numbers may be a file's later
            with contextlib.suppress(OSError):
                os.close(pipes.pop())

    # a copy that the model forks must never answer in this process's place
    os.register_at_fork(after_in_child=forget_pipes)
    serving = os.getpid()
    answer: Service | None = None
    try:
        write_message(outgoing, {"pid": serving})
        apply(limits)
        while True:
            request = read_message(incoming)
            reply: dict[str, Any]
            try:
                if answer is None:
                    answer = _service(name)
                reply = {"value": answer(request)}
            except BaseException as error:
                reply = {"error": describe_failure(error)}
            if os.getpid() != serving:
                break
            try:
                write_message(outgoing, reply)
            except (TypeError, ValueError, RecursionError) as error:
                # an answer that cannot be told; nothing of it has been written
                write_message(outgoing, {"error": describe_failure(error)})
    except WireClosedError:
        pass
    finally:
        os._exit(0)


def _service(name: str) -> Service:
    import importlib

    module, _, attribute = name.partition(":")
    made: Service = getattr(importlib.import_module(module), attribute)()
    return made


def describe_failure(error: BaseException) -> Mapping[str, str]:
    """An exception as a kind, the name of its class and one line: the words of an error of
    gadprof's own, "it raised …" for any other, whose traceback is printed."""
    import traceback

    name = type(error).__name__
    if not isinstance(error, GadprofError):
        with contextlib.suppress(Exception):
            traceback.print_exception(error, file=sys.stderr)
            sys.stderr.flush()
    try:
        text = " ".join(str(error).split())
    except Exception:  # words of the model's own that raise
        text = ""
    if isinstance(error, GadprofError):
        kind = getattr(error, "failure_kind", "usage" if error.exit_code == 2 else "model")
        return {"kind": kind, "type": name, "reason": text}
    if isinstance(error, SystemExit):
        return {"kind": "model", "type": name, "reason": f"it called sys.exit({error.code!r})"}
    lowered = text.lower()
    if (
        isinstance(error, MemoryError)
        or name == "OutOfMemoryError"
        or "out of memory" in lowered
        or "can't allocate memory" in lowered
        or "cannot allocate memory" in lowered
    ):
        reason = f"it ran out of memory: {text[:200] or name}"
        return {"kind": "memory", "type": name, "reason": reason}
    return {"kind": "model", "type": name, "reason": f"it raised {name}: {text[:300]}".rstrip(": ")}
