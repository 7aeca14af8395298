"""Whether a case survived, and if not, every reason."""

from __future__ import annotations

import json
import math
import re
import signal
from typing import Any

from benchmarks.fault_cases.case import Outcome

MOST_BYTES = 6 << 30
FIGURES = ("params", "macs", "flops", "activations", "peak_activation_bytes", "weight_bytes",
           "latency_s", "peak_bytes")  # fmt: skip
# C0 without tab and newline, DEL, and C1 as UTF-8
RAW = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def faults(outcome: Outcome) -> list[str]:
    """What a case's end has against it; nothing for one that survived."""
    case, found = outcome.case, []
    err = outcome.err.decode("utf-8", "replace")
    if outcome.exit is None:
        found.append(f"no end within {case.limit_s:g} s")
    elif outcome.exit not in case.exits:
        found.append(f"exit {outcome.exit}, not {' or '.join(map(str, case.exits))}")
    both = outcome.out + outcome.err
    if b"Traceback (most recent call last)" in both and "--debug" not in case.argv:
        found += [] if _before_gadprof(outcome) else ["a traceback"]
    if b"this is a fault of gadprof" in both:
        found.append("a fault that it calls its own")
    if case.says and not re.search(case.says, err):
        found.append(f"does not say {case.says!r}")
    if case.prints and not re.search(case.prints, outcome.out.decode("utf-8", "replace")):
        found.append(f"does not print {case.prints!r}")
    found += _lines(outcome, err)
    found += _control(outcome)
    if outcome.exit == 0 and ("json" in case.argv or "--format=json" in case.argv):
        found += _figures(outcome.out)
    if outcome.peak_bytes > MOST_BYTES:
        found.append(f"{outcome.peak_bytes >> 20} MiB of memory")
    if outcome.left:
        found.append(f"left running: {', '.join(outcome.left)}")
    if outcome.touched:
        found.append(f"touched {', '.join(outcome.touched)}")
    if case.check is not None and outcome.exit is not None:
        found += filter(None, [case.check(outcome)])
    return found


def _before_gadprof(outcome: Outcome) -> bool:
    """Whether Ctrl-C came while the interpreter itself began, which shows its own traceback."""
    return (
        outcome.exit == -signal.SIGINT
        and outcome.err.rstrip().endswith(b"KeyboardInterrupt")
        and b"/gadprof/" not in outcome.err
    )


def _lines(outcome: Outcome, err: str) -> list[str]:
    """Bad use is told in one line, and nothing but that line comes out."""
    case = outcome.case
    if outcome.exit != 2 or case.stderr != "file" or case.call is not None:
        return []
    lines = err.splitlines()
    if not lines or not lines[-1].startswith("gadprof: "):
        return ["its last line is not gadprof's"]
    if len(lines) > case.lines:
        return [f"{len(lines)} lines on standard error"]
    if len(lines[-1].removeprefix("gadprof: ").strip()) < 8 or len(lines[-1]) > 2500:
        return ["a line that says nothing, or too much"]
    return []


def _control(outcome: Outcome) -> list[str]:
    found = []
    for name, data, kind in (("output", outcome.out, outcome.case.stdout),
                             ("error", outcome.err, outcome.case.stderr)):  # fmt: skip
        data = _recoded(data, outcome.case.env.get("PYTHONIOENCODING"))
        if kind == "terminal":
            data = COLOUR.sub(b"", data).replace(b"\r\n", b"\n")
            # what a bar of progress redraws its own line with
            data = re.sub(rb"\x1b\[\?25[lh]|\x1b\[[0-9]*[AKGJ]|\r", b"", data)
        if match := RAW.search(data):
            found.append(f"raw control bytes {match[0]!r} on standard {name}")
    return found


def _recoded(data: bytes, encoding: str | None) -> bytes:
    """What was printed, in UTF-8, where a case asks for an encoding with other control codes."""
    return data.decode(encoding, "replace").encode() if encoding == "utf-16" else data


def _figures(out: bytes) -> list[str]:
    """Counts are not negative, and every number is finite."""
    try:
        document = json.loads(out)
    except ValueError as error:
        return [f"no JSON: {error}"]
    found: list[str] = []

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                walk(item, str(name))
        elif isinstance(value, list):
            for item in value:
                walk(item, key)
        elif (isinstance(value, float) and not math.isfinite(value)) or (
            isinstance(value, (int, float)) and key in FIGURES and value < 0
        ):
            found.append(f"{key} is {value}")

    walk(document, "")
    return found[:3]
