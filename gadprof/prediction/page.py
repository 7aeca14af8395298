"""Predicted latencies as a table, with the error that the fit has on networks that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.results.page import Page, page_of
from gadprof.results.table import Column, Table


def prediction_page(rows: Sequence[Any], fit: Any, document: Mapping[str, Any]) -> Page:
    """A row a model; what was refused says so."""
    first = next((row for row in rows if row.predicted_latency_s), None)
    columns = (
        Column("model", "model", rank=0),
        Column("macs", "MACs", "scaled", rank=2),
        Column("predicted_latency_s", "predicted", "seconds", rank=0),
        Column("low_s", "95 % from", "seconds", rank=1),
        Column("high_s", "to", "seconds", rank=1),
        Column("throughput_per_s", "per s", "ratio", rank=2),
        Column("ratio", "to first", "ratio", digits=3, rank=0),
        Column("most_time_in", "most time in", rank=3),
    )
    cells: list[tuple[Any, ...]] = []
    for row in rows:
        latency = row.predicted_latency_s
        if latency is None:
            cells.append((row.model, row.macs, None, None, None, None, None, "refused"))
            continue
        shares = [f"{name} {100 * share:.0f} %" for name, share in row.by_class.items()][:3]
        ratio = latency["value"] / first.predicted_latency_s["value"] if first else None
        cells.append(
            (row.model, row.macs, latency["value"], *latency["interval95"], row.throughput, ratio,
             ", ".join(shares))
        )  # fmt: skip
    cv = fit.cv
    note = (
        f"{fit.method} to {fit.models} models of {fit.families} families ({fit.source}); "
        f"{cv['method']}: mean error {100 * cv['mean_absolute_error']:.1f} %, median "
        f"{100 * cv['median_absolute_error']:.1f} %, {100 * cv['within_10_percent']:.0f} % "
        "within 10 %"
    )
    batch = rows[0].batch if rows else 0
    title = f"{fit.device}, {fit.dtype}, {fit.layout}, batch {batch}"
    table = Table("prediction", title, columns, tuple(cells), notes=(note,))
    return page_of(table, document=document, name="prediction")
