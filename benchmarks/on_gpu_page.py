"""The page of a run on a card, made from its JSON alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from gadprof.render.tables import render_table
from gadprof.results.cells import bytes_text, seconds_text

Rows = Sequence[Mapping[str, Any]]
TITLES = {
    "tests": "The tests that need a card",
    "theory": "Closed forms against measurement",
    "networks": "The paper's networks",
    "agreement": "A model against itself, and other timers",
    "memory": "Predicted against allocated memory",
    "explain": "Where the time goes",
    "latency": "timm models, predicted before they were measured",
}


def page(plain: Mapping[str, Any]) -> str:
    """The page in Markdown; opens with its finding."""
    parts = plain["parts"]
    card = plain["card"]
    state = card.get("state", {})
    lines = [
        "# Measured on a CUDA card",
        "",
        *finding(parts),
        "",
        f"{card.get('name', card['device'])}, driver {state.get('driver') or 'not told'}, torch "
        f"{card['torch']} (CUDA {card['cuda']}), {plain['started']}; {plain['minutes']:g} minutes. "
        f"{clocks(parts)}",
        *(f"- {word}" for word in state.get("words", ())),
        "",
    ]
    for name, title in TITLES.items():
        part = parts.get(name, {"skipped": "not reached"})
        lines += [f"## {title}", ""]
        word = part.get("skipped") or part.get("failed")
        lines += [f"Not measured: {word}." if word else SECTIONS[name](part), ""]
    lines.append("Made again from its data: `python benchmarks/on_gpu.py --rebuild on_gpu.json`.")
    return "\n".join(lines) + "\n"


def finding(parts: Mapping[str, Any]) -> list[str]:
    """Two sentences: how Rs compares with the speed-up, and how far predicted memory was off."""
    rows = _measured(parts.get("theory", {}))
    told = []
    if rows:
        share = median(row["speed_up"] / row["rs_macs"] for row in rows)
        faster = sum(row["speed_up"] > 1 for row in rows)
        told.append(
            f"Of {len(rows)} blocks measured against the convolution that they replace, {faster} "
            f"are faster, and the median block reaches {100 * share:.0f} % of the speed-up that "
            "its MACs promise."
        )
    errors = memory_errors(parts.get("memory", {}), "tensor")
    if errors:
        told.append(
            f"The predicted peak of allocated memory is off by {100 * median(errors):.1f} % in the "
            f"median of {len(errors)} steps."
        )
    return [" ".join(told) or "Nothing was measured in the time given."]


def clocks(parts: Mapping[str, Any]) -> str:
    """The range of the core's clock and of the power over the networks' rows."""
    found: dict[str, list[float]] = defaultdict(list)
    for group in parts.get("networks", {}).get("groups", ()):
        for row in group["rows"]:
            for reading in (row.get("sensors") or {}).values():
                for key in ("sm_clock_hz", "power_w"):
                    if isinstance(reading, Mapping) and reading.get(key):
                        found[key].append(float(reading[key]))
    told = []
    if found["sm_clock_hz"]:
        low, high = min(found["sm_clock_hz"]) / 1e6, max(found["sm_clock_hz"]) / 1e6
        told.append(f"Core clock {low:.0f} to {high:.0f} MHz")
    if found["power_w"]:
        told.append(f"power {min(found['power_w']):.0f} to {max(found['power_w']):.0f} W")
    return (", ".join(told) + " while networks ran.") if told else "No clocks were told."


def _measured(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in part.get("rows", ()) if row.get("speed_up")]


def tests_section(part: Mapping[str, Any]) -> str:
    """How many tests ran, and those that failed."""
    lines = [f"{part['ran']} ran, {len(part['failures'])} failed."]
    lines += [f"- `{name}`: {why}" for name, why in part["failures"].items()]
    return "\n".join(lines)


def theory_section(part: Mapping[str, Any]) -> str:
    """Speed-up and memory ratio by block and way of running, beside Rs."""
    rows = _measured(part)
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        way = [f"batch {row['batch']}", row["dtype"]]
        way += ["channels last"] * bool(row.get("channels_last"))
        way += ["CUDA graph"] * bool(row.get("cuda_graph"))
        groups[(row["block"], ", ".join(way))].append(row)
    cells = []
    for (block, way), found in sorted(groups.items()):
        memory = [row["memory_ratio"] for row in found if row.get("memory_ratio")]
        widths = [
            (r["speed_up_ci95"][1] - r["speed_up_ci95"][0]) / 2 / r["speed_up"] for r in found
        ]
        cells.append(
            [
                block,
                way,
                len(found),
                f"{median(row['rs_macs'] for row in found):.2f}",
                f"{median(row['speed_up'] for row in found):.2f}",
                f"± {100 * median(widths):.1f} %",
                f"{sum(row['speed_up'] > 1 for row in found)}",
                f"{median(memory):.2f}" if memory else None,
            ]
        )
    heads = [
        "block",
        "run",
        "points",
        "Rs of MACs",
        "speed-up",
        "interval",
        "faster",
        "memory ratio",
    ]
    points = [
        [
            row["block"],
            f"{row['c_in']}, {row['h']}×{row['w']}",
            f"{row['k']}, {row['d']}, {row['s']}",
            f"{row['batch']}, {row['dtype']}" + ", graph" * bool(row.get("cuda_graph")),
            f"{row['rs_macs']:.2f}",
            "{:.2f} ({:.2f} to {:.2f})".format(row["speed_up"], *row["speed_up_ci95"]),
            f"{row['memory_ratio']:.2f}" if row.get("memory_ratio") else None,
        ]
        for row in rows
    ]
    failed = [row for row in part["rows"] if not row.get("speed_up")]
    lines = [
        f"{len(rows)} of {part['planned']} planned points; medians of each group. Speed-up and "
        "memory ratio are the convolution's figure over the block's.",
        "",
        render_table("md", heads, cells),
        "<details><summary>Every point</summary>",
        "",
        render_table(
            "md", ["block", "c, map", "k, d, s", "run", "Rs", "speed-up", "memory"], points
        ),
        "</details>",
    ]
    lines += [f"- {row['block']} at {row['c_in']}: {row.get('error')}" for row in failed[:10]]
    return "\n".join(lines)


def networks_section(part: Mapping[str, Any]) -> str:
    """A row a network, batch and way of running."""
    cells = []
    for group in part["groups"]:
        for row in group["rows"]:
            energy = row.get("energy_j")
            low, high = row.get("ratio_ci95") or (None, None)
            cells.append(
                [
                    group["way"],
                    group["batch"],
                    row["model"],
                    seconds_text(row["latency_s"]) if row["latency_s"] else row["error"],
                    f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})" if row.get("ratio") else None,
                    bytes_text(row["peak_bytes"]) if row["peak_bytes"] else None,
                    f"{1e3 * energy / group['batch']:.1f}" if energy else None,
                ]
            )
    heads = ["run", "batch", "network", "latency", "ratio to the first", "peak", "mJ a sample"]
    said = f"{len(part['groups'])} of {part['planned']} planned groups."
    return said + "\n\n" + render_table("md", heads, cells)


def agreement_section(part: Mapping[str, Any]) -> str:
    """How often an interval of equals held 1, and each timer's median."""
    rows = [row for row in part["a_a"] if row.get("speed_up")]
    inside = sum(row["speed_up_ci95"][0] <= 1 <= row["speed_up_ci95"][1] for row in rows)
    off = max((abs(row["speed_up"] - 1) for row in rows), default=math.nan)
    heads = [
        "model",
        "batch",
        "gadprof",
        "torch.utils.benchmark",
        "triton do_bench",
        "gadprof again",
    ]
    cells = []
    for found in part["timers"]:
        values = [found.get(f"{key}_s") for key in ("gadprof", "torch", "triton", "gadprof_again")]
        texts = [seconds_text(value) if value else None for value in values]
        cells.append([found["model"], found["batch"], *texts])
    words = "No pair of equals was measured."
    if rows:
        words = (
            f"A convolution against itself: {inside} of {len(rows)} intervals hold 1; the largest "
            f"deviation is {100 * off:.1f} %."
        )
    return words + "\n\n" + render_table("md", heads, cells)


def memory_errors(part: Mapping[str, Any], what: str) -> list[float]:
    """Relative errors of the predicted tensor or allocator peak."""
    key = {"tensor": "allocated_bytes", "allocator": "reserved_bytes"}[what]
    return [
        abs(row[f"predicted_{what}_bytes"] / row[key] - 1)
        for row in part.get("rows", ())
        if row.get(key) and row.get(f"predicted_{what}_bytes")
    ]


def memory_section(part: Mapping[str, Any]) -> str:
    """Medians, and a row a model and mode."""
    told = []
    for mode, words in (("infer", "a forward pass"), ("train", "forward and backward")):
        rows = {"rows": [row for row in part["rows"] if row["mode"] == mode]}
        for what in ("tensor", "allocator"):
            errors = memory_errors(rows, what)
            if errors:
                told.append(
                    f"- {words}, {what} peak: median error {100 * median(errors):.1f} %, largest "
                    f"{100 * max(errors):.0f} %, {len(errors)} models"
                )
    cells = [
        [
            row["model"],
            row["mode"],
            *(
                bytes_text(row[key]) if row.get(key) else None
                for key in (
                    "predicted_tensor_bytes",
                    "allocated_bytes",
                    "predicted_allocator_bytes",
                    "reserved_bytes",
                )
            ),
            row.get("error"),
        ]
        for row in part["rows"]
    ]
    heads = ["model", "step", "predicted", "allocated", "predicted", "reserved", "no figure"]
    return "\n".join(told) + "\n\n" + render_table("md", heads, cells)


def explain_section(part: Mapping[str, Any]) -> str:
    """The words and tables of ``gadprof explain``."""
    return str(part["page"])


def latency_section(part: Mapping[str, Any]) -> str:
    """Errors of the predictions, and a row a model, batch and layout."""
    rows = [row for row in part["rows"] if row.get("latency_s")]
    errors: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        if row.get("predicted_s"):
            errors[(row["layout"], row["batch"])].append(row["predicted_s"] / row["latency_s"] - 1)
    told = [
        f"- {layout}, batch {batch}: median error "
        f"{100 * median(abs(value) for value in found):.1f} %, bias {100 * median(found):+.1f} %, "
        f"{len(found)} models"
        for (layout, batch), found in sorted(errors.items())
    ]
    refused = sorted({row["refused"] for row in part["rows"] if row.get("refused")})
    told += [f"- not predicted: {word}" for word in refused]
    cells = [
        [
            row["model"],
            row["batch"],
            row["layout"],
            seconds_text(row["latency_s"]) if row.get("latency_s") else row.get("error"),
            seconds_text(row["predicted_s"]) if row.get("predicted_s") else None,
        ]
        for row in part["rows"]
        if "batch" in row
    ]
    card = part["card"] or "no data sheet"
    heads = ["model", "batch", "layout", "measured", "predicted"]
    words = f"{part['dtype']}; predicted for {card}."
    return "\n".join([words, "", *told, "", render_table("md", heads, cells)])


SECTIONS = {
    "tests": tests_section,
    "theory": theory_section,
    "networks": networks_section,
    "agreement": agreement_section,
    "memory": memory_section,
    "explain": explain_section,
    "latency": latency_section,
}
