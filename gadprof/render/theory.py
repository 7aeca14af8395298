"""Theory against measurement: columns for a grid, and a page with its plots and data."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.render.cells import seconds_text
from gadprof.render.markdown import details, image, to_markdown
from gadprof.results.plain import describe_machine, to_json

if TYPE_CHECKING:
    from gadprof.formulas.formula import Formula
    from gadprof.measuring.block_pairs import MeasuredPair
    from gadprof.measuring.explain.roofline import Peaks
    from gadprof.measuring.settings import Setting
    from gadprof.report.gather import Plot

NOT_MEASURED = "not measured"
HEADERS = ("Rs", "MAC ratio", "speed-up", "its 95 %", "memory ratio", "block", "convolution")


def measured_cells(point: Formula, pair: MeasuredPair) -> list[Any]:
    """The cells under ``HEADERS``."""
    if pair.speed_up is None or pair.ci95 is None:
        word = pair.error if pair.error == NOT_MEASURED else "failed"
        return [f"{point.Rs:.3f}", f"{point.Rs_macs:.3f}", word, None, None, None, None]
    return [
        f"{point.Rs:.3f}",
        f"{point.Rs_macs:.3f}",
        f"{pair.speed_up:.3f}",
        f"{pair.ci95[0]:.3f}–{pair.ci95[1]:.3f}",
        f"{pair.memory_ratio:.3f}" if pair.memory_ratio else None,
        seconds_text(pair.latency_s),
        seconds_text(pair.reference_latency_s),
    ]


def words(points: Sequence[Formula], measured: Sequence[MeasuredPair]) -> list[str]:
    """What the grid says, in sentences."""
    pairs = [
        (point, pair)
        for point, pair in zip(points, measured, strict=True)
        if pair.speed_up is not None and pair.ci95 is not None
    ]
    if not pairs:
        return ["No point was measured."]
    shares = sorted((pair.speed_up or 0.0) / point.Rs_macs for point, pair in pairs)
    middle = shares[len(shares) // 2]
    slower = [pair for _, pair in pairs if pair.ci95 is not None and pair.ci95[1] < 1]
    faster = [pair for _, pair in pairs if pair.ci95 is not None and pair.ci95[0] > 1]
    reached = [
        pair for point, pair in pairs if pair.ci95 is not None and pair.ci95[1] >= point.Rs_macs
    ]
    speed_ups = sorted(pair.speed_up or 0.0 for _, pair in pairs)
    return [
        f"{len(pairs)} of {len(points)} points measured. The block is faster than the ordinary "
        f"convolution in {len(faster)}, slower in {len(slower)}; in the other "
        f"{len(pairs) - len(faster) - len(slower)} this run cannot tell.",
        f"The measured speed-up runs from {speed_ups[0]:.2f} to {speed_ups[-1]:.2f} and is at the "
        f"median {middle:.2f} x the theoretical MAC ratio; the interval reaches the theoretical "
        f"value in {len(reached)} points.",
    ]


def _load(measured: Sequence[MeasuredPair]) -> str:
    """How busy other programs kept the machine, as a sentence."""
    known = [pair.other_busy_cores for pair in measured if pair.other_busy_cores is not None]
    if not known:
        return ""
    return (
        f" Other programs kept {statistics.median(known):.2f} cores busy at the median of the "
        f"points and {max(known):.2f} at most."
    )


def plots(points: Sequence[Formula], measured: Sequence[MeasuredPair]) -> list[Plot]:
    """Measured speed-up and memory ratio against theory."""
    from gadprof.report.gather import Plot

    speed: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    for point, pair in zip(points, measured, strict=True):
        if pair.speed_up is None or pair.ci95 is None:
            continue
        low, high = pair.ci95
        label = f"{point.block} {point.inputs['c_in']}"
        speed.append(
            {"label": label, "x": point.Rs_macs, "y": pair.speed_up, "y_low": low, "y_high": high}
        )
        if pair.memory_ratio:
            memory.append({"label": label, "x": point.Rs, "y": pair.memory_ratio})
    found = []
    if speed:
        found.append(
            Plot(
                "speed-up",
                "scatter",
                "Measured speed-up against theory",
                "theoretical ratio of MACs",
                "measured speed-up",
                "Measured speed-up of each block against the theoretical MAC ratio",
                {"points": speed, "diagonal": True},
            )
        )
    if memory:
        found.append(
            Plot(
                "memory",
                "scatter",
                "Measured memory ratio against theory",
                "theoretical Rs (ratio of weights)",
                "measured ratio of peak memory",
                "Measured ratio of peak memory of each block against the theoretical Rs",
                {"points": memory, "diagonal": True},
            )
        )
    return found


def page_files(
    stem: str,
    points: Sequence[Formula],
    measured: Sequence[MeasuredPair],
    setting: Setting,
    command: str,
    peaks: Peaks | None = None,
) -> dict[str, str | bytes]:
    """The page, its plots and its data by path relative to the page's folder.

    ``peaks`` are the machine's, measured; without them the page says nothing of bounds.
    """
    from gadprof.render.plots import render_plot
    from gadprof.render.theory_reasons import reasons

    machine = describe_machine()
    files: dict[str, str | bytes] = {}
    lines = ["# Theory against measurement", ""]
    lines += [
        "Each block of the closed forms against the ordinary convolution (with batch "
        "normalisation and ReLU) of the same channels, kernel, stride and output size: the "
        "theoretical Rs beside the speed-up and the memory ratio that were measured.",
        "",
        *(sentence + "\n" for sentence in words(points, measured)),
        f"Measured on {machine.cpu}, {machine.cores} cores, torch "
        f"{machine.packages.get('torch', '?')}: {setting.label}.{_load(measured)}",
        "",
    ]
    for plot in plots(points, measured):
        name = f"plots/{stem}-{plot.key}.svg"
        files[name] = render_plot(plot)
        lines += [image(plot.alternative, name).strip(), ""]
    why = reasons(points, measured, peaks)
    if why:
        lines += ["## Why it is not what theory says", "", *(text + "\n" for text in why)]
    inputs = ("c_in", "c_out", "k", "d", "s", "stride", "h", "w")
    headers = ["block", *inputs, *HEADERS[:-2], "t block", "t conv"]
    rows = [
        [point.block, *(point.inputs.get(name) for name in inputs), *measured_cells(point, pair)]
        for point, pair in zip(points, measured, strict=True)
    ]
    lines += [details(f"All {len(points)} points", to_markdown(headers, rows)), ""]
    lines += [
        "Rs is the ratio of weights, MAC ratio the ratio of multiply-accumulates (both "
        "theory); speed-up is the convolution's time over the block's, memory ratio the "
        "convolution's peak bytes over the block's (weights, input and activations).",
        "",
        f"[Data](data/{stem}.json). Rebuilt by:",
        "",
        "```sh",
        command,
        "```",
    ]
    files[f"{stem}.md"] = "\n".join(lines) + "\n"
    files[f"data/{stem}.json"] = to_json(
        {
            "setting": setting,
            "machine": machine,
            "peaks": peaks,
            "points": [
                {
                    "block": point.block,
                    "inputs": dict(point.inputs),
                    "Rs": point.Rs,
                    "Rs_macs": point.Rs_macs,
                    "measured": pair,
                }
                for point, pair in zip(points, measured, strict=True)
            ],
        }
    )
    return files
