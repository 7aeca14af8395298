"""A benchmark run's table, its notes and its JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import seconds_text
from gadprof.results.page import Page, page_of
from gadprof.results.plain import to_plain
from gadprof.results.sentences import faster_than
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.measuring.result import BenchResult, BenchRow

DEPLOYED = (
    "file_bytes",
    "load_s",
    "first_run_s",
    "grown_bytes",
    "snr_db",
    "joints_within_cell",
)
SETTINGS = ("device", "batch", "dtype", "threads", "mode", "runtime")


def bench_page(result: BenchResult) -> Page:
    """The verdict, a row a model and setting; JSON has ``rows``, ``groups``, options, machine."""
    return page_of(
        bench_table(result),
        document=lambda: bench_payload(result),
        name="bench",
        words=bench_verdict(result),
    )


def bench_verdict(result: BenchResult) -> str:
    """Two rows against each other, how many of several are faster or slower, or one row's time."""
    judged = [row for row in result.rows if row.outcome and row.outcome != "reference"]
    if not judged:
        first = next((row for row in result.rows if row.latency_s is not None), None)
        if first is None or first.latency_s is None:
            return "Nothing was measured."
        told = f"{_label(first, result)} takes {seconds_text(first.latency_s.median)}"
        return f"{told}; no ratio could be told." if len(result.rows) > 1 else f"{told}."
    if len(judged) == 1 and judged[0].ratio is not None:
        row, ratio = judged[0], judged[0].ratio
        if row.outcome == "cannot tell":
            return f"{_label(row, result)} against {ratio.to}: {row.verdict}."
        low, high = (f"{end:.3g}" for end in ratio.ci95)
        return (
            f"{_label(row, result)} is {faster_than(ratio.value, ratio.to)}: it takes "
            f"{ratio.value:.3g} times as long, with 95 % between {low} and {high}."
        )
    kinds = Counter(row.outcome for row in judged)
    told = ", ".join(
        f"{kinds[outcome]} {words}"
        for outcome, words in (
            ("faster", "faster"), ("slower", "slower"), ("cannot tell", "not told apart"),
        )
        if kinds[outcome]
    )  # fmt: skip
    return f"Of {len(judged)} rows with a ratio to another: {told}."


def bench_payload(result: BenchResult) -> dict[str, Any]:
    """The JSON document: ``rows``, ``groups``, what was asked, and the machine."""
    payload: dict[str, Any] = to_plain(result)
    for row in payload["rows"]:
        row["settings"] = row.pop("setting")
    return payload


def bench_table(result: BenchResult) -> Table:
    """A row a model and setting; the settings are shown where they differ."""
    swept = _swept(result)
    columns = (
        Column("model", "model", rank=0),
        *(Column(name, name, place="both" if name in swept else "exact") for name in SETTINGS),
        Column("channels_last", "channels last", place="exact"),
        Column("median_s", "median", "seconds", place="exact"),
        Column("median", "median", "seconds", place="shown", rank=0),
        Column("ci95_low_s", "95 % from", "seconds", place="exact"),
        Column("ci95_high_s", "to", "seconds", place="exact"),
        Column("half_width", "±", "share", place="shown", rank=1),
        Column("mean_s", "mean", "seconds", place="exact"),
        Column("p90_s", "p90", "seconds", rank=4),
        Column("p95_s", "p95", "seconds", place="exact"),
        Column("p99_s", "p99", "seconds", rank=4),
        Column("spread", "spread", "share", rank=3),
        Column("samples", "samples", "count", place="exact"),
        Column("ratio", "ratio", "ratio", digits=3, rank=0),
        Column("ratio_ci95_low", "95 % from", "ratio", place="exact"),
        Column("ratio_ci95_high", "to", "ratio", place="exact"),
        Column("ratio_ci95", "its 95 %", "interval", place="shown", rank=0),
        Column("throughput_per_s", "per s", "ratio", rank=3),
        Column("peak_bytes", "peak", "bytes", rank=2),
        Column("predicted_peak_bytes", "predicted", "bytes", place="shown", rank=4),
        Column("file_bytes", "file", "bytes", rank=3),
        Column("load_s", "load", "seconds", rank=4),
        Column("first_run_s", "first", "seconds", rank=4),
        Column("grown_bytes", "grows by", "bytes", rank=4),
        Column("snr_db", "SNR dB", "ratio", digits=1, rank=2),
        Column("joints_within_cell", "joints kept", "share", rank=4),
        Column("joules_per_run", "energy", place="exact"),
        Column("energy", "energy", place="shown", rank=2),
        Column("verdict", "verdict", place="exact"),
        Column("error", "failed", place="exact"),
        Column("words", "verdict", place="page"),
    )
    return Table(
        "bench",
        _title(result),
        columns,
        tuple(_row(row) for row in result.rows),
        notes=tuple(_notes(result)),
    )


def _row(row: BenchRow) -> tuple[Any, ...]:
    latency, ratio, reference = row.latency_s, row.ratio, row.outcome == "reference"
    low, high = (latency.ci95 or (None, None)) if latency else (None, None)
    facts = row.deployed or {}
    joules = (row.energy or {}).get("joules_per_run")
    return (
        row.model,
        *(getattr(row.setting, name) for name in SETTINGS),
        row.setting.channels_last,
        latency.median if latency else None,
        latency.median if latency else "failed",
        low,
        high,
        _half_width(latency.ci95, latency.median) if latency else None,
        latency.mean if latency else None,
        latency.p90 if latency else None,
        latency.p95 if latency else None,
        latency.p99 if latency else None,
        latency.spread if latency else None,
        latency.count if latency else 0,
        ratio.value if ratio else None,
        *(ratio.ci95 if ratio else (None, None)),
        ratio.ci95 if ratio and not reference else None,
        row.throughput_per_s,
        row.peak_bytes,
        row.predicted_peak_bytes,
        *(facts.get(name) for name in DEPLOYED),
        joules,
        f"{joules:.3g} J" if joules else None,
        row.verdict,
        row.error,
        row.error or row.verdict,
    )


def _label(row: BenchRow, result: BenchResult) -> str:
    """The model, with its setting where the run has several."""
    if len({r.setting for r in result.rows}) == 1:
        return row.model
    base = result.rows[0].setting
    differing = []
    setting = row.setting
    for name, word in (
        ("device", "{}"),
        ("batch", "batch {}"),
        ("dtype", "{}"),
        ("threads", "threads {}"),
        ("mode", "{}"),
        ("runtime", "{}"),
    ):
        values = {getattr(r.setting, name) for r in result.rows}
        if len(values) > 1:
            differing.append(word.format(getattr(setting, name)))
    return f"{row.model} ({', '.join(differing)})" if base and differing else row.model


def _title(result: BenchResult) -> str:
    settings = list(dict.fromkeys(row.setting for row in result.rows))
    if len(settings) == 1:
        return f"{settings[0].label} · {result.machine.cpu}, {result.machine.cores} cores"
    return f"{result.machine.cpu}, {result.machine.cores} cores"


def _swept(result: BenchResult) -> list[str]:
    """The settings' fields in which the rows differ."""
    return [name for name in SETTINGS if len({getattr(r.setting, name) for r in result.rows}) > 1]


def _half_width(ends: tuple[float, float] | None, median: float) -> float | None:
    """Half of the median's 95 % interval, as a share of the median."""
    if ends is None or not median > 0:
        return None
    return 0.5 * (ends[1] - ends[0]) / median


def _notes(result: BenchResult) -> list[str]:
    notes: list[str] = []
    told = Counter(note for row in result.rows for note in row.notes)
    for row in result.rows:
        label = _label(row, result)
        if row.error:
            notes.append(f"{label}: FAILED, {row.error}")
            notes.extend(f"    | {line}" for line in row.stderr_tail[-3:])
        elif row.outcome and row.outcome != "reference":
            notes.append(f"{label}: {row.verdict}")
        elif row.ratio_absent:
            notes.append(f"{label}: no ratio, {row.ratio_absent}")
        notes.extend(f"{label}: {note}" for note in row.notes if told[note] == 1)
    notes.extend(f"{count} rows: {note}" for note, count in told.items() if count > 1)
    for group in result.groups:
        notes.append(_group_line(result, group))
        notes.extend(f"warning ({warning.kind}): {warning.text}" for warning in group.warnings)
    notes.append("±: half of the median's 95 % interval; spread: scaled median absolute deviation")
    if any(row.deployed for row in result.rows):
        notes.append(
            "file, load, first: the runtime's file, loading it and the first run of it in a fresh "
            "process, which grows by so much; SNR dB: the outputs' power over their error's, "
            "against eager fp32"
        )
    notes.extend(_energy_notes(result.rows))
    if result.interrupted:
        notes.append("interrupted: the table holds what was measured until then")
    return notes


def _group_line(result: BenchResult, group: Any) -> str:
    words = (
        f"{group.blocks} interleaved blocks in {group.seconds:.1f} s and {group.launches} "
        f"launch{'' if group.launches == 1 else 'es'} of each model, ended by {group.stopped_by}"
    )
    if len(result.groups) > 1:
        words = f"{result.rows[group.rows[0]].setting.label}: {words}"
    if group.null is not None:
        null = group.null
        words += (
            f"; null ({null.to} against itself): {null.value:.3f} "
            f"({null.ci95[0]:.3f} to {null.ci95[1]:.3f})"
        )
    return words


def _energy_notes(rows: Sequence[BenchRow]) -> list[str]:
    reasons = dict.fromkeys(
        row.energy["reason"] for row in rows if row.energy and row.energy.get("reason")
    )
    measured = [row.energy for row in rows if row.energy and row.energy.get("joules_per_run")]
    notes = [f"energy: {reason}" for reason in reasons]
    if measured:
        notes.append(
            f"energy by {measured[0]['counter']}, idle parts included; the counter's step is "
            f"{measured[0]['resolution_j']:.2g} J"
        )
    return notes
