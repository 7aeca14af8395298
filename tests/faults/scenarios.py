"""Runs one scenario again and again while its n-th write fails; one JSON line an attempt.

    LD_PRELOAD=failing_writes.so FAULT_FOLDER=… python scenarios.py SCENARIO STEP ERRNO:FIRST …

For each error the writes numbered FIRST, FIRST + STEP, … fail, one in each attempt. Each line holds
the error, the exit code, what was said, what is in the folder, and whether a write failed; an
error's first line is that of an attempt in which none does, and its last the first that was not
reached.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

LASTING = (errno.ENOSPC, errno.EIO)  # a full or broken disk stays so; the others happen once

Prepare = Callable[[Path], None]
Act = Callable[[Path], int]


def command(*words: str) -> Act:
    """A command line, FOLDER standing for the folder."""

    def act(folder: Path) -> int:
        from gadprof.cli import run

        return run([word.replace("FOLDER", str(folder)) for word in words])

    return act


def old_files(*names: str) -> Prepare:
    def prepare(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("old")

    return prepare


def first_rows(folder: Path) -> None:
    command("compare", "gadnet32", "--store", "FOLDER/s.sqlite", "-o", "FOLDER/x.txt")(folder)
    (folder / "x.txt").unlink()


def put_in_journal(folder: Path) -> int:
    from gadprof.cluster.journal import Journal
    from gadprof.errors import GadprofError

    try:
        journal = Journal(folder / "s.sqlite")
        journal.put("second", {"value": 2})
        journal.close()
    except GadprofError as error:
        print(f"gadprof: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def first_in_journal(folder: Path) -> None:
    from gadprof.cluster.journal import Journal

    journal = Journal(folder / "s.sqlite")
    journal.put("first", {"value": 1})
    journal.close()


def save_checkpoint(folder: Path) -> int:
    import torch

    from gadprof.errors import GadprofError
    from gadprof.pose.checkpoints import AtomicCheckpointIO

    try:
        AtomicCheckpointIO().save_checkpoint({"weight": torch.arange(1000)}, folder / "last.ckpt")
    except GadprofError as error:
        print(f"gadprof: {error}", file=sys.stderr)
        return error.exit_code
    return 0


SWEEP = ("sweep", "gadnet", "--width", "8:12", "-o", "FOLDER/out.parquet")
SCENARIOS: dict[str, tuple[Prepare, Act]] = {
    "export": (
        old_files("out.json"),
        command("compare", "gadnet32", "--format", "json", "-o", "FOLDER/out.json"),
    ),
    "plot": (old_files("out.svg"), command("compare", "gadnet32", "hrnet32", "--plot",
                                           "FOLDER/out.svg")),
    "baseline": (
        lambda folder: (folder / "gadprof.toml").write_text(  # type: ignore[arg-type,return-value]
            '[budgets.gadnet32]\nmax_params = "12M"\n'
        ),
        command("check", "--config", "FOLDER/gadprof.toml", "--save-baseline", "FOLDER/b.json",
                "--junit", "FOLDER/j.xml"),
    ),
    "report": (
        old_files("reports/report.md", "reports/report.html"),
        command("report", "gadnet32:width=8", "-o", "FOLDER/reports"),
    ),
    "new store": (
        lambda folder: None,
        command("compare", "gadnet32", "--store", "FOLDER/s.sqlite"),
    ),
    "store": (first_rows, command("compare", "hrnet32", "--store", "FOLDER/s.sqlite")),
    "journal": (first_in_journal, put_in_journal),
    "sweep": (old_files(), command(*SWEEP)),
    "checkpoint": (old_files("last.ckpt"), save_checkpoint),
}  # fmt: skip


def files_in(folder: Path) -> dict[str, str]:
    """What each file holds: ``old``, or a digest; of a store, the models it gives."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            found[name] = "old" if data == b"old" else hashlib.sha256(data).hexdigest()[:12]
    if (folder / "s.sqlite").exists():
        found = {name: text for name, text in found.items() if not name.startswith("s.sqlite")}
        found["s.sqlite"] = kept_in(folder / "s.sqlite")
    return found


def kept_in(path: Path) -> str:
    import sqlite3

    from gadprof.store.store import Store

    with Store(path) as store:
        models = sorted(entry.model for entry in store.entries())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        with contextlib.suppress(sqlite3.OperationalError):
            models += [key for (key,) in connection.execute("SELECT key FROM cluster_tasks")]
    return f"{state}: {', '.join(models)}"


def attempt(name: str, folder: Path, number: int, code: int) -> dict[str, object]:
    shim = ctypes.CDLL(None)
    prepare, act = SCENARIOS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    prepare(folder)
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        shim.fault_arm(ctypes.c_long(number), code, code in LASTING)
        try:
            exit_code: int | str = act(folder)
        except BaseException as error:
            exit_code = f"{type(error).__name__}: {error}"
        fired = bool(shim.fault_fired())
    try:
        files: object = files_in(folder)
    except Exception as error:
        files = f"{type(error).__name__}: {error}"
    return {"exit": exit_code, "said": said.getvalue(), "files": files, "fired": fired}


def main() -> None:
    name, step, folder = sys.argv[1], int(sys.argv[2]), Path(os.environ["FAULT_FOLDER"])
    for series in sys.argv[3:]:
        code, first = map(int, series.split(":"))
        run_series(name, folder, code, range(first, 400, step))


def run_series(name: str, folder: Path, code: int, numbers: range) -> None:
    for number in (10**9, *numbers):
        found = attempt(name, folder, number, code)
        print(json.dumps({"errno": code, **found}), flush=True)
        if not found["fired"] and number in numbers:
            return
    raise SystemExit("more writes than were thought of")


if __name__ == "__main__":
    main()
