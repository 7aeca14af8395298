"""The finished tasks of a cluster's run, in the results store's own file.

Promises: what was put in is there after an interruption, and the first result stays until it is
dropped. Refuses a store that cannot be trusted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gadprof.results.plain import to_plain
from gadprof.store.store import Store, chosen_path, refusals


class Journal:
    """Results by their task's key; None as path keeps them in memory. Raises StoreError."""

    def __init__(self, path: Path | None) -> None:
        self._path = path or Path(":memory:")
        if path is not None:
            Store(path).close()  # makes the file, and refuses one that cannot be trusted
        with refusals(self._path):
            self._connection = sqlite3.connect(path or ":memory:", timeout=60.0)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS cluster_tasks "
                "(key TEXT PRIMARY KEY, result TEXT NOT NULL)"
            )
            self._connection.commit()

    def get(self, key: str) -> Any:
        """The result of a finished task, or None."""
        with refusals(self._path):
            row = self._connection.execute(
                "SELECT result FROM cluster_tasks WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, result: Any) -> None:
        """Keep a result; the first one stays."""
        with refusals(self._path), self._connection:
            self._connection.execute(
                "INSERT OR IGNORE INTO cluster_tasks VALUES (?, ?)",
                (key, json.dumps(to_plain(result))),
            )

    def forget(self, keys: Sequence[str]) -> None:
        """Drop results that have been built into something whole, or that are not to be kept."""
        with refusals(self._path), self._connection:
            self._connection.executemany(
                "DELETE FROM cluster_tasks WHERE key = ?", [(key,) for key in keys]
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def open_journal(store: str | None) -> Iterator[Journal]:
    """The journal in the store that ``--store`` or the environment names. Raises StoreError."""
    path = chosen_path(store)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with closing(Journal(path)) as journal:
        yield journal
