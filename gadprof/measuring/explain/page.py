"""An explanation as a page: the reasons in words, then time by class and by stage of each model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import seconds_text
from gadprof.results.figures import total
from gadprof.results.page import Page, Section
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.measuring.explain.explain import Explanation
    from gadprof.measuring.explain.explained import Explained, PartTime
    from gadprof.measuring.explain.roofline import Peaks
    from gadprof.measuring.settings import Setting

SMALLEST_SHARE = 0.002

_PART = ("name", "seconds", "share", "operations", "macs", "flops", "traffic_bytes", "intensity",
         "bound_s", "efficiency", "limit")  # fmt: skip


def explanation_page(explanation: Explanation) -> Page:
    """The answer first; the exact rows are each model's classes of operations."""
    tables = [_totals(explanation)]
    for word in ("class", "stage"):
        tables += [
            _parts(model.by_class if word == "class" else model.by_stage, word, model)
            for model in explanation.explained
        ]
    tables[-1] = replace(tables[-1], notes=tuple(notes(explanation)))
    classes = Table(
        "classes",
        "",
        (Column("model", "model"), *(Column(key, key) for key in _PART)),
        tuple(
            (model.model, *(getattr(part, key) for key in _PART))
            for model in explanation.explained
            for part in model.by_class
        ),
    )
    why = " ".join(explanation.words)
    return Page(
        "explain",
        "explain",
        (Section("why", "Why", (why,) if why else (), tuple(tables)),),
        lambda: to_plain(explanation),
        frame=classes,
    )


def notes(explanation: Explanation) -> list[str]:
    """What the figures rest on."""
    peaks = explanation.peaks
    found: list[str] = []
    for failed in explanation.failed:
        found.append(f"{failed.model}: FAILED, {failed.error}")
        found.extend(f"| {line}" for line in failed.stderr_tail[-3:])
    if peaks is not None and explanation.explained:
        found.extend(_basis(peaks, explanation.setting))
    found.extend(f"warning: {text}" for text in explanation.warnings)
    if explanation.interrupted:
        found.append("interrupted: latencies are from what was measured until then")
    return found


def _basis(peaks: Peaks, setting: Setting) -> list[str]:
    kind = "measured here" if peaks.measured else "DATA SHEET, a bound and not a prediction"
    found = [
        f"Roofline of {peaks.name} ({kind}): {peaks.flops_per_s / 1e9:.4g} GFLOP/s, "
        f"{peaks.bytes_per_s / 1e9:.4g} GB/s, ridge {peaks.ridge:.1f} FLOP/byte. {peaks.source}.",
        "Times are the profiler's, scaled so that they add up to the unprofiled median; MACs, "
        "FLOPs and bytes are counted. A bound above the time means traffic that stayed in a cache.",
    ]
    if not peaks.measured and not setting.device.startswith("cuda"):
        found.append(
            "Times and bounds are of two machines, so that no share of the bound is given."
        )
    return found


def _totals(explanation: Explanation) -> Table:
    columns = (
        Column("model", "model", rank=0),
        Column("latency_s", "median", "seconds", rank=0),
        Column("macs", "MACs", "scaled"),
        Column("flops", "FLOPs", "scaled", rank=2),
        Column("traffic_bytes", "traffic", "bytes"),
        Column("intensity", "FLOP/byte", "ratio", digits=1, rank=2),
        Column("kernels", "kernels", "ratio", digits=0, rank=2),
        Column("bound_s", "bound", "seconds"),
    )
    rows: list[tuple[Any, ...]] = []
    for model in explanation.models:
        if model.error is not None:
            rows.append((model.model, model.latency_s or "failed", *(None,) * 6))
            continue
        rows.append(
            (model.model, model.latency_s, total("macs", model.macs, model.at_least),
             total("flops", model.flops, model.at_least), model.traffic_bytes,
             model.intensity or None, model.kernels, model.bound_s)
        )  # fmt: skip
    title = f"{explanation.setting.label} · {explanation.machine.cpu}"
    notes = [
        f"{model.model}: some operation has no rule, so that MACs and FLOPs are lower bounds"
        for model in explanation.explained
        if model.at_least
    ]
    return Table("totals", title, columns, tuple(rows), notes=tuple(notes))


def _parts(parts: tuple[PartTime, ...], word: str, model: Explained) -> Table:
    columns = (
        Column(word, word, rank=0),
        Column("seconds", "time", "seconds", rank=0),
        Column("share", "share", "share", rank=0),
        Column("operations", "ops", "ratio", digits=0, rank=3),
        Column("macs", "MACs", "scaled", rank=1),
        Column("traffic_bytes", "traffic", "bytes", rank=2),
        Column("intensity", "FLOP/byte", "ratio", digits=2, rank=3),
        Column("bound", "bound", place="shown", rank=2),
        Column("efficiency", "of bound", "share", digits=0, rank=2),
    )
    rows: list[tuple[Any, ...]] = [
        (
            part.name,
            part.seconds,
            part.share,
            part.operations,
            part.macs or None,
            part.traffic_bytes or None,
            part.intensity or None,
            f"{seconds_text(part.bound_s)} ({part.limit[:3]})" if part.bound_s else None,
            part.efficiency or None,
        )
        for part in parts
        if part.share >= SMALLEST_SHARE or part.macs
    ]
    whole = sum(part.seconds for part in parts)
    rows.append(("total", whole, whole / model.latency_s, *(None,) * 6))
    title = f"{model.model} by {'operation class' if word == 'class' else word}"
    return Table(f"by-{word}", title, columns, tuple(rows))
