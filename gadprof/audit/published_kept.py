"""The readings of the published rows as they were found once, so that a question costs no minutes.

Promises rows equal to today's table, or None: a kept reading of a table that has changed since is
never shown. What is kept is the data of the committed page; counts in it are compared with
today's by the tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from gadprof.audit.published import PublishedReading, Row
from gadprof.audit.reconcile import ParamsReading, Reading
from gadprof.results.rebuild import from_plain

NAME = "zoo.json"


def kept_rows(rows: Sequence[Row]) -> tuple[PublishedReading, ...] | None:
    """What is kept of these rows, all of them in their order; None where one differs."""
    text = _text()
    if text is None:
        return None
    kept = tuple(_explained(plain) for plain in json.loads(text)["rows"])
    return kept if tuple(item.row for item in kept) == tuple(rows) else None


def _text() -> str | None:
    """The file in the installed package, or in a checkout the page's own data."""
    inside = resources.files("gadprof.data").joinpath(NAME)
    if inside.is_file():
        return inside.read_text(encoding="utf-8")
    beside = Path(__file__).resolve().parents[2] / "reports" / "data" / NAME
    return beside.read_text(encoding="utf-8") if beside.is_file() else None


def _explained(plain: Mapping[str, Any]) -> PublishedReading:
    made = {key: value for key, value in plain.items() if key != "how"}
    made["row"] = from_plain(Row, plain["row"])
    made["input"] = tuple(plain["input"])
    for key, kind in (
        ("reading", Reading),
        ("nearest", Reading),
        ("params_reading", ParamsReading),
    ):
        made[key] = None if plain[key] is None else from_plain(kind, plain[key])
    return PublishedReading(**made)
