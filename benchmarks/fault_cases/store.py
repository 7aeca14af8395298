"""Stores: damaged, foreign, newer, of another kind, out of reach, in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.fault_cases.case import Case, Make

READS = (("history",), ("history", "gadnet32"), ("compare", "gadnet32", "--baseline=store:x"))
WRITES = (("compare", "gadnet32"), ("count", "gadnet32", "--save-as=x"))
READ_ONLY = ("s.sqlite*",)  # a comparison is kept, a reader makes the index of the log


def _made(work: Path) -> Path:
    """A store with two models in it."""
    from gadprof.store.store import NewEntry, Store

    path = work / "s.sqlite"
    with Store(path) as store:
        store.add([NewEntry("cost", "gadnet32", {"params": 1, "macs": 1}),
                   NewEntry("cost", "hrnet32", {"params": 2, "macs": 2})], name="x")  # fmt: skip
    return path


def _with(change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        path = _made(work)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return make


def _sql(*statements: str) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        with closing(sqlite3.connect(_made(work))) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return make


def _cut(size: int) -> Callable[[bytearray], object]:
    return lambda data: data.__delitem__(slice(size, None))


def _set(at: int, value: bytes) -> Callable[[bytearray], object]:
    return lambda data: data.__setitem__(slice(at, at + len(value)), value)


def _foreign(work: Path) -> None:
    with closing(sqlite3.connect(work / "s.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE a (b)")


def _text(content: bytes) -> Make:
    return lambda work: (work / "s.sqlite").write_bytes(content)


# a file that is refused untouched, whoever reads or writes
REFUSED: dict[str, Make] = {
    "words": _text(b"words"), "noise": _text(bytes(range(256)) * 64),
    "a header alone": _text(b"SQLite format 3\x00"), "zeros": _text(bytes(4096)),
    "a database of another's": _foreign,
    "an older application": _with(_set(68, b"\x00\x00\x00\x01")),
    "a newer schema": _sql("PRAGMA user_version = 99"),
    "a negative schema": _sql("PRAGMA user_version = -1"),
    "cut in its header": _with(_cut(60)), "cut in its first page": _with(_cut(1000)),
    "cut after a page": _with(_cut(4096)), "cut in its last page": _with(lambda d: d.__delitem__(slice(len(d) - 100, None))),
    "a page of zeros": _with(_set(4096, bytes(4096))), "a page of noise": _with(_set(8192, bytes(range(256)) * 16)),
    "its page size changed": _with(_set(16, b"\x02\x00")), "its page size of zero": _with(_set(16, b"\x00\x00")),
    "its format of writing changed": _with(_set(18, b"\x09\x09")), "its encoding changed": _with(_set(56, b"\x00\x00\x00\x02")),
    "without its tables": _sql("DROP TABLE samples", "DROP TABLE entries"),
    "a table of other columns": _sql("ALTER TABLE entries RENAME COLUMN result TO other"),
    "a view in a table's place": _sql("DROP TABLE samples", "CREATE VIEW samples AS SELECT 1 AS entry, 1 AS position, 1 AS value"),
}  # fmt: skip
# what is read only by who reads entries
ENTRIES: dict[str, Make] = {
    "a result that is no JSON": _sql("UPDATE entries SET result = '{'"),
    "a result of deep JSON": _sql(f"UPDATE entries SET result = '{'[' * 100_000}'"),
    "a result of a list": _sql("UPDATE entries SET result = '[]'"),
    "a result of a number": _sql("UPDATE entries SET result = '5'"),
    "a result of bytes": _sql("UPDATE entries SET result = x'ff00'"),
    "figures of text": _sql("UPDATE entries SET result = '{\"macs\": \"x\"}'"),
    "figures of lists": _sql("UPDATE entries SET result = '{\"macs\": [1]}'"),
    "figures of a long number": _sql(f"UPDATE entries SET result = '{{\"macs\": {'9' * 5000}}}'"),
    "figures of NaN": _sql("UPDATE entries SET result = '{\"macs\": NaN}'"),
    "settings of a number": _sql("UPDATE entries SET settings = '5'"),
    "settings that are no JSON": _sql("UPDATE entries SET settings = ''"),
    "a date of words": _sql("UPDATE entries SET recorded_at = 'yesterday'"),
    "a date of a number": _sql("UPDATE entries SET recorded_at = 5"),
    "a kind of escapes": _sql("UPDATE entries SET kind = char(27) || '[2J'"),
    "a model of escapes": _sql("UPDATE entries SET model = char(27) || ']0;t' || char(7) WHERE id = 1"),
    "a model of a null": _sql("UPDATE entries SET model = char(0) || 'x' WHERE id = 1"),
    "a model of bytes": _sql("UPDATE entries SET model = x'fffe' WHERE id = 1"),
    "a machine that is no JSON": _sql("UPDATE machines SET description = '{'"),
    "a machine of a number": _sql("UPDATE machines SET description = '5'"),
    "a machine that is missing": _sql("PRAGMA foreign_keys = OFF", "DELETE FROM machines"),
    "a sample that is no JSON": _sql("INSERT INTO samples VALUES (1, 0, 'x')"),
    "a name of escapes": _sql("UPDATE entries SET name = char(27) || '[2J'"),
    "a trigger": _sql("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END"),
}  # fmt: skip


def _mode(mode: int, *, folder: bool = False) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        path = _made(work)
        (work if folder else path).chmod(mode)

    return make


def _locked(work: Path) -> None:
    """Another process holds the store for longer than anybody waits."""
    path = _made(work)
    import subprocess
    import sys

    code = ("import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('BEGIN IMMEDIATE'); print(flush=True); time.sleep(8)")  # fmt: skip
    held = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert held.stdout is not None
    held.stdout.readline()


PLACES: dict[str, tuple[Make | None, str]] = {
    "a folder": (lambda w: (w / "s.sqlite").mkdir(), "s.sqlite"),
    "a pipe": (lambda w: os.mkfifo(w / "s.sqlite"), "s.sqlite"),
    "a link to itself": (lambda w: (w / "s.sqlite").symlink_to("s.sqlite"), "s.sqlite"),
    "a link to zeros": (lambda w: (w / "s.sqlite").symlink_to("/dev/zero"), "s.sqlite"),
    "zeros": (None, "/dev/zero"),
    "a full device": (None, "/dev/full"),
    "a path through a file": (lambda w: (w / "f").write_text(""), "f/s.sqlite"),
    "a path through the null device": (None, "/dev/null/s.sqlite"),
    "a name too long": (None, "x" * 300),
    "a path too long": (None, "x/" * 3000),
    "a name of escapes in a folder that is not there": (None, "\x1b[2J/\x9b.sqlite"),
    "/proc": (None, "/proc/s.sqlite"),
    "a name with a question mark": (None, "nothing/a?mode=memory"),
    "another user's home": (None, "~nobody_at_all/s.sqlite"),
}


# a store's folder is made
MADE = {
    "a name of escapes in a folder that is not there": ("\x1b*",),
    "a name with a question mark": ("nothing*",),
}


def cases() -> Iterator[Case]:
    """Each store before who reads one and who writes one."""
    for name, make in REFUSED.items():
        for words in (*READS[:1], *WRITES):
            yield Case(f"{words[0]}: {name}", (*words, "--store=s.sqlite"), make=make, lines=2)
    for name, make in ENTRIES.items():
        for words in READS:
            yield Case(f"{' '.join(words)}: {name}", (*words, "--store=s.sqlite"), make=make,
                       exits=(0, 1, 2), writes=READ_ONLY, lines=2)  # fmt: skip
    for name, (place, path) in PLACES.items():
        made = MADE.get(name, ())
        for words in (*READS[:1], *WRITES):
            yield Case(f"{words[0]} at {name}", (*words, f"--store={path}"), make=place, limit_s=60,
                       lines=2, writes=made, exits=(0, 2) if made else (2,))  # fmt: skip
        # the store of the environment is a warning for who only keeps
        yield Case(f"a store of the environment at {name}", WRITES[0], exits=(0,), make=place,
                   env={"GADPROF_STORE": path}, limit_s=60, writes=made)  # fmt: skip
    yield Case("a store that may not be read", (*READS[0], "--store=s.sqlite"), make=_mode(0),
               user=True)  # fmt: skip
    yield Case("a store that may not be written", (*WRITES[0], "--store=s.sqlite"), user=True,
               make=_mode(0o444), lines=2)  # fmt: skip
    yield Case("a store in a folder that may not be written", (*READS[0], "--store=s.sqlite"),
               make=_mode(0o555, folder=True), exits=(0,), user=True, writes=READ_ONLY)  # fmt: skip
    yield Case("an empty file becomes a store", (*WRITES[0], "--store=s.sqlite"), exits=(0, 2),
               make=_text(b""), writes=("s.sqlite*",), lines=2)  # fmt: skip
    yield Case("a store that is held", (*WRITES[0], "--store=s.sqlite"), exits=(0,), make=_locked,
               writes=("s.sqlite*",))  # fmt: skip
    yield Case("a disk that is full", (*WRITES[0], "--store=s.sqlite"), limits={"RLIMIT_FSIZE": 2048},
               writes=("s.sqlite*",), lines=2)  # fmt: skip
    for name in ("", "x" * 10_000, "\x1b[2J", "a\nb", "\udcff", "--x", "'; DROP TABLE entries; --"):
        yield Case(f"kept as {name.encode('unicode_escape')[:20]!r}", (*WRITES[1][:2],
                   f"--save-as={name}", "--store=s.sqlite"), exits=(0, 2), writes=("s.sqlite*",),
                   make=_made)  # fmt: skip
    for model in ("nothing", "\x1b[2J", "'; --", "%", "", "x" * 100_000, "\udcff"):
        yield Case(f"history of {model.encode('unicode_escape')[:20]!r}",
                   ("history", "--store=s.sqlite", "--", model), exits=(0, 2), make=_made)  # fmt: skip
