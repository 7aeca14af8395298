"""The parent's side of a child process: start it, ask it, bound it, and say how it died.

Promises: one request at a time; a child that crashes, is killed, hangs past its deadline or takes
more than its limits raises ``WorkerFailedError`` with the reason and the last lines that it
printed, and is dead afterwards together with every process that it started. An answer is taken the
moment it is whole, whatever threads or processes the model leaves behind. A flood of output is read
and forgotten but for its end. Refuses nothing about the model: that is the service's part.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from gadprof.errors import ModelFailedError
from gadprof.workers.launch import END_S, child_environment, start_child
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.wire import WireClosedError, pack, receive
from gadprof.workers.zygote import Zygote

TAIL_BYTES = 8192
TAIL_LINES = 12
WATCH_S = 0.1
START_S = 120.0

FailureKind = Literal["usage", "model", "crash", "timeout", "memory", "nan"]


class WorkerFailedError(ModelFailedError):
    """A child that could not answer.

    ``kind`` says how, ``tail`` holds the last lines that it printed, ``raised`` names the class of
    what was raised there ("" where it died).
    """

    def __init__(
        self, kind: FailureKind, reason: str, tail: tuple[str, ...] = (), raised: str = ""
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.tail = tail
        self.raised = raised


class Runner(Protocol):
    """What whoever asks needs of a worker."""

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Worker:
    """A process of its own that answers requests; a context manager that ends it.

    ``service`` is what it serves (``module:function``), ``threads`` how many its libraries may use
    (None: one, unless the environment says otherwise), ``cpus`` the processors to stay on. Forked
    from ``zygote`` where one is given. Raises WorkerFailedError where no process can be started.
    """

    def __init__(
        self,
        service: str,
        *,
        limits: ProcessLimits = ProcessLimits(),  # noqa: B008  (frozen)
        threads: int | None = None,
        cpus: Sequence[int] = (),
        zygote: Zygote | None = None,
        scrubbed: bool = False,
    ) -> None:
        self._limits = limits
        try:
            if zygote is not None:
                self._started = zygote.fork(service, limits)
            else:
                environment = child_environment(threads, scrubbed=scrubbed)
                self._started = start_child(service, environment, limits=limits, cpus=cpus)
        except (OSError, ModelFailedError) as error:
            raise WorkerFailedError("crash", f"it could not be started: {error}") from error
        self._request, self._reply = self._started.request, self._started.reply
        self._output = self._started.keeper.stdout
        for descriptor in (self._request, self._reply, self._output.fileno()):
            os.set_blocking(descriptor, False)
        self._printed = bytearray()
        self._prints = True
        self._pid: int | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """The number of the process that serves. Raises WorkerFailedError if it never began to."""
        if self._pid is None:
            self._exchange(b"", START_S)
        assert self._pid is not None
        return self._pid

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> Any:
        """Ask and wait for the answer's value. Raises WorkerFailedError."""
        if self._closed:
            raise WorkerFailedError("crash", "its process has ended")
        reply = self._exchange(pack({"operation": operation, **fields}), timeout_s)
        if "value" in reply:
            return reply["value"]
        error = reply.get("error")
        if (
            not isinstance(error, dict)
            or error.get("kind") not in get_args(FailureKind)
            or not all(isinstance(error.get(name), str) for name in ("type", "reason"))
        ):
            raise self._ended("model", "it answered with what is no answer")
        raise WorkerFailedError(error["kind"], error["reason"], self.tail(), error["type"])

    def _exchange(self, data: bytes, timeout_s: float) -> dict[str, Any]:
        """Send a message and receive the next one; without ``data`` the process's first."""
        deadline = time.monotonic() + timeout_s
        words = f"it gave no answer within {timeout_s:g} s; allow more with --timeout"
        with selectors.DefaultSelector() as selector:
            selector.register(self._reply, selectors.EVENT_READ)
            if data:
                selector.register(self._request, selectors.EVENT_WRITE)
            if self._prints:
                selector.register(self._output, selectors.EVENT_READ)
            unsent = memoryview(data)
            check_at = time.monotonic() + WATCH_S

            def read(count: int) -> bytes:
                nonlocal unsent, check_at
                while True:
                    now = time.monotonic()
                    if not now < deadline:  # nor where that is no number
                        raise self._ended("timeout", words)
                    if now >= check_at:
                        self._check_limits()
                        check_at = time.monotonic() + WATCH_S
                    ready = {key.fd for key, _ in selector.select(min(deadline - now, WATCH_S))}
                    if self._output.fileno() in ready and not self._take_output():
                        selector.unregister(self._output)
                    if self._request in ready:
                        unsent = unsent[self._write(unsent) :]
                        if not unsent:
                            selector.unregister(self._request)
                    if self._reply in ready:
                        return self._read(count)

            try:
                if self._pid is None:
                    first = receive(read).get("pid")
                    self._pid = first if isinstance(first, int) else 0
                return receive(read) if data else {}
            except WireClosedError:
                raise self._died() from None

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._request, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise WireClosedError(str(error)) from error

    def _read(self, count: int) -> bytes:
        try:
            part = os.read(self._reply, count)
        except OSError as error:
            raise WireClosedError(str(error)) from error
        if not part:
            raise WireClosedError("end of file")
        return part

    def _check_limits(self) -> None:
        """Watch over what no limit of the system covers: the child and all that it started."""
        limits = self._limits
        if not self._pid:
            return
        use = measure_family(self._pid)
        if limits.memory_bytes and use.memory_bytes > limits.memory_bytes:
            raise self._ended(
                "memory",
                f"it ran out of memory: grew to {use.memory_bytes / 2**20:.0f} MiB, over the limit "
                f"of {limits.memory_bytes / 2**20:.0f} MiB; killed (see --memory-limit)",
            )
        for name, number, most in (
            ("processes", use.processes, limits.processes),
            ("threads", use.threads, limits.threads),
        ):
            if most and number > most:
                raise self._ended(
                    "crash", f"it started {number} {name}, over the limit of {most}; killed"
                )

    def _ended(self, kind: FailureKind, reason: str) -> WorkerFailedError:
        """End the process; the error that says why."""
        tail = self.tail()
        self.close()
        return WorkerFailedError(kind, reason, tail)

    def _died(self) -> WorkerFailedError:
        """The error of a process that closed its pipe."""
        try:
            code = self._started.keeper.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            return self._ended("crash", "it closed its answer channel and hung")
        return self._ended("crash", obituary(code))

    def _take_output(self) -> bool:
        """Keep the end of what was printed so far; False where nothing more can come."""
        for _ in range(16):  # a flood must not hold the caller: more than one pipe is enough
            try:
                part = os.read(self._output.fileno(), 1 << 16)
            except BlockingIOError:
                return True
            except (OSError, ValueError):
                part = b""
            if not part:
                self._prints = False
                return False
            self._printed += part
            del self._printed[:-TAIL_BYTES]
        return True

    def tail(self) -> tuple[str, ...]:
        """The last lines that the process had printed when this was called."""
        if self._prints and not self._closed:
            self._take_output()
        lines = bytes(self._printed).decode("utf-8", "replace").splitlines()
        kept = [line.rstrip()[:300] for line in lines if line.strip()]
        return tuple(kept[-TAIL_LINES:])

    def stop(self) -> None:
        """End the process from another thread than the one that asks it, which is told so."""
        if not self._closed:
            self._started.stop()

    def close(self) -> None:
        """End the process and everything that it started; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._started.end()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def obituary(code: int) -> str:
    """How a process ended that should have answered, in one line."""
    if code >= 0:
        return f"it ended its process with code {code} before it answered"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ""
    if -code == signal.SIGKILL:
        why = " (by a person, or by the system for want of memory)"
    return f"it was killed by {name}{why}"


@dataclass(frozen=True)
class FamilyUse:
    """What a process and all its descendants hold now."""

    memory_bytes: int
    processes: int
    threads: int


def measure_family(pid: int) -> FamilyUse:
    """The resident memory, processes and threads of a process and its descendants."""
    import psutil

    memory = processes = threads = 0
    with contextlib.suppress(
        psutil.Error, OSError
    ):  # one that has ended, or a system without /proc
        head = psutil.Process(pid)
        for process in (head, *head.children(recursive=True)):
            with contextlib.suppress(psutil.Error, OSError), process.oneshot():
                memory += process.memory_info().rss
                threads += process.num_threads()
                processes += 1
    return FamilyUse(memory, processes, threads)
