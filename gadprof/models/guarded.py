"""Counts a model in a process of its own: what it does there harms nobody else.

Promises: a model that raises, prints, hangs, exits, crashes or takes all the memory becomes one
ModelFailedError with the reason; a bad model string keeps its own error. The trace comes back
whole. Built-in and package models go the same way as the user's files.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gadprof.counting.records import Trace
from gadprof.errors import GadprofError, ModelFailedError

if TYPE_CHECKING:
    from gadprof.counting.inputs import Input

DEFAULT_TIMEOUT_S = 300.0
_STDERR_KEPT = 2000


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
    request["inputs"] = inputs
    result = call_guarded(
        f"{__name__}:trace_of",
        request,
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )
    assert isinstance(result, Trace)
    return result


def call_guarded(
    call: str,
    request: dict[str, Any],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> Any:
    """Call ``module:function`` with a request in a child process; returns what it returns.

    ``request`` names the model under ``model`` and must pickle, as must the answer. Raises
    ModelFailedError, or the GadprofError that the function raised.
    """
    model = request["model"]
    request = {
        **request,
        "call": call,
        "limit": _default_limit() if memory_limit_bytes is None else memory_limit_bytes,
        "path": [entry for entry in sys.path if entry],
    }
    with tempfile.TemporaryDirectory(prefix="gadprof-") as folder:
        answer = Path(folder) / "answer"
        command = [sys.executable, "-m", "gadprof.models.guarded", str(answer)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(request["path"])}
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        ) as process:
            try:
                _, complaints = process.communicate(pickle.dumps(request), timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise ModelFailedError(
                    f"{model}: gave no answer in {timeout_s:g} s; type a longer --timeout"
                ) from error
            except BaseException:
                _kill(process)
                raise
        if not answer.exists():
            raise ModelFailedError(f"{model}: {_obituary(process.returncode, complaints)}")
        result = pickle.loads(answer.read_bytes())
    if isinstance(result, GadprofError):
        raise result
    return result


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _obituary(code: int, complaints: bytes) -> str:
    """Why a child ended without an answer, in one line."""
    tail = complaints[-_STDERR_KEPT:].decode(errors="replace").strip().splitlines()
    last = f": {tail[-1]}" if tail else ""
    if code == -signal.SIGKILL:
        return f"was killed, most likely for memory{last}"
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}{last}"
    return f"ended its process with code {code}{last}"


def _default_limit() -> int:
    from gadprof.results.plain import describe_machine

    total = describe_machine(()).memory_bytes
    return 0 if total is None else total * 4 // 5


def _serve(answer: str) -> None:
    """The child: read one request, count, and leave a pickled trace or error."""
    request = pickle.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if request["limit"] > 0:
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, (request["limit"], request["limit"]))
    result = _answer(request)
    temporary = answer + ".part"
    Path(temporary).write_bytes(pickle.dumps(result))
    os.replace(temporary, answer)


def trace_of(request: dict[str, Any]) -> Trace:
    """Count the model of a request. Raises GadprofError, and what building the model raises."""
    from gadprof.models.counting import count_here

    given = {name: request[name] for name in ("shapes", "batch", "train", "inputs")}
    return count_here(request["model"], **given)[0]


def _answer(request: dict[str, Any]) -> Any:
    import importlib

    model = request["model"]
    module_name, _, attribute = request["call"].partition(":")
    if module_name == "gadprof.models.guarded":
        module_name = __name__  # this module runs as a script here
    try:
        function: Any = getattr(importlib.import_module(module_name), attribute)
        return function(request)
    except GadprofError as error:
        return _plain(error)
    except MemoryError:
        return ModelFailedError(f"{model}: took more memory than its limit")
    except SystemExit as error:
        return ModelFailedError(f"{model}: called sys.exit({error.code!r})")
    except BaseException as error:
        words = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")
        return ModelFailedError(f"{model}: raised {words}")


def _plain(error: GadprofError) -> GadprofError:
    """The error, or one of a plainer class where it cannot be pickled with its own arguments."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        plain = GadprofError(str(error))
        plain.exit_code = error.exit_code
        return plain
    return error


if __name__ == "__main__":
    _serve(sys.argv[1])
