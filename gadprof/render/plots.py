"""Figures for a page or a paper: a Plot drawn by matplotlib as SVG, PDF or PNG.

Promises: vector text, one style file, colours that colour-blind readers tell apart, and the same
bytes for the same plot and matplotlib version (no date, fixed ids). Refuses a plot kind without a
rule. Draws on figures of its own: no global state, no window.
"""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from gadprof.results.cells import scaled
from gadprof.results.escape import plain
from gadprof.results.page import AxisKind, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_FORMATS = ("svg", "pdf", "png")
LABEL_LIMIT = 32
MOST_LABELS = 16  # with more points their names would cover the figure

# the page's plots use the same colours
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
OTHER = "#999999"


def render_plot(plot: Plot, plot_format: str = "svg") -> bytes:
    """The figure as bytes in one of ``PLOT_FORMATS``."""
    import matplotlib.style
    from matplotlib.figure import Figure

    style = resources.files("gadprof.render").joinpath("gadprof.mplstyle")
    with (
        resources.as_file(style) as path,
        matplotlib.style.context(["default", str(path)]),
        warnings.catch_warnings(),
    ):
        # a name may hold letters that the font lacks; they are kept as text in SVG
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(plain(plot.title, 72))
        _draw(plot, axes)
        stream = io.BytesIO()
        figure.savefig(stream, format=plot_format, metadata=_metadata(plot_format, plot))
    data = stream.getvalue()
    if plot_format == "svg":
        # trailing blanks are matplotlib's; without them git shows no noise
        data = b"\n".join(line.rstrip() for line in data.splitlines()) + b"\n"
    return data


def _metadata(plot_format: str, plot: Plot) -> dict[str, Any]:
    title = plain(plot.alternative, 400)
    match plot_format:
        case "svg":
            return {"Date": None, "Title": title}
        case "pdf":
            return {"CreationDate": None, "Title": title}
        case _:
            return {"Description": title}


def _draw(plot: Plot, axes: Axes) -> None:
    rules: dict[str, Callable[[Plot, Axes], None]] = {
        "scatter": _scatter,
        "stacked": _stacked,
        "waterfall": _waterfall,
        "intervals": _intervals,
    }
    if plot.kind not in rules:
        raise TypeError(f"no drawing rule for {plot.kind}")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    rules[plot.kind](plot, axes)


def _formatter(kind: AxisKind) -> Callable[[float, Any], str]:
    if kind == "seconds":
        return lambda value, _: f"{1e3 * value:g} ms"
    return lambda value, _: scaled(value, 3) if abs(value) >= 1000 else f"{value:g}"


def _scatter(plot: Plot, axes: Axes) -> None:
    data = plot.data
    points: Sequence[Mapping[str, Any]] = data["points"]
    if data.get("x_log"):
        axes.set_xscale("log")
    if data.get("y_log"):
        axes.set_yscale("log")
    for index, line in enumerate(data.get("lines", ())):
        style = ("-", "--", ":")[index % 3]
        x, y = zip(*line["points"], strict=True)
        name = _label(line["label"]) if line["label"] else None
        axes.plot(x, y, style if name else "-", color="#555555", label=name, zorder=1)
    front = [points[index] for index in data.get("front", ())]
    if len(front) > 1:
        axes.plot(
            [p["x"] for p in front],
            [p["y"] for p in front],
            color="#888888",
            linestyle="--",
            linewidth=1,
            label="Pareto front",
            zorder=1,
        )
    groups = list(dict.fromkeys(p["group"] for p in points if p.get("group") is not None))
    largest = max((p.get("size") or 0 for p in points), default=0)
    many = len(points) > MOST_LABELS
    areas = []
    full = data.get("largest_area", 900)
    for index, point in enumerate(points):
        area = full * point["size"] / largest if largest and point.get("size") else 26
        areas.append(max(area, 12))
        place = groups.index(point["group"]) if point.get("group") in groups else index
        color = COLORS[0 if many and not groups else place % len(COLORS)]
        # one entry of the legend a group
        first = bool(groups) and points[index]["group"] not in [p["group"] for p in points[:index]]
        label = _label(point["group"]) if first else None
        axes.scatter(
            [point["x"]], [point["y"]], s=areas[-1], color=color, alpha=0.75, zorder=3, label=label
        )
        low, high = point.get("y_low"), point.get("y_high")
        if low is not None and high is not None:
            axes.plot([point["x"]] * 2, [low, high], color=color, linewidth=1.2, zorder=2)
    if data.get("diagonal"):
        low = min(min(p["x"], p["y"]) for p in points)
        high = max(max(p["x"], p["y"]) for p in points)
        ends = [min(low, 1.0) * 0.9, max(high, 1.0) * 1.1]
        axes.plot(ends, ends, color="#888888", linestyle=":", label="as theory says", zorder=1)
    if not data.get("x_log"):
        axes.margins(x=0.15, y=0.2)
        if data.get("diagonal"):
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        else:
            axes.set_xlim(0, 1.18 * (max(abs(p["x"]) for p in points) or 1))
            axes.set_ylim(*_y_range([p["y"] for p in points], near=bool(data.get("y_near"))))
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))
    axes.yaxis.set_major_formatter(_formatter(plot.y_kind))
    if data.get("size_label"):
        axes.annotate(
            f"area: {data['size_label']}",
            (1, 0.02),
            xycoords="axes fraction",
            ha="right",
            fontsize=7.5,
            color="#555555",
        )
    if axes.get_legend_handles_labels()[0]:
        # below the axes, where it covers no point
        legend = axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, markerscale=0.8
        )
        legend.set_in_layout(True)
    if not many:
        _name_points(axes, points, areas)


def _y_range(values: Sequence[float], *, near: bool) -> tuple[float, float]:
    """From zero, or near the points, where small differences at a high level matter."""
    low, high = min(values), max(values)
    if not near:
        return 0, 1.3 * (max(abs(low), abs(high)) or 1)
    span = max(high - low, 0.02 * abs(high), 1e-6)
    return low - 0.45 * span, high + 0.55 * span


def _name_points(axes: Axes, points: Sequence[Mapping[str, Any]], areas: Sequence[float]) -> None:
    """A name beside each point, where it meets no other name, point or line; else with a leader."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.get_xlim()  # settles the limits, as the next line does
    axes.get_ylim()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)  # lays the axes out, so that places are known
    scale = 72 / figure.dpi
    at = [axes.transData.transform((p["x"], p["y"])) * scale for p in points]
    window = axes.get_window_extent()
    frame = (window.x0 * scale, window.y0 * scale, window.x1 * scale, window.y1 * scale)
    radii = [math.sqrt(area) / 2 for area in areas]
    taken: list[Box] = [
        (x - radius, y - radius, x + radius, y + radius)
        for (x, y), radius in zip(at, radii, strict=True)
    ]
    taken += _line_boxes(axes, scale)
    for point, (x, y), radius in zip(points, at, radii, strict=True):
        text, size = _label(point["label"]), 7 if len(points) > 6 else 8
        if not text:
            continue
        width, height = 0.58 * size * len(text), 1.15 * size
        dx, dy = _quiet_place((x, y), (width, height), radius + 2, frame, taken)
        taken.append((x + dx, y + dy, x + dx + width, y + dy + height))
        far = dy > radius + height or dy < -radius - 2.5 * height
        axes.annotate(
            text,
            (point["x"], point["y"]),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=size,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5} if far else None,
        ).set_in_layout(False)


def _quiet_place(
    at: tuple[float, float],
    size: tuple[float, float],
    gap: float,
    frame: Box,
    taken: Sequence[Box],
) -> tuple[float, float]:
    """The offset (points) of a name that covers least: above, below, beside, then further off."""
    (x, y), (width, height) = at, size
    shift = max(frame[0] - (x - width / 2), 0) - max(x + width / 2 - frame[2], 0)
    middle = shift - width / 2
    candidates = [
        (middle, gap),
        (middle, -gap - height),
        (gap, -height / 2),
        (-gap - width, -height / 2),
    ]
    for step in range(1, 9):
        up, down = gap + step * height, -gap - (step + 1) * height
        candidates += [(middle, up), (middle, down)]
        candidates += [(gap, up), (gap, down), (-gap - width, up), (-gap - width, down)]
    best, least = candidates[0], math.inf
    for dx, dy in candidates:
        place = (x + dx, y + dy, x + dx + width, y + dy + height)
        inside = _overlap(place, frame)
        cost = sum(_overlap(place, held) for held in taken) + 10 * (width * height - inside)
        if cost < least - 1e-6:
            best, least = (dx, dy), cost
        if cost <= 1e-6:
            break
    return best


def _line_boxes(axes: Axes, scale: float) -> list[Box]:
    """Small boxes along every line, so that no name is laid across one."""
    boxes: list[Box] = []
    for line in axes.get_lines():
        path = axes.transData.transform(line.get_xydata()) * scale
        for (x0, y0), (x1, y1) in itertools.pairwise(path):
            steps = max(1, min(400, int(math.hypot(x1 - x0, y1 - y0) / 3)))
            for step in range(steps + 1):
                x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
                boxes.append((x - 1, y - 1, x + 1, y + 1))
    return boxes


Box = tuple[float, float, float, float]


def _overlap(first: Box, second: Box) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0


def _stacked(plot: Plot, axes: Axes) -> None:
    bars = plot.data["bars"]
    left = [0.0] * len(bars)
    groups = stack_groups(bars)
    for index, (name, members) in enumerate(groups):
        values = [
            sum(part["value"] for part in bar["parts"] if part["name"] in members) for bar in bars
        ]
        axes.barh(
            range(len(bars)),
            values,
            left=left,
            height=0.62,
            color=OTHER if name == "other" else COLORS[index % len(COLORS)],
            edgecolor="white",
            linewidth=0.8,
            label=_label(name),
        )
        left = [before + value for before, value in zip(left, values, strict=True)]
    axes.set_yticks(range(len(bars)), [_label(bar["label"]) for bar in bars])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=min(len(groups), 4))


def stack_groups(bars: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """Parts in their order, at most seven by size; the small ones together as ``other``."""
    totals: dict[str, float] = {}
    for bar in bars:
        for part in bar["parts"]:
            totals[part["name"]] = totals.get(part["name"], 0) + part["value"]
    if len(totals) <= len(COLORS):
        return [(name, (name,)) for name in totals]
    largest = sorted(totals, key=lambda name: -totals[name])[: len(COLORS)]
    kept = [(name, (name,)) for name in totals if name in largest]
    return [*kept, ("other", tuple(name for name in totals if name not in largest))]


def _waterfall(plot: Plot, axes: Axes) -> None:
    data = plot.data
    level = data["start"]["value"]
    labels = [data["start"]["label"]]
    axes.barh([0], [level], color=COLORS[0], height=0.6)
    for index, step in enumerate(data["steps"], 1):
        grows = step["value"] >= 0
        axes.barh(
            [index],
            [step["value"]],
            left=[level],
            height=0.6,
            color=COLORS[1] if grows else COLORS[2],
            edgecolor="white",
            linewidth=0.5,
        )
        axes.plot([level, level], [index - 0.7, index + 0.3], color="#888888", linewidth=0.7)
        level += step["value"]
        sign = "+" if grows else "−"
        labels.append(f"{_label(step['label'])} ({sign}{scaled(abs(step['value']), 3)})")
    axes.barh([len(labels)], [data["end"]["value"]], color=COLORS[4], height=0.6)
    labels.append(data["end"]["label"])
    axes.set_yticks(range(len(labels)), [_label(text, 48) for text in labels])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    low, high = _waterfall_range(data)
    axes.set_xlim(low, high)
    if low > 0:
        axes.set_xlabel(f"{plot.x_label} (the axis begins at {scaled(low, 4)})")
    # enough digits that two ticks never read alike
    digits = max(3, math.ceil(math.log10(max(abs(high), 1) / ((high - low) / 5))) + 2)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: scaled(value, digits))
    axes.tick_params(axis="x", labelsize=7)


def _waterfall_range(data: Mapping[str, Any]) -> tuple[float, float]:
    """From zero, unless the steps would then be too thin to be seen."""
    levels = [data["start"]["value"], data["end"]["value"]]
    level = data["start"]["value"]
    for step in data["steps"]:
        level += step["value"]
        levels.append(level)
    low, high = min(levels), max(levels)
    span = (high - low) or abs(high) or 1
    return (0 if low < 2 * span else low - 0.6 * span, high + 0.15 * span)


def _intervals(plot: Plot, axes: Axes) -> None:
    rows = plot.data["rows"]
    for index, row in enumerate(rows):
        if row["value"] is None:
            continue
        color = COLORS[index % len(COLORS)]
        if row.get("low") is not None and row.get("high") is not None:
            axes.plot(
                [row["low"], row["high"]], [index, index], color=color, linewidth=3, alpha=0.6
            )
        axes.plot([row["value"]], [index], "o", color=color)
    axes.set_yticks(range(len(rows)), [_label(row["label"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))


def _label(text: Any, limit: int = LABEL_LIMIT) -> str:
    return plain(str(text), limit)
