"""The results store: one SQLite file that keeps every count and measurement with its machine.

Promises: an entry or a sample is kept once its call returns, also after a kill -9; any number of
processes write at once; a file that is damaged, foreign or of a newer schema is refused before
it is opened for writing, and its bytes stay as they were. Imports nothing beyond the standard
library, and ``sqlite3`` only on use.

Where it lies: ``--store PATH``, else ``$GADPROF_STORE``, else ``gadprof/results.sqlite`` in the
user's data folder. ``off`` in either place records nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gadprof.errors import StoreError, nearest, os_reason
from gadprof.output import tell
from gadprof.version import __version__

if TYPE_CHECKING:
    import sqlite3

STORE_SCHEMA_VERSION = 1
APPLICATION_ID = 0x47414450  # "GADP", at byte 68 of the file
BUSY_TIMEOUT_S = 30.0
ALWAYS_CHECKED_BYTES = 4 << 20  # a file up to this size is checked whole before each write

_SCHEMA = (
    """CREATE TABLE machines (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL
    )""",
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        recorded_at TEXT NOT NULL,
        kind TEXT NOT NULL,
        model TEXT NOT NULL,
        name TEXT,
        gadprof_version TEXT NOT NULL,
        settings TEXT NOT NULL,
        result TEXT,
        machine INTEGER NOT NULL REFERENCES machines (id)
    )""",
    "CREATE INDEX entries_by_model ON entries (model, id)",
    "CREATE INDEX entries_by_name ON entries (name, id) WHERE name IS NOT NULL",
    """CREATE TABLE samples (
        entry INTEGER NOT NULL REFERENCES entries (id),
        position INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (entry, position)
    ) WITHOUT ROWID""",
)
# what has to be there, as (table, column)
_COLUMNS = frozenset(
    (table, column)
    for table, columns in {
        "machines": "id fingerprint description",
        "entries": "id recorded_at kind model name gadprof_version settings result machine",
        "samples": "entry position value",
    }.items()
    for column in columns.split()
)


@dataclass(frozen=True)
class NewEntry:
    """What a command hands over: a kind, the model's string, the settings and the result.

    ``kind`` is ``cost`` (analytic), ``count`` (traced), ``measurement``, ``accuracy``, ``training``
    or ``redundancy``; ``result`` is any plain JSON object with base units, for example
    ``{"params": …, "macs": …}``.
    """

    kind: str
    model: str
    result: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredResult:
    """One kept result. ``result`` is None where the process died before it finished."""

    id: int
    recorded_at: str
    kind: str
    model: str
    name: str | None
    gadprof_version: str
    settings: Mapping[str, Any]
    result: Mapping[str, Any] | None
    machine: Mapping[str, Any]
    samples: tuple[Any, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run that wrote this entry reached its end."""
        return self.result is not None


@dataclass(frozen=True)
class StoredModel:
    """What the store holds of one model; ``latest`` is when its newest entry was kept."""

    model: str
    entries: int
    kinds: tuple[str, ...]
    baselines: tuple[str, ...]
    latest: str


def default_path() -> Path:
    """The store in the user's data folder (``$XDG_DATA_HOME`` respected)."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    elif sys.platform == "darwin":
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser(
            "~/Library/Application Support"
        )
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(base) / "gadprof" / "results.sqlite"


def chosen_path(option: str | None) -> Path | None:
    """The path that an option, the environment or the default names; None for ``off``."""
    named = option or os.environ.get("GADPROF_STORE")
    if named in ("off", "none"):
        return None
    try:
        return Path(named).expanduser() if named else default_path()
    except RuntimeError as error:  # ~name of nobody
        raise StoreError(f"no results store at {str(named)[:200]!r}: {error}") from error


class Store:
    """An open store; use it as a context manager. Raises StoreError for a file it refuses."""

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        if not store_exists(self.path):
            if not create:
                raise StoreError(
                    f"no results store at {str(self.path)!r}; run a command with "
                    f"--store {self.path} first"
                )
            _create(self.path)
        elif create:
            _sweep(self.path)
        size = _check_header(self.path)
        if create and not os.access(self.path, os.W_OK):
            raise StoreError(
                f"the results store {str(self.path)!r} may not be written; name another with "
                "--store, or --store off"
            )
        if not create or size <= ALWAYS_CHECKED_BYTES:
            _check_pages(self.path)
        self._connection = _connect(self.path, writable=create)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last process to close folds the log into it."""
        self._connection.close()

    def add(
        self,
        entries: Sequence[NewEntry],
        *,
        name: str | None = None,
        machine: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        """Keep entries in one transaction, under a baseline's name if one is given."""
        with self._transaction() as connection:
            owner = _machine_id(connection, machine)
            return tuple(_insert(connection, entry, owner, name) for entry in entries)

    def start(
        self,
        kind: str,
        model: str,
        settings: Mapping[str, Any] | None = None,
        *,
        machine: Mapping[str, Any] | None = None,
    ) -> Recording:
        """Begin an entry whose samples are kept one by one as they are taken."""
        with self._transaction() as connection:
            owner = _machine_id(connection, machine)
            entry = _insert(connection, NewEntry(kind, model, {}, settings or {}), owner, None)
            connection.execute("UPDATE entries SET result = NULL WHERE id = ?", (entry,))
        return Recording(self, entry)

    def entries(
        self,
        model: str | None = None,
        *,
        name: str | None = None,
        kinds: Sequence[str] = (),
        limit: int | None = None,
    ) -> tuple[StoredResult, ...]:
        """Kept entries, oldest first; the newest ``limit`` of them."""
        where, values = ["1"], []
        for column, value in (("model", model), ("name", name)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if kinds:
            where.append(f"kind IN ({', '.join('?' * len(kinds))})")
            values.extend(kinds)
        return self._found(" AND ".join(where), values, limit)

    def _found(
        self, where: str, values: Sequence[str], limit: int | None = None
    ) -> tuple[StoredResult, ...]:
        query = (
            "SELECT entries.id, recorded_at, kind, model, name, gadprof_version, settings, result,"
            " description FROM entries JOIN machines ON machines.id = machine"
            f" WHERE {where} ORDER BY entries.id DESC"
        )
        if limit is not None:
            query += f" LIMIT {int(limit)}"
        with refusals(self.path):
            rows = self._connection.execute(query, values).fetchall()
            sampled = self._sampled(rows)
            read = lru_cache(maxsize=256)(json.loads)  # most settings and machines are the same
            found = [self._entry(row, read, sampled) for row in rows]
        return tuple(reversed(found))

    def _sampled(self, rows: Sequence[Sequence[Any]]) -> frozenset[int]:
        """Which of the entries, newest first, have samples."""
        if not rows:
            return frozenset()
        found = self._connection.execute(
            "SELECT DISTINCT entry FROM samples WHERE entry BETWEEN ? AND ?",
            (rows[-1][0], rows[0][0]),
        )
        return frozenset(entry for (entry,) in found)

    def summaries(self, kinds: Sequence[str] = ()) -> tuple[StoredModel, ...]:
        """What the store holds of every model, by name; no entry is read for it."""
        where = f"kind IN ({', '.join('?' * len(kinds))})" if kinds else "1"
        with refusals(self.path):
            # SQLite takes the plain columns from the row that has the greatest id
            groups = self._connection.execute(
                "SELECT model, kind, name, count(*), max(id), recorded_at FROM entries"
                f" WHERE {where} GROUP BY model, kind, name ORDER BY model, max(id)",
                (*kinds,),
            ).fetchall()
        by_model: dict[str, list[Sequence[Any]]] = {}
        for row in groups:
            if not all(isinstance(text, str) for text in (row[0], row[1], row[2] or "")):
                raise StoreError(_damaged(self.path, "an entry is of another kind"))
            by_model.setdefault(row[0], []).append(row)
        return tuple(
            StoredModel(
                model,
                sum(row[3] for row in rows),
                tuple(sorted({row[1] for row in rows})),
                tuple(sorted({row[2] for row in rows if row[2]})),
                str(rows[-1][5]),
            )
            for model, rows in by_model.items()
        )

    def models(self) -> tuple[str, ...]:
        """Every model that the store knows, by name."""
        with refusals(self.path):
            rows = self._connection.execute("SELECT DISTINCT model FROM entries ORDER BY model")
            return tuple(row[0] for row in rows)

    def names(self) -> tuple[str, ...]:
        """Every baseline's name."""
        with refusals(self.path):
            rows = self._connection.execute(
                "SELECT DISTINCT name FROM entries WHERE name IS NOT NULL ORDER BY name"
            )
            return tuple(row[0] for row in rows)

    def baseline(self, name: str) -> tuple[StoredResult, ...]:
        """The newest entry of each model under a baseline's name. Raises StoreError."""
        newest = self._found(
            "entries.id IN (SELECT max(id) FROM entries"
            " WHERE name = ? AND result IS NOT NULL GROUP BY model)",
            (name,),
        )
        if not newest:
            raise StoreError(
                f"the store has no baseline {name!r}"
                + (nearest(name, self.names()) or "; keep one with 'gadprof compare … --save-as'")
            )
        return newest

    def _entry(
        self, row: Sequence[Any], read: Callable[[str], Any], sampled: frozenset[int]
    ) -> StoredResult:
        try:
            settings, machine = read(row[6]), read(row[8])
            result = None if row[7] is None else json.loads(row[7])
            samples = self._samples(row[0]) if row[0] in sampled else ()
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(_damaged(self.path, f"entry {row[0]} is not JSON")) from error
        number, recorded_at, kind, model, name, version = row[:6]
        texts = (recorded_at, kind, model, name or "", version)
        objects = (settings, machine, result or {})
        if not all(isinstance(text, str) for text in texts) or not all(
            isinstance(item, dict) for item in objects
        ):
            raise StoreError(_damaged(self.path, f"entry {row[0]} is of another kind"))
        return StoredResult(
            number, recorded_at, kind, model, name, version, settings, result, machine, samples
        )

    def _samples(self, entry: int) -> tuple[Any, ...]:
        rows = self._connection.execute(
            "SELECT value FROM samples WHERE entry = ? ORDER BY position", (entry,)
        )
        return tuple(json.loads(value) for (value,) in rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with refusals(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                with contextlib.suppress(Exception):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def store_exists(path: Path) -> bool:
    """Whether something lies there; raises StoreError for a path that cannot be looked up."""
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name too long, a null byte
        raise StoreError(
            f"no results store at {str(path)[:200]!r}: {os_reason(error)}; "
            "name another with --store, or --store off"
        ) from error


class Recording:
    """An entry that is being measured; each sample is kept when ``sample`` returns."""

    def __init__(self, store: Store, entry: int) -> None:
        self._store = store
        self.entry = entry
        self._count = 0

    def sample(self, value: Any) -> None:
        """Keep one sample: a number in base units, or a plain JSON value."""
        self.extend((value,))

    def extend(self, values: Sequence[Any]) -> None:
        """Keep samples that arrived together."""
        with self._store._transaction() as connection:
            connection.executemany(
                "INSERT INTO samples VALUES (?, ?, ?)",
                [
                    (self.entry, position, _json(value))
                    for position, value in enumerate(values, self._count)
                ],
            )
        self._count += len(values)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Keep what the samples amount to; the entry is complete from here on."""
        with self._store._transaction() as connection:
            connection.execute(
                "UPDATE entries SET result = ? WHERE id = ?", (_json(result), self.entry)
            )


def record(
    entries: Sequence[NewEntry],
    *,
    store: str | None = None,
    name: str | None = None,
    machine: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[int, ...]:
    """Keep a command's results; the entries' ids, or nothing where the store is off.

    ``store`` is the ``--store`` option. A store that cannot be written fails only where the user
    named it or a baseline's ``name`` (StoreError); the default one is a warning on standard error.
    """
    try:
        path = chosen_path(store)
        if path is None:
            if name:
                raise StoreError(
                    f"the store is off, so baseline {name!r} cannot be kept; use --store"
                )
            return ()
        with Store(path) as opened:
            return opened.add(entries, name=name, machine=machine)
    except StoreError as error:
        if store or name:
            raise
        (warn or _warn)(f"gadprof: results not kept: {error}")
        return ()


def _warn(text: str) -> None:
    tell(text)


def _json(value: Any) -> str:
    from gadprof.results.plain import to_plain

    return json.dumps(to_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _insert(connection: sqlite3.Connection, entry: NewEntry, machine: int, name: str | None) -> int:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    # a lone surrogate cannot be kept as UTF-8, so it is kept as its escape
    model = entry.model.encode("utf-8", "backslashreplace").decode()
    name = name and name.encode("utf-8", "backslashreplace").decode()
    cursor = connection.execute(
        "INSERT INTO entries (recorded_at, kind, model, name, gadprof_version, settings, result,"
        " machine) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            now,
            entry.kind,
            model,
            name,
            __version__,
            _json(entry.settings),
            _json(entry.result),
            machine,
        ),
    )
    return int(cursor.lastrowid or 0)


def _machine_id(connection: sqlite3.Connection, machine: Mapping[str, Any] | None) -> int:
    """The row of this machine; describing it costs more than a look at its fingerprint."""
    fingerprint = _fingerprint() if machine is None else _json(machine)
    found = connection.execute(
        "SELECT id FROM machines WHERE fingerprint = ?", (fingerprint,)
    ).fetchone()
    if found:
        return int(found[0])
    if machine is None:
        from gadprof.results.plain import describe_machine, to_plain

        machine = to_plain(describe_machine())
    cursor = connection.execute(
        "INSERT INTO machines (fingerprint, description) VALUES (?, ?)",
        (fingerprint, _json(machine)),
    )
    return int(cursor.lastrowid or 0)


def _fingerprint() -> str:
    """What changes whenever the machine or an installed version does."""
    parts = [__version__, sys.version, sys.prefix, str(os.cpu_count())]
    if hasattr(os, "uname"):
        parts += list(os.uname())
    for folder in sys.path:
        if folder.endswith(("site-packages", "dist-packages")):
            with contextlib.suppress(OSError):
                parts.append(f"{folder}@{os.stat(folder).st_mtime_ns}")
    return "\n".join(parts)


def _connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    import sqlite3

    # a reader that may write folds the log away when it closes; one that may not leaves it, and
    # where it could not even make the log's index, nobody writes
    folder = os.access(path.absolute().parent, os.W_OK)
    mode = "rw" if writable or (folder and os.access(path, os.W_OK)) else "ro"
    if mode == "ro" and not folder and not Path(f"{path}-wal").exists():
        mode = "ro&immutable=1"
    with refusals(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        if not writable:
            connection.execute("PRAGMA query_only = ON")
        return connection


_SIDE_FILES = ("", "-journal", "-wal", "-shm")


def _create(path: Path) -> None:
    """A store that is born complete: made beside its place, then linked into it."""
    import sqlite3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        descriptor, temporary = _locked_temporary(path)
    except OSError as error:
        raise StoreError(
            f"cannot make a results store in {str(path.parent)!r}: {os_reason(error)}; "
            "name another with --store, or --store off"
        ) from error
    try:
        with (
            refusals(path),
            contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection,
        ):
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {STORE_SCHEMA_VERSION}")
            connection.execute("PRAGMA journal_mode = WAL")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process made it first: theirs is as good
        except OSError as error:
            if not path.exists():
                try:
                    os.replace(temporary, path)
                except OSError:
                    raise StoreError(
                        f"cannot make the results store {str(path)!r}: {os_reason(error)}; "
                        "name another with --store, or --store off"
                    ) from error
    finally:
        _remove(temporary)
        os.close(descriptor)


def _locked_temporary(path: Path) -> tuple[int, str]:
    """A new file beside a store's place, locked for as long as its descriptor is open."""
    import tempfile

    while True:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        if _lock(descriptor) and os.path.exists(temporary):
            return descriptor, temporary
        os.close(descriptor)  # swept in the moment before it was locked


def _lock(descriptor: int) -> bool:
    """Whether nobody else holds a file; where files cannot be locked, nobody does."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _sweep(path: Path) -> None:
    """Remove what a creation left that was killed: unfinished stores that nobody holds."""
    for left in path.parent.glob(f".{path.name}.????????"):
        try:
            descriptor = os.open(left, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _lock(descriptor):
                _remove(str(left))
        finally:
            os.close(descriptor)
    for side in path.parent.glob(f".{path.name}.????????-*"):
        if not side.with_name(side.name.rpartition("-")[0]).exists():
            with contextlib.suppress(OSError):
                side.unlink()


def _remove(temporary: str) -> None:
    for side in _SIDE_FILES:
        with contextlib.suppress(OSError):
            os.unlink(temporary + side)


def _check_header(path: Path) -> int:
    """Refuse what is not a whole store of a known schema, by its first 100 bytes; its size."""
    try:
        if not path.is_file():
            raise StoreError(f"{str(path)!r} is not a file; name another with --store")
        with path.open("rb") as stream:
            header = stream.read(100)
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise StoreError(
            f"cannot read the results store {str(path)!r}: {os_reason(error)}; "
            "name another with --store, or --store off"
        ) from error
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise StoreError(_damaged(path, "it is not an SQLite file"))
    (application,) = struct.unpack(">I", header[68:72])
    (schema,) = struct.unpack(">I", header[60:64])
    if application != APPLICATION_ID:
        raise StoreError(
            f"{str(path)!r} is another program's SQLite file, left untouched; "
            "name another with --store"
        )
    page = int.from_bytes(header[16:18], "big")
    whole = (1 << 16 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    log = path.with_name(path.name + "-wal")
    if size < whole and not (log.exists() and log.stat().st_size):  # which SQLite fills with zeros
        raise StoreError(_damaged(path, f"it has {size:,} bytes of {whole:,}"))
    if schema > STORE_SCHEMA_VERSION:
        raise StoreError(
            f"the results store {str(path)!r} has schema {schema}, this gadprof reads up to "
            f"{STORE_SCHEMA_VERSION}; left untouched; upgrade gadprof or name another with --store"
        )
    return size


def _check_pages(path: Path) -> None:
    """Refuse a file whose pages do not agree or whose tables are not a store's, without writing a
    byte beside or into it."""
    uri = path.absolute().as_uri()
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        reason = _disagreement(f"{uri}?mode=ro&immutable=1")
        if not reason:
            return
        # another process may have written meanwhile; a locked look decides
        if not log.exists():
            raise StoreError(_damaged(path, reason))
    if reason := _disagreement(f"{uri}?mode=ro"):
        raise StoreError(_damaged(path, reason))


def _disagreement(uri: str) -> str:
    """What is wrong with a store's pages or tables; "" for nothing."""
    import sqlite3

    try:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            columns = connection.execute(
                "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c"
                " WHERE t.type = 'table'"
            )
            missing = _COLUMNS.difference(columns)
        finally:
            connection.close()
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # the reason quotes the file's own bytes
        return "its pages do not agree"
    if verdict != "ok":
        return "its pages do not agree"
    return "its tables are not those of a store" if missing else ""


def _damaged(path: Path, reason: str) -> str:
    return (
        f"the results store {str(path)!r} is damaged ({reason}) and was left untouched; "
        "move it away or name another with --store"
    )


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """SQLite's errors as one line of ours."""
    import sqlite3

    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"cannot use the results store {str(path)!r}: {error}; "
            "name another with --store, or --store off"
        ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise StoreError(_damaged(path, str(error))) from error
