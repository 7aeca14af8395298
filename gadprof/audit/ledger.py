"""The difference between a counter's number and ours, cause by cause, down to the operations.

Promises: the amounts of a ledger and its residual add up exactly to reported − ours, and nothing
is put into the ledger to make them do so: causes come from the counter's convention alone, and
what that does not explain is the residual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gadprof.audit.conventions import OTHER_FORMULA, ROUNDING, UNIT, Convention, Entry, Reading
from gadprof.counting.kinds import MATMUL_KINDS
from gadprof.counting.records import Operation, Trace

_MODULES_NAMED = 6


@dataclass(frozen=True)
class Item:
    """One operation's share of a difference: how often it is met, where, and how much."""

    operation: str
    calls: int
    amount: int | float
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One cause, the operations behind it, and the amount in the counter's unit."""

    cause: str
    operations: tuple[Item, ...]
    amount: int | float


@dataclass(frozen=True)
class Ledger:
    """``ours`` in MACs, what the convention predicts, and the differences between the two.

    Whatever a counter reports beyond ``predicted`` is its residual.
    """

    ours: int
    predicted: int | float
    differences: tuple[Difference, ...]

    def residual(self, reported: int | float) -> int | float:
        """What of a reported number stays unexplained."""
        return tidy(reported - self.predicted)


def make_ledger(convention: Convention, reading: Reading, trace: Trace) -> Ledger:
    """Lay a convention's entries against our trace."""
    scale = convention.flops_per_mac
    parts = list(_unit(trace, scale))
    parts += [
        (entry.cause, entry.operation, entry.amount, entry.path) for entry in _extras(reading)
    ]
    parts += list(_products(reading, trace, scale))
    predicted = reading.total
    if convention.whole and not float(predicted).is_integer():
        parts.append((ROUNDING, "total", int(predicted) - predicted, ""))
        predicted = int(predicted)
    differences = _grouped(parts)
    return Ledger(trace.macs, tidy(predicted), differences)


Part = tuple[str, str, "int | float", str]
Met = dict[tuple[str, str], list[tuple[str, int]]]


def tidy(value: int | float) -> int | float:
    """A whole number as an int."""
    return int(value) if float(value).is_integer() else value


def _unit(trace: Trace, scale: int) -> Iterable[Part]:
    if scale == 1:
        return
    for operation in _ours(trace):
        yield UNIT, operation.name, (scale - 1) * operation.macs, operation.module


def _extras(reading: Reading) -> Iterable[Entry]:
    return (entry for entry in reading.entries if entry.cause and entry.amount)


def _ours(trace: Trace) -> Iterable[Operation]:
    return (op for op in trace.forward if op.macs and op.kind in MATMUL_KINDS)


def _products(reading: Reading, trace: Trace, scale: int) -> Iterable[Part]:
    """Where the counter's multiply-adds at a module differ from ours."""
    theirs: dict[str, dict[str, int | float]] = {}
    ours: dict[str, dict[str, int]] = {}
    met: Met = {}
    seen: dict[tuple[str, str], str] = {}
    for entry in reading.entries:
        if entry.kind:
            cell = theirs.setdefault(entry.path, {})
            cell[entry.kind] = cell.get(entry.kind, 0) + entry.amount
            seen[entry.path, entry.kind] = entry.operation
    for operation in _ours(trace):
        cell_ours = ours.setdefault(operation.module, {})
        cell_ours[operation.kind] = cell_ours.get(operation.kind, 0) + scale * operation.macs
        amount = scale * operation.macs
        met.setdefault((operation.module, operation.kind), []).append((operation.name, amount))
    for path in dict.fromkeys([*ours, *theirs]):
        yield from _cell(path, theirs.get(path, {}), ours.get(path, {}), met, seen, reading)


def _cell(
    path: str,
    theirs: Mapping[str, int | float],
    ours: Mapping[str, int],
    met: Met,
    seen: Mapping[tuple[str, str], str],
    reading: Reading,
) -> Iterable[Part]:
    gaps = {
        kind: theirs.get(kind, 0) - ours.get(kind, 0) for kind in dict.fromkeys([*theirs, *ours])
    }
    if sum(gaps.values()) == 0:
        return  # the same work under another name (a linear layer is a matrix product)
    gaps = _paired(gaps)
    for kind, gap in gaps.items():
        if not gap:
            continue
        cause = reading.missed(path, kind) if gap < 0 else OTHER_FORMULA
        if gap == -ours.get(kind, 0):
            for name, amount in met[path, kind]:
                yield cause, name, -amount, path
        else:
            known = met.get((path, kind))
            yield cause, seen.get((path, kind)) or (known[0][0] if known else kind), gap, path


def _paired(gaps: dict[str, int | float]) -> dict[str, int | float]:
    """Let products that another kind's name covers cancel: what one has too much, another lacks."""
    result = dict(gaps)
    family = [kind for kind in ("linear", "matmul", "attention", "rnn") if kind in result]
    for more in family:
        for less in family:
            if result[more] > 0 > result[less]:
                moved = min(result[more], -result[less])
                result[more] -= moved
                result[less] += moved
    return result


def _grouped(parts: Iterable[Part]) -> tuple[Difference, ...]:
    causes: dict[str, dict[str, list[tuple[int | float, str]]]] = {}
    for cause, operation, amount, path in parts:
        causes.setdefault(cause, {}).setdefault(operation, []).append((amount, path))
    differences = []
    for cause, operations in causes.items():
        items = tuple(
            Item(
                operation,
                len(found),
                tidy(sum(amount for amount, _ in found)),
                tuple(dict.fromkeys(path or "(model)" for _, path in found)),
            )
            for operation, found in operations.items()
        )
        total = tidy(sum(item.amount for item in items))
        if total or any(item.amount for item in items):
            ordered = tuple(sorted(items, key=lambda item: (-abs(item.amount), item.operation)))
            differences.append(Difference(cause, ordered, total))
    return tuple(sorted(differences, key=lambda d: (d.cause != UNIT, -abs(d.amount), d.cause)))


def name_modules(modules: tuple[str, ...], count: int = _MODULES_NAMED) -> str:
    """Module paths as people read them: numbers that vary become ``*``."""
    import re

    patterns: dict[str, int] = {}
    for path in modules:
        pattern = re.sub(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])", "*", path)
        patterns[pattern] = patterns.get(pattern, 0) + 1
    ordered = sorted(patterns, key=lambda pattern: -patterns[pattern])
    more = f", … {len(ordered) - count} more" if len(ordered) > count else ""
    return ", ".join(ordered[:count]) + more
