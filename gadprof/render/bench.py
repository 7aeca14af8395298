"""A benchmark run as text: a table with its verdicts below, or JSON, CSV, markdown, LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.cells import bytes_text, seconds_text
from gadprof.render.tables import render_table, to_console
from gadprof.results.plain import to_json, to_plain

if TYPE_CHECKING:
    from gadprof.measuring.result import BenchResult, BenchRow


def render_bench(result: BenchResult, output_format: str) -> str:
    """The run in one of table, json, csv, md, latex."""
    if output_format == "json":
        return to_json(bench_payload(result))
    if output_format == "table":
        return console_text(result)
    if output_format == "csv":
        return render_table("csv", *exact_table(result))
    headers, rows = readable_table(result, verdicts=True)
    return render_table(output_format, headers, rows)


def bench_payload(result: BenchResult) -> dict[str, Any]:
    """The JSON document: ``rows``, ``groups``, what was asked, and the machine."""
    payload: dict[str, Any] = to_plain(result)
    for row in payload["rows"]:
        row["settings"] = row.pop("setting")
    return payload


def console_text(result: BenchResult, width: int | None = None) -> str:
    """The table for people, verdicts, warnings and failures below it."""
    headers, rows = readable_table(result, verdicts=False)
    return to_console(headers, rows, title=_title(result), notes=_notes(result), width=width)


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
    names = ("device", "batch", "dtype", "threads", "mode", "runtime")
    return [name for name in names if len({getattr(r.setting, name) for r in result.rows}) > 1]


def readable_table(result: BenchResult, *, verdicts: bool) -> tuple[list[str], list[list[Any]]]:
    """Headers and cells for a person; ``verdicts`` adds a column of words."""
    swept = _swept(result)
    headers = [
        "model",
        *swept,
        "median",
        "±",
        "p90",
        "p99",
        "spread",
        "ratio",
        "its 95 %",
        "per s",
        "peak",
    ]
    energy = any(row.energy and row.energy.get("joules_per_run") for row in result.rows)
    predicted = any(row.predicted_peak_bytes for row in result.rows)
    if predicted:
        headers.append("predicted")
    if energy:
        headers.append("energy")
    if verdicts:
        headers.append("verdict")
    rows = []
    for row in result.rows:
        latency, ratio = row.latency_s, row.ratio
        cells: list[Any] = [row.model, *(str(getattr(row.setting, name)) for name in swept)]
        if latency is None:
            cells += ["failed"]
            cells += [None] * (len(headers) - len(cells) - (1 if verdicts else 0))
        else:
            cells += [
                seconds_text(latency.median),
                _half_width(latency.ci95, latency.median),
                seconds_text(latency.p90),
                seconds_text(latency.p99),
                f"{100 * latency.spread:.1f} %",
                f"{ratio.value:.3f}" if ratio else None,
                f"{ratio.ci95[0]:.3f}–{ratio.ci95[1]:.3f}"
                if ratio and row.outcome != "reference"
                else None,
                f"{row.throughput_per_s:.4g}" if row.throughput_per_s else None,
                bytes_text(row.peak_bytes),
            ]
            if predicted:
                cells.append(bytes_text(row.predicted_peak_bytes))
            if energy:
                joules = (row.energy or {}).get("joules_per_run")
                cells.append(f"{joules:.3g} J" if joules else None)
        if verdicts:
            cells.append(row.error or row.verdict)
        rows.append(cells)
    return headers, rows


def _half_width(ends: tuple[float, float] | None, median: float) -> str | None:
    """Half of the median's 95 % interval, as a share of the median."""
    if ends is None or not median > 0:
        return None
    return f"{50 * (ends[1] - ends[0]) / median:.1f} %"


def _notes(result: BenchResult) -> list[str]:
    notes: list[str] = []
    for row in result.rows:
        label = _label(row, result)
        if row.error:
            notes.append(f"{label}: FAILED, {row.error}")
            notes.extend(f"    | {line}" for line in row.stderr_tail[-3:])
        elif row.outcome and row.outcome != "reference":
            notes.append(f"{label}: {row.verdict}")
        elif row.ratio_absent:
            notes.append(f"{label}: no ratio, {row.ratio_absent}")
        notes.extend(f"{label}: {note}" for note in row.notes)
    for group in result.groups:
        notes.append(_group_line(result, group))
        notes.extend(f"warning ({warning.kind}): {warning.text}" for warning in group.warnings)
    notes.append("±: half of the median's 95 % interval; spread: scaled median absolute deviation")
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


def exact_table(result: BenchResult) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows of exact values in base units."""
    headers = [
        "model",
        "device",
        "batch",
        "dtype",
        "threads",
        "mode",
        "runtime",
        "channels_last",
        "median_s",
        "ci95_low_s",
        "ci95_high_s",
        "mean_s",
        "p90_s",
        "p95_s",
        "p99_s",
        "spread",
        "samples",
        "ratio",
        "ratio_ci95_low",
        "ratio_ci95_high",
        "throughput_per_s",
        "peak_bytes",
        "joules_per_run",
        "verdict",
        "error",
    ]
    rows: list[list[Any]] = []
    for row in result.rows:
        s, latency, ratio = row.setting, row.latency_s, row.ratio
        low, high = (latency.ci95 or (None, None)) if latency else (None, None)
        rows.append(
            [
                row.model,
                s.device,
                s.batch,
                s.dtype,
                s.threads,
                s.mode,
                s.runtime,
                s.channels_last,
                *(
                    [repr_float(latency.median), repr_float(low), repr_float(high)]
                    if latency
                    else [None] * 3
                ),
                *(
                    [
                        repr_float(value)
                        for value in (
                            latency.mean,
                            latency.p90,
                            latency.p95,
                            latency.p99,
                            latency.spread,
                        )
                    ]
                    if latency
                    else [None] * 5
                ),
                latency.count if latency else 0,
                *(
                    [repr_float(ratio.value), *(repr_float(end) for end in ratio.ci95)]
                    if ratio
                    else [None] * 3
                ),
                repr_float(row.throughput_per_s),
                row.peak_bytes,
                (row.energy or {}).get("joules_per_run"),
                row.verdict,
                row.error,
            ]
        )
    return headers, rows


def repr_float(value: float | None) -> str | None:
    """A float with all its digits, for files that programs read."""
    return None if value is None else repr(float(value))
