"""The process between a parent and its child: nothing that a model starts outlives the command.

The child forks as soon as it runs; the first process stays as the *keeper* and the second serves.
Promises: the keeper ends when the child ends, when its parent asks (SIGTERM), or when its parent
dies, by whatever signal; before it ends it kills the child and every process that the child has
started, also those in sessions of their own, whose orphans Linux hands to it; it removes the
child's temporary folder; and it ends as the child ended (the same code or signal). Where the
system hands over no orphans (macOS), the child's own process group is what it can reach. What a
keeper leaves that a model has killed, its parent clears away (``clear_after_keeper``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# what Linux sends a keeper when the thread that started it ends: perhaps its parent has not
PARENT_GONE = signal.SIGUSR1
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CLEAN_UP_S = 3.0
POLL_S = 0.3


def serve_under_keeper(
    parent: int, closes: tuple[int, ...], *, private_folder: str | None = None
) -> None:
    """Fork; returns in the child, in a session of its own. The keeper never returns.

    ``parent`` is who started this process, ``closes`` are descriptors that only the child needs.
    ``private_folder``, their TMPDIR, is made, and removed when they are gone.
    """
    waited = {signal.SIGCHLD, PARENT_GONE, *ASKED}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    _control(PR_SET_CHILD_SUBREAPER, 1)
    end_with_parent(PARENT_GONE)
    keeper = os.getpid()
    if private_folder is not None:
        with contextlib.suppress(OSError):  # the child finds out for itself when it wants one
            os.mkdir(private_folder, 0o700)
    child = os.fork()
    if child == 0:
        end_with_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in ASKED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return
    status = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2, *closes):
            os.dup2(nothing, descriptor) if descriptor < 3 else os.close(descriptor)
        status = _wait(child, parent, waited)
    finally:
        _end_all(child)
        if private_folder is not None:
            remove_folder(private_folder)
        _end_as(status)


def remove_folder(folder: str) -> None:
    """Remove a folder with all that it holds, also what its maker has closed; never raises."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # most are empty
    if not os.path.lexists(folder):
        return
    import shutil

    for inner, names, _ in os.walk(folder):
        for path in (os.path.join(inner, name) for name in names):
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def clear_after_keeper(folder: str) -> None:
    """Do what a killed keeper could not: end what has this temporary folder, and remove it."""
    import psutil

    deadline = time.monotonic() + CLEAN_UP_S
    left = True
    while left and time.monotonic() < deadline:
        left = False
        for process in psutil.process_iter():
            # one that has ended, or another user's
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("TMPDIR") == folder:
                    process.kill()
                    left = process.status() != psutil.STATUS_ZOMBIE or left
    remove_folder(folder)


def end_with_parent(number: int) -> None:
    """Ask Linux for a signal when the thread that started this process ends."""
    _control(PR_SET_PDEATHSIG, number)


def _control(operation: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(operation, value, 0, 0, 0)


def _wait(child: int, parent: int, waited: set[signal.Signals]) -> int:
    """The child's wait status, or that of a killed one where the keeper has to end first."""
    if not sys.platform.startswith("linux"):
        _watch_parent(parent)
    while os.getppid() == parent:
        number = signal.sigwait(waited)
        if number in ASKED:
            break
        ended = dict(_reap())
        if child in ended:
            return ended[child]
    return signal.SIGKILL


def _watch_parent(parent: int) -> None:
    """Where the system sends no signal at a parent's death: look now and then."""
    import threading

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os.kill(os.getpid(), PARENT_GONE)

    threading.Thread(target=watch, daemon=True).start()


def _reap() -> list[tuple[int, int]]:
    """Every process that has ended, with its wait status."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def _end_all(child: int) -> None:
    """Kill the child's group, then whatever is handed over, until nothing is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    deadline = time.monotonic() + CLEAN_UP_S
    while time.monotonic() < deadline:
        _reap()
        left = children_of(os.getpid())
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def children_of(pid: int) -> list[int]:
    """The processes that ``pid`` is the parent of now."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return [int(word) for word in stream.read().split()]
    except (OSError, ValueError):
        pass
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def _end_as(status: int) -> Any:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
