"""Published figures beside exact counts as sections of a page: sources, rows, accuracy and cost.

Promises that a figure is never called explained without the reading that gives it and how many
figures of its source that reading shares; knows no output language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.audit.published import PublishedReading, signature
from gadprof.networks.spec import presets
from gadprof.report.sections.bubbles import pareto_front
from gadprof.results.cells import percent_text
from gadprof.results.escape import plain
from gadprof.results.page import Plot, Section
from gadprof.results.table import Column, Table

DIGITS = {
    "rounded": "within its digits",
    "padded": "a zero was added",
    "cut": "digits cut off",
    "cut and padded": "digits cut off, a zero added",
}
PLOTTED = "COCO val2017"
TWICE = "two operations a multiply-add"

METHOD = (
    "Every figure is read in every way that gadprof knows: each counter's convention, one or two "
    "operations a multiply-add, a G of 10^9 or 2^30, and parts of the network. One table was "
    "counted by one tool, so a figure gets the reading that gives the most figures of its source; "
    "the column says how many. A figure whose reading no other figure of its source shares is "
    "called alone: a search over many readings meets two or three digits by chance.",
    "Counts are exact multiply-adds of convolutions and matrix products as executed, one sample, "
    "biases apart, of the network that the model string builds here; parameters are those of that "
    "network. Accuracies are as published; nothing was trained here.",
)


def sections(explained: Sequence[PublishedReading]) -> tuple[Section, ...]:
    """The page in its order."""
    return (
        _summary(explained),
        _sources(explained),
        _rows(explained),
        _unexplained(explained),
        _accuracy(explained),
    )


def counts(explained: Sequence[PublishedReading]) -> dict[str, int]:
    """How many rows there are of each status."""
    found: dict[str, int] = {}
    for item in explained:
        found[item.status] = found.get(item.status, 0) + 1
    return found


def way_words(item: PublishedReading) -> str:
    """How a row's figure comes about, in a few words."""
    if item.status == "scaled":
        return f"scaled by area: {item.scaled_from}"
    if item.reading is not None:
        return _signature_words(item)
    if item.nearest is not None and item.deviation is not None:
        near = item.nearest
        return (
            f"no reading; nearest: {near.convention}, {near.scope}, {near.giga} gives "
            f"{near.figure} ({percent_text(1 + item.deviation)})"
        )
    return ""


def _signature_words(item: PublishedReading) -> str:
    assert item.reading is not None
    convention, unit, _, scope = signature(item.reading)
    words = [convention]
    if scope != "whole":
        words.append(scope)
    if unit == TWICE:
        words.append("two a multiply-add")
    words.append(f"{item.reading.giga}" if item.reading.giga else "exact")
    return ", ".join(words)


def _summary(explained: Sequence[PublishedReading]) -> Section:
    found = counts(explained)
    figures = [item for item in explained if item.row.complexity]
    covered = [item for item in figures if item.status != "no builder"]
    shared = [item for item in covered if item.status == "explained" and item.reading]
    binary = [item for item in shared if item.reading and item.reading.giga == "2^30"]
    single = [item for item in shared if item.reading and item.reading.unit != TWICE]
    words = [
        f"{len(shared)} of {len(covered)} published complexities are exact counts, read as their "
        f"source counted: {len(single)} of those are multiply-adds and not FLOPs, and "
        f"{len(binary)} divide by 2^30 where a reader expects 10^9.",
        f"{len(explained)} published rows; {len(covered)} of {len(figures)} rows with a figure for "
        "complexity are of a network that is built in.",
        f"{found.get('explained', 0)} of those {len(covered)} figures have a reading that other "
        f"figures of their source share, {found.get('scaled', 0)} are another figure of their "
        f"source scaled by the input's area, {found.get('alone', 0)} have a reading of their own, "
        f"and {found.get('not explained', 0)} none.",
    ]
    params = [item for item in explained if item.row.params and item.status != "no builder"]
    known = [item for item in params if item.params_reading is not None]
    words.append(f"{len(known)} of {len(params)} published parameter figures have a reading.")
    return Section("summary", "Summary", tuple(words))


def _sources(explained: Sequence[PublishedReading]) -> Section:
    rows: list[tuple[Any, ...]] = []
    for paper in dict.fromkeys(item.row.paper for item in explained):
        own = [item for item in explained if item.row.paper == paper]
        figures = [item for item in own if item.row.complexity and item.status != "no builder"]
        if not figures:
            continue
        ways: dict[str, int] = {}
        for item in figures:
            if item.status == "explained":
                ways[_signature_words(item)] = ways.get(_signature_words(item), 0) + 1
        main = ", then ".join(
            f"{way} ({count})" for way, count in sorted(ways.items(), key=lambda pair: -pair[1])
        )
        found = counts(figures)
        rows.append(
            (paper, len(figures), *(found.get(name, 0) for name in
             ("explained", "scaled", "alone", "not explained")), main)
        )  # fmt: skip
    columns = (
        Column("source", "source"), Column("figures", "figures", "count"),
        Column("explained", "shared reading", "count"), Column("scaled", "scaled", "count"),
        Column("alone", "alone", "count"), Column("not_explained", "none", "count"),
        Column("readings", "how its figures were counted (rows)"),
    )  # fmt: skip
    note = "A convention's name is a counter's; 'gadprof audit' explains each one."
    return Section(
        "sources", "How each source counted", METHOD,
        (Table("sources", "Readings by source", columns, tuple(rows), note),),
    )  # fmt: skip


def _rows(explained: Sequence[PublishedReading]) -> Section:
    columns = (
        Column("source", "source", rank=3), Column("network", "network", rank=0),
        Column("input", "input", rank=1), Column("model", "model", rank=2),
        Column("published_params", "published params", rank=3),
        Column("params", "exact params", "count", rank=3),
        Column("params_reading", "as", rank=3),
        Column("published_complexity", "published complexity", rank=0),
        Column("macs", "exact MACs", "count", rank=0),
        Column("how", "what turns one into the other", rank=0),
        Column("digits", "digits", rank=3), Column("shared", "figures that share it", rank=3),
        Column("url", "where", rank=4),
    )  # fmt: skip
    rows = tuple(
        (
            item.row.paper, item.row.name, "x".join(map(str, item.input)), item.model,
            item.row.params or None, item.params, _params_words(item),
            item.row.complexity, item.macs, way_words(item), _digits(item),
            _shared_words(item),
            f"{item.row.where}: {item.row.url}",
        )
        for item in explained
        if item.row.complexity and item.status != "no builder"
    )  # fmt: skip
    return Section(
        "rows", "Published and counted",
        tables=(Table("rows", "Every figure of a network that is built in", columns, rows),),
    )  # fmt: skip


def _params_words(item: PublishedReading) -> str | None:
    if not item.row.params:
        return None
    return item.params_reading.scope if item.params_reading else "no reading"


def _shared_words(item: PublishedReading) -> str | None:
    if item.reading is None:
        return None
    return f"{item.shared} of {item.figures}" + (f", {item.quoted}" if item.quoted else "")


def _digits(item: PublishedReading) -> str | None:
    return DIGITS[item.reading.exactness] if item.reading is not None else None


def _unexplained(explained: Sequence[PublishedReading]) -> Section:
    words = [
        f"{item.row.name} ({item.row.paper}, {item.row.where}), {item.row.complexity} at "
        f"{'x'.join(map(str, item.input))}: {way_words(item)}."
        for item in explained
        if item.status == "not explained"
    ]
    absent = dict.fromkeys(
        f"{item.row.name} ({item.row.paper})"
        for item in explained
        if item.status == "no builder" and item.row.complexity
    )
    if absent:
        words.append("No builder: " + "; ".join(absent) + ".")
    return Section("unexplained", "Figures that no reading gives", tuple(words))


def _accuracy(explained: Sequence[PublishedReading]) -> Section:
    columns = (
        Column("network", "network"), Column("input", "input"), Column("model", "model"),
        Column("ap", "AP", "percent"), Column("ap50", "AP50", "percent"),
        Column("ap75", "AP75", "percent"), Column("ar", "AR", "percent"),
        Column("data", "on"), Column("macs", "exact MACs", "count"),
        Column("params", "exact params", "count"), Column("source", "source"),
        Column("url", "where"),
    )  # fmt: skip
    rows = tuple(
        (
            item.row.name, "x".join(map(str, item.input or item.row.input)), item.model or None,
            item.row.ap, item.row.ap50, item.row.ap75, item.row.ar, item.row.data, item.macs,
            item.params, item.row.paper, f"{item.row.where}: {item.row.url}",
        )
        for item in explained
        if item.row.ap is not None
    )  # fmt: skip
    note = (
        "Per cent, as published. Sources differ in person detector, training data and schedule; "
        "the figure shows rows on COCO val2017 of networks that are built in."
    )
    table = Table("accuracy", "Published accuracies", columns, rows, note, folded=True)
    plot = accuracy_plot(explained)
    return Section("accuracy", "Accuracy against cost", (), (table,), (plot,) if plot else ())


def _kind(model: str) -> str:
    """The family that a point is coloured by: networks with SimpleBaseline's head are one."""
    family = presets()[model.partition(":")[0]][0].name
    return "SimpleBaseline head" if family.startswith("pose") else family


def accuracy_plot(explained: Sequence[PublishedReading]) -> Plot | None:
    """Published AP against exact MACs, a bubble for each network at an input, its best AP."""
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in explained:
        row = item.row
        if row.ap is None or row.data != PLOTTED or not item.macs or not row.input:
            continue
        key = (item.model, item.input)
        if key not in points or row.ap / 100 > points[key]["y"]:
            points[key] = {
                "label": plain(f"{item.model} {'x'.join(map(str, item.input[1:]))}"),
                "x": item.macs, "y": row.ap / 100, "size": item.params, "group": _kind(item.model),
            }  # fmt: skip
    if not points:
        return None
    chosen = list(points.values())
    front = pareto_front([(point["x"], -point["y"]) for point in chosen])
    best = ", ".join(str(chosen[index]["label"]) for index in front)
    return Plot(
        "accuracy",
        "scatter",
        f"Published AP on {PLOTTED} against exact MACs",
        "MACs",
        "published AP",
        f"Published AP on {PLOTTED} against exact MACs, {len(chosen)} networks and inputs; "
        f"the front is {best}; the area of a bubble is the number of parameters",
        {
            "points": chosen,
            "front": front,
            "size_label": "parameters",
            "largest_area": 240,
            "x_log": True,
            "y_near": True,
        },
        y_kind="share",
    )
