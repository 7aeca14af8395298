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


def where_and_when(number: int) -> dict[str, object]:
    """The name of the worker that a task ran on, and when it began and ended (s)."""
    import time

    from distributed import get_worker

    began = time.monotonic()
    threading.Event().wait(0.1)
    name = str(get_worker().name)
    return {"worker": name, "number": number, "began": began, "ended": time.monotonic()}
