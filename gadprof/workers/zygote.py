"""A process that has torch imported and runs nothing: workers are forked from it in milliseconds.

Two processes with the very same model differ by a per cent or two for as long as they live (where
the system happened to put their memory), so that a ratio needs several launches of each model.
Importing torch for each would take longer than the measurement. Promises: the zygote never builds
a model or starts a thread; every worker is a fresh copy under a keeper of its own that dies with
the zygote, and the zygote dies with its parent. Refuses systems without ``fork`` (``available``).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from gadprof.errors import ModelFailedError
from gadprof.workers.child import serve
from gadprof.workers.keeper import serve_under_keeper
from gadprof.workers.launch import Started, child_environment, start_child
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.wire import WireClosedError, write_message

START_TIMEOUT_S = 120.0
POLL_S = 0.005
MESSAGE_BYTES = 1 << 16


def available() -> bool:
    """Whether workers can be forked here; torch on macOS does not survive a fork."""
    return sys.platform.startswith("linux") and hasattr(socket, "send_fds")


class ForkedProcess:
    """A zygote's child, with as much of ``subprocess.Popen`` as a worker's parent needs."""

    def __init__(self, zygote: Zygote, pid: int, stdout: Any) -> None:
        self.pid = pid
        self.stdout = stdout
        self._zygote = zygote
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or minus the signal that ended it. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            self._code = self._zygote.exit_code(self.pid)
            if self._code is None:
                if deadline is not None and time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(f"forked worker {self.pid}", timeout or 0.0)
                time.sleep(POLL_S)
        return self._code


class Zygote:
    """Starts a process that imports ``modules`` once, and forks workers from it.

    ``module:function`` is called, too, for what it keeps.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        cpus: Sequence[int] = (),
        modules: Sequence[str] = ("torch",),
    ) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._socket.settimeout(START_TIMEOUT_S)
        with theirs:
            self._started = start_child(
                "gadprof.workers.zygote:forking_service",
                child_environment(threads),
                cpus=cpus,
                passes=(theirs.fileno(),),
                output=subprocess.DEVNULL,
            )
            request = {"channel": theirs.fileno(), "modules": list(modules)}
            with contextlib.suppress(WireClosedError):  # told when a worker is wanted
                write_message(self._started.request, request)

    def fork(self, service: str, limits: ProcessLimits) -> Started:
        """A fresh worker that serves ``service``. Raises ModelFailedError."""
        incoming, request = os.pipe()
        reply, outgoing = os.pipe()
        read, output = os.pipe()
        ours, theirs = (request, reply, read), (incoming, outgoing, output)
        try:
            message = {"operation": "fork", "service": service, "limits": asdict(limits)}
            answer = self._ask(message, theirs)
            if "error" in answer:
                raise ModelFailedError(str(answer["error"]))
        except ModelFailedError:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        stdout = os.fdopen(read, "rb", buffering=0)
        return Started(ForkedProcess(self, int(answer["pid"]), stdout), request, reply)

    def exit_code(self, pid: int) -> int | None:
        """How a worker ended, or None while it lives; a lost zygote took its workers along."""
        try:
            code = self._ask({"operation": "poll", "pid": pid})["code"]
        except ModelFailedError:
            return -signal.SIGKILL
        return None if code is None else int(code)

    def _ask(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)
                reply = self._socket.recv(MESSAGE_BYTES)
        except OSError as error:
            raise ModelFailedError(f"the process that starts workers is gone ({error})") from error
        if not reply:
            raise ModelFailedError("the process that starts workers has ended")
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def close(self) -> None:
        """End the zygote and every worker that is left; safe to call twice."""
        self._socket.close()
        self._started.end()


def forking_service() -> Callable[[dict[str, Any]], None]:
    """The zygote's own service: one request, after which it forks until its channel closes."""
    return lambda request: fork_on_request(int(request["channel"]), request["modules"])


def fork_on_request(descriptor: int, modules: Sequence[str]) -> None:
    """Import the modules, then fork on request until the socket closes."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    for name in modules:
        # a package that cannot be imported is the model's own failure, told by its worker
        with contextlib.suppress(Exception):
            module, _, function = name.partition(":")
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()
    codes: dict[int, int] = {}
    zygote = os.getpid()
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 3)
        if not data:
            return
        message = json.loads(data)
        if message["operation"] == "poll":
            channel.send(json.dumps({"code": _poll(message["pid"], codes)}).encode())
            continue
        try:
            pid = os.fork()
        except OSError as error:
            channel.send(json.dumps({"error": error.strerror}).encode())
            pid = -1
        if pid == 0:
            channel.close()
            _become_worker(
                zygote, descriptors, message["service"], ProcessLimits(**message["limits"])
            )
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            channel.send(json.dumps({"pid": pid}).encode())


def _poll(pid: int, codes: dict[int, int]) -> int | None:
    if pid not in codes:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return -signal.SIGKILL
        if found == 0:
            return None
        codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]


def _become_worker(
    zygote: int, descriptors: Sequence[int], service: str, limits: ProcessLimits
) -> None:
    """Serve requests as if started on its own; never returns."""
    try:
        incoming, outgoing, output = descriptors
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        serve_under_keeper(zygote, (incoming, outgoing))
        serve(incoming, outgoing, service, limits)
    finally:
        os._exit(1)
