"""A process that has torch imported and runs nothing: workers are forked from it in milliseconds.

Two processes with the very same model differ by a per cent or two for as long as they live (where
the system happened to put their memory), so that a ratio needs several launches of each model.
Importing torch for each would take longer than the measurement. Promises: the zygote never builds
a model or starts a thread; every worker is a fresh copy in a session of its own that dies with the
zygote, and the zygote dies with its parent. Refuses systems without ``fork`` (``available``).
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
from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.errors import ModelFailedError

START_TIMEOUT_S = 120.0
POLL_S = 0.005


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
    """Starts a process that imports ``modules`` once, and forks workers from it."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        cpus: tuple[int, ...] = (),
        modules: Sequence[str] = ("torch",),
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._lock = threading.Lock()
        self._socket.settimeout(START_TIMEOUT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gadprof.workers.zygote", str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=dict(environment),
            )
        if cpus and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._process.pid, cpus)

    def _ask(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)
                reply = self._socket.recv(4096)
        except OSError as error:
            raise ModelFailedError(f"the process that starts workers is gone ({error})") from error
        if not reply:
            raise ModelFailedError("the process that starts workers has ended")
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def fork(self, incoming: int, outgoing: int) -> ForkedProcess:
        """A fresh worker that serves these two descriptors. Raises ModelFailedError."""
        read, write = os.pipe()
        try:
            answer = self._ask({"operation": "fork"}, (incoming, outgoing, write))
        except ModelFailedError:
            os.close(read)
            raise
        finally:
            os.close(write)
        if "error" in answer:
            os.close(read)
            raise ModelFailedError(f"cannot start a worker: {answer['error']}")
        return ForkedProcess(self, int(answer["pid"]), os.fdopen(read, "rb", buffering=0))

    def exit_code(self, pid: int) -> int | None:
        """How a worker ended, or None while it lives; a lost zygote took its workers along."""
        try:
            code = self._ask({"operation": "poll", "pid": pid})["code"]
        except ModelFailedError:
            return -signal.SIGKILL
        return None if code is None else int(code)

    def close(self) -> None:
        """End the zygote and every worker that is left; safe to call twice."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)


def main(argv: list[str]) -> None:
    """Import the modules, then fork on request until the socket closes."""
    from gadprof.measuring import worker

    worker.die_with_parent()
    channel = socket.socket(fileno=int(argv[0]))
    for name in argv[1:]:
        # a package that cannot be imported is the model's own failure, told by its worker
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    codes: dict[int, int] = {}
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 4096, 3)
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
            _become_worker(*descriptors)
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


def _become_worker(incoming: int, outgoing: int, output: int) -> None:
    """Serve requests as if started on its own; never returns."""
    from gadprof.measuring import worker

    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    try:
        worker.main([str(incoming), str(outgoing)])
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
