"""Environments: variables, folders, locales, limits and neighbours that nobody wished for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fault_cases.case import Case

COUNT = ("count", "gadnet32")
NETWORK = ("count", "gadnet32:width=8,blocks=1-1-1-1,modules=1-1-1", "--trace")
LONG = "x" * 100_000
VARIABLES: dict[str, tuple[str, ...]] = {
    "TMPDIR": ("", "nothing", "/dev/null", "/proc", "\x1b[2J", "x" * 5000),
    "HOME": ("", "nothing", "/dev/null", "/root/\x1b[2J", "x" * 5000),
    "XDG_DATA_HOME": ("", "nothing", "/dev/null"),
    "XDG_CACHE_HOME": ("", "/dev/null"),
    "PATH": ("", "/nothing", "\x1b[2J"),
    "LANG": ("", "nothing", "xx_XX.UTF-99", "\x1b[2J"),
    "LC_ALL": ("", "C", "POSIX", "nothing", "tr_TR.UTF-8"),
    "LANGUAGE": ("nothing",),
    "TZ": ("nothing", "\x1b[2J", "UTC+99"),
    "PYTHONIOENCODING": ("ascii", "latin-1", "cp437", "utf-16", "ascii:strict"),
    "PYTHONUTF8": ("0", "1"),
    "PYTHONWARNINGS": ("error",),
    "PYTHONOPTIMIZE": ("2",),
    "PYTHONHASHSEED": ("0", "4294967295"),
    "PYTHONDONTWRITEBYTECODE": ("1",),
    "PYTHONDEVMODE": ("1",),
    "PYTHONSAFEPATH": ("1",),
    "PYTHONNOUSERSITE": ("1",),
    "PYTHONINTMAXSTRDIGITS": ("0", "640"),
    "COLUMNS": ("0", "-1", "1", "nothing", "\u00b2", "9" * 9, "9" * 5000),
    "LINES": ("-1", "nothing", "9" * 5000),
    "TERM": ("", "nothing"),
    "NO_COLOR": ("", "1"),
    "OMP_NUM_THREADS": ("0", "-1", "nothing", "999999"),
    "MKL_NUM_THREADS": ("nothing",),
    "GADPROF_STORE": ("", "/dev/null", "nothing/x", "/proc/x", "\x1b[2J/x", "x" * 5000),
    "GITHUB_STEP_SUMMARY": ("", "/dev/null", "nothing/x"),
    "GITHUB_ACTIONS": ("true",),
    "CI": ("true",),
    "CUDA_VISIBLE_DEVICES": ("", "99", "nothing"),
    "MPLBACKEND": ("nothing", "TkAgg"),
    "MPLCONFIGDIR": ("/dev/null", "nothing"),
    "USER": ("", "\x1b[2J"),
    "GADPROF_TEST_LONG": (LONG,),
    "_GADPROF_COMPLETE": ("nothing", "bash_source", "\x1b[2J"),
}
FRESH = ("PYTHON", "LANG", "LC_", "TZ", "HOME", "TMPDIR")
COMMANDS = (COUNT, ("check",), ("doctor",))


def _deny(work: Path) -> None:
    work.chmod(0o333)  # may be entered, not listed


def _enclosed(work: Path) -> None:
    """A folder in one that nobody may look into."""
    work.chmod(0o000)


def cases() -> Iterator[Case]:
    """Each variable before three commands; folders, limits."""
    words: tuple[str, ...]
    files = {"gadprof.toml": '[budgets.gadnet32]\nmax_macs = "9G"\n'}
    for name, values in VARIABLES.items():
        for value in values:
            for words in COMMANDS:
                if words[0] == "doctor" and name.startswith(("PYTHON", "LC_", "TZ", "CI")):
                    continue
                store = name == "GADPROF_STORE" and value == ""
                exits: tuple[int, ...] = (0, 1) if words[0] == "doctor" else (0,)
                if value == "utf-16" or name in ("GITHUB_STEP_SUMMARY", "GADPROF_STORE"):
                    exits = (*exits, 2)  # a place that cannot be written, named by the user
                if name == "_GADPROF_COMPLETE":
                    exits = (0, 1, 2)  # click's own, for a shell that it does not know
                yield Case(
                    f"{name}={value[:20].encode('unicode_escape').decode()}: {words[0]}", words,
                    files=files, env={name: value}, fresh=name.startswith(FRESH) or name in
                    ("OMP_NUM_THREADS", "USER", "GADPROF_TEST_LONG"), exits=exits,
                    writes=("home/.local*", "home/.cache*", "home/.config*", "home/.local/share/*")
                    if store or words[0] == "doctor" else ("nothing", "nothing/x", "\x1b*")
                    if name == "GADPROF_STORE" else (), lines=3,
                    limit_s=200)  # fmt: skip
    for name, values in (("TMPDIR", ("nothing", "/dev/null", "/proc")), ("HOME", ("", "/dev/null")),
                         ("PATH", ("",)), ("OMP_NUM_THREADS", ("nothing", "0"))):  # fmt: skip
        for value in values:
            yield Case(f"a run with {name}={value}", NETWORK, env={name: value}, exits=(0, 1, 2),
                       lines=3, limit_s=200)  # fmt: skip
    for words in (COUNT, ("check",), ("compare", "hrnet32"), ("report", "gadnet32:width=8", "-o", "o"),
                  ("history",), ("count", "net.py:build"), ("doctor",)):  # fmt: skip
        shown = " ".join(words[:2])
        yield Case(f"a working folder that was removed: {shown}", words, exits=(0, 1, 2), fresh=True,
                   env={"REMOVE_FOLDER": "1"}, lines=3, limit_s=200)  # fmt: skip
        yield Case(f"a working folder that may not be read: {shown}", words, exits=(0, 1, 2),
                   user=True, make=_deny, lines=3, writes=("o", "o/*"), limit_s=200)  # fmt: skip
        yield Case(f"a working folder that is closed: {shown}", words, exits=(0, 1, 2), user=True,
                   make=_enclosed, lines=3, limit_s=200)  # fmt: skip
        yield Case(f"nobody's user: {shown}", words, exits=(0, 1, 2), user=True, lines=3,
                   writes=("o", "o/*"), limit_s=200)  # fmt: skip
    for limit, most in (("RLIMIT_NOFILE", 8), ("RLIMIT_NOFILE", 16), ("RLIMIT_FSIZE", 0),
                        ("RLIMIT_CORE", 0), ("RLIMIT_STACK", 1 << 20), ("RLIMIT_AS", 1 << 28),
                        ("RLIMIT_DATA", 1 << 26), ("RLIMIT_CPU", 30)):  # fmt: skip
        for words in (COUNT, ("compare", "gadnet32", "hrnet32"), ("count", "net.py:build")):
            # where no file may grow, the one that keeps what was said cannot either
            yield Case(f"{limit} of {most}: {' '.join(words[:2])}", words, exits=(0, 1, 2), fresh=True,
                       limits={limit: most}, lines=3, stderr="/dev/null" if most == 0 else "file")  # fmt: skip
    for words in (COUNT, ("compare", "hrnet32"), ("check",), ("formula", "--c-in=8")):
        yield Case(f"no environment at all: {words[0]}", words, exits=(0,), files=files, fresh=True,
                   env={name: None for name in os.environ if name != "PYTHONPATH"})  # fmt: skip
