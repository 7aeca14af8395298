"""What the cluster tests run on workers."""

from __future__ import annotations

import threading

from gadprof.errors import GadprofError


def append_and_wait(path: str, number: int) -> int:
    """Note that a task ran, take a moment, and give its number."""
    with open(path, "a") as stream:
        stream.write(f"{number}\n")
    threading.Event().wait(0.05)
    return number


def refuse(words: str) -> None:
    """Raise an error that a user would read."""
    raise GadprofError(words)
