"""The parent's side of a worker process: start it, ask it, bound it, and say how it died.

Promises: one request at a time; a worker that crashes, is killed, hangs past its deadline or grows
past its memory limit raises ``WorkerFailedError`` with the reason and the last lines that it
printed, and is dead afterwards together with every process that it started. A flood of output is
read and forgotten but for its end. Refuses nothing about the model: that is the worker's part.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, Literal, Protocol

from gadprof.errors import MissingExtraError, ModelFailedError
from gadprof.measuring.settings import Setting
from gadprof.workers.wire import WireClosedError, read_message, write_message
from gadprof.workers.zygote import ForkedProcess, Zygote

TAIL_BYTES = 8192
TAIL_LINES = 12
WATCH_S = 0.1

FailureKind = Literal["usage", "model", "crash", "timeout", "memory", "nan"]


class WorkerFailedError(ModelFailedError):
    """A worker that could not answer; ``kind`` says how, ``tail`` holds its last output."""

    def __init__(self, kind: FailureKind, reason: str, tail: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.tail = tail


class Runner(Protocol):
    """What the measuring loop needs of a worker."""

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Worker:
    """A process of its own that holds one model and answers requests."""

    def __init__(
        self,
        name: str,
        *,
        threads: int = 1,
        memory_limit_bytes: int | None = None,
        cpus: tuple[int, ...] = (),
        zygote: Zygote | None = None,
    ) -> None:
        try:
            import psutil
        except ImportError as error:
            raise MissingExtraError("psutil", "bench", "measuring") from error
        self.name = name
        self._memory_limit_bytes = memory_limit_bytes
        request_read, self._request = os.pipe()
        self._reply, reply_write = os.pipe()
        self._process: subprocess.Popen[bytes] | ForkedProcess
        if zygote is not None:
            try:
                self._process = zygote.fork(request_read, reply_write)
            except ModelFailedError as error:
                for descriptor in (request_read, self._request, self._reply, reply_write):
                    os.close(descriptor)
                raise WorkerFailedError("crash", str(error)) from error
        else:
            # a session of its own: Ctrl-C reaches the parent alone, and killing the group ends all
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gadprof.measuring.worker",
                    str(request_read),
                    str(reply_write),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(request_read, reply_write),
                start_new_session=True,
                env=worker_environment(threads),
            )
            if cpus and hasattr(os, "sched_setaffinity"):
                # before the interpreter has started any thread, so that all inherit it
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(self._process.pid, cpus)
        os.close(request_read)
        os.close(reply_write)
        self._watched = psutil.Process(self._process.pid)
        self._tail = bytearray()
        self._tail_lock = threading.Lock()
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._drain = threading.Thread(target=self._drain_output, daemon=True)
        self._drain.start()
        self._closed = False

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Ask and wait. Raises WorkerFailedError."""
        if self._closed:
            raise WorkerFailedError("crash", "its worker process has ended")
        try:
            write_message(self._request, {"operation": operation, **fields})
            self._await_reply(timeout_s)
            reply = read_message(self._reply)
        except WireClosedError:
            raise self._died() from None
        if "error" in reply:
            error = reply["error"]
            raise WorkerFailedError(error["kind"], error["reason"], self.tail())
        return reply

    def _await_reply(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                tail = self.tail()
                self.close()
                raise WorkerFailedError(
                    "timeout", f"no answer within {timeout_s:g} s; killed (see --timeout)", tail
                )
            ready, _, _ = select.select([self._reply], [], [], min(left, WATCH_S))
            if ready:
                return
            self._check_memory()

    def _check_memory(self) -> None:
        import psutil

        limit = self._memory_limit_bytes
        if limit is None:
            return
        used = 0
        with contextlib.suppress(psutil.Error):
            used = self._watched.memory_info().rss
            for child in self._watched.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    used += child.memory_info().rss
        if used > limit:
            tail = self.tail()
            self.close()
            raise WorkerFailedError(
                "memory",
                f"out of memory: grew to {used / 2**20:.0f} MiB, over the limit of "
                f"{limit / 2**20:.0f} MiB; killed (see --memory-limit)",
                tail,
            )

    def _died(self) -> WorkerFailedError:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        self._drain.join(timeout=1)
        tail = self.tail()
        self.close()
        if code is None:
            return WorkerFailedError("crash", "its worker process closed its pipe", tail)
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            hint = ""
            if -code == signal.SIGKILL:
                hint = " (by a person, or by the system for want of memory)"
            return WorkerFailedError(
                "crash", f"its worker process was killed by {name}{hint}", tail
            )
        return WorkerFailedError("crash", f"its worker process exited with code {code}", tail)

    def _drain_output(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while True:
            try:
                select.select([stream], [], [])
            except (OSError, ValueError):
                return
            if not self._take_output():
                return

    def _take_output(self) -> bool:
        """Move what the worker has printed so far into the tail; False at its end."""
        stream = self._process.stdout
        assert stream is not None
        with self._tail_lock:
            for _ in range(16):  # a flood must not hold the caller: more than one pipe is enough
                try:
                    part = os.read(stream.fileno(), 1 << 16)
                except BlockingIOError:
                    return True
                except (OSError, ValueError):
                    return False
                if not part:
                    return False
                self._tail += part
                if len(self._tail) > TAIL_BYTES:
                    del self._tail[:-TAIL_BYTES]
                if len(part) < 1 << 16:
                    return True
            return True

    def tail(self) -> tuple[str, ...]:
        """The last lines that the worker had printed when this was called."""
        self._take_output()
        lines = bytes(self._tail).decode("utf-8", "replace").splitlines()
        kept = [line.rstrip()[:300] for line in lines if line.strip()]
        return tuple(kept[-TAIL_LINES:])

    def close(self) -> None:
        """End the worker and everything that it started; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        import psutil

        family: list[Any] = []
        with contextlib.suppress(psutil.Error):
            family = self._watched.children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for child in family:
            with contextlib.suppress(psutil.Error):
                child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        for descriptor in (self._request, self._reply):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._drain.join(timeout=2)
        if self._process.stdout is not None and not self._drain.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def worker_environment(threads: int) -> dict[str, str]:
    """A worker's environment: as many threads as the setting says, and this very package."""
    environment = dict(os.environ)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[variable] = str(threads)
    environment["PYTHONUNBUFFERED"] = "1"
    # the package that started the worker is the one that runs in it
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def load(
    worker: Runner,
    model: str,
    setting: Setting,
    *,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    factory: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Have a worker build a model string (or call ``factory``) under a setting.

    Raises WorkerFailedError.
    """
    return worker.request(
        "load",
        timeout_s=timeout_s,
        model=model,
        setting=asdict(setting),
        memory_limit_bytes=memory_limit_bytes,
        factory=factory,
    )


def quietest_cpus(count: int) -> tuple[int, ...]:
    """The ``count`` least busy processors, on which all workers of a run are put.

    Only one of them runs at a time; on the same processors they meet the same neighbours, where
    the scheduler would give one model a quiet core and another a busy one. Empty (no restriction)
    where all processors are wanted or the system cannot do it.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return ()
    import psutil

    busy = psutil.cpu_percent(interval=0.2, percpu=True)
    allowed.sort(key=lambda cpu: busy[cpu] if cpu < len(busy) else 100.0)
    return tuple(sorted(allowed[:count]))


def default_memory_limit() -> int:
    """Nine tenths of the memory that is free now: the machine must not swap."""
    try:
        import psutil
    except ImportError as error:
        raise MissingExtraError("psutil", "bench", "measuring") from error
    return int(psutil.virtual_memory().available * 0.9)
