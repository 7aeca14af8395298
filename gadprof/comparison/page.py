"""A comparison's table: one row a model, each figure with its ratio to the first model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gadprof.comparison.verdict import verdict
from gadprof.results.escape import MISSING
from gadprof.results.figures import FIGURES, lower_bound_note, total
from gadprof.results.page import Page, page_of
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow, Comparison

# which figures a narrow terminal shows first
_RANKS = {"params": 1, "macs": 1, "peak_activation_bytes": 2, "flops": 3, "activations": 4}


def comparison_page(comparison: Comparison) -> Page:
    """The verdict, the table with its notes, and the comparison's JSON."""
    return page_of(
        comparison_table(comparison),
        document=comparison_object(comparison),
        name="comparison",
        words=verdict(comparison),
    )


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values for JSON; keys that do not apply are left out."""
    rows = []
    for row in comparison.rows:
        plain = {**to_plain(row), "at_least": row.at_least}
        del plain["exit_code"]
        for key in (
            "latency_s", "ratio", "verdict", "peak_bytes", "predicted", "accuracy",
            "published_accuracy",
        ):  # fmt: skip
            if plain[key] is None:
                del plain[key]
        if plain["error"] is None:
            del plain["error"]
        rows.append(plain)
    measured = {"warnings": list(comparison.warnings), "interrupted": comparison.interrupted}
    return {
        "rows": rows,
        "convention": comparison.convention,
        "machine": to_plain(comparison.machine),
        **(measured if any(row.latency_s for row in comparison.rows) else {}),
        **({"device": comparison.device} if comparison.device else {}),
    }


def comparison_table(comparison: Comparison) -> Table:
    """A row a model; columns of what nobody asked for are not there."""
    rows = comparison.rows
    backends = list(dict.fromkeys(name for row in rows for name in row.backends))
    measured = any(row.latency_s is not None for row in rows)
    accurate = any(row.accuracy is not None for row in rows)
    printed = any(row.published_accuracy is not None for row in rows)
    failed = any(row.error is not None for row in rows)
    bounded = any(row.at_least for row in rows)
    columns = [Column("model", "model", rank=0)]
    for figure in FIGURES:
        rank = _RANKS.get(figure.key, 5)
        columns.append(Column(figure.key, figure.short, figure.kind, rank=rank))
        columns.append(Column(f"{figure.key}_relative", "to first", "factor"))
    columns += [Column(f"macs_{name}", f"{name} MACs", "scaled") for name in backends]
    if measured:
        columns += [
            Column("latency_s", "latency", place="exact"),
            Column("ratio", "ratio", place="exact"),
            Column("latency", "latency", place="shown", rank=0),
            Column("ratio_shown", "ratio to first", place="shown", rank=0),
        ]
    on_card = measured and comparison.device.startswith("cuda")
    columns += [Column("peak_bytes", "measured peak", "bytes", rank=0)] if on_card else []
    predicted = any(row.predicted is not None for row in rows)
    if predicted:
        columns += [
            Column("predicted_latency_s", "predicted latency", "seconds", rank=0),
            Column("predicted_latency_ratio", "to first", "ratio", digits=3, rank=0),
            Column("predicted_peak_bytes", "predicted memory", "bytes", rank=0),
        ]
    columns += [Column("ap", "AP", "share", rank=0)] if accurate else []
    columns += [Column("published_ap", "published AP", "share", rank=0)] if printed else []
    columns += [Column("error", "failed", place="exact")] if failed else []
    columns += [Column("at_least", "at least", place="exact")] if bounded else []
    return Table(
        "comparison",
        "",
        tuple(columns),
        tuple(
            (
                row.model,
                *(v for f in FIGURES for v in (_total(row, f.key), row.relative.get(f.key))),
                *(_backend(row, name) for name in backends),
                *(_latency(row) if measured else ()),
                *((row.peak_bytes,) if on_card else ()),
                *(_predicted(row) if predicted else ()),
                *((_ap(row.accuracy),) if accurate else ()),
                *((_ap(row.published_accuracy),) if printed else ()),
                *((row.error or "",) if failed else ()),
                *((row.at_least,) if bounded else ()),
            )
            for row in rows
        ),
        notes=tuple(notes(comparison)),
    )


def _total(row: ComparedRow, key: str) -> int | None:
    return total(key, getattr(row, key), row.at_least)


def _backend(row: ComparedRow, name: str) -> Any:
    count = row.backends.get(name)
    if count is None:
        return None
    return count.macs if count.error is None else f"failed: {count.error}"


def _ap(accuracy: Mapping[str, Any] | None) -> float | None:
    """An AP from 0 to 1; -1 is COCO's mark for none."""
    value = (accuracy or {}).get("ap")
    return None if value is None or value < 0 else value


def _latency(row: ComparedRow) -> tuple[Any, ...]:
    """Median and ratio for programs, then both with their intervals for people."""
    if row.latency_s is None:
        return (None,) * 4
    median, ratio = row.latency_s["median"], row.ratio or {}
    low, high = row.latency_s["ci95"] or (float("nan"), float("nan"))
    text = f"{1e3 * median:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]"
    value = ratio.get("value")
    if value is None:
        return median, None, text, MISSING
    ends = ratio.get("ci95") or (float("nan"), float("nan"))
    return median, value, text, f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _predicted(row: ComparedRow) -> tuple[Any, ...]:
    """Latency, its ratio and the process's peak, as predicted."""
    found = row.predicted
    if found is None:
        return (None,) * 3
    return found.latency_s, found.latency_ratio, found.peak_bytes


def notes(comparison: Comparison) -> list[str]:
    """What a person must know to read the table."""
    lines = []
    inputs = {(row.input, row.batch) for row in comparison.rows if row.error is None}
    for shapes, batch in sorted(inputs):
        shown = " and ".join("x".join(map(str, shape)) for shape in shapes)
        lines.append(f"input {shown}, batch {batch}")
    if len(lines) > 1:
        lines = ["the rows have different inputs: " + "; ".join(lines)]
    lines.append(comparison.convention)
    lines.append(
        "ratios and per cents are to the first row; activations are output elements of "
        "convolutions and products; peak act. is the most memory of live maps at once, "
        "input included, 4 bytes each"
    )
    lines += [
        f"{row.model}: {row.verdict}"
        for row in comparison.rows
        if row.verdict and row.verdict != "reference"
    ]
    lines += [f"warning: {text}" for text in comparison.warnings]
    if comparison.interrupted:
        lines.append("interrupted: latencies hold what was measured until then")
    lines += comparison.notes
    lines += [
        f"{row.model}: {text}"
        for row in comparison.rows
        if row.predicted is not None
        for text in row.predicted.notes
    ]
    if comparison.device.startswith("cuda") and any(row.latency_s for row in comparison.rows):
        lines.append(f"latency and peak are measured on {comparison.device}")
    if any(row.accuracy or row.published_accuracy for row in comparison.rows):
        from gadprof.comparison.accuracies import accuracy_notes

        lines += accuracy_notes(comparison.rows)
    for row in comparison.rows:
        if row.error is not None:
            named = row.error if row.model in row.error else f"{row.model}: {row.error}"
            lines.append(f"failed: {named}")
        if row.uncovered:
            lines.append(lower_bound_note(row.model, row.uncovered))
        if row.note:
            lines.append(f"{row.model}: {row.note}")
    return lines
