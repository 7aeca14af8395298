"""Figures for a page or a paper: a Plot drawn by matplotlib as SVG, PDF or PNG, or into a page.

Promises: vector text, one style file, one table of colours, and the same bytes for the same plot
and matplotlib version (no date, fixed ids); the figure of an HTML page is the SVG file itself, in
the page's ink, with a tip on every mark. Refuses a plot kind without a rule. Draws on figures of
its own: no global state, no window.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from gadprof.render.colors import DOWN, END, OTHER, PALETTE, START, UP, plot_colors
from gadprof.results.cells import bytes_text, scaled, seconds_text, share_text
from gadprof.results.escape import plain
from gadprof.results.page import AxisKind, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_FORMATS = ("svg", "pdf", "png")
LABEL_LIMIT = 32
MOST_MARKS = 500  # with more points they are drawn together, and none has a tip of its own
MOST_LABELS = 16  # with more points only those of the front are named
FRONT_NAMES = 12  # of a long front
MOST_PARTS = len(PALETTE) - 1  # of a stacked bar; the rest are one
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # groups differ in form, too
QUIET = "#888888"
HEAT_REACH = 2.0  # doublings to the deepest shade of a heat map


def render_plot(
    plot: Plot, plot_format: str = "svg", colors: Mapping[str, str] | None = None
) -> bytes:
    """The figure as bytes in one of ``PLOT_FORMATS``; ``colors`` are those of its page."""
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
        figure = Figure(figsize=_size(plot), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(plain(plot.title, 72))
        _draw(plot, axes, colors or plot_colors([plot]))
        stream = io.BytesIO()
        figure.savefig(stream, format=plot_format, metadata=_metadata(plot_format, plot))
    data = stream.getvalue()
    if plot_format == "svg":
        # trailing blanks are matplotlib's; without them git shows no noise
        data = b"\n".join(line.rstrip() for line in data.splitlines()) + b"\n"
    return data


def svg_element(svg: bytes, key: str) -> str:
    """An SVG file's drawing as an element of an HTML page, in the colours of the page's text.

    ``key`` keeps its ids apart from those of the page's other figures.
    """
    text = svg.decode()
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<title(?:/>|>.*?</title>)", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="(?!tip-)', f'id="{key}-', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{key}-", text)
    for color, name in (("#000000", "ink"), ("#ffffff", "paper"), ("#dddddd", "grid")):
        text = text.replace(color, f"var(--{name})")
    text = text.replace(QUIET, "var(--quiet)")
    return text.replace("<svg ", '<svg aria-hidden="true" ', 1)


def tips(plot: Plot) -> list[str]:
    """What each mark of a figure says, in the order in which they are drawn."""
    data, x, y = plot.data, _exact(plot.x_kind), _exact(plot.y_kind)
    match plot.kind:
        case "scatter" if len(data["points"]) > MOST_MARKS:
            return []
        case "scatter":
            return [_point_tip(point, plot, x, y) for point in data["points"]]
        case "stacked":
            return [
                f"{bar['label']}: {name}\n{value:,} {plot.x_label} ({share_text(share)})"
                for name, members in stack_groups(data["bars"])
                for bar in data["bars"]
                for value, share in (_part(bar, members),)
            ]
        case "waterfall":
            marks = (data["start"], *data["steps"], data["end"])
            return [f"{mark['label']}\n{mark['value']:,}" for mark in marks]
        case "intervals":
            return [
                f"{row['label']}\n{x(row['value'])}"
                + (f"\n95 % interval {x(row['low'])} to {x(row['high'])}" if _ends(row) else "")
                for row in data["rows"]
                if row["value"] is not None
            ]
        case _:
            return []


def _point_tip(
    point: Mapping[str, Any], plot: Plot, x: Callable[[Any], str], y: Callable[[Any], str]
) -> str:
    lines = [str(point["label"] or point.get("group") or ""), f"{plot.x_label}: {x(point['x'])}"]
    lines.append(f"{plot.y_label}: {y(point['y'])}")
    if point.get("size"):
        size = _exact(plot.data.get("size_kind", "scaled"))(point["size"])
        lines.append(f"{plot.data.get('size_label', 'size')}: {size}")
    return "\n".join(line for line in lines if line)


def _part(bar: Mapping[str, Any], members: Sequence[str]) -> tuple[int, float]:
    """A stacked part's value and its share of the bar."""
    value = sum(part["value"] for part in bar["parts"] if part["name"] in members)
    return value, value / (sum(part["value"] for part in bar["parts"]) or 1)


def _ends(row: Mapping[str, Any]) -> bool:
    return row.get("low") is not None and row.get("high") is not None


def _size(plot: Plot) -> tuple[float, float]:
    """Width and height in inches: a bar or a row takes a line of its own."""
    match plot.kind:
        case "stacked":
            return 5.6, 1.5 + 0.36 * len(plot.data["bars"])
        case "waterfall":
            return 5.6, 1.2 + 0.26 * (len(plot.data["steps"]) + 2)
        case "intervals":
            return 5.6, 1.1 + 0.28 * len(plot.data["rows"])
        case "heat":
            return 5.6, 1.2 + 0.26 * len(plot.data["lines"])
        case "scatter" if len(plot.data["points"]) > MOST_LABELS and plot.data.get("front"):
            return 8.0, 5.6  # the names of the front need room
        case _:
            return 5.6, 3.6


def _metadata(plot_format: str, plot: Plot) -> dict[str, Any]:
    title = plain(plot.alternative, 2_000)
    match plot_format:
        case "svg":
            return {"Date": None, "Title": title}
        case "pdf":
            return {"CreationDate": None, "Title": title}
        case _:
            return {"Description": title}


def _draw(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    rules: dict[str, Callable[[Plot, Axes, Mapping[str, str]], None]] = {
        "scatter": _scatter,
        "stacked": _stacked,
        "waterfall": _waterfall,
        "intervals": _intervals,
        "timeline": _timeline,
        "heat": _heat,
    }
    if plot.kind not in rules:
        raise TypeError(f"no drawing rule for {plot.kind}")
    axes.set_xlabel(plain(plot.x_label))
    axes.set_ylabel(plain(plot.y_label))
    rules[plot.kind](plot, axes, colors)


def _formatter(kind: AxisKind) -> Callable[[float, Any], str]:
    """A tick in its own unit."""
    match kind:
        case "seconds":
            return lambda value, _: seconds_text(value) if value else "0"
        case "share":
            return lambda value, _: f"{100 * value:g} %"
        case "bytes":
            return lambda value, _: bytes_text(value) if value else "0"
        case _:
            return lambda value, _: scaled(value, 3) if abs(value) >= 1000 else f"{value:g}"


def _exact(kind: AxisKind) -> Callable[[Any], str]:
    """A value in a tip."""
    match kind:
        case "seconds":
            return seconds_text
        case "share":
            return share_text
        case "bytes":
            return bytes_text
        case _:
            return lambda value: f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _scatter(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
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
        axes.plot(x, y, style if name else "-", color=QUIET, label=name, zorder=1)
    front = [points[index] for index in data.get("front", ())]
    if len(front) > 1:
        axes.plot(
            [float(p["x"]) for p in front],
            [float(p["y"]) for p in front],
            color=QUIET,
            linestyle="--",
            linewidth=1,
            label="Pareto front",
            zorder=1,
        )
    groups = list(dict.fromkeys(p["group"] for p in points if p.get("group") is not None))
    many = len(points) > MOST_LABELS
    largest = _largest(points)
    areas = [_area(point.get("size"), data, largest) for point in points]
    # the largest first, so that no bubble hides another
    together: dict[tuple[str, str], list[int]] = {}
    for index in sorted(range(len(points)), key=lambda index: -areas[index]):
        point = points[index]
        name = str(point["group"] if point.get("group") is not None else point["label"])
        place = groups.index(point["group"]) if point.get("group") in groups else 0
        color = colors.get(name, PALETTE[0]) if groups or not many else PALETTE[0]
        look = (color, MARKERS[place % len(MARKERS)])
        if len(points) > MOST_MARKS:
            together.setdefault(look, []).append(index)
        else:
            _marks(axes, points, areas, [index], look, f"tip-{plot.key}-{index}")
    for look, indices in together.items():
        _marks(axes, points, areas, indices, look, None)
    if data.get("diagonal"):
        low = min(min(p["x"], p["y"]) for p in points)
        high = max(max(p["x"], p["y"]) for p in points)
        ends = [min(low, 1.0) * 0.9, max(high, 1.0) * 1.1]
        axes.plot(ends, ends, color=QUIET, linestyle=":", label="as theory says", zorder=1)
    _scatter_limits(plot, axes)
    _scatter_legend(plot, axes, groups, colors)
    if not many:
        _name_points(axes, points, areas, range(len(points)))
    elif front:
        along = data["front"]
        every = -(-len(along) // FRONT_NAMES)  # of a long front every so-manieth
        _name_points(axes, points, areas, [*along[:-1:every], along[-1]])


def _marks(
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    areas: Sequence[float],
    indices: Sequence[int],
    look: tuple[str, str],
    gid: str | None,
) -> None:
    """The marks of some points that look alike, and their intervals."""
    color, marker = look
    chosen = [points[index] for index in indices]
    axes.scatter(
        [float(p["x"]) for p in chosen], [float(p["y"]) for p in chosen],
        s=[areas[index] for index in indices], color=color, alpha=0.75, zorder=3, marker=marker,
        linewidths=0.6, edgecolors="#ffffff", gid=gid,
    )  # fmt: skip
    for p in chosen:
        if p.get("y_low") is not None and p.get("y_high") is not None:
            axes.plot([p["x"]] * 2, [p["y_low"], p["y_high"]], color=color, linewidth=1.2, zorder=2)


def _largest(points: Sequence[Mapping[str, Any]]) -> float:
    """The largest size of a point, 0 where none has one."""
    return max((p.get("size") or 0 for p in points), default=0)


def _area(size: float | None, data: Mapping[str, Any], largest: float) -> float:
    """The area of a point's mark in square points: by its size, where points have one."""
    if not largest or not size:
        return 26.0
    return float(max(data.get("largest_area", 700) * size / largest, 12))


def _scatter_limits(plot: Plot, axes: Axes) -> None:
    data, points = plot.data, plot.data["points"]
    if not data.get("x_log"):
        axes.margins(x=0.15, y=0.2)
        if data.get("diagonal"):
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        else:
            axes.set_xlim(0, 1.18 * (max(abs(p["x"]) for p in points) or 1))
    if not data.get("x_log") and not data.get("diagonal"):
        axes.set_ylim(*_y_range([p["y"] for p in points], near=bool(data.get("y_near"))))
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))
    axes.yaxis.set_major_formatter(_formatter(plot.y_kind))


def _scatter_legend(
    plot: Plot, axes: Axes, groups: Sequence[Any], colors: Mapping[str, str]
) -> None:
    """Groups, lines and the key of the areas below the axes, where they cover no point."""
    from matplotlib.lines import Line2D

    data, points = plot.data, plot.data["points"]
    handles: list[Any] = [
        Line2D([], [], linestyle="", marker=MARKERS[index % len(MARKERS)], markersize=5.5,
               color=colors.get(str(group), PALETTE[0]), label=_label(group))
        for index, group in enumerate(groups)
    ]  # fmt: skip
    handles += axes.get_legend_handles_labels()[0]
    sizes = [point["size"] for point in points if point.get("size")]
    if sizes and data.get("size_label"):
        for value in _nice_sizes(sizes):
            area = _area(value, data, _largest(points))
            handles.append(
                Line2D([], [], linestyle="", marker="o", markersize=math.sqrt(area), color=QUIET,
                       alpha=0.6, label=f"{_size_text(value, data)} {data['size_label']}")
            )  # fmt: skip
    if handles:
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(
            handles=handles, loc="outside lower center", ncols=3, labelspacing=0.7,
            handletextpad=0.9,
        )  # fmt: skip


def _size_text(value: float, data: Mapping[str, Any]) -> str:
    return bytes_text(value) if data.get("size_kind") == "bytes" else scaled(value, 3)


def _nice_sizes(sizes: Sequence[float]) -> list[float]:
    """Two round sizes that lie among those of a figure."""
    low, high = min(sizes), max(sizes)
    digits = 10 ** math.floor(math.log10(high))
    large = max(step * digits for step in (1, 2, 5) if step * digits <= high)
    small = large / 4 if low < large / 2 else None
    return [value for value in (small, large) if value]


def _y_range(values: Sequence[float], *, near: bool) -> tuple[float, float]:
    """From zero, or near the points, where small differences at a high level matter."""
    low, high = min(values), max(values)
    if not near:
        return 0, 1.3 * (max(abs(low), abs(high)) or 1)
    span = max(high - low, 0.02 * abs(high), 1e-6)
    return low - 0.45 * span, high + 0.55 * span


def _name_points(
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    areas: Sequence[float],
    named: Sequence[int],
) -> None:
    """A name beside the points ``named``, where it meets no name, point or line; else a leader."""
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
    for index in named:
        point, (x, y), radius = points[index], at[index], radii[index]
        text, size = _label(point["label"]), 7 if len(points) > 6 else 8
        if not text:
            continue
        width, height = 0.58 * size * len(text), 1.15 * size
        dx, dy = _quiet_place((x, y), (width, height), radius + 2, frame, taken)
        taken.append((x + dx, y + dy, x + dx + width, y + dy + height))
        aside = math.hypot(max(dx, 0, -dx - width), max(dy, 0, -dy - height))
        far = aside > radius + 6
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


def _stacked(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    bars = plot.data["bars"]
    left = [0.0] * len(bars)
    groups = stack_groups(bars)
    mark = itertools.count()
    for name, members in groups:
        values = [float(_part(bar, members)[0]) for bar in bars]
        drawn = axes.barh(
            range(len(bars)),
            values,
            left=left,
            height=0.62,
            color=OTHER if name == "other" else colors.get(name, OTHER),
            edgecolor="#ffffff",
            linewidth=0.8,
            label=_label(name),
        )
        for patch in drawn:
            patch.set_gid(f"tip-{plot.key}-{next(mark)}")
        left = [before + value for before, value in zip(left, values, strict=True)]
    axes.set_yticks(range(len(bars)), [_label(bar["label"]) for bar in bars])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(loc="outside lower center", ncols=min(len(groups), 5))


def stack_groups(bars: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """Parts in their order, at most ``MOST_PARTS`` by size; the small ones are ``other``."""
    totals: dict[str, float] = {}
    for bar in bars:
        for part in bar["parts"]:
            totals[part["name"]] = totals.get(part["name"], 0) + part["value"]
    if len(totals) <= MOST_PARTS:
        return [(name, (name,)) for name in totals]
    largest = sorted(totals, key=lambda name: -totals[name])[:MOST_PARTS]
    kept = [(name, (name,)) for name in totals if name in largest]
    return [*kept, ("other", tuple(name for name in totals if name not in largest))]


def _waterfall(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    data = plot.data
    level = float(data["start"]["value"])
    labels = [data["start"]["label"]]
    axes.barh([0], [level], color=START, height=0.6, gid=f"tip-{plot.key}-0")
    for index, step in enumerate(data["steps"], 1):
        grows = step["value"] >= 0
        axes.barh(
            [index], [float(step["value"])], left=[level], height=0.6, color=UP if grows else DOWN,
            edgecolor="#ffffff", linewidth=0.5, gid=f"tip-{plot.key}-{index}",
        )  # fmt: skip
        axes.plot([level, level], [index - 0.7, index + 0.3], color=QUIET, linewidth=0.7)
        level += step["value"]
        sign = "+" if grows else "−"
        labels.append(f"{_label(step['label'])} ({sign}{scaled(abs(step['value']), 3)})")
    axes.barh([len(labels)], [float(data["end"]["value"])], color=END, height=0.6,
              gid=f"tip-{plot.key}-{len(labels)}")  # fmt: skip
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
    levels = [float(data["start"]["value"]), float(data["end"]["value"])]
    level = levels[0]
    for step in data["steps"]:
        level += step["value"]
        levels.append(level)
    low, high = min(levels), max(levels)
    span = (high - low) or abs(high) or 1
    return (0 if low < 2 * span else low - 0.6 * span, high + 0.15 * span)


def _intervals(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    rows = plot.data["rows"]
    mark = itertools.count()
    for index, row in enumerate(rows):
        if row["value"] is None:
            continue
        color = colors.get(str(row["label"]), PALETTE[0])
        if _ends(row):
            ends = [row["low"], row["high"]]
            axes.plot(ends, [index, index], color=color, linewidth=3, alpha=0.6)
        axes.plot([row["value"]], [index], "o", color=color, gid=f"tip-{plot.key}-{next(mark)}")
    axes.set_yticks(range(len(rows)), [_label(row["label"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))


def _timeline(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    """Memory over operations, the parts of the network below it, the peak named."""
    data = plot.data
    x, y = zip(*data["steps"], strict=True)
    axes.fill_between(x, y, step="post", color=PALETTE[0], alpha=0.35, linewidth=0)
    axes.step(x, y, where="post", color=PALETTE[0], linewidth=1)
    top = max(y) or 1
    axes.set_ylim(-0.07 * top, 1.2 * top)
    axes.set_yticks(_byte_ticks(1.1 * top))
    axes.set_xlim(0, max(x) or 1)
    for span in data["spans"]:
        axes.barh([-0.035 * top], [span["end"] - span["start"]], left=[span["start"]],
                  height=0.05 * top, color=colors.get(span["name"], OTHER),
                  label=_label(span["name"]))  # fmt: skip
    at, most = data["peak"]["x"], data["peak"]["y"]
    axes.plot([at], [most], "o", color=PALETTE[3])
    axes.annotate(
        _label(f"{bytes_text(most)} at {data['peak']['label']}", 60), (at, most),
        xytext=(0, 6), textcoords="offset points", fontsize=8,
        ha="left" if at < 0.5 * max(x) else "right",
    )  # fmt: skip
    axes.yaxis.set_major_formatter(_formatter(plot.y_kind))
    axes.xaxis.set_major_formatter(_formatter(plot.x_kind))
    if len(data["spans"]) > 1:
        figure = axes.get_figure(root=True)
        assert figure is not None
        handles, labels = axes.get_legend_handles_labels()
        kept = dict(zip(labels, handles, strict=True))
        figure.legend(kept.values(), kept.keys(), loc="outside lower center", ncols=5)


def _heat(plot: Plot, axes: Axes, colors: Mapping[str, str]) -> None:
    """Ratios around 1 in a grid, each cell with its number; unsure ones are hatched."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("around one", [UP, "#ffffff", DOWN])
    for y, row in enumerate(plot.data["cells"]):
        for x, cell in enumerate(row):
            value = cell["value"]
            share = 0.5 if not value else 0.5 + math.log2(value) / (2 * HEAT_REACH)
            color = shades(min(max(share, 0.0), 1.0)) if value else QUIET
            hatch = "" if cell["sure"] or not value else "////"
            axes.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="#dddddd",
                          hatch=hatch)
            )  # fmt: skip
            # on a light cell in every theme, so in a black that is not the page's ink
            text = f"{value:.2f}" if value else "–"
            axes.text(x, y, text, ha="center", va="center", fontsize=7, color="#111111")
    columns, rows = plot.data["columns"], plot.data["lines"]
    axes.set_xticks(range(len(columns)), [_label(name) for name in columns], fontsize=7)
    axes.set_yticks(range(len(rows)), [_label(name) for name in rows])
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(False)


def _byte_ticks(high: float) -> list[float]:
    """Five or so round sizes in binary units from zero."""
    unit = 1024.0 ** int(math.log(max(high, 1), 1024))
    steps = [factor * unit for factor in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)]
    step = next((size for size in steps if high / size <= 6), steps[-1])
    return [step * index for index in range(int(high / step) + 1)]


def _label(text: Any, limit: int = LABEL_LIMIT) -> str:
    return plain(str(text), limit)
