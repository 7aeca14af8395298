"""An explanation as text: time by class and by stage of each model, and the reasons in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.render.cells import bytes_text, scaled, seconds_text
from gadprof.render.escape import markdown, plain
from gadprof.render.tables import render_table, to_console
from gadprof.results.plain import to_json, to_plain

if TYPE_CHECKING:
    from gadprof.measuring.explain.explain import Explained, Explanation, Part, Unexplained
    from gadprof.measuring.explain.roofline import Peaks
    from gadprof.measuring.settings import Setting

SMALLEST_SHARE = 0.002


def render_explanation(explanation: Explanation, output_format: str) -> str:
    """The explanation as table, json or md."""
    if output_format == "json":
        payload: dict[str, Any] = to_plain(explanation)
        return to_json(payload)
    sections: list[str] = []
    for title, headers, rows in tables(explanation):
        if output_format == "md":
            sections.append(f"### {title}\n\n" + render_table("md", headers, rows))
        else:
            sections.append(to_console(headers, rows, title=title))
    closing = [*explanation.words, *notes(explanation)]
    if output_format == "md":
        sections.append("\n\n".join(markdown(text, 2_000) for text in closing))
    else:
        import textwrap

        why = textwrap.fill(plain(" ".join(explanation.words), 20_000), 100)
        rest = "\n".join(textwrap.fill(plain(note, 2_000), 100) for note in notes(explanation))
        sections.append(f"{why}\n\n{rest}" if why else rest)
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


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


def tables(explanation: Explanation) -> list[tuple[str, list[str], list[list[Any]]]]:
    """Title, headers and rows of every table."""
    setting = explanation.setting.label
    found = [
        (
            f"{setting} · {explanation.machine.cpu}",
            ["model", "median", "MACs", "FLOPs", "traffic", "FLOP/byte", "kernels", "bound"],
            [_total(model) for model in explanation.models],
        )
    ]
    for model in explanation.explained:
        found.append((f"{model.model} by operation class", *_parts(model.by_class, "class", model)))
    for model in explanation.explained:
        found.append((f"{model.model} by stage", *_parts(model.by_stage, "stage", model)))
    return found


def _total(model: Explained | Unexplained) -> list[Any]:
    if model.error is not None:
        return [model.model, "failed" if model.latency_s is None else seconds_text(model.latency_s)]
    return [
        model.model,
        seconds_text(model.latency_s),
        scaled(model.macs),
        scaled(model.flops),
        bytes_text(model.traffic_bytes),
        f"{model.intensity:.1f}" if model.intensity else None,
        f"{model.kernels:.0f}",
        seconds_text(model.bound_s),
    ]


def _parts(
    parts: tuple[Part, ...], word: str, model: Explained
) -> tuple[list[str], list[list[Any]]]:
    headers = [word, "time", "share", "ops", "MACs", "traffic", "FLOP/byte", "bound", "of bound"]
    rows: list[list[Any]] = []
    for part in parts:
        if part.share < SMALLEST_SHARE and part.macs == 0:
            continue
        rows.append(
            [
                part.name,
                seconds_text(part.seconds),
                f"{100 * part.share:.1f} %",
                f"{part.operations:.0f}",
                scaled(part.macs) if part.macs else None,
                bytes_text(part.traffic_bytes) if part.traffic_bytes else None,
                f"{part.intensity:.2f}" if part.intensity else None,
                f"{seconds_text(part.bound_s)} ({part.limit[:3]})" if part.bound_s else None,
                f"{100 * part.efficiency:.0f} %" if part.efficiency else None,
            ]
        )
    shown = sum(part.seconds for part in parts)
    rows.append(["total", seconds_text(shown), f"{100 * shown / model.latency_s:.1f} %"])
    return headers, rows
