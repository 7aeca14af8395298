"""What a child process may use: memory, file size, processes, threads.

Promises: the child sets the limits on itself before it runs anything of a model's, so that an
allocation or a write beyond them fails inside the model, where it can be named; its parent watches
the resident memory, processes and threads of the child and all that it started (``process``).
Refuses nothing: where a system has no such limit, the parent's watch is what remains.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class ProcessLimits:
    """Bounds of one child process and of everything that it starts; None and 0: no bound."""

    memory_bytes: int | None = None
    file_bytes: int | None = 16 * GIB
    processes: int = 512
    threads: int = 8192


def default_memory_bytes() -> int | None:
    """Four fifths of the machine's memory, None where the system does not tell it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5
    except (AttributeError, ValueError, OSError):
        return None


def apply(limits: ProcessLimits) -> None:
    """Set what the system can hold this very process to; called in the child."""
    if limits.memory_bytes:
        limit_memory(limits.memory_bytes)
    _lower("RLIMIT_CORE", 0)
    if limits.file_bytes:
        _lower("RLIMIT_FSIZE", limits.file_bytes)


def limit_memory(limit_bytes: int) -> None:
    """Let this process allocate ``limit_bytes`` beyond what it holds now; Linux only."""
    if sys.platform.startswith("linux"):
        _lower("RLIMIT_DATA", limit_bytes + _data_bytes())


def _data_bytes() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            kibibytes = (int(line.split()[1]) for line in stream if line.startswith("VmData:"))
            return next(kibibytes, 0) * 1024
    except OSError:
        return 0


def _lower(name: str, value: int) -> None:
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError, OverflowError):
        import resource

        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or value < hard:
            resource.setrlimit(kind, (value, value))
