"""Starts a child process: its command, environment, import path and what it inherits.

Promises: the child inherits the descriptors that are named and nothing else; it imports from where
this process does, the current folder and a script's own aside; standard input is closed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from gadprof.workers.keeper import clear_after_keeper
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.wire import WireClosedError, write_message

PACKAGE = Path(__file__).resolve().parents[1]
BOOT = Path(__file__).with_name("boot.py")
END_S = 10.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# what a scrubbed environment keeps: where programs and libraries lie, and how to write text
KEPT_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE",
    "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED", *THREAD_VARIABLES,
)  # fmt: skip


# torch sets it, and makes the folder, as soon as its compiler is loaded
COMPILED = "TORCHINDUCTOR_CACHE_DIR"


class Process(Protocol):
    """A keeper that runs, whoever started it; what it keeps prints to ``stdout``."""

    pid: int
    stdout: Any

    def wait(self, timeout: float | None = None) -> int: ...


class Started:
    """A child that runs under its keeper, and this process's ends of the child's two pipes."""

    def __init__(
        self, keeper: Process, request: int, reply: int, folder: str | None = None
    ) -> None:
        self.keeper = keeper
        self.request = request
        self.reply = reply
        self._folder = folder
        self._ended = False

    def stop(self) -> None:
        """Ask the keeper to end the child and all that it started; safe in any thread."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.keeper.pid, signal.SIGTERM)
            os.kill(self.keeper.pid, signal.SIGCONT)  # one that was stopped

    def end(self) -> None:
        """End the child and all that it started, and close the pipes; safe to call twice."""
        if self._ended:
            return
        self._ended = True
        self.stop()
        try:
            self.keeper.wait(timeout=END_S)
        except subprocess.TimeoutExpired:  # a keeper that hangs; Linux ends its child
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.keeper.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.keeper.wait(timeout=END_S)
        if self._folder is not None and os.path.lexists(self._folder):
            clear_after_keeper(self._folder)
        for descriptor in (self.request, self.reply):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if self.keeper.stdout is not None:
            self.keeper.stdout.close()


def start_child(
    service: str,
    environment: Mapping[str, str],
    *,
    limits: ProcessLimits = ProcessLimits(),  # noqa: B008  (frozen)
    cpus: Sequence[int] = (),
    passes: Sequence[int] = (),
    output: int = subprocess.PIPE,
) -> Started:
    """Start a child that serves ``service`` (``module:function``) on two pipes.

    ``cpus`` are processors to stay on (none: all), ``passes`` further descriptors to inherit.
    Raises OSError where no process can be started.
    """
    folder = folder_for(environment)
    incoming, request = os.pipe()
    reply, outgoing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, str(BOOT), str(PACKAGE), str(incoming), str(outgoing)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(incoming, outgoing, *passes),
            # Ctrl-C reaches the parent alone
            start_new_session=True,
            # from its first moment, so that whatever the child forks can be told by it
            env={**environment, "TMPDIR": folder},
        )
    except BaseException:
        for descriptor in (request, reply):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (incoming, outgoing):
            os.close(descriptor)
    setup = {
        "service": service,
        "folder": folder,
        "parent": os.getpid(),
        "path": import_path(),
        "limits": asdict(limits),
        "cpus": list(cpus),
    }
    with contextlib.suppress(WireClosedError):  # how it died is told when it is asked
        write_message(request, setup)
    return Started(process, request, reply, folder)


def folder_for(environment: Mapping[str, str]) -> str:
    """A name that nobody has, of a temporary folder where the environment wants those."""
    name = f"gadprof-{os.getpid()}-{os.urandom(8).hex()}"
    return os.path.join(environment.get("TMPDIR") or "/tmp", name)


def import_path() -> list[str]:
    """This process's import path without the folders that Python adds by itself: the current one,
    and that of the script that runs."""
    try:
        here = {"", os.curdir, os.getcwd()}
    except OSError:  # a folder that has been removed
        here = {"", os.curdir}
    return [entry for entry in sys.path if entry not in here]


def child_environment(threads: int | None = None, *, scrubbed: bool = False) -> dict[str, str]:
    """What a child finds in its environment.

    ``threads`` for the libraries that read a variable (None: one, unless the user says otherwise);
    ``scrubbed`` keeps only what a program needs to start, so that no secret is there to be read.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not scrubbed or name in KEPT_VARIABLES or name.startswith("LC_")
    }
    if os.path.basename(environment.get(COMPILED, "")).startswith("torchinductor_"):
        del environment[COMPILED]  # the child has a temporary folder of its own, which goes with it
    for variable in THREAD_VARIABLES:
        if threads is not None:
            environment[variable] = str(threads)
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment["PYTHONUNBUFFERED"] = "1"
    # ONNX Runtime writes an identity of the machine into the user's home where it is imported
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return environment
