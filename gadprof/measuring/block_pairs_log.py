"""The measured points of a grid, kept one by one, so that a stopped run goes on where it was.

Promises: a line a point, written when the point ends; points are taken up again only under the very
circumstances in which they were measured; a torn last line is left out. Refuses nothing: a file
that cannot be read as such has no points.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from gadprof.measuring.block_pairs import MeasuredPair
from gadprof.results.plain import to_plain


class PointLog:
    """Measured pairs by name in a file of JSON lines; ``circumstances`` must be equal to go on."""

    def __init__(self, path: Path, circumstances: Mapping[str, Any]) -> None:
        self.path = path
        self._circumstances = json.loads(json.dumps(to_plain(circumstances)))
        self._known = self._read()

    def _read(self) -> dict[str, MeasuredPair]:
        names = {item.name for item in fields(MeasuredPair)}
        found: dict[str, MeasuredPair] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                entry = json.loads(line)
                pair = {name: value for name, value in entry["pair"].items() if name in names}
                if entry["circumstances"] == self._circumstances and pair["error"] is None:
                    pair["ci95"] = tuple(pair["ci95"])
                    found[entry["name"]] = MeasuredPair(**pair)
        return found

    def get(self, name: str) -> MeasuredPair | None:
        """A point that was measured before, or None."""
        return self._known.get(name)

    def put(self, name: str, pair: MeasuredPair) -> None:
        """Keep a point. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"name": name, "pair": to_plain(pair), "circumstances": self._circumstances}
        with self.path.open("a", encoding="utf-8") as stream:
            # a line of its own, also after one that was torn
            stream.write(("\n" if stream.tell() else "") + json.dumps(entry))

    def remove(self) -> None:
        """Delete the file: the grid is whole."""
        self.path.unlink(missing_ok=True)
