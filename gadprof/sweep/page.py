"""The front of a space as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.results.figures import FIGURE
from gadprof.results.page import Plot
from gadprof.results.table import Column, Table
from gadprof.sweep.run import Objective

PREDICTED = "predicted_latency_s"


def front_table(
    rows: Sequence[Mapping[str, Any]],
    objectives: Sequence[Objective],
    *,
    timed: bool,
    notes: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Table:
    """A row a design: parameters, MACs and the front's quantities; ``timed`` adds the latency.

    The first of ``notes`` is the finding, and stands above. ``inputs`` are those of the whole
    space: where they differ, each row says its own.
    """
    quantities = list(dict.fromkeys(["params", "macs", *(item.quantity for item in objectives)]))
    several = len({*inputs, *(row["input"] for row in rows)}) > 1
    columns = (
        Column("model", "model", rank=0),
        *([Column("input", "input", rank=0)] if several else []),
        *(Column(name, _title(name), _kind(name), rank=1) for name in quantities),
        *(
            [
                Column("predicted latency", "predicted latency", "seconds", place="exact"),
                Column(PREDICTED, "predicted latency", "seconds", place="shown", rank=0),
            ]
            if timed
            else []
        ),
    )
    cells = []
    for row in rows:
        seconds = row.get(PREDICTED)
        cells.append(
            (
                row["model"],
                *([row["input"]] if several else []),
                *(row[name] for name in quantities),
                *([seconds, seconds or "refused"] if timed else []),
            )
        )
    finding, *others = notes or ("",)
    return Table("front", finding, columns, tuple(cells), notes=tuple(others))


def front_plot(rows: Sequence[Mapping[str, Any]], objectives: Sequence[Objective]) -> Plot:
    """The front over its first two quantities; the area of a point is a third."""
    names = [PREDICTED if item.quantity == "latency" else item.quantity for item in objectives]
    x, y = names[0], names[1]
    more = names[2] if len(names) > 2 else None
    points = [
        {"label": row["model"], "x": row[x], "y": row[y], **({"size": row[more]} if more else {})}
        for row in rows
        if row.get(x) is not None and row.get(y) is not None
    ]
    data: dict[str, Any] = {"points": points}
    if more is None:
        ordered = sorted(range(len(points)), key=lambda index: points[index]["x"])
        data["front"] = ordered
    else:
        data |= {"size_label": _title(more), "size_kind": _axis(more), "largest_area": 160}
    return Plot(
        "front",
        "scatter",
        f"{_title(y)[0].upper()}{_title(y)[1:]} against {_title(x)}",
        _title(x),
        _title(y),
        f"{len(points)} designs of the front: {_title(y)} against {_title(x)}",
        data,
        x_kind=_axis(x),
        y_kind=_axis(y),
    )


def _title(name: str) -> str:
    if name == PREDICTED:
        return "predicted latency"
    return FIGURE[name].title if name in FIGURE else name


def _kind(name: str) -> Any:
    return FIGURE[name].kind if name in FIGURE else "scaled"


def _axis(name: str) -> Any:
    return "seconds" if name == PREDICTED else _kind(name)
