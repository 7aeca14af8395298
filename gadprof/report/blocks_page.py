"""Where blocks pay: each block's time and bytes a MAC against the convolution, in each runtime.

Promises words that follow from the intervals alone: a block pays at a size where it is faster than
the ordinary convolution beyond its 95 % interval. Times a MAC are of the measured medians, bytes a
MAC those that the block's operations read and write, counted from its plan. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.results.page import Page, Plot, Section
from gadprof.results.plain import describe_machine
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.formulas.formula import Formula
    from gadprof.measuring.block_pairs import MeasuredPair
    from gadprof.measuring.settings import Setting

Measured = Sequence[tuple["Setting", Sequence["MeasuredPair"]]]


def size_of(point: Formula) -> tuple[int, int, int]:
    """Channels, height and width of a point."""
    return point.inputs["c_in"], point.inputs["h"], point.inputs["w"]


def size_text(size: tuple[int, int, int]) -> str:
    """``64 ch. 32×24``."""
    return f"{size[0]} ch. {size[1]}×{size[2]}"


def runtime_text(setting: Setting) -> str:
    """The runtime, with its precision where that is not fp32."""
    return setting.runtime + (f" {setting.dtype}" if setting.dtype != "fp32" else "")


def pays(pair: MeasuredPair) -> bool:
    """Whether the block is faster than the convolution beyond its interval."""
    return pair.ci95 is not None and pair.ci95[0] > 1


def loses(pair: MeasuredPair) -> bool:
    """Whether it is slower beyond its interval."""
    return pair.ci95 is not None and pair.ci95[1] < 1


def verdict(points: Sequence[Formula], pairs: Sequence[MeasuredPair], block: str) -> str:
    """Where a block pays in one runtime, as a designer reads it."""
    mine = [
        (size_of(point), pair)
        for point, pair in zip(points, pairs, strict=True)
        if point.block == block and pair.speed_up is not None
    ]
    if not mine:
        failed = [p for point, p in zip(points, pairs, strict=True) if point.block == block]
        return next((pair.error for pair in failed if pair.error), None) or "not measured"
    sizes = sorted({size_of(point) for point in points if point.block == block})
    every = "at every size" + (" that was measured" if len(mine) < len(sizes) else "")
    good = [size for size, pair in mine if pays(pair)]
    bad = [size for size, pair in mine if loses(pair)]
    if len(good) == len(mine):
        return f"pays {every}"
    if not good:
        return "pays at no size" + (f", is slower {every}" if len(bad) == len(mine) else "")
    for text, some in (
        ("from {} up", sizes[sizes.index(min(good)) :]),
        ("up to {}", sizes[: sizes.index(max(good)) + 1]),
    ):
        if sorted(good) == some:
            end = some[0] if text.startswith("from") else some[-1]
            return "pays " + text.format(size_text(end))
    return "pays at " + ", ".join(size_text(size) for size in sorted(good))


def words(points: Sequence[Formula], measured: Measured) -> list[str]:
    """For each runtime, which blocks pay everywhere, somewhere and nowhere."""
    blocks = list(dict.fromkeys(point.block for point in points))
    found = []
    for setting, pairs in measured:
        verdicts = {block: verdict(points, pairs, block) for block in blocks}
        groups: dict[str, list[str]] = {}
        for block, text in verdicts.items():
            groups.setdefault(text, []).append(block)
        parts = [
            f"{', '.join(names)} {text if len(names) == 1 else _of_several(text)}"
            for text, names in groups.items()
            if text.startswith("pays")
        ]
        if parts:
            found.append(f"In {runtime_text(setting)}: {'; '.join(sorted(parts))}.")
    return found or ["No block was measured."]


def _of_several(text: str) -> str:
    """A verdict that several blocks share."""
    return text.replace("pays", "pay").replace(" is ", " are ")


def verdict_table(points: Sequence[Formula], measured: Measured) -> Table:
    """A row a block, a column a runtime, in the words of ``verdict``."""
    blocks = list(dict.fromkeys(point.block for point in points))
    columns = (
        Column("block", "block", rank=0),
        *(Column(runtime_text(setting), runtime_text(setting)) for setting, _ in measured),
    )
    rows = tuple(
        (block, *(verdict(points, pairs, block) for _, pairs in measured)) for block in blocks
    )
    return Table("pays", "Where each block pays", columns, rows)


def bytes_a_mac(point: Formula) -> tuple[float, float] | None:
    """Bytes that operations read and write for each MAC: the block's, the convolution's."""
    from gadprof.networks.blocks.names import MODULE_BLOCKS, formula_block
    from gadprof.networks.plan_trace import count_node

    if point.block in MODULE_BLOCKS:
        return None
    found = []
    for block in (point.block, "conv"):
        trace = count_node(*formula_block(block, point.inputs))
        if trace is None or not trace.macs:
            return None
        found.append((trace.bytes_read + trace.bytes_written) / trace.macs)
    return found[0], found[1]


def point_table(points: Sequence[Formula], measured: Measured) -> Table:
    """A row a runtime, block and size, with intervals."""
    columns = (
        Column("runtime", "runtime", rank=0),
        Column("block", "block", rank=0),
        Column("c_in", "channels", "count", rank=0),
        Column("h", "h", "count", rank=0),
        Column("w", "w", "count", rank=0),
        Column("mac_ratio", "MACs of conv. / block", "ratio", digits=2),
        Column("speed_up", "time of conv. / block", "ratio", digits=2, rank=0),
        Column("low", "95 % from", "ratio", place="exact"),
        Column("high", "to", "ratio", place="exact"),
        Column("ci95", "95 %", "interval", place="shown"),
        Column("latency_s", "block takes", "seconds"),
        Column("mac_s", "time a MAC", "seconds"),
        Column("mac_time_ratio", "× conv.'s", "ratio", digits=2),
        Column("mac_bytes", "bytes a MAC", "ratio", digits=3),
        Column("mac_bytes_ratio", "× conv.'s", "ratio", digits=2),
    )
    moved = [bytes_a_mac(point) for point in points]
    rows = []
    for setting, pairs in measured:
        for point, pair, each in zip(points, pairs, moved, strict=True):
            time = pair.latency_s / point.GG if pair.latency_s else None
            dearer = point.Rs_macs / pair.speed_up if pair.speed_up else None
            rows.append(
                (runtime_text(setting), point.block, *size_of(point), point.Rs_macs,
                 pair.speed_up or pair.error, *(pair.ci95 or (None, None)), pair.ci95,
                 pair.latency_s, time, dearer, each and each[0], each and each[0] / each[1])
            )  # fmt: skip
    return Table("points", "Every block, size and runtime", columns, tuple(rows), folded=True)


def heat(points: Sequence[Formula], pairs: Sequence[MeasuredPair], setting: Setting) -> Plot:
    """Time of the convolution over the block's, blocks by sizes, of one runtime."""
    sizes = sorted({size_of(point) for point in points})
    blocks = list(dict.fromkeys(point.block for point in points))
    at = {(point.block, size_of(point)): pair for point, pair in zip(points, pairs, strict=True)}
    cells = []
    for block in blocks:
        row = []
        for size in sizes:
            pair = at.get((block, size))
            sure = pair is not None and (pays(pair) or loses(pair))
            row.append({"value": pair.speed_up if pair else None, "sure": sure})
        cells.append(row)
    name = runtime_text(setting)
    return Plot(
        f"pays-{name.replace(' ', '-')}", "heat",
        f"Time of the convolution over the block's, {name}",
        "channels and size", "",
        f"Each block's speed-up over the ordinary convolution at {len(sizes)} sizes in {name}",
        {"columns": [size_text(size) for size in sizes], "lines": blocks, "cells": cells},
    )  # fmt: skip


def blocks_page(
    stem: str, points: Sequence[Formula], measured: Measured, command: str, machine: Any = None
) -> Page:
    """The page of where blocks pay."""
    machine = machine or describe_machine()
    setting = measured[0][0]
    sections = (
        Section(
            "summary", "Summary", (*words(points, measured), BASIS),
            (verdict_table(points, measured),),
        ),
        Section(
            "maps", "Heat maps",
            (
                "Above 1 the block is faster. A cell whose interval holds 1 is hatched: there this "
                "run cannot tell.",
                f"Measured on {machine.cpu}, {machine.cores} cores: {setting.device}, batch "
                f"{setting.batch}, {setting.threads} thread"
                f"{'s' * (setting.threads != 1)}, each block interleaved with the convolution.",
            ),
            plots=tuple(heat(points, pairs, one) for one, pairs in measured),
        ),
        Section("points", "The points", (), (point_table(points, measured),)),
    )  # fmt: skip
    document = {
        "machine": machine,
        "runtimes": [
            {
                "setting": one,
                "points": [
                    {
                        "block": point.block,
                        "inputs": dict(point.inputs),
                        "Rs_macs": point.Rs_macs,
                        "measured": pair,
                    }
                    for point, pair in zip(points, pairs, strict=True)
                ],
            }
            for one, pairs in measured
        ],
    }
    return Page(stem, "Where blocks pay", sections, document, command)


BASIS = (
    "A block pays at a size where it takes less time than the ordinary convolution (with batch "
    "normalisation and ReLU) of the same channels, kernel, stride and output, beyond the 95 % "
    "interval. Weights are random: only time is compared."
)
