"""What runs in a foreign counter's process: one model, one backend, one count a request.

Promises: the model of the last request is kept for the next backend; whatever building or counting
raises is the answer's ``error``. Started by ``gadprof.audit.counter_process`` by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gadprof.errors import GadprofError

Called = tuple[Any, tuple[Any, ...], dict[str, Any]]


def service() -> Callable[[dict[str, Any]], Any]:
    """Answers a request (``backend``, ``source``, ``shapes``, ``batch``) with a BackendCount."""
    loaded: dict[str, Called] = {}

    def answer(request: dict[str, Any]) -> Any:
        from gadprof.audit.backends import describe_error, failed, run_backend

        name = request["backend"]
        key = json.dumps([request[key] for key in ("source", "shapes", "batch")] + [_meta(request)])
        try:
            if key not in loaded:
                loaded.clear()
                loaded[key] = _load(request)
        except GadprofError as error:
            return failed(name, str(error))
        except BaseException as error:
            return failed(name, describe_error(error))
        return run_backend(name, *loaded[key])

    return answer


def _meta(request: dict[str, Any]) -> bool:
    """Whether the counter is ours, for which a model need not have values."""
    return bool(request["backend"] == "gadprof")


def _load(request: dict[str, Any]) -> Called:
    """Build the model; ours is built on the meta device, where it costs no memory."""
    from gadprof.models.counting import load_without_values
    from gadprof.models.sources import find_beside, load

    find_beside(request["source"])
    shapes = tuple(tuple(shape) for shape in request["shapes"])
    build = load_without_values if _meta(request) else load
    made = build(request["source"], shapes=shapes, batch=request["batch"])
    return made.module, made.args, made.kwargs
