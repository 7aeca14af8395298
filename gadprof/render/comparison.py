"""How a comparison reads: one row a model, each figure with its per cent to the first model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.comparison.accuracies import accuracy_notes
from gadprof.comparison.compare import QUANTITIES, ComparedRow, Comparison
from gadprof.render.cells import bytes_text, scaled
from gadprof.render.escape import MISSING

HEADERS = {
    "params": "params",
    "macs": "MACs",
    "flops": "FLOPs",
    "activations": "activations",
    "peak_activation_bytes": "peak act.",
    "weight_bytes": "weights",
}


def comparison_table(
    comparison: Comparison, *, exact: bool = False
) -> tuple[list[str], list[list[Any]]]:
    """Headers and cells; with ``exact`` plain integers and ratios for machines."""
    rows = comparison.rows
    backends = list(dict.fromkeys(name for row in rows for name in row.backends))
    measured = any(row.latency_s is not None for row in rows)
    accurate = any(row.accuracy is not None for row in rows)
    printed = any(row.published_accuracy is not None for row in rows)
    failed = exact and any(row.error is not None for row in rows)
    headers = ["model"]
    for name in QUANTITIES:
        headers += [name, f"{name}_relative"] if exact else [HEADERS[name]]
    headers += [f"macs_{name}" if exact else f"{name} MACs" for name in backends]
    if measured:
        headers += ["latency_s", "ratio"] if exact else ["latency", "ratio to first"]
    if accurate:
        headers += ["ap" if exact else "AP"]
    if printed:
        headers += ["published_ap" if exact else "published AP"]
    if failed:
        headers += ["error"]
    cells = []
    for index, row in enumerate(rows):
        line: list[Any] = [row.model]
        for name in QUANTITIES:
            line += _exact(row, name) if exact else [_scaled(row, name, first=index == 0)]
        line += [_backend(row, name, exact) for name in backends]
        if measured:
            line += _latency(row, exact)
        if accurate:
            line += [_ap(row.accuracy, exact)]
        if printed:
            line += [_ap(row.published_accuracy, exact)]
        if failed:
            line += [row.error or ""]
        cells.append(line)
    return headers, cells


def _exact(row: ComparedRow, name: str) -> list[Any]:
    return [getattr(row, name), row.relative.get(name)]


def _scaled(row: ComparedRow, name: str, *, first: bool) -> str:
    value = getattr(row, name)
    if value is None:
        return MISSING
    text = bytes_text(value) if name.endswith("bytes") else scaled(value)
    ratio = row.relative.get(name)
    if first or ratio is None:
        return text
    return f"{text}  {ratio:.3f}× ({per_cent(ratio)})"


def per_cent(ratio: float) -> str:
    """A ratio as a signed change: 0.389 reads ``-61.1 %``."""
    return f"{100 * (ratio - 1):+.1f} %".replace("-", "−")


def _backend(row: ComparedRow, name: str, exact: bool) -> Any:
    count = row.backends.get(name)
    if count is None:
        return None
    if count.error is not None:
        return f"failed: {count.error}"
    return count.macs if exact else scaled(count.macs)


def _ap(accuracy: Mapping[str, Any] | None, exact: bool) -> Any:
    """An AP from 0 to 1, in per cent for a person; -1 is COCO's mark for none."""
    value = (accuracy or {}).get("ap")
    if value is None or value < 0:
        return None
    return value if exact else f"{100 * value:.1f} %"


def _latency(row: ComparedRow, exact: bool) -> list[Any]:
    if row.latency_s is None:
        return [None, None]
    median = row.latency_s["median"]
    ratio = row.ratio or {}
    if exact:
        return [median, ratio.get("value")]
    low, high = row.latency_s["ci95"] or (float("nan"), float("nan"))
    text = f"{1e3 * median:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]"
    if not ratio or ratio.get("value") is None:
        return [text, MISSING]
    ends = ratio.get("ci95") or (float("nan"), float("nan"))
    return [text, f"{ratio['value']:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"]


def notes(comparison: Comparison) -> Sequence[str]:
    """What a person must know to read the table."""
    lines = []
    inputs = {(row.input, row.batch) for row in comparison.rows if row.error is None}
    for shapes, batch in sorted(inputs):
        shown = " and ".join("x".join(map(str, shape)) for shape in shapes)
        lines.append(f"input {shown}, batch {batch}")
    if len(lines) > 1:
        lines = ["the rows have different inputs: " + "; ".join(lines)]
    lines.append(comparison.convention)
    lines.append(
        "ratios and per cents are to the first row; activations are output elements of "
        "convolutions and products; peak act. is the most memory of live maps at once, "
        "input included, 4 bytes each"
    )
    lines += [
        f"{row.model}: {row.verdict}"
        for row in comparison.rows
        if row.verdict and row.verdict != "reference"
    ]
    lines += [f"warning: {text}" for text in comparison.warnings]
    if comparison.interrupted:
        lines.append("interrupted: latencies hold what was measured until then")
    lines += accuracy_notes(comparison.rows)
    for row in comparison.rows:
        if row.error is not None:
            named = row.error if row.model in row.error else f"{row.model}: {row.error}"
            lines.append(f"failed: {named}")
        if row.uncovered:
            listed = ", ".join(f"{name} x{count}" for name, count in row.uncovered.items())
            lines.append(f"{row.model}: not counted: {listed}")
        if row.note:
            lines.append(f"{row.model}: {row.note}")
    return lines
