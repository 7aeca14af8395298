"""A figure against MACs, a bubble a model: accuracy, latency or activations, with the Pareto front.

Promises that measured and published accuracies are never in one figure, and that a figure is set
against MACs only where both are of the same input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.comparison.accuracies import at_input
from gadprof.comparison.compare import ComparedRow
from gadprof.report.data import number
from gadprof.report.sections.measured import matching_latency
from gadprof.results.page import AxisKind, Plot

if TYPE_CHECKING:
    from gadprof.comparison.compare import Comparison
    from gadprof.report.data import Found


def bubbles(labels: Sequence[str], rows: Sequence[ComparedRow], found: Found) -> tuple[Plot, ...]:
    """Measured latency, else activations, against MACs."""
    times: list[float | None] = []
    for row in rows:
        measured = matching_latency(row, found)
        times.append(number(measured["latency_s"].get("median")) if measured else None)
    plot = bubble_plot(labels, rows, "latency", "median latency", times, kind="seconds")
    if plot is None or len(plot.data["points"]) < 2:
        plot = _activations(labels, rows)
    return (plot,) if plot else ()


def accuracy_bubbles(
    labels: Sequence[str],
    rows: Sequence[ComparedRow],
    accuracies: Sequence[Mapping[str, Any] | None],
    *,
    published: bool = False,
) -> Plot | None:
    """AP against MACs, of the models whose AP is of the counted input."""
    values = [
        number(item.get("ap")) if item is not None and at_input(row, item) else None
        for row, item in zip(rows, accuracies, strict=True)
    ]
    values = [None if value is None or value < 0 else value for value in values]
    word, title = ("published-ap", "published AP") if published else ("ap", "measured AP")
    return bubble_plot(labels, rows, word, title, values, higher=True, kind="share")


def comparison_plot(comparison: Comparison) -> Plot | None:
    """What ``compare --plot`` draws: measured AP, published AP, latency or activations.

    The first of them that two models have, else the first that one has.
    """
    from gadprof.results.escape import unique_labels

    rows = comparison.rows
    labels = unique_labels([row.model for row in rows])
    times = [number((row.latency_s or {}).get("median")) for row in rows]
    plots = [
        accuracy_bubbles(labels, rows, [row.accuracy for row in rows]),
        accuracy_bubbles(labels, rows, [row.published_accuracy for row in rows], published=True),
        bubble_plot(labels, rows, "latency", "median latency", times, kind="seconds"),
        _activations(labels, rows),
    ]
    found = [plot for plot in plots if plot is not None]
    return next(
        (plot for plot in found if len(plot.data["points"]) > 1), found[0] if found else None
    )


def _activations(labels: Sequence[str], rows: Sequence[ComparedRow]) -> Plot | None:
    values = [row.activations or None for row in rows]
    return bubble_plot(labels, rows, "activations", "activations", values)


def bubble_plot(
    labels: Sequence[str],
    rows: Sequence[ComparedRow],
    word: str,
    y_label: str,
    values: Sequence[float | None],
    *,
    higher: bool = False,
    kind: AxisKind = "scaled",
) -> Plot | None:
    """A figure by row against its MACs with the Pareto front; ``higher`` where more is better."""
    points: list[dict[str, Any]] = [
        {"label": label, "x": row.macs, "y": value, "size": row.params}
        for label, row, value in zip(labels, rows, values, strict=True)
        if row.macs and value is not None
    ]
    if not points:
        return None
    return Plot(
        f"bubbles-{word}",
        "scatter",
        f"{y_label[0].upper()}{y_label[1:]} against MACs",
        "MACs",
        y_label,
        f"{y_label} against MACs of {', '.join(str(p['label']) for p in points)}; "
        "the area of a bubble is the number of parameters",
        {
            "points": points,
            "front": pareto_front([(p["x"], -p["y"] if higher else p["y"]) for p in points]),
            "size_label": "parameters",
            **({"y_near": True} if higher else {}),
        },
        y_kind=kind,
    )


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other point beats in both, by the first cost."""
    order = sorted(range(len(costs)), key=lambda index: costs[index])
    front: list[int] = []
    best = float("inf")
    for index in order:
        if costs[index][1] < best:
            front.append(index)
            best = costs[index][1]
    return front
