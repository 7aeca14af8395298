"""The process in which a foreign counter runs: one request a line in, one answer a line out.

Started by ``gadprof.audit.counter_process``; never imported by it. Requests come on standard input,
answers go to a descriptor of their own, so that nothing a model prints can be taken for an answer.
The memory limit is set before torch is imported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any


def main() -> None:
    """Serve requests until the input ends: ``worker ANSWER_FD MEMORY_LIMIT_BYTES``."""
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    _limit_memory(int(sys.argv[2]))
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a model that asks for input gets the end of a file
    for line in requests:
        request = json.loads(line)
        answers.write(json.dumps(_answer(request)) + "\n")
        answers.flush()


def _limit_memory(limit_bytes: int) -> None:
    if limit_bytes <= 0:
        return
    try:
        import resource
    except ImportError:  # not on every system
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from gadprof.audit.backends import describe_error, failed, run_backend
    from gadprof.errors import GadprofError

    name = request["backend"]
    try:
        module, args, kwargs = _load(request)
    except GadprofError as error:
        return dataclasses.asdict(failed(name, str(error)))
    except BaseException as error:
        return dataclasses.asdict(failed(name, describe_error(error)))
    return dataclasses.asdict(run_backend(name, module, args, kwargs))


_loaded: dict[str, Any] = {}


def _load(request: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Build the model; ours is built on the meta device, where it costs no memory."""
    from gadprof.models.counting import load_without_values
    from gadprof.models.sources import load

    shapes = tuple(tuple(shape) for shape in request["shapes"])
    meta = request["backend"] == "gadprof"
    key = json.dumps([request["source"], shapes, request["batch"], meta])
    if key not in _loaded:
        _loaded.clear()
        build = load_without_values if meta else load
        loaded = build(request["source"], shapes=shapes, batch=request["batch"])
        _loaded[key] = (loaded.module, loaded.args, loaded.kwargs)
    found: tuple[Any, tuple[Any, ...], dict[str, Any]] = _loaded[key]
    return found


if __name__ == "__main__":
    main()
