"""Where a baseline comes from: a JSON file, a name in the results store, or a git ref.

``NAME|FILE|REF`` is tried in that order of certainty: an existing file, a name in the store, a
commit; ``file:``, ``store:`` and ``git:`` in front decide. At a ref the committed file that
``baseline_file`` in the configuration names is read (else ``gadprof-baseline.json``, else
``reports/data/report.json``); ``REF:PATH`` names another. A baseline file is any JSON that
``gadprof compare --format json`` or ``gadprof report`` wrote. Nothing is checked out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gadprof.errors import BaselineError, StoreError, nearest
from gadprof.results import files
from gadprof.results.figures import KEYS
from gadprof.results.plain import SCHEMA_VERSION

FILES_AT_A_REF = ("gadprof-baseline.json", "reports/data/report.json")
FIGURES = (*KEYS, "kernels")


@dataclass(frozen=True)
class BaselineRow:
    """One model's kept figures (exact integers; a figure that was not kept is absent).

    ``at_least`` says that something was not counted when they were kept.
    """

    model: str
    figures: Mapping[str, int]
    settings: Mapping[str, Any]
    at_least: bool = False


@dataclass(frozen=True)
class Baseline:
    """Kept figures by model, and where they were found."""

    origin: str
    rows: tuple[BaselineRow, ...]

    def row(self, model: str) -> BaselineRow:
        """The row of a model. Raises BaselineError."""
        for row in self.rows:
            if row.model == model:
                return row
        names = [row.model for row in self.rows]
        raise BaselineError(
            f"baseline {self.origin} has no row for {model!r}"
            + (nearest(model, names) or f"; it has {', '.join(names[:8]) or 'none'}")
        )


def find_baseline(
    text: str, *, store: str | None = None, file_at_ref: str | None = None
) -> Baseline:
    """Find and read the baseline that a text names. Raises BaselineError or StoreError."""
    prefix, colon, rest = text.partition(":")
    if colon and prefix in ("file", "store", "git"):
        if not rest:
            raise BaselineError(f"baseline {text!r} names nothing; type {prefix}:NAME")
        match prefix:
            case "file":
                return read_file(Path(rest))
            case "store":
                return _from_store(rest, store)
            case _:
                return _from_git(rest, file_at_ref)
    if Path(text).is_file():
        return read_file(Path(text))
    if text.endswith(".json") and not colon:
        raise BaselineError(f"baseline file {text!r} does not exist; name another")
    if text in _store_names(store):
        return _from_store(text, store)
    if is_commit(prefix):
        return _from_git(text, file_at_ref)
    raise BaselineError(
        f"baseline {text!r} is no file, no name in the results store and no git ref"
        + (nearest(text, _store_names(store)) or "; keep one with 'gadprof compare … --save-as'")
    )


def read_file(path: Path) -> Baseline:
    """Read a baseline from a JSON file. Raises BaselineError."""
    return read_rows(files.read_file(path, "baseline", BaselineError), _shown(path))


def _shown(path: Path) -> str:
    """A path as a comment names it: from the folder of the run, where it lies below it."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except (ValueError, OSError):
        return str(path)


def read_rows(data: bytes, origin: str) -> Baseline:
    """Read the ``rows`` of a JSON document, or of its ``comparison``. Raises BaselineError."""
    document = files.parse_json(data, f"baseline {origin}", BaselineError)
    version = document.get("schema_version", 1) if isinstance(document, dict) else 1
    if type(version) is not int or version > SCHEMA_VERSION:
        raise BaselineError(
            f"baseline {origin} has schema version {str(version)[:20]}, this gadprof reads "
            f"{SCHEMA_VERSION}; update gadprof, or write it anew"
        )
    if isinstance(document, dict) and isinstance(document.get("comparison"), dict):
        document = document["comparison"]
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise BaselineError(
            f"baseline {origin} holds no rows; write one with "
            "'gadprof compare MODEL --format json -o FILE'"
        )
    return Baseline(origin, tuple(_row(row, origin) for row in rows))


def _row(row: Any, origin: str) -> BaselineRow:
    if not isinstance(row, dict) or not isinstance(row.get("model"), str):
        raise BaselineError(f"baseline {origin} has a row without a model; write it anew")
    figures: dict[str, int] = {}
    for figure in FIGURES:
        value = row.get(figure)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BaselineError(
                f"baseline {origin}: {figure} of {row['model']!r} is {str(value)[:40]!r}, "
                "not a whole number; write it anew"
            )
        figures[figure] = value
    settings = {key: row[key] for key in ("input", "batch") if key in row}
    return BaselineRow(row["model"], figures, settings, bool(row.get("uncovered")))


def _store_names(store: str | None) -> tuple[str, ...]:
    from gadprof.store.store import Store, chosen_path

    path = chosen_path(store)
    if path is None or not path.exists():
        return ()
    with Store(path, create=False) as opened:
        return opened.names()


def _from_store(name: str, store: str | None) -> Baseline:
    from gadprof.store.store import Store, chosen_path

    path = chosen_path(store)
    if path is None:
        raise StoreError(f"the store is off, so baseline {name!r} is not found; use --store PATH")
    with Store(path, create=False) as opened:
        entries = opened.baseline(name)
    rows = [_row({**(entry.result or {}), "model": entry.model}, name) for entry in entries]
    settings = [entry.settings for entry in entries]
    return Baseline(
        f"{name!r} in the store",
        tuple(replace(row, settings=kept) for row, kept in zip(rows, settings, strict=True)),
    )


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git and give what it said; a failure is in its return code. Raises BaselineError."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BaselineError(f"git cannot be run ({error}); name a baseline file instead") from error


def is_commit(ref: str) -> bool:
    """Whether a text names a commit of this repository."""
    if not ref or ref.startswith("-") or "\0" in ref:
        return False
    try:
        done = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except BaselineError:
        return False
    return done.returncode == 0


def _from_git(text: str, file_at_ref: str | None) -> Baseline:
    ref, _, path = text.partition(":")
    if not is_commit(ref):
        raise BaselineError(f"{ref!r} is no commit here; fetch it or name another git ref")
    tried = (path,) if path else (file_at_ref,) if file_at_ref else FILES_AT_A_REF
    for name in tried:
        # a path is read from the current folder, as one types it
        shown = git("cat-file", "blob", f"{ref}:./{name}" if not name.startswith("/") else name)
        if shown.returncode == 0:
            return read_rows(shown.stdout, f"{ref}:{name}")
    raise BaselineError(
        f"git ref {ref!r} holds no {' or '.join(tried)}; commit one, or type --baseline {ref}:PATH"
    )
