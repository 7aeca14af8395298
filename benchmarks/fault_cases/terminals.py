"""Terminals: hostile names shown on one, odd widths, kinds without colour."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.fault_cases.case import Case

ESCAPES = {
    "a title": "\x1b]0;t\x07", "a clear": "\x1b[2J\x1b[H", "colours": "\x1b[31;5m", "an 8 bit code": "\x9b2J\x9d0;t\x9c",
    "a link": "\x1b]8;;http://x\x1b\\", "a clipboard": "\x1b]52;c;eA==\x07", "a report": "\x1b[6n\x1b[c", "a reset": "\x1bc",
    "bells": "\x07" * 9, "backspaces": "abc" + "\x08" * 3 + "xyz", "a return": "safe\rworse", "form feeds": "\x0c\x0b",
    "a DCS": "\x1bP$q\x1b\\", "bidirectional": "\u202ednert\u202c", "isolates": "\u2066x\u2069", "a separator": "\u2028x\u2029",
    "shift out": "\x0e\x0f", "delete": "\x7f\x7f", "an alternate screen": "\x1b[?1049h", "a tag": "\U000e0041",
}  # fmt: skip
KINDS = ("xterm", "dumb", "", "linux", "nothing-known", "\x1b[2J")


def _places(text: str) -> Iterator[tuple[str, tuple[str, ...], dict[str, str], tuple[int, ...]]]:
    """Where a stranger's text is shown: command, files, right codes."""
    yield "a model", ("count", "--", f"x{text}"), {}, (2,)
    yield "a row", ("compare", "gadnet32", f"x{text}"), {}, (2,)
    yield "a command", (f"x{text}",), {}, (2,)
    yield "an option", ("count", f"--x{text}"), {}, (2,)
    yield "a value", ("count", "gadnet32", f"--format=x{text}"), {}, (2,)
    yield "a path of a configuration", ("check", f"--config=x{text}.toml"), {}, (2,)
    yield "a file to write", ("count", "gadnet32", "-o", f"nothing{text}/x.json"), {}, (2,)
    yield "a store", ("history", f"--store=x{text}"), {}, (2,)
    yield "a knob", ("count", f"gadnet32:x{text}=1"), {}, (2,)
    yield "a budget", ("check",), {"gadprof.toml": f'[budgets.{_quoted(text)}]\nmodel = "gadnet32"\n'
                                                   'max_macs = "1G"\n'}, (1, 2)  # fmt: skip
    yield "a key", ("check",), {"gadprof.toml": f"{_quoted(text)} = 1\n"}, (2,)
    yield "a reason", ("check", f"--waive=x{text}"), {
        "gadprof.toml": '[budgets.gadnet32]\nmax_macs = "1G"\n'}, (0,)  # fmt: skip


def _quoted(text: str) -> str:
    escaped = (f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}" for c in text)
    return '"x' + "".join(escaped) + '"'


def cases() -> Iterator[Case]:
    """Each text in each place, on a terminal."""
    for name, text in ESCAPES.items():
        for place, words, files, exits in _places(text):
            yield Case(f"{name} in {place}", words, files=files, exits=exits, stdout="terminal",
                       stderr="terminal")  # fmt: skip
    for width in (1, 2, 5, 20, 79, 80, 81, 400, 65535):
        for words in (("compare", "gadnet32", "hrnet32"), ("formula", "--c-in=32"), ("--help",)):
            yield Case(f"{words[0]} on {width} columns", words, exits=(0,), stdout="terminal",
                       width=width)  # fmt: skip
    for kind in KINDS:
        for env in ({}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "nothing"}):
            yield Case(f"TERM={kind!r} with {env}", ("compare", "gadnet32", "hrnet32"), exits=(0,),
                       stdout="terminal", env={"TERM": kind, **env})  # fmt: skip
    for color in ("always", "never", "auto"):
        yield Case(f"--color={color}", (f"--color={color}", "compare", "gadnet32"), exits=(0,),
                   stdout="terminal")  # fmt: skip
