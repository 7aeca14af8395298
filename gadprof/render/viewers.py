"""Stacks as files that profile viewers open: speedscope's own format, and Chrome's trace events.

Promises exact integers, one profile or process a quantity. Chrome's format knows microseconds
alone, so that there one microsecond stands for one MAC, FLOP or byte, and the process says so.
"""

from __future__ import annotations

import json
from typing import Any

from gadprof.results.escape import plain
from gadprof.results.stacks import Quantity, Stacks
from gadprof.version import __version__

SPEEDSCOPE = "https://www.speedscope.app/file-format-schema.json"
MOST_NAME = 400


def to_speedscope(stacks: Stacks) -> str:
    """A file of speedscope's format: one sampled profile a quantity."""
    frames: dict[str, int] = {}
    samples = [
        [frames.setdefault(plain(name, MOST_NAME), len(frames)) for name in stack]
        for stack in stacks.stacks
    ]
    document = {
        "$schema": SPEEDSCOPE,
        "version": "0.0.1",
        "exporter": f"gadprof {__version__}",
        "name": plain(stacks.name, MOST_NAME),
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": [_profile(stacks.name, quantity, samples) for quantity in stacks.quantities],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _profile(name: str, quantity: Quantity, samples: list[list[int]]) -> dict[str, Any]:
    kept = [
        (sample, weight) for sample, weight in zip(samples, quantity.weights, strict=True) if weight
    ]
    return {
        "type": "sampled",
        "name": plain(f"{name}: {quantity.name}", MOST_NAME),
        "unit": "bytes" if quantity.unit == "byte" else "none",
        "startValue": 0,
        "endValue": sum(quantity.weights),
        "samples": [sample for sample, _ in kept],
        "weights": [weight for _, weight in kept],
    }


def to_trace_events(stacks: Stacks) -> str:
    """Chrome's trace events, for ui.perfetto.dev and chrome://tracing: a process a quantity."""
    events: list[dict[str, Any]] = []
    for process, quantity in enumerate(stacks.quantities, start=1):
        words = f"{quantity.name} of {stacks.name} (1 µs is 1 {quantity.unit})"
        events.append(_named("process_name", process, plain(words, MOST_NAME)))
        events.append(_named("thread_name", process, quantity.name))
        events += _complete(stacks, quantity, process)
    return json.dumps({"traceEvents": events}, ensure_ascii=False, separators=(",", ":")) + "\n"


def _named(kind: str, process: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": 1, "args": {"name": name}}


def _complete(stacks: Stacks, quantity: Quantity, process: int) -> list[dict[str, Any]]:
    """One complete event a module's run, around the operations that follow each other in it."""
    found: list[dict[str, Any]] = []
    open_events: list[dict[str, Any]] = []
    before: tuple[str, ...] = ()
    now = 0
    for stack, weight in zip(stacks.stacks, quantity.weights, strict=True):
        if not weight:
            continue
        same = 0
        while same < min(len(stack) - 1, len(before) - 1) and stack[same] == before[same]:
            same += 1
        for event in open_events[same:]:
            event["dur"] = now - event["ts"]
        del open_events[same:]
        for name in stack[same:]:
            event = {"ph": "X", "name": plain(name, MOST_NAME), "cat": quantity.unit,
                     "ts": now, "dur": 0, "pid": process, "tid": 1}  # fmt: skip
            open_events.append(event)
            found.append(event)
        before, now = stack, now + weight
    for event in open_events:
        event["dur"] = now - event["ts"]
    return found
