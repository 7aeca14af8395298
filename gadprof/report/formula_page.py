"""Theory against measurement: a measured grid of blocks as a table, in words, and as a page."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.formulas.page import varying
from gadprof.report.formula_reasons import reasons
from gadprof.results.page import Page, Plot, Section
from gadprof.results.plain import describe_machine
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.formulas.formula import Formula
    from gadprof.measuring.block_pairs import MeasuredPair
    from gadprof.measuring.explain.roofline import Peaks
    from gadprof.measuring.settings import Setting

NOT_MEASURED = "not measured"
INPUTS = ("c_in", "c_out", "k", "d", "s", "stride", "h", "w")


def measured_table(
    points: Sequence[Formula],
    measured: Sequence[MeasuredPair],
    inputs: Sequence[str] = (),
    **more: Any,
) -> Table:
    """A row a point: theory beside measurement, at ``inputs`` or those in which points differ."""
    names = list(inputs) or varying(points)
    columns = (
        Column("block", "form", rank=0),
        *(Column(name, name, "count", rank=0) for name in names),
        Column("Rs", "Rs", "ratio", digits=3, rank=1),
        Column("Rs_macs", "MAC ratio", "ratio", digits=3, rank=0),
        Column("speed_up", "speed-up", "ratio", digits=3, rank=0),
        Column("speed_up_low", "95 % from", "ratio", place="exact"),
        Column("speed_up_high", "to", "ratio", place="exact"),
        Column("speed_up_ci95", "its 95 %", "interval", place="shown", rank=0),
        Column("memory_ratio", "memory ratio", "ratio", digits=3, rank=2),
        Column("latency_s", "block takes", "seconds", rank=3),
        Column("reference_latency_s", "convolution takes", "seconds", rank=3),
    )
    rows = tuple(
        (point.block, *(point.inputs.get(name) for name in names), point.Rs, point.Rs_macs,
         *_measured(pair))
        for point, pair in zip(points, measured, strict=True)
    )  # fmt: skip
    return Table("points", more.pop("title", ""), columns, rows, **more)


def _measured(pair: MeasuredPair) -> tuple[Any, ...]:
    if pair.speed_up is None or pair.ci95 is None:
        word = pair.error if pair.error == NOT_MEASURED else "failed"
        return word, None, None, None, None, None, None
    return (pair.speed_up, *pair.ci95, pair.ci95, pair.memory_ratio or None, pair.latency_s,
            pair.reference_latency_s)  # fmt: skip


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


def plots(points: Sequence[Formula], measured: Sequence[MeasuredPair]) -> tuple[Plot, ...]:
    """Measured speed-up and memory ratio against theory, a colour a block."""
    speed: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    for point, pair in zip(points, measured, strict=True):
        if pair.speed_up is None or pair.ci95 is None:
            continue
        low, high = pair.ci95
        named = {"label": f"{point.block} {point.inputs['c_in']}", "group": point.block}
        speed.append({**named, "x": point.Rs_macs, "y": pair.speed_up, "y_low": low,
                      "y_high": high})  # fmt: skip
        if pair.memory_ratio:
            memory.append({**named, "x": point.Rs, "y": pair.memory_ratio})
    found = []
    for key, title, x_label, y_label, data in (
        ("speed-up", "Measured speed-up against theory", "theoretical ratio of MACs",
         "measured speed-up", speed),
        ("memory", "Measured memory ratio against theory", "theoretical Rs (ratio of weights)",
         "measured ratio of peak memory", memory),
    ):  # fmt: skip
        if data:
            alternative = f"{y_label[0].upper()}{y_label[1:]} of each block against the {x_label}"
            found.append(
                Plot(key, "scatter", title, x_label, y_label, alternative,
                     {"points": data, "diagonal": True})
            )  # fmt: skip
    return tuple(found)


def formula_page(
    stem: str,
    points: Sequence[Formula],
    measured: Sequence[MeasuredPair],
    setting: Setting,
    command: str,
    peaks: Peaks | None = None,
    machine: Any = None,
) -> Page:
    """The page of a measured grid.

    ``peaks`` are the machine's, measured; without them the page says nothing of bounds. ``machine``
    is where the grid was measured, this one by default.
    """
    machine = machine or describe_machine()
    sections = [
        Section("summary", "Summary", (*words(points, measured), RATIOS)),
        Section(
            "measured",
            "What was measured",
            (
                "Each block of the closed forms against the ordinary convolution (with batch "
                "normalisation and ReLU) of the same channels, kernel, stride and output size: "
                "the theoretical Rs beside the speed-up and the memory ratio that were measured.",
                f"Measured on {machine.cpu}, {machine.cores} cores, torch "
                f"{machine.packages.get('torch', '?')}: {setting.label}.{_load(measured)}",
            ),
            plots=plots(points, measured),
        ),
    ]
    why = reasons(points, measured, peaks)
    if why:
        sections.append(Section("reasons", "Why it is not what theory says", tuple(why)))
    title = f"All {len(points)} points"
    table = measured_table(points, measured, INPUTS, title=title, folded=True)
    sections.append(Section("points", "The points", (), (table,)))
    document = {
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
    return Page(stem, "Theory against measurement", tuple(sections), document, command)


RATIOS = (
    "Rs is the ratio of weights, MAC ratio the ratio of multiply-accumulates (both theory); "
    "speed-up is the convolution's time over the block's, memory ratio the convolution's peak "
    "bytes over the block's (weights, input and activations)."
)
