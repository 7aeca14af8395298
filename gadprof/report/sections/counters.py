"""A report's section of other counters: what each reports, and the ledger of each difference.

Promises that a counter that failed shows why and no number, and that nothing is shown that no
counter said.
"""

from __future__ import annotations

from typing import Any

from gadprof.comparison.compare import ComparedRow
from gadprof.report.data import Found, number, plain_list
from gadprof.report.subject import Subject
from gadprof.results.cells import scaled
from gadprof.results.page import Plot, Section
from gadprof.results.table import Column, Table

_UNITS = {"macs": "MACs", "flops": "FLOPs"}


def counters(subject: Subject, found: Found) -> Section | None:
    """What other counters say of the same models, and the ledger of each difference."""
    rows: list[tuple[Any, ...]] = []
    ledger: list[tuple[Any, ...]] = []
    plots: list[Plot] = []
    words: list[str] = []
    for label, row in zip(subject.labels, subject.rows, strict=True):
        audit = found.audits.get(row.model)
        if audit is not None:
            for backend in audit["backends"]:
                _audited(label, row, backend, rows, ledger, plots)
        else:
            for name, count in sorted(found.counters.get(row.model, {}).items()):
                if isinstance(count, dict):
                    macs = number(count.get("macs"))
                    ratio = macs / row.macs if macs and row.macs else None
                    rows.append(
                        (label, name, count.get("version"), macs, ratio, None, count.get("error"))
                    )
    if not rows:
        return None
    values = [row[3] for row in rows if isinstance(row[3], (int, float))]
    if values:
        words.append(
            f"{len(rows)} answers of other counters, from {scaled(min(values))} to "
            f"{scaled(max(values))} in their own units; gadprof counts each model exactly once."
        )
    tables = [
        Table(
            "counters",
            "What each counter reports",
            (
                Column("model", "model"),
                Column("counter", "counter"),
                Column("version", "version"),
                Column("reported", "reports", "count"),
                Column("ratio_to_gadprof", "to gadprof's MACs", "ratio"),
                Column("residual", "unexplained", "count"),
                Column("error", "failure"),
            ),
            tuple(rows),
        )
    ]
    if ledger:
        tables.append(
            Table(
                "ledger",
                "The ledger of every difference",
                (
                    Column("model", "model"),
                    Column("counter", "counter"),
                    Column("cause", "cause"),
                    Column("operations", "operations", "count"),
                    Column("amount", "amount", "count"),
                ),
                tuple(ledger),
                folded=True,
            )
        )
    return Section("counters", "Other counters", tuple(words), tuple(tables), _chosen(plots))


MOST_LEDGERS = 6  # figures of one page; the table has every ledger


def _chosen(plots: list[Plot]) -> tuple[Plot, ...]:
    """Some figures of every model: each model's first before any model's second."""
    turns: dict[str, int] = {}
    ranked = []
    for index, plot in enumerate(plots):
        model = str(plot.data["model"])
        turns[model] = turns.get(model, 0) + 1
        ranked.append((turns[model], index, plot))
    kept = sorted(ranked[:], key=lambda item: item[:2])[:MOST_LEDGERS]
    return tuple(plot for _, _, plot in sorted(kept, key=lambda item: item[1]))


def _audited(
    label: str,
    row: ComparedRow,
    backend: Any,
    rows: list[tuple[Any, ...]],
    ledger: list[tuple[Any, ...]],
    plots: list[Plot],
) -> None:
    if not isinstance(backend, dict):
        return
    name = str(backend.get("name"))
    reported, ours = number(backend.get("reported")), number(backend.get("ours"))
    residual = number(backend.get("residual"))
    ratio = reported / row.macs if reported and row.macs else None
    rows.append(
        (label, name, backend.get("version"), reported, ratio, residual,
         backend.get("error"))
    )  # fmt: skip
    steps = [
        item
        for item in plain_list(backend.get("differences"))
        if isinstance(item, dict) and number(item.get("amount")) is not None
    ]
    for item in steps:
        ledger.append((label, name, item.get("cause"), _calls(item), item["amount"]))
    if steps and ours is not None and reported is not None:
        plots.append(
            Plot(
                f"ledger-{len(plots) + 1}",
                "waterfall",
                f"From gadprof to {name}: {label}",
                _UNITS.get(str(backend.get("unit")), "operations"),
                "",
                f"how {name} comes from {ours:,} to {reported:,} on {label}",
                {
                    "model": label,
                    "start": {"label": "gadprof", "value": ours},
                    "steps": [
                        {"label": str(item.get("cause")), "value": item["amount"]} for item in steps
                    ]
                    + ([{"label": "unexplained", "value": residual}] if residual else []),
                    "end": {"label": str(name), "value": reported},
                },
            )
        )


def _calls(difference: Any) -> int | None:
    """How many calls of operations a difference is made of."""
    operations = difference.get("operations")
    if not isinstance(operations, list):
        return None
    calls = [item.get("calls") for item in operations if isinstance(item, dict)]
    return sum(count for count in calls if isinstance(count, int))
