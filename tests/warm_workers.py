"""Child processes for tests that are not about how one starts: forked with torch imported.

``start_child`` starts a Python that imports torch anew, which costs a test more than all else that
it does. ``WarmStart`` stands in for it: a server, once a test process, has torch imported and runs
nothing, and each child is forked from it, with the folder, environment, descriptors and session
that a started one has; all that follows, keeper, limits and service, is gadprof's own. Refuses
what a fork can't give, other threads than the server's, where a child is started as ever. Tests
about the start itself (import path, environment, memory) keep ``start_child``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])

from gadprof.workers.launch import THREAD_VARIABLES, Started, folder_for, import_path
from gadprof.workers.launch import start_child as start_anew
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.wire import WireClosedError, write_message
from gadprof.workers.zygote import ForkedProcess

# what a child of some test imports; what is not installed is left out
MODULES = (
    "numpy", "torch", "torch.fx", "torchvision", "timm", "onnx", "fvcore.nn", "thop", "ptflops",
    "psutil", "gadprof.workers.child", "gadprof.models.guarded",
    "gadprof.models.counting", "gadprof.models.sources", "gadprof.counting.count",
    "gadprof.audit.audit", "gadprof.audit.counter_worker", "gadprof.measuring.worker",
    "gadprof.networks.build", "gadprof.measuring.runtimes.eager",
)  # fmt: skip
MOST_BYTES = 1 << 18
HIGH = 200  # descriptors are moved up here before they get the numbers that the child knows


class WarmStart:
    """A server that forks children; called as ``start_child`` is. Starts at its first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None

    def __call__(
        self,
        service: str,
        environment: Mapping[str, str],
        *,
        limits: ProcessLimits = ProcessLimits(),  # noqa: B008  (frozen)
        cpus: Sequence[int] = (),
        passes: Sequence[int] = (),
        output: int = subprocess.PIPE,
    ) -> Started:
        if any(environment.get(name, "1") != "1" for name in THREAD_VARIABLES):
            return start_anew(
                service, environment, limits=limits, cpus=cpus, passes=passes, output=output
            )
        folder = folder_for(environment)
        incoming, request = os.pipe()
        reply, outgoing = os.pipe()
        read, printed = os.pipe()
        wanted = [incoming, outgoing, *passes]
        found = {**environment, "TMPDIR": folder}
        message = {"environment": found, "folder": here(), "descriptors": wanted}
        message["quiet"] = output == subprocess.DEVNULL
        answer = self._ask({"operation": "fork", **message}, [*wanted, printed])
        for descriptor in (incoming, outgoing, printed):
            os.close(descriptor)
        setup = {
            "service": service,
            "folder": folder,
            "parent": self._server.pid,
            "path": import_path(),
            "limits": asdict(limits),
            "cpus": list(cpus),
        }
        with contextlib.suppress(WireClosedError):
            write_message(request, setup)
        stdout = os.fdopen(read, "rb", buffering=0)
        return Started(ForkedProcess(self, answer["pid"], stdout), request, reply, folder)  # type: ignore[arg-type]

    def exit_code(self, pid: int) -> int | None:
        """How a child ended, or None while it lives."""
        code: int | None = self._ask({"operation": "poll", "pid": pid})["code"]
        return code

    def _ask(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            if self._channel is None:
                self._channel = self._start()
            socket.send_fds(self._channel, [json.dumps(message).encode()], descriptors)
            answer: dict[str, Any] = json.loads(self._channel.recv(MOST_BYTES))
        return answer

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
                cwd=os.path.dirname(__file__),
                start_new_session=True,
            )
        return ours

    def close(self) -> None:
        """End the server, and with it whatever it forked."""
        if self._channel is not None:
            self._channel.close()
            self._server.wait(timeout=30)


def here() -> str | None:
    """The current folder; None where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def serve_forks(channel: socket.socket) -> None:
    """Import what children need, then fork one a request until the channel closes."""
    import gc
    import importlib

    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # so that no collection in a child touches, and so copies, what all share
    ended: dict[int, int] = {}
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, MOST_BYTES, 16)
        if not data:
            return
        message = json.loads(data)
        if message["operation"] == "poll":
            with contextlib.suppress(ChildProcessError):
                while (found := os.waitpid(-1, os.WNOHANG))[0]:
                    ended[found[0]] = os.waitstatus_to_exitcode(found[1])
            answer = {"code": ended.get(message["pid"])}
            channel.send(json.dumps(answer).encode())
            continue
        pid = os.fork()
        if pid == 0:
            channel.close()
            become_child(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(json.dumps({"pid": pid}).encode())


def become_child(message: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Be what ``boot.py`` is when it has imported gadprof. Never returns."""
    from gadprof.workers.child import main

    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(message["environment"])
        if message["folder"] is not None:
            os.chdir(message["folder"])
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, HIGH) for descriptor in descriptors]
        for descriptor in descriptors:
            os.close(descriptor)
        output = moved[-1]
        if message["quiet"]:
            output = os.open(os.devnull, os.O_WRONLY)
        numbers = message["descriptors"]
        for source, number in (*zip(moved, numbers, strict=False), (output, 1), (output, 2)):
            os.dup2(source, number)
        for descriptor in {*moved, output}:
            os.close(descriptor)
        main(numbers[0], numbers[1])
    finally:
        os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as given:
        given.set_inheritable(False)
        serve_forks(given)
