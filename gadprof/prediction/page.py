"""Predicted latencies as tables under a sentence, with a fit's error on networks it never saw.

Promises that what was refused has no figure; a comparison over devices goes from the one on which
the last model gains most to the one on which it loses most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.results.cells import seconds_text
from gadprof.results.figures import total
from gadprof.results.page import Page, Plot, Section, page_of
from gadprof.results.sentences import faster_than, fewer
from gadprof.results.table import Column, Table


def prediction_page(rows: Sequence[Any], fit: Any, document: Mapping[str, Any]) -> Page:
    """The verdict and a row a model; what was refused says so."""
    first = next((row for row in rows if row.predicted_latency_s), None)
    columns = (
        Column("model", "model", rank=0),
        Column("macs", "MACs", "scaled", rank=2),
        Column("predicted_latency_s", "predicted", "seconds", rank=0),
        Column("low_s", "95 % from", "seconds", rank=1),
        Column("high_s", "to", "seconds", rank=1),
        Column("throughput_per_s", "per s", "ratio", rank=2),
        Column("ratio", "to first", "ratio", digits=3, rank=0),
        Column("novelty", "novel", "share", digits=0, rank=2),
        Column("most_time_in", "most time in", rank=3),
    )
    cells: list[tuple[Any, ...]] = []
    for row in rows:
        latency = row.predicted_latency_s
        if latency is None:
            cells.append((row.model, total("macs", row.macs, row.at_least), *[None] * 6, "refused"))
            continue
        shares = [f"{name} {100 * share:.0f} %" for name, share in row.by_class.items()][:3]
        ratio = latency["value"] / first.predicted_latency_s["value"] if first else None
        cells.append(
            (row.model, total("macs", row.macs, row.at_least), latency["value"],
             *latency["interval95"], row.throughput, ratio,
             row.novelty, ", ".join(shares))
        )  # fmt: skip
    cv = fit.cv
    note = (
        f"{fit.method} to {fit.models} models of {fit.families} families ({fit.source}); "
        f"{cv['method']}: mean error {100 * cv['mean_absolute_error']:.1f} %, median "
        f"{100 * cv['median_absolute_error']:.1f} %, {100 * cv['within_10_percent']:.0f} % "
        "within 10 %" + _wider(cv)
    )
    least = [
        f"{row.model}: some operation has no rule, so that its MACs are a lower bound"
        for row in rows
        if row.at_least
    ]
    away = _placed(rows, fit.placements)
    novel = "novel: the share of the predicted time in shapes that few measured families had"
    batch = rows[0].batch if rows else 0
    title = f"{fit.device}, {fit.dtype}, {fit.layout}, {fit.mode}, batch {batch}"
    table = Table("prediction", title, columns, tuple(cells), notes=(note, novel, *away, *least))
    return page_of(table, document=document, name="prediction", words=_verdict(rows, fit.key))


def _verdict(rows: Sequence[Any], device: str) -> str:
    """Which model is predicted fastest on a device, and by how much; or one model's time."""
    known = [row for row in rows if row.predicted_latency_s]
    if not known:
        return f"No latency is predicted on {device}."
    at = f"on {device} at batch {known[0].batch}"
    if len(known) == 1:
        (row,) = known
        low, high = map(seconds_text, row.predicted_latency_s["interval95"])
        value = seconds_text(row.predicted_latency_s["value"])
        return f"{row.model} is predicted to take {value} {at}, with 95 % between {low} and {high}."
    if len(rows) == 2:
        change = ratio(known)
        first, last = known
        told = f"{last.model} is predicted {faster_than(change, first.model)} {at}"
        return told + _for_macs(first, last) + "."
    best = min(known, key=lambda row: row.predicted_latency_s["value"])
    if best is not rows[0] and known[0] is rows[0]:
        than = f", {faster_than(ratio((rows[0], best)), rows[0].model)}"
        return f"Of {len(known)} models {best.model} is predicted the fastest {at}{than}."
    return f"Of {len(known)} models {best.model} is predicted the fastest {at}."


def _for_macs(first: Any, last: Any) -> str:
    """The share of MACs that the last model has, as what a sentence about its time ends with."""
    if not first.macs or not last.macs or first.at_least or last.at_least:
        return ""
    return f", with {fewer(last.macs / first.macs, 'MACs')}"


def _placed(rows: Sequence[Any], placements: Sequence[Any]) -> list[str]:
    """What of each model leaves the neural processor in a runtime, and how often that held."""
    told = []
    for row in rows:
        away = [
            f"{', '.join(kinds)} would leave in {runtime}"
            for runtime, kinds in row.leaves.items()
            if kinds
        ]
        whole = [runtime for runtime, kinds in row.leaves.items() if not kinds]
        if whole:
            away.append(f"it stays whole in {', '.join(whole)}")
        if away:
            told.append(f"{row.model} on the neural processor: {'; '.join(away)}")
    held = ", ".join(f"{one.right} of {one.networks} in {one.runtime}" for one in placements)
    return [*told, f"that was told right, from the other networks, for {held}"] if told else []


def _wider(cv: Mapping[str, Any]) -> str:
    """What leaving out more than a name's family gave."""
    parts = [
        f"{100 * cv[f'by_{name}']['mean_absolute_error']:.1f} % {text}"
        for name, text in (("module", "by timm module"), ("kind", "by merged kinds"))
        if f"by_{name}" in cv
    ]
    return "; " + ", ".join(parts) if parts else ""


def ratio(rows: Sequence[Any]) -> float:
    """The last model's predicted time over the first's."""
    return float(rows[-1].predicted_latency_s["value"] / rows[0].predicted_latency_s["value"])


def everywhere_page(models: Sequence[str], found: Sequence[tuple[Any, Sequence[Any]]]) -> Page:
    """A row a device: each model's time, the last one's over the first's, and who wins."""
    complete = [pair for pair in found if all(row.predicted_latency_s for row in pair[1])]
    complete.sort(key=lambda pair: ratio(pair[1]))
    refused = [pair for pair in found if pair not in complete]
    columns = (
        Column("device", "device", rank=0),
        Column("batch", "batch", "count", rank=2),
        *(Column(f"{model}_s", model, "seconds", rank=1) for model in models),
        Column("ratio", "to first", "ratio", digits=3, rank=0),
        Column("verdict", f"{models[-1]} is", rank=0),
        Column("spread", "95 %", rank=1),
        Column("novelty", "novel", "share", digits=0, rank=2),
    )
    cells: list[tuple[Any, ...]] = []
    for fit, rows in complete:
        change = ratio(rows) - 1
        low, high = rows[0].predicted_latency_s["interval95"]
        cells.append(
            (fit.key, rows[0].batch, *(row.predicted_latency_s["value"] for row in rows),
             1 + change, f"{100 * abs(change):.0f} % {'slower' if change > 0 else 'faster'}",
             f"× {(high / low) ** 0.5:.2f}", max(row.novelty for row in rows))
        )  # fmt: skip
    cells += [
        (fit.key, rows[0].batch, *[None] * (len(models) + 1), "refused", None, None)
        for fit, rows in refused
    ]
    notes = ["95 %: the factor about one model's time on an unseen family; what two share cancels"]
    if complete and complete[0][1][0].macs:
        first, last = complete[0][1][0].macs, complete[0][1][-1].macs
        least = any(row.at_least for row in complete[0][1])
        counted = " (of what is counted)" * least
        notes.insert(0, f"in MACs{counted} {models[-1]} is {last / first:.3f} of {models[0]}")
    table = Table(
        "devices", f"{' and '.join(models)} on every device", columns, tuple(cells),
        notes=tuple(notes),
    )  # fmt: skip
    document = {
        "devices": [
            {"key": fit.key, "device": fit.device, "mode": fit.mode, "rows": list(rows)}
            for fit, rows in [*complete, *refused]
        ]
    }
    plots = (ratio_plot(models, complete),) if complete else ()
    words = (_verdict_everywhere(models, complete),) if len(models) > 1 else ()
    section = Section("devices", "", words, (table,), plots)
    return Page("devices", "devices", (section,), document)


def _verdict_everywhere(
    models: Sequence[str], complete: Sequence[tuple[Any, Sequence[Any]]]
) -> str:
    """On how many devices and settings the last model gains, on how many it loses, and how far."""
    changes = [ratio(rows) for _, rows in complete]
    if not changes:
        return f"{models[-1]} and {models[0]} are predicted together on no device."
    sides = {
        "faster": [change for change in changes if change < 1],
        "slower": [change for change in changes if change > 1],
    }
    told = ", ".join(
        f"{way} in {len(side)} (by {_span(side)})" for way, side in sides.items() if side
    )
    first, last = complete[0][1][0], complete[0][1][-1]
    return (
        f"Of {len(changes)} devices and settings {models[-1]} is predicted "
        f"{told or 'as fast in all'} than {models[0]}{_for_macs(first, last)}."
    )


def _span(changes: Sequence[float]) -> str:
    """From the least to the greatest change, in per cent."""
    shares = sorted(round(100 * abs(change - 1)) for change in changes)
    return " to ".join(dict.fromkeys(map(str, (shares[0], shares[-1])))) + " %"


def ratio_plot(models: Sequence[str], complete: Sequence[tuple[Any, Sequence[Any]]]) -> Plot:
    """The last model's time over the first's, on every device, with the MACs' ratio first."""
    rows = [
        {"label": fit.key, "value": ratio(found), "low": min(1.0, ratio(found)),
         "high": max(1.0, ratio(found))}
        for fit, found in complete
    ]  # fmt: skip
    first, last = complete[0][1][0].macs, complete[0][1][-1].macs
    if first and last:
        share = last / first
        rows.insert(0, {"label": "MACs", "value": share, "low": min(1, share), "high": 1.0})
    return Plot(
        "devices",
        "intervals",
        f"{models[-1]} over {models[0]}, from 1",
        "predicted time",
        "device",
        f"How {models[-1]}'s predicted time compares with {models[0]}'s on each device",
        {"rows": rows},
        x_kind="share",
    )


def devices_table(known: Sequence[tuple[str, Any]]) -> Table:
    """A row a fit: how the device is known, how it was measured, and how well it predicts."""
    columns = (
        Column("key", "device", rank=0),
        Column("known_by", "known by", rank=0),
        Column("mode", "mode", rank=1),
        Column("dtype", "format", rank=1),
        Column("batches", "batches", rank=2),
        Column("models", "models", "count", rank=2),
        Column("mean_absolute_error", "mean error", "share", rank=0),
        Column("spread", "95 %", rank=1),
        Column("coverage", "covers", "share", rank=2),
    )
    cells = tuple(
        (fit.key, by, fit.mode, fit.dtype,
         " to ".join(dict.fromkeys((str(fit.least_batch), str(fit.most_batch)))), fit.models,
         fit.cv["mean_absolute_error"], f"× {math.exp(fit.cv['log_error_95']):.2f}",
         fit.cv.get("interval_coverage"))
        for by, fit in known
    )  # fmt: skip
    note = "the error is that on families left out; a name alone takes its first line"
    return Table("devices", "devices", columns, cells, notes=(note,))
