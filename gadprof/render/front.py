"""The front of a sweep as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.output import write_atomic
from gadprof.sweep.run import Objective


def plot_front(rows: Sequence[dict[str, Any]], objectives: Sequence[Objective], path: str) -> None:
    """Draw the front over its first two quantities; a third is the colour. Raises OutputError."""
    import io
    from pathlib import Path

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.subplots()
    x, y = objectives[0], objectives[1]
    values = [[row[item.quantity] for row in rows] for item in objectives]
    if len(objectives) > 2:
        drawn = axes.scatter(values[0], values[1], c=values[2], s=12, cmap="cividis")
        figure.colorbar(drawn, label=objectives[2].quantity)
    else:
        axes.plot(values[0], values[1], color="#0072b2", marker="o", markersize=3, linewidth=1)
    axes.set_xlabel(x.quantity)
    axes.set_ylabel(y.quantity)
    axes.grid(True, linewidth=0.3)
    stream = io.BytesIO()
    suffix = Path(path).suffix.lstrip(".") or "svg"
    settings: dict[Any, Any] = {
        "svg.hashsalt": "gadprof",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
    with matplotlib.rc_context(settings):
        figure.savefig(stream, format=suffix, metadata={"Date": None} if suffix == "svg" else None)
    write_atomic(path, stream.getvalue())
