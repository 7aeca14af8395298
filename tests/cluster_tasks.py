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


def leave() -> None:
    """End the worker's process in the middle of a task."""
    import os

    os._exit(3)


def answer_with(what: str) -> None:
    """Have this worker answer every task in a way of its own; ``honest`` ends that."""
    import importlib
    import os

    from gadprof.cluster import tasks

    importlib.reload(tasks)
    honest = tasks.call

    def bad(function: str, arguments: dict[str, object]) -> object:
        match what:
            case "none":
                return None
            case "words":
                return "all is well"
            case "empty":
                return "{}"
            case "empty record":
                return '{"value": {}}'
            case "not a number":
                return honest(function, arguments).replace('"macs": ', '"macs": NaN, "x": ')
            case "another model":
                return honest(function, {**arguments, "model": "gadnet48:width=8"})
            case "too deep":
                return '{"value": ' + "[" * 200_000
            case "cannot travel":
                return threading.Lock()
            case "an object":
                return os.stat_result(range(10))
            case "raises":
                raise RuntimeError("no memory left on this host")
            case _:
                return honest(function, arguments)

    tasks.call = bad
