"""How one value reads to a person: exact integers grouped, sizes scaled, gaps shown as a dash.

Only renderers scale; a unit is always beside its figure. G is 10^9 and MiB is 2^20 bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from gadprof.results.escape import MISSING, plain

GAP = 3  # blanks between two columns
MOST_INDENT = 40  # blanks that a cell of a tree may begin with

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))

_NUMERIC = re.compile(
    r"^(?:[<>≈]|at least)?\s*[+\-−±]?\d[\d\s,.]*(e[+-]?\d+)?\s*(%|×|[kMGT]|[KMG]iB|B|m?s|µs)?$"
)


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN or an infinity."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def cell_text(value: Any) -> str:
    """A value as words: integers grouped by thousands, floats to four digits, gaps a dash."""
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def scaled(value: float | None, digits: int = 4) -> str:
    """A count with its decimal prefix: 7 645 003 776 reads ``7.645 G``."""
    if value is None or is_missing(value):
        return MISSING
    for size, unit in _DECIMAL:
        if abs(value) >= size:
            return f"{value / size:.{digits}g} {unit}"
    return f"{value:.{digits}g}"


def bytes_text(value: float | None) -> str:
    """A size with its binary prefix: 1 048 576 reads ``1 MiB``."""
    if value is None or is_missing(value):
        return MISSING
    for size, unit in _BINARY:
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g} B"


def seconds_text(value: float | None) -> str:
    """A time in seconds, scaled to s, ms or µs."""
    if value is None or is_missing(value):
        return MISSING
    for size, unit in _TIME:
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def percent_text(ratio: float | None, digits: int = 1) -> str:
    """A ratio to the first model as a signed difference: 0.393 reads ``−60.7 %``."""
    if ratio is None or is_missing(ratio):
        return MISSING
    change = round((ratio - 1.0) * 100, digits)
    return f"{'−' if change < 0 else '+' if change > 0 else ''}{abs(change):.{digits}f} %"


def share_text(share: float | None, digits: int = 1) -> str:
    """A share of the whole: 0.125 reads ``12.5 %``."""
    return MISSING if share is None or is_missing(share) else f"{100 * share:.{digits}f} %"


def ratio_text(ratio: float | None, digits: int | None = None) -> str:
    """A ratio to four digits, or to so many decimals."""
    if ratio is None or is_missing(ratio):
        return MISSING
    return f"{ratio:.4g}" if digits is None else f"{ratio:.{digits}f}"


def signed_text(amount: float | None) -> str:
    """An amount with its sign, grouped by thousands."""
    if amount is None or is_missing(amount):
        return MISSING
    text = f"{abs(amount):,}" if isinstance(amount, int) else f"{abs(amount):,.1f}"
    return ("−" if amount < 0 else "+" if amount > 0 else "") + text


def short_signed_text(amount: float) -> str:
    """An amount with its sign and a decimal prefix."""
    return ("−" if amount < 0 else "+") + scaled(abs(amount))


def numeric_columns(rows: Sequence[Sequence[Any]], width: int) -> tuple[bool, ...]:
    """Which columns hold numbers alone (gaps aside) and so are aligned to the right."""
    return tuple(
        all(_is_numeric(row[index]) for row in rows if index < len(row))
        and any(not is_missing(row[index]) for row in rows if index < len(row))
        for index in range(width)
    )


def _is_numeric(value: Any) -> bool:
    if is_missing(value) or value in ("", MISSING):
        return True
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or bool(_NUMERIC.match(str(value)))


def padded(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows filled with gaps to the number of headers; a longer row is a programmer's mistake."""
    for row in rows:
        if len(row) > len(headers):
            raise ValueError(f"a row has {len(row)} cells under {len(headers)} headers")
    return [[*row, *[None] * (len(headers) - len(row))] for row in rows]


def fitting(widths: Sequence[int], ranks: Sequence[int], width: int) -> list[int]:
    """The columns that stay in a line: those of the greatest rank leave first, the last before
    the first; the first column stays unless its rank is above 1, and so do two columns."""
    kept = list(range(len(widths)))
    while len(kept) > 2 and sum(widths[i] for i in kept) + GAP * (len(kept) - 1) > width:
        may_go = [index for index in kept if index or ranks[0] > 1]
        kept.remove(max(may_go, key=lambda index: (ranks[index], index)))
    return kept


def indented(text: str, limit: int = 400) -> str:
    """A printable cell that keeps the blanks that it begins with, as a tree's names do."""
    blanks = min(len(text) - len(text.lstrip(" ")), MOST_INDENT)
    return " " * blanks + plain(text, limit)
