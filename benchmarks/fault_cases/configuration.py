"""Configurations: what TOML cannot be, keys nobody knows, values of the wrong kind, odd places."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fault_cases.case import Case, Make
from benchmarks.fault_cases.made import sparse_terabyte

BUDGET = "[budgets.gadnet32]\n"
LONG = "9" * 5000
TEXTS: dict[str, str | bytes] = {
    "empty": "", "spaces": "   \n\n", "a word": "word", "an equals sign": "=", "a bracket": "[",
    "brackets": "[]", "[[": "[[", "no value": "a =", "twice": "a = 1\na = 1",
    "a table twice": f"{BUDGET}{BUDGET}", "bad escape": 'a = "\\q"', "open text": 'a = "',
    "bad date": "a = 1979-99-99", "two points": "a = 1..2", "bytes": b"\xff\xfe\x00",
    "a BOM": b"\xef\xbb\xbf" + BUDGET.encode() + b'max_macs = "9"', "UTF-16": BUDGET.encode("utf-16"),
    "latin-1": b'a = "\xe9"', "null bytes": b"\x00" * 100, "control bytes": "a = \x1b[2J",
    "an escape in a key": '"\x1b" = 1', "deep arrays": "a = " + "[" * 5000 + "]" * 5000,
    "deep tables": "a = " + "{b = " * 3000 + "1" + "}" * 3000, "dotted": ".".join("a" * 3000) + " = 1",
    "a long number": f"a = {LONG}", "a long number in a budget": f"{BUDGET}max_macs = {LONG}",
    "a megabyte": "# " + "x" * (1 << 20), "300 KiB of budgets": "".join(
        f"[budgets.b{n}]\nmax_macs = 1\n" for n in range(12000)),
    "an unknown key": "nothing = 1", "an unknown table": "[nothing]", "budgets of a number": "budgets = 1",
    "budgets of a list": "budgets = []", "budgets of tables": "[[budgets]]", "no budget": "[budgets]",
    "a budget of a number": "[budgets]\ngadnet32 = 1", "a budget of text": '[budgets]\ngadnet32 = "x"',
    "a budget without rules": BUDGET, "an unknown rule": f"{BUDGET}max_nothing = 1",
    "an escape in a rule": f'{BUDGET}"max_\\u001b[2J" = 1', "a name of escapes": '[budgets."\\u001b[2J"]\nmax_macs = 1',
    "a name that is empty": '[budgets.""]\nmax_macs = 1', "a name of a path": '[budgets."../../x.py:build"]\nmax_macs = 1',
    "a name of 5000": f'[budgets."{"x" * 5000}"]\nmax_macs = 1', "a model of a number": f"{BUDGET}model = 1\nmax_macs = 1",
    "a model of nothing": f'{BUDGET}model = ""\nmax_macs = 1', "a model that is not there": f'{BUDGET}model = "nothing"\nmax_macs = 1',
    "uncounted of a word": f'uncounted = "maybe"\n{BUDGET}max_macs = 1', "uncounted of a number": f"{BUDGET}uncounted = 1\nmax_macs = 1",
    "a baseline of a number": "baseline = 1", "a baseline file of a number": "baseline_file = 1",
    "a store of a number": f"store = 1\n{BUDGET}max_macs = 1", "waivers of text": 'waivers = "x"',
    "a waiver without a budget": '[[waivers]]\nrule = "max_macs"\nreason = "x"',
    "a waiver of another budget": f'{BUDGET}max_macs = 1\n[[waivers]]\nbudget = "x"\nrule = "max_macs"\nreason = "x"',
    "a waiver without a reason": f'{BUDGET}max_macs = 1\n[[waivers]]\nbudget = "gadnet32"\nrule = "max_macs"\nreason = ""',
    "a waiver of an unknown rule": f'{BUDGET}max_macs = 1\n[[waivers]]\nbudget = "gadnet32"\nrule = "max_nothing"\nreason = "x"',
    "a report of text": 'report = "x"', "a latency without its reference": f"{BUDGET}max_latency_ratio = 0.9",
    "a reference without its latency": f'{BUDGET}reference = "hrnet32"',
    "tool without gadprof": "[tool.other]\na = 1",
    "a tool of a number": f"tool = 1\n{BUDGET}max_macs = 1",
}  # fmt: skip

VALUES = (
    "-1", "0.5", "nan", "inf", "-inf", "true", "[]", "{}", '""', '" "', '"x"', '"-1G"', '"1e400"',
    '"nan"', '"inf G"', '"1G G"', '"1 000"', '"1,000"', '"1X"', '"0x10"', f'"{LONG}"', f"{LONG}",
    '"\\u001b[2J"', '"1G\\u202e"', "1979-05-27", "07:32:00", '"\u0664G"', '"--"', "1e400", "-0.0",
)  # fmt: skip
RULES = ("max_params", "max_macs", "max_peak_bytes", "min_coverage", "max_growth", "batch")
SHARES = ('"101%"', '"-1%"', '"%"', '"1%%"', "2", '"1e999%"', '"nan%"', "[1]", "{ nothing = 1 }",
          '{ macs = "x" }', '{ macs = -1 }')  # fmt: skip
REPORTS = ("models = 1", 'models = ""', "models = [1]", 'models = ["nothing"]', "title = 1",
           'title = ""', "batch = 0", "batch = 1e9", 'batch = "x"', "input = 1", 'input = ["x"]',
           'input = ["0x0"]', 'backends = ["nothing"]', 'data = ["nothing.json"]', "data = 1",
           'data = ["/dev/zero"]', 'data = ["."]', "nothing = 1", "models = []")  # fmt: skip


def _denied(work: Path) -> None:
    (work / "gadprof.toml").write_text(BUDGET + 'max_macs = "9G"')
    (work / "gadprof.toml").chmod(0)


PLACES: dict[str, tuple[Make | None, str]] = {
    "a folder": (lambda w: (w / "c.toml").mkdir(), "c.toml"),
    "a pipe": (lambda w: os.mkfifo(w / "c.toml"), "c.toml"),
    "a link to itself": (lambda w: (w / "c.toml").symlink_to("c.toml"), "c.toml"),
    "a link to zeros": (lambda w: (w / "c.toml").symlink_to("/dev/zero"), "c.toml"),
    "nothing": (None, "c.toml"),
    "nothing, with escapes": (None, "\x1b[2J\x1b]0;t\x07\x9b.toml"),
    "a name too long": (None, "x" * 300 + ".toml"),
    "a path too long": (None, "x/" * 3000 + "c.toml"),
    "zeros": (None, "/dev/zero"),
    "the null device": (None, "/dev/null"),
    "a path through a file": (lambda w: (w / "f").write_text(""), "f/c.toml"),
    "an empty name": (None, ""),
    "a null byte": (None, "a\x00b"[:1] + "\udc00b"),
    "a sparse terabyte": (lambda w: sparse_terabyte(w / "c.toml"), "c.toml"),
}


def cases() -> Iterator[Case]:
    """Each text, value and place before ``check``, some before ``report``."""
    for name, text in TEXTS.items():
        yield Case(f"check: {name}", ("check",), files={"gadprof.toml": text}, exits=(1, 2))
        yield Case(f"report: {name}", ("report", "--check"), files={"gadprof.toml": text},
                   exits=(1, 2))  # fmt: skip
    for rule in RULES:
        for value in VALUES:
            text = f"{BUDGET}{rule} = {value}\n"
            if rule == "batch":
                text += "max_macs = 1\n"
            # a zero, a number with a space for each thousand, other scripts' digits: all are read
            fine = value in ("-0.0", '"1 000"', '"\u0664G"') or (
                value == "0.5" and rule in ("min_coverage", "max_growth"))  # fmt: skip
            yield Case(f"{rule} = {value[:30]}", ("check",), files={"gadprof.toml": text},
                       exits=(0, 1, 2) if fine else (2,))  # fmt: skip
    for rule in ("min_coverage", "max_growth"):
        for value in SHARES:
            yield Case(f"{rule} share {value}", ("check",), exits=(1, 2),
                       files={"gadprof.toml": f"{BUDGET}{rule} = {value}\n"})  # fmt: skip
    for line in REPORTS:
        yield Case(f"report: {line}", ("report", "--check"), exits=(1, 2),
                   files={"gadprof.toml": f"[report]\n{line}\n"})  # fmt: skip
    for name, (make, path) in PLACES.items():
        for words in (("check",), ("report", "--check")):
            yield Case(f"{words[0]} --config: {name}", (*words, "--config", path), make=make,
                       limit_s=30)  # fmt: skip
    yield Case("a configuration that may not be read", ("check",), make=_denied, user=True)
    yield Case("pyproject without a table", ("check", "--config", "pyproject.toml"),
               files={"pyproject.toml": "[project]\nname = 'x'\n"})  # fmt: skip
    yield Case("pyproject whose table is text", ("check",),
               files={"pyproject.toml": "[tool]\ngadprof = 'x'\n"})  # fmt: skip
    yield Case("pyproject that is broken", ("check",), files={"pyproject.toml": "[tool"})
    yield Case("a budget that is not there", ("check", "nothing"),
               files={"gadprof.toml": BUDGET + 'max_macs = "9G"'})  # fmt: skip
    yield Case("a budget of escapes", ("check", "\x1b[2J"),
               files={"gadprof.toml": BUDGET + 'max_macs = "9G"'})  # fmt: skip
    yield Case("a budget that is broken", ("check",), exits=(1,), prints="max_macs",
               files={"gadprof.toml": BUDGET + 'max_macs = "1G"'})  # fmt: skip
    yield Case("a budget that holds", ("check",), exits=(0,),
               files={"gadprof.toml": BUDGET + 'max_macs = "9G"'})  # fmt: skip
    yield Case("one name of two is unknown", ("check",), exits=(2,), prints="gadnet32", says="nothing",
               files={"gadprof.toml": BUDGET + 'max_macs = "9G"\n[budgets.nothing]\nmax_macs = 1'},
               lines=9)  # fmt: skip
    for waiver in ("", " ", "x" * 100_000, "\x1b[2J", "a\nb"):
        yield Case(f"a waiver {waiver.encode('unicode_escape').decode()[:20]!r}",
                   ("check", f"--waive={waiver}"), exits=(0, 1, 2),
                   files={"gadprof.toml": BUDGET + 'max_macs = "1G"'}, lines=5)  # fmt: skip
    for event in ("", "[]", "{", "null", '{"pull_request": 1}', '{"pull_request": {"labels": 1}}',
                  '{"pull_request": {"labels": [1]}}', "[" * 5000, "\x00", "9" * 5000):  # fmt: skip
        yield Case(f"an event {event[:30]!r}", ("check", "--waiver-label=x"), exits=(1, 2),
                   files={"gadprof.toml": BUDGET + 'max_macs = "1G"', "e.json": event},
                   env={"GITHUB_EVENT_PATH": "e.json"}, lines=5)  # fmt: skip
    for path in ("nothing.json", "/dev/zero", ".", "pipe", "x" * 300):
        yield Case(f"an event at {path[:20]}", ("check", "--waiver-label=x"), exits=(1, 2),
                   files={"gadprof.toml": BUDGET + 'max_macs = "1G"'},
                   make=lambda w: os.mkfifo(w / "pipe"), env={"GITHUB_EVENT_PATH": path},
                   limit_s=30, lines=5)  # fmt: skip
