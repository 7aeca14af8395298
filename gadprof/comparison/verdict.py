"""What a comparison says, in one sentence: who needs the fewest MACs, and by how much.

Promises that only figures which are exact on both sides are set against each other, that a measured
difference is told only where its interval tells it, and that what is predicted is called so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gadprof.results.cells import scaled
from gadprof.results.sentences import faster, faster_than, fewer, fewer_than

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow, Comparison


def verdict(comparison: Comparison) -> str:
    """The sentence; empty where no model could be counted."""
    rows = [row for row in comparison.rows if row.error is None]
    if not rows:
        return ""
    if len(rows) == 1 or rows[0] is not comparison.rows[0]:
        return " ".join(_alone(row) for row in rows[:1])
    found = _least(rows) if len(rows) > 2 else _pair(rows[0], rows[1])
    apart = ", each at its own input" * (len({(row.input, row.batch) for row in rows}) > 1)
    return f"{found}{apart}{_times(rows, comparison.device)}."


def _alone(row: ComparedRow) -> str:
    shapes = " and ".join("x".join(map(str, shape)) for shape in row.input)
    least = "at least " * row.at_least
    return (
        f"{row.model} has {scaled(row.params)} parameters and needs {least}{scaled(row.macs)} MACs "
        f"at {shapes}."
    )


def _pair(first: ComparedRow, other: ComparedRow) -> str:
    """The second against the first, in what is exact of both."""
    exact = not (first.at_least or other.at_least)
    macs, params = other.relative.get("macs") if exact else None, other.relative.get("params")
    beside = f", with {fewer(params, 'parameters')}" if params is not None else ""
    if macs is not None:
        return f"{other.model} needs {fewer_than(macs, 'MACs', first.model)}{beside}"
    if params is not None:
        has = fewer_than(params, "parameters", first.model)
        return f"{other.model} has {has}; their MACs are not settled"
    return f"{other.model} and {first.model} share no figure that is exact"


def _least(rows: list[ComparedRow]) -> str:
    """Which of three or more needs the fewest MACs, against the first; else against the next."""
    known = [row for row in rows if row.macs is not None and not row.at_least]
    if len(known) < len(rows):
        return f"The MACs of {len(known)} of {len(rows)} models are exact"
    least, following = sorted(known, key=lambda row: row.macs or 0)[:2]
    head = f"Of {len(rows)} models {least.model} needs the fewest MACs"
    if least is not rows[0]:
        params = least.relative.get("params")
        beside = f", with {fewer(params, 'parameters')}" if params is not None else ""
        fewest = fewer_than(least.relative.get("macs") or 0, "", rows[0].model)
        return f"{head}, {fewest}{beside}"
    if not least.macs:
        return head
    next_one = fewer_than((following.macs or 0) / least.macs, "MACs", least.model)
    return f"{head}; the next, {following.model}, needs {next_one}"


def _times(rows: list[ComparedRow], device: str) -> str:
    """The fastest by measured or predicted time, told where it is known of every row."""
    first, others = rows[0], rows[1:]
    if all(row.ratio for row in others):
        told = [row for row in others if row.verdict and not row.verdict.startswith("cannot")]
        where = f"; measured on {device or 'this machine'}"
        if len(others) == 1:
            word = faster(others[0].ratio["value"]) if told and others[0].ratio else ""
            return f"{where} it is {word}" if word else f"{where}: {others[0].verdict}"
        best = min(told, key=lambda row: row.ratio["value"] if row.ratio else 1, default=None)
        if best is None or best.ratio is None or best.ratio["value"] >= 1:
            return f"{where} none is told to be faster than {first.model}"
        return f"{where} {best.model} is {faster_than(best.ratio['value'], first.model)}"
    predicted = [(row.predicted.latency_ratio if row.predicted else None, row) for row in others]
    known = [(ratio, row) for ratio, row in predicted if ratio is not None]
    if not known or len(known) < len(others):
        return ""
    ratio, best_row = min(known, key=lambda pair: pair[0])
    where = f"; on {device}"
    if len(others) == 1:
        return f"{where} it is predicted {faster(ratio)}"
    if ratio >= 1:
        return f"{where} none is predicted faster than {first.model}"
    return f"{where} {best_row.model} is predicted {faster_than(ratio, first.model)}"
