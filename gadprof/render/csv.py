"""CSV that a program reads without loss of a digit and a spreadsheet opens without running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.results.cells import is_missing, padded
from gadprof.results.escape import csv_cell


def to_csv(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """RFC 4180 with ``\\n`` line ends; numbers exact and ungrouped, gaps empty."""
    lines = [",".join(csv_cell(name) for name in headers)]
    lines += [",".join(_field(cell) for cell in row) for row in padded(headers, rows)]
    return "\n".join(lines) + "\n"


def _field(value: Any) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return csv_cell(str(value))
