"""Foreign counters in processes of their own, with a time and a memory limit.

Promises: a model or counter that raises, hangs, crashes, prints, exits or takes all the memory
costs its own row, with one line that says what happened. A worker is kept for the next request
and replaced after any failure. Refuses nothing; every outcome is a ``BackendCount``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from gadprof.audit.backends import BackendCount, distribution_of, failed, not_installed

DEFAULT_TIMEOUT_S = 300.0
_STDERR_KEPT_BYTES = 4096


def run_isolated(
    name: str,
    source_text: str,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> BackendCount:
    """Count a model with one backend in a fresh process.

    ``shapes`` are without batch; empty means the source's own. ``memory_limit_bytes`` defaults to
    four fifths of the machine's memory. Raises UnknownNameError for an unknown backend.
    """
    with Worker(memory_limit_bytes) as worker:
        return worker.count(name, source_text, shapes, batch, timeout_s)


class Worker:
    """A process that answers one request after another; a context manager that ends it.

    Usable for many models in a row; after a failure that ended the process the next request
    starts a new one.
    """

    def __init__(self, memory_limit_bytes: int | None = None) -> None:
        self._limit_bytes = _default_limit() if memory_limit_bytes is None else memory_limit_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def count(
        self,
        name: str,
        source_text: str,
        shapes: tuple[tuple[int, ...], ...] = (),
        batch: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> BackendCount:
        """Ask for one count; never raises for what the model or the counter does."""
        if distribution_of(name) is None:
            return failed(name, not_installed(name))
        request = {"backend": name, "source": source_text, "shapes": shapes, "batch": batch}
        answer, reason = self._ask(request, timeout_s)
        if answer is None:
            self.close()
            return failed(name, reason)
        if answer["error"] is not None:
            self.close()
        answer["uncovered"] = tuple((key, count) for key, count in answer["uncovered"])
        return BackendCount(**answer)

    def close(self) -> None:
        """End the process and everything that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(OSError):
            os.close(self._answers)

    def _start(self) -> subprocess.Popen[bytes]:
        read_end, write_end = os.pipe()
        environment = dict(os.environ)
        package_root = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(
            [package_root, *filter(None, [environment.get("PYTHONPATH")])]
        )
        environment.setdefault("OMP_NUM_THREADS", "1")
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gadprof.audit.counter_worker",
                str(write_end),
                str(self._limit_bytes),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(write_end,),
            start_new_session=True,
            env=environment,
        )
        os.close(write_end)
        self._answers = read_end
        self._process = process
        return process

    def _ask(self, request: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any] | None, str]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return None, _obituary(process, b"")
        deadline = time.monotonic() + timeout_s
        answer, complaints = b"", b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(process.stderr, selectors.EVENT_READ)
            while True:
                remaining = deadline - time.monotonic()
                events = selector.select(remaining) if remaining > 0 else []
                if not events:
                    return None, f"gave no answer within {timeout_s:g} s; allow more with --timeout"
                for key, _ in events:
                    chunk = os.read(key.fd, 65536)
                    if key.fd == self._answers:
                        answer += chunk
                        if not chunk:
                            return None, _obituary(process, complaints)
                        if answer.endswith(b"\n"):
                            return json.loads(answer), ""
                    elif chunk:
                        complaints = (complaints + chunk)[-_STDERR_KEPT_BYTES:]
                    else:
                        selector.unregister(key.fileobj)


def _obituary(process: subprocess.Popen[bytes], complaints: bytes) -> str:
    """One line on why a worker ended without an answer."""
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return "closed its answer channel and hung"
    lines = complaints.decode(errors="replace").strip().splitlines()
    tail = f": {' '.join(lines[-1].split())[:200]}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name
        why = "; it probably ran out of memory" if name == "SIGKILL" else ""
        return f"its process died with {name}{why}{tail}"
    return f"its process ended with exit code {code} before it answered{tail}"


def _default_limit() -> int:
    from gadprof.results.plain import describe_machine

    memory_bytes = describe_machine(()).memory_bytes
    return memory_bytes * 4 // 5 if memory_bytes else 0
