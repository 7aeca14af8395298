"""What the tests of the worker kit run in child processes: each does one thing to its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def acting() -> Callable[[dict[str, Any]], Any]:
    """Answers a request by the function that its operation names."""
    return lambda request: globals()[request["operation"]](request)


def echo(request: dict[str, Any]) -> Any:
    return request["value"]


def look_around(request: dict[str, Any]) -> dict[str, Any]:
    """What the process finds: its files, input, temporary folder, path and environment."""
    import tempfile

    return {
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "input": sys.stdin.read(),
        "folder": tempfile.gettempdir(),
        "path": sys.path,
        "environment": dict(os.environ),
        "session": os.getsid(0),
        "pid": os.getpid(),
    }


def leave_processes(request: dict[str, Any]) -> str:
    """A child, one in a session of its own, one whose parent has ended, and a thread."""
    subprocess.Popen(SLEEP)
    subprocess.Popen(SLEEP, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(SLEEP, start_new_session=True)
        os._exit(0)
    threading.Thread(target=time.sleep, args=(600,)).start()
    return "done"


def hang(request: dict[str, Any]) -> None:
    leave_processes(request)
    while True:
        pass


def act_on_keeper(request: dict[str, Any]) -> None:
    """Send the keeper a signal, with processes and files of every sort left about."""
    import tempfile

    closed = tempfile.mkdtemp()
    open(os.path.join(closed, "kept"), "w").close()
    os.symlink("/", os.path.join(closed, "link"))
    os.chmod(closed, 0)
    leave_processes(request)
    if os.fork():
        os.kill(os.getppid(), getattr(signal, request["name"]))
    time.sleep(600)


def exit_with(request: dict[str, Any]) -> None:
    leave_processes(request)
    print("last words", flush=True)
    os._exit(request["code"])


def raise_signal(request: dict[str, Any]) -> None:
    os.kill(os.getpid(), getattr(signal, request["name"]))
    time.sleep(10)


def allocate(request: dict[str, Any]) -> int:
    return len(bytearray(request["count"]))


def allocate_in_children(request: dict[str, Any]) -> None:
    """Memory that no single process of a family has too much of."""
    for _ in range(request["children"]):
        if os.fork() == 0:
            kept = bytearray(os.urandom(1) * request["count"])
            time.sleep(600)
            os._exit(len(kept))
    time.sleep(600)


def fork_many(request: dict[str, Any]) -> None:
    for _ in range(request["count"]):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(600)


def start_threads(request: dict[str, Any]) -> None:
    for _ in range(request["count"]):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(600)


def write_file(request: dict[str, Any]) -> int:
    import tempfile

    with tempfile.NamedTemporaryFile() as stream:
        return stream.write(bytes(request["count"]))


def flood(request: dict[str, Any]) -> str:
    for _ in range(request["lines"]):
        os.write(1, b"x" * 4999 + b"\n")
    os.write(2, b"the end\n")
    return "done"


def flood_and_grow(request: dict[str, Any]) -> None:
    """Prints all the time, so that whoever watches always has something to read."""
    threading.Thread(target=flood, args=({"lines": 10**9},), daemon=True).start()
    allocate_in_children(request)


def answer_bytes(request: dict[str, Any]) -> None:
    """Write these very bytes where answers go."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("pipe:"):
            try:
                os.write(int(name), bytes.fromhex(request["hex"]))
            except OSError:
                continue
    time.sleep(600)


def fork_and_answer(request: dict[str, Any]) -> str:
    """Both copies return from the service; one of them is the process that was asked."""
    return "copy" if os.fork() == 0 else "original"


def words_that_raise(request: dict[str, Any]) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    raise OddError
