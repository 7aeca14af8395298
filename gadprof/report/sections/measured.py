"""A report's measured sections: latency, theory against measurement, and the roofline.

Promises that every measured figure stands with the input, batch and setting that it was measured
at, and is set against a count only where the two are of the same input and batch. Figures come
from data files alone; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.comparison.compare import ComparedRow
from gadprof.report.data import Found, measured_at, number, plain_object
from gadprof.report.subject import Subject
from gadprof.results.cells import seconds_text
from gadprof.results.page import Plot, Section
from gadprof.results.table import Column, Table

Plain = Mapping[str, Any]
Interval = tuple[float | None, float | None]


def interval(holder: Any) -> Interval:
    """The 95 % interval of a statistic of a data file, as far as it is there."""
    pair = holder.get("ci95") if isinstance(holder, dict) else None
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return None, None
    return number(pair[0]), number(pair[1])


def fits(row: ComparedRow, measured: Plain) -> bool:
    """Whether a measurement is of the input and batch that a row was counted at."""
    shapes, batch = measured_at(measured)
    counted = tuple(tuple(shape) for shape in row.input)
    return batch == row.batch and (not shapes or shapes == counted)


def matching_latency(row: ComparedRow, found: Found) -> Plain | None:
    """The first measured row of a model at the counted input and batch."""
    return next((item for item in found.latency.get(row.model, ()) if fits(row, item)), None)


def setting_words(measured: Plain) -> str:
    """Device, precision, threads and whatever is not the default of a measured row's setting."""
    settings = measured.get("settings") or measured.get("setting")
    if not isinstance(settings, dict):
        return ""
    words = [str(settings.get("device", "")), str(settings.get("dtype", ""))]
    words.append(str(settings.get("runtime", "")))
    threads = settings.get("threads")
    if str(settings.get("device", "")) == "cpu" and threads:
        words.append(f"{threads} thread" + ("s" if threads != 1 else ""))
    if settings.get("mode") not in (None, "infer"):
        words.append(str(settings["mode"]))
    words += [
        key.replace("_", " ")
        for key in ("channels_last", "amp", "cuda_graph", "flush_l2")
        if settings.get(key) is True
    ]
    return " ".join(word for word in words if word)


def _shape_words(measured: Plain) -> str:
    shapes, _ = measured_at(measured)
    return " and ".join("×".join(map(str, shape)) for shape in shapes)


def latency(subject: Subject, found: Found) -> Section | None:
    """Measured medians and ratios, each with its interval and its setting."""
    rows, intervals, words = [], [], []
    for label, row in zip(subject.labels, subject.rows, strict=True):
        all_measured = found.latency.get(row.model, ())
        for measured in all_measured:
            times, ratio = measured["latency_s"], plain_object(measured.get("ratio"))
            low, high = interval(times)
            ratio_low, ratio_high = interval(ratio)
            value, median = number(ratio.get("value")), number(times.get("median"))
            samples = times.get("samples")
            _, batch = measured_at(measured)
            setting = setting_words(measured)
            rows.append(
                (label, _shape_words(measured), batch, setting, median, low, high,
                 number(times.get("p95")),
                 times.get("count") or (len(samples) if isinstance(samples, list) else None),
                 value, ratio_low, ratio_high, measured.get("peak_bytes"), measured.get("verdict"))
            )  # fmt: skip
            several = len(all_measured) > 1
            name = f"{label} (batch {batch}, {setting})" if several else label
            intervals.append({"label": name, "value": median, "low": low, "high": high})
            told = None not in (value, ratio_low, ratio_high) and ratio.get("to") != row.model
            if told:
                words.append(
                    f"Measured at {_shape_words(measured) or 'its own input'}, batch {batch}: "
                    f"{label} takes {value:.3f} × the time of "
                    f"{ratio.get('to') or subject.labels[0]} "
                    f"(95 % interval {ratio_low:.3f} to {ratio_high:.3f})."
                )
    if not rows:
        return None
    columns = (
        Column("model", "model"),
        Column("input", "input"),
        Column("batch", "batch", "count"),
        Column("setting", "setting"),
        Column("median_s", "median", "seconds"),
        Column("median_low_s", "95 % from", "seconds"),
        Column("median_high_s", "to", "seconds"),
        Column("p95_s", "p95", "seconds"),
        Column("samples", "samples", "count"),
        Column("ratio", "ratio to first", "ratio"),
        Column("ratio_low", "95 % from", "ratio"),
        Column("ratio_high", "to", "ratio"),
        Column("peak_bytes", "peak memory", "bytes"),
        Column("verdict", "verdict"),
    )
    plot = Plot(
        "latency",
        "intervals",
        "Median latency and its 95 % interval",
        "latency",
        "",
        "median latency of " + ", ".join(f"{row[0]} {seconds_text(row[4])}" for row in rows),
        {"rows": intervals},
        x_kind="seconds",
    )
    table = Table("latency", "Latency with its 95 % interval", columns, tuple(rows))
    return Section("latency", "Measured latency", tuple(words), (table,), (plot,))


def theory(subject: Subject, found: Found) -> Section | None:
    """Ratios that theory gives beside ratios that were measured, of models and of blocks."""
    tables: list[Table] = []
    plots: list[Plot] = []
    words: list[str] = []
    for part in (_model_theory(subject, found), _block_theory(found)):
        words += part[0]
        tables += part[1]
        plots += part[2]
    closed = _closed_forms(subject)
    if closed:
        tables.append(closed)
    if not tables:
        return None
    return Section(
        "theory", "Theory against measurement", tuple(words), tuple(tables), tuple(plots)
    )


_SPEED_COLUMNS = (
    Column("speed_up", "measured speed-up", "ratio"),
    Column("speed_up_low", "95 % from", "ratio"),
    Column("speed_up_high", "to", "ratio"),
    Column("share_of_theory", "measured over theory", "share"),
)


def _model_theory(subject: Subject, found: Found) -> tuple[list[str], list[Table], list[Plot]]:
    rows: list[tuple[Any, ...]] = []
    points: list[dict[str, Any]] = []
    base = subject.rows[0]
    for label, row, ratios in list(
        zip(subject.labels, subject.rows, subject.relative, strict=True)
    )[1:]:
        work, params = ratios.get("macs"), ratios.get("params")
        if row.error is not None or not work:
            continue
        value, low, high = _measured_ratio(row, base, found)
        speed = 1 / value if value else None
        speed_low, speed_high = 1 / high if high else None, 1 / low if low else None
        rows.append(
            (label, 1 / params if params else None, 1 / work, speed, speed_low, speed_high,
             speed * work if speed else None)
        )  # fmt: skip
        if speed:
            points.append(
                {"label": label, "x": 1 / work, "y": speed, "y_low": speed_low,
                 "y_high": speed_high}
            )  # fmt: skip
    if not rows:
        return [], [], []
    columns = (
        Column("model", "model"),
        Column("fewer_params", "fewer parameters", "ratio"),
        Column("fewer_macs", "fewer MACs (theory)", "ratio"),
        *_SPEED_COLUMNS,
    )
    note = (
        ""
        if points
        else "No latency was measured at this input and batch; 'gadprof bench' gives it."
    )
    words = [
        f"If time went with MACs alone, the speed-up over {subject.labels[0]} would be the "
        "factor by which MACs are fewer."
    ]
    table = Table("theory", "Theoretical and measured speed-up", columns, tuple(rows), note)
    title = "Measured against theoretical speed-up of the models"
    return words, [table], [_against_theory("theory", title, points)] if points else []


def _measured_ratio(
    row: ComparedRow, base: ComparedRow, found: Found
) -> tuple[float | None, float | None, float | None]:
    """Time over the first model's with its interval, where it was measured as it was counted."""
    measured = matching_latency(row, found)
    ratio = plain_object((measured or {}).get("ratio"))
    value = number(ratio.get("value"))
    if not value or ratio.get("to") not in (None, base.model):
        return None, None, None
    return value, *interval(ratio)


def _against_theory(key: str, title: str, points: list[dict[str, Any]]) -> Plot:
    return Plot(
        key,
        "scatter",
        title,
        "theoretical speed-up (fewer MACs)",
        "measured speed-up",
        "measured speed-up against the speed-up that fewer MACs would give, of "
        + ", ".join(str(point["label"]) for point in points[:12])
        + (" and more" if len(points) > 12 else ""),
        {"points": points, "diagonal": True},
    )


def _block_theory(found: Found) -> tuple[list[str], list[Table], list[Plot]]:
    """The blocks that ``formula --measure`` timed against an ordinary convolution."""
    rows: list[tuple[Any, ...]] = []
    points: list[dict[str, Any]] = []
    for point in found.formula_points:
        measured, inputs = point["measured"], point["inputs"]
        theory_ratio = number(point.get("Rs_macs"))
        speed = number(measured.get("speed_up"))
        low, high = interval(measured)
        block = str(point.get("block", ""))
        sizes = _sizes(inputs)
        rows.append(
            (block, sizes, number(point.get("Rs")), theory_ratio, speed, low, high,
             speed / theory_ratio if speed and theory_ratio else None,
             number(measured.get("memory_ratio")), measured.get("error"))
        )  # fmt: skip
        if speed and theory_ratio:
            points.append(
                {"label": f"{block} {inputs.get('c_in', '')}".strip(), "group": block,
                 "x": theory_ratio, "y": speed, "y_low": low, "y_high": high}
            )  # fmt: skip
    if not rows:
        return [], [], []
    columns = (
        Column("block", "block"),
        Column("inputs", "at"),
        Column("Rs", "Rs of weights", "ratio"),
        Column("Rs_macs", "Rs of MACs (theory)", "ratio"),
        *_SPEED_COLUMNS,
        Column("memory_ratio", "memory ratio", "ratio"),
        Column("error", "failure"),
    )
    table = Table(
        "blocks-measured",
        "Blocks against the ordinary convolution",
        columns,
        tuple(rows),
        folded=len(rows) > 12,
    )
    if not points:
        return [], [table], []
    slower = sum(1 for point in points if point["y_high"] is not None and point["y_high"] < 1)
    words = [
        f"{len(points)} blocks were timed against the ordinary convolution that they replace; "
        f"{slower} of them are slower than it, with the whole interval below 1."
    ]
    plot = _against_theory("blocks", "Measured against theoretical speed-up of the blocks", points)
    return words, [table], [plot]


def _sizes(inputs: Plain) -> str:
    """A block's integers in one line: ``32→32, k 3, d 3, s 2, r 16, 32×24, stride 1``."""
    words = [f"{inputs.get('c_in')}→{inputs.get('c_out')}"]
    words += [
        f"{key} {value}"
        for key, value in inputs.items()
        if key not in ("c_in", "c_out", "h", "w", "stride")
    ]
    if "h" in inputs:
        words.append(f"{inputs['h']}×{inputs.get('w')}")
    if inputs.get("stride", 1) != 1:
        words.append(f"stride {inputs['stride']}")
    return ", ".join(words)


_FORMS = ("ga", "ghost", "ghost-se")
_FORM_COLUMNS = (
    Column("model", "model"),
    Column("block", "block"),
    Column("branch", "branch", "count"),
    Column("channels", "channels", "count"),
    Column("convolution_params", "P of a convolution", "count"),
    Column("GP", "GP", "count"),
    Column("Rs", "Rs", "ratio"),
    Column("GG", "GG", "count"),
    Column("Rs_macs", "Rs of MACs", "ratio"),
)


def _closed_forms(subject: Subject) -> Table | None:
    """GP and Rs of each light model's block at each branch's width, by hand-written forms."""
    rows: list[tuple[Any, ...]] = []
    for index, source in enumerate(subject.sources):
        spec, shape = source.spec, subject.shape(index)
        values = spec.values if spec is not None else {}
        block = str(values.get("block"))
        if block in _FORMS and shape is not None and {"width", "k", "d", "s", "r"} <= set(values):
            rows += [(subject.labels[index], block, *row) for row in _forms(block, values, shape)]
    if not rows:
        return None
    return Table(
        "closed-forms",
        "Closed forms of the light blocks at each branch",
        _FORM_COLUMNS,
        tuple(rows),
        "GP and GG are a block's weights and MACs by formula, attention included; P is those of "
        "the ordinary convolution that it replaces, and Rs is P over GP.",
    )


def _forms(block: str, values: Mapping[str, Any], shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    from gadprof.formulas.formula import formula

    found = []
    for branch in range(4):
        width, height, breadth = (
            values["width"] << branch, shape[1] >> (2 + branch), shape[2] >> (2 + branch),
        )  # fmt: skip
        if height and breadth:
            result = formula(
                block, c_in=width, c_out=width, k=values["k"], d=values["d"], s=values["s"],
                r=values["r"], h=height, w=breadth,
            )  # fmt: skip
            reference = result.reference or result
            found.append(
                (branch + 1, width, reference.GP, result.GP, result.Rs, result.GG, result.Rs_macs)
            )
    return found


def roofline(subject: Subject, found: Found) -> Section | None:
    """Each class of operations of an explained model against what the machine could do."""
    points: list[dict[str, Any]] = []
    rows: list[tuple[Any, ...]] = []
    words: list[str] = []
    roofs: dict[str, dict[str, Any]] = {}
    for label, row in zip(subject.labels, subject.rows, strict=True):
        for profile in found.profiles:
            if profile["model"] != row.model:
                continue
            peaks = plain_object(profile.get("peaks"))
            for line in _roof_lines(peaks):
                roofs.setdefault(line["label"], line)
            words.append(_profile_words(label, profile))
            whole = {**profile, "name": "(all)", "seconds": profile.get("latency_s")}
            for item in (whole, *(part for part in profile["by_class"] if isinstance(part, dict))):
                made = _roofline_row(label, item)
                rows.append(made)
                if made[6] and made[7]:
                    name = label if item is whole else str(item.get("name"))
                    points.append({"label": name, "group": label, "x": made[6], "y": made[7]})
    if not points:
        return None
    columns = (
        Column("model", "model"),
        Column("part", "class of operations"),
        Column("time_s", "time", "seconds"),
        Column("share", "of the time", "share"),
        Column("flops", "FLOPs", "scaled"),
        Column("traffic_bytes", "bytes moved", "bytes"),
        Column("flops_per_byte", "FLOPs a byte", "ratio"),
        Column("flops_per_s", "FLOPs a second", "scaled"),
        Column("bound_s", "roofline bound", "seconds"),
        Column("efficiency", "bound over time", "share"),
        Column("limit", "bound by"),
    )
    words.append(
        "A class under the slope is bound by memory, one under the flat roof by arithmetic; the "
        "distance to the roof is what the kernels leave unused. A class above the slope found its "
        "data in a cache, since the slope is that of main memory. Classes that do no arithmetic "
        "have no place in the figure and stand in the table."
    )
    return Section(
        "roofline",
        "Roofline",
        tuple(words),
        (Table("roofline", "Work a byte and speed", columns, tuple(rows), folded=True),),
        (
            Plot(
                "roofline",
                "scatter",
                "Roofline",
                "FLOPs a byte",
                "FLOPs a second",
                "speed of each class of operations against its arithmetic intensity, "
                "under the machine's roofs",
                {
                    "points": points,
                    "lines": _reaching(list(roofs.values()), points),
                    "x_log": True,
                    "y_log": True,
                },
            ),
        ),
    )


def _profile_words(label: str, profile: Plain) -> str:
    setting = profile.get("setting") if isinstance(profile.get("setting"), dict) else {}
    shaped = {"settings": setting}
    _, batch = measured_at(shaped)
    at = _shape_words(shaped) or "its own input"
    how = setting_words(shaped)
    time = seconds_text(number(profile.get("latency_s")))
    return f"{label} at {at}, batch {batch}{f', {how}' if how else ''}: {time}."


def _roofline_row(label: str, item: Plain) -> tuple[Any, ...]:
    flops, moved = number(item.get("flops")), number(item.get("traffic_bytes"))
    time, bound = number(item.get("seconds")), number(item.get("bound_s"))
    intensity = flops / moved if flops and moved else None
    speed = flops / time if flops and time else None
    efficiency = bound / time if bound and time else None
    share = 1.0 if item.get("name") == "(all)" else number(item.get("share"))
    return (
        label, item.get("name"), time, share, flops, moved, intensity, speed, bound or None,
        efficiency, item.get("limit") or None,
    )  # fmt: skip


def _roof_lines(peaks: Any) -> list[dict[str, Any]]:
    if not isinstance(peaks, dict):
        return []
    peak, bandwidth = number(peaks.get("flops_per_s")), number(peaks.get("bytes_per_s"))
    if not peak or not bandwidth:
        return []
    return [{"label": f"roof of {peaks.get('name') or 'this machine'}", "roof": [peak, bandwidth]}]


def _reaching(roofs: Sequence[Plain], points: Sequence[Plain]) -> list[dict[str, Any]]:
    """Each roof as a line from below the least intensity of the points to beyond the greatest."""
    low = min(point["x"] for point in points) / 3
    high = max(point["x"] for point in points) * 3
    lines = []
    for item in roofs:
        peak, bandwidth = item["roof"]
        ridge = peak / bandwidth
        ends = [[min(low, ridge / 3), min(low, ridge / 3) * bandwidth], [ridge, peak]]
        lines.append({"label": item["label"], "points": [*ends, [max(high, ridge * 3), peak]]})
    return lines
