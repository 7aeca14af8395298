"""The sections of a report: each a pure function from figures to words, tables and plots.

Promises that a section without figures is left out, or says in words what fills it; nothing that
was not counted or measured is shown. Exact values stay exact: only renderers scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gadprof.compare import QUANTITIES, ComparedRow
from gadprof.render.cells import bytes_text, percent_text, scaled, seconds_text
from gadprof.report import Column, Plot, Section, Table
from gadprof.report_data import Found
from gadprof.sources import Source

WORDS: Mapping[str, str] = {
    "params": "parameters",
    "macs": "MACs",
    "flops": "FLOPs",
    "activations": "activations",
    "peak_activation_bytes": "peak activations",
    "weight_bytes": "weights",
}


@dataclass(frozen=True)
class Subject:
    """The models of a report: a distinct label, the exact row and the source of each."""

    labels: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    relative: tuple[Mapping[str, float | None], ...]
    sources: tuple[Source, ...]
    shapes: tuple[tuple[int, ...], ...]
    batch: int

    def shape(self, index: int) -> tuple[int, ...] | None:
        """The input of a model that has a plan, None for any other."""
        spec = self.sources[index].spec
        if spec is None or self.rows[index].error is not None:
            return None
        return self.shapes[0] if self.shapes else spec.default_input


def input_words(subject: Subject) -> str:
    """How the inputs read: one shape for all, or each model's own."""
    inputs = {row.input for row in subject.rows if row.input}
    if len(inputs) == 1:
        shapes = " and ".join("×".join(map(str, shape)) for shape in next(iter(inputs)))
        return f"input {shapes}, batch {subject.batch}"
    return f"each model at its own input, batch {subject.batch}"


def summary(subject: Subject, sections: Sequence[Section]) -> Section:
    """What the page says, in a few sentences."""
    first, base = subject.labels[0], subject.rows[0]
    words = []
    if base.params is not None:
        words.append(
            f"{first} has {scaled(base.params)} parameters and takes {scaled(base.macs)}MAC "
            f"({scaled(base.flops)}FLOP) at {input_words(subject)}; "
            f"its activations peak at {bytes_text(base.peak_activation_bytes)}."
        )
    for label, row, ratios in list(
        zip(subject.labels, subject.rows, subject.relative, strict=True)
    )[1:]:
        if row.error is not None:
            words.append(f"{label} could not be counted: {row.error}")
            continue
        words.append(
            f"{label} has {scaled(row.params)} parameters ({percent_text(ratios['params'])}), "
            f"{scaled(row.macs)}MAC ({percent_text(ratios['macs'])}) and a peak of "
            f"{bytes_text(row.peak_activation_bytes)} "
            f"({percent_text(ratios['peak_activation_bytes'])}) against {first}."
        )
    for section in sections:
        if section.key == "latency" and section.tables:
            words += section.words[:3]
    words.append(
        "A MAC is one multiply-add of a convolution or a matrix product, biases apart; a FLOP is "
        "one floating-point operation, so that a MAC is two. G is 10^9, MiB is 2^20 bytes."
    )
    return Section("summary", "Summary", tuple(words))


def comparison(subject: Subject, found: Found) -> Section:
    """The models in one table, and where they lie beside each other."""
    columns = [Column("model", "model")]
    for name in QUANTITIES:
        kind = "bytes" if name.endswith("bytes") else "scaled"
        columns.append(Column(name, WORDS[name], kind))  # type: ignore[arg-type]
        columns.append(Column(f"{name}_relative", "to first", "change"))
    columns.append(Column("method", "counted by"))
    rows = [
        (
            label,
            *(item for name in QUANTITIES for item in (getattr(row, name), ratios.get(name))),
            "failed" if row.error else row.method,
        )
        for label, row, ratios in zip(subject.labels, subject.rows, subject.relative, strict=True)
    ]
    words = [f"Exact counts at {input_words(subject)}; per cents are to {subject.labels[0]}."]
    words += [f"{row.model} failed: {row.error}" for row in subject.rows if row.error]
    for label, row in zip(subject.labels, subject.rows, strict=True):
        if row.uncovered:
            listed = ", ".join(f"{name} ({count})" for name, count in sorted(row.uncovered.items()))
            words.append(
                f"{label} has operations without a rule, which count as unknown: {listed}."
            )
    plot = _bubbles(subject, found)
    return Section(
        "comparison",
        "Comparison",
        tuple(words),
        (Table("comparison", "Parameters, work and memory", tuple(columns), tuple(rows)),),
        (plot,) if plot else (),
    )


def _bubbles(subject: Subject, found: Found) -> Plot | None:
    """Accuracy, else latency, else activations against MACs; the area is the parameters."""
    candidates = (
        ("AP", "accuracy (AP)", True, dict(found.accuracy)),
        (
            "latency",
            "median latency (s)",
            False,
            {model: row["latency_s"].get("median") for model, row in found.latency.items()},
        ),
        ("activations", "activations", False, {r.model: r.activations for r in subject.rows}),
    )
    for word, y_label, higher, values in candidates:
        points: list[dict[str, Any]] = [
            {"label": label, "x": row.macs, "y": values[row.model], "size": row.params}
            for label, row in zip(subject.labels, subject.rows, strict=True)
            if row.macs and values.get(row.model) is not None
        ]
        if len(points) >= 2 or (points and word == "activations"):
            return Plot(
                "bubbles",
                "scatter",
                f"{y_label[0].upper()}{y_label[1:]} against MACs",
                "MACs",
                y_label,
                f"{word} against MACs of {', '.join(str(p['label']) for p in points)}; "
                "the area of a bubble is the number of parameters",
                {
                    "points": points,
                    "front": pareto_front(
                        [(p["x"], -p["y"] if higher else p["y"]) for p in points]
                    ),
                    "size_label": "parameters",
                },
            )
    return None


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


_PART_COLUMNS = (
    Column("model", "model"),
    Column("part", "part"),
    Column("occurrences", "number", "count"),
    Column("params", "parameters", "count"),
    Column("params_share", "of all", "share"),
    Column("macs", "MACs", "count"),
    Column("macs_share", "of all", "share"),
    Column("activations", "activations", "count"),
)


def breakdown(subject: Subject) -> Section | None:
    """Parameters and MACs by stage and by kind of block."""
    from gadprof.parts import by_block, by_stage, traced_by_stage, traced_by_type

    stages: list[tuple[Any, ...]] = []
    blocks: list[tuple[Any, ...]] = []
    bars: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    words: list[str] = []
    for index, (label, row) in enumerate(zip(subject.labels, subject.rows, strict=True)):
        if row.error is not None or not row.params:
            continue
        spec, shape = subject.sources[index].spec, subject.shape(index)
        if spec is not None and shape is not None:
            staged = by_stage(spec, shape, subject.batch)
            blocked = by_block(spec, shape, subject.batch)
        elif subject.sources[index].kind != "onnx":
            staged = traced_by_stage(subject.sources[index], subject.shapes, subject.batch)
            blocked = traced_by_type(subject.sources[index], subject.shapes, subject.batch)
        else:
            continue
        stages += [_part_row(label, part, row) for part in staged]
        blocks += [_part_row(label, part, row) for part in blocked]
        bars.append({"label": label, "parts": [{"name": p.name, "value": p.macs} for p in staged]})
        weights.append(
            {"label": label, "parts": [{"name": p.name, "value": p.params} for p in staged]}
        )
        heaviest = max(staged, key=lambda part: part.params)
        busiest = max(staged, key=lambda part: part.macs)
        words.append(
            f"{label}: {heaviest.name} holds {100 * heaviest.params / row.params:.0f} % of the "
            f"parameters"
            + (
                f", {busiest.name} does {100 * busiest.macs / row.macs:.0f} % of the MACs."
                if row.macs
                else "."
            )
        )
    if not stages:
        return None
    names = ", ".join(str(bar["label"]) for bar in bars)
    return Section(
        "breakdown",
        "Where the cost lies",
        tuple(words),
        (
            Table("stages", "By stage", _PART_COLUMNS, tuple(stages), folded=len(bars) > 3),
            Table("blocks", "By kind of block", _PART_COLUMNS, tuple(blocks), folded=len(bars) > 3),
        ),
        (
            _stacked("macs-by-stage", "MACs", bars, names),
            _stacked("params-by-stage", "Parameters", weights, names),
        ),
    )


def _stacked(key: str, word: str, bars: list[dict[str, Any]], names: str) -> Plot:
    title = f"{word} by stage"
    return Plot(key, "stacked", title, word, "", f"{title} of {names}", {"bars": bars})


def _part_row(label: str, part: Any, row: ComparedRow) -> tuple[Any, ...]:
    return (
        label,
        part.name,
        part.occurrences,
        part.params,
        part.params / row.params if row.params else None,
        part.macs,
        part.macs / row.macs if row.macs else None,
        part.activations,
    )


def counters(subject: Subject, found: Found) -> Section | None:
    """What other counters say of the same models, and the ledger of each difference."""
    rows: list[tuple[Any, ...]] = []
    ledger: list[tuple[Any, ...]] = []
    plots: list[Plot] = []
    words: list[str] = []
    for label, row in zip(subject.labels, subject.rows, strict=True):
        audit = found.audits.get(row.model)
        if audit is not None:
            for backend in audit["backends"]:
                _audited(label, row, backend, rows, ledger, plots)
        else:
            for name, count in sorted(found.counters.get(row.model, {}).items()):
                if isinstance(count, dict):
                    macs = count.get("macs")
                    ratio = macs / row.macs if macs and row.macs else None
                    rows.append(
                        (label, name, count.get("version"), macs, ratio, None, count.get("error"))
                    )
    if not rows:
        return None
    values = [row[3] for row in rows if isinstance(row[3], (int, float))]
    if values:
        words.append(
            f"{len(rows)} answers of other counters, from {scaled(min(values))} to "
            f"{scaled(max(values))} in their own units; gadprof counts each model exactly once."
        )
    tables = [
        Table(
            "counters",
            "What each counter reports",
            (
                Column("model", "model"),
                Column("counter", "counter"),
                Column("version", "version"),
                Column("reported", "reports", "count"),
                Column("ratio_to_gadprof", "to gadprof's MACs", "ratio"),
                Column("residual", "unexplained", "count"),
                Column("error", "failure"),
            ),
            tuple(rows),
        )
    ]
    if ledger:
        tables.append(
            Table(
                "ledger",
                "The ledger of every difference",
                (
                    Column("model", "model"),
                    Column("counter", "counter"),
                    Column("cause", "cause"),
                    Column("operations", "operations", "count"),
                    Column("amount", "amount", "count"),
                ),
                tuple(ledger),
                folded=True,
            )
        )
    return Section("counters", "Other counters", tuple(words), tuple(tables), tuple(plots[:6]))


def _audited(
    label: str,
    row: ComparedRow,
    backend: Any,
    rows: list[tuple[Any, ...]],
    ledger: list[tuple[Any, ...]],
    plots: list[Plot],
) -> None:
    if not isinstance(backend, dict):
        return
    name, reported, ours = backend.get("name"), backend.get("reported"), backend.get("ours")
    ratio = reported / row.macs if reported and row.macs else None
    rows.append(
        (label, name, backend.get("version"), reported, ratio, backend.get("residual"),
         backend.get("error"))
    )  # fmt: skip
    steps = [
        item
        for item in backend.get("differences") or []
        if isinstance(item, dict) and isinstance(item.get("amount"), (int, float))
    ]
    for item in steps:
        operations = item.get("operations")
        number = len(operations) if isinstance(operations, list) else operations
        ledger.append((label, name, item.get("cause"), number, item["amount"]))
    if steps and isinstance(ours, (int, float)) and isinstance(reported, (int, float)):
        plots.append(
            Plot(
                f"ledger-{len(plots) + 1}",
                "waterfall",
                f"From gadprof to {name}: {label}",
                f"{backend.get('unit') or 'operations'}",
                "",
                f"how {name} comes from {ours:,} to {reported:,} on {label}",
                {
                    "start": {"label": "gadprof", "value": ours},
                    "steps": [
                        {"label": str(item.get("cause")), "value": item["amount"]} for item in steps
                    ]
                    + (
                        [{"label": "unexplained", "value": backend["residual"]}]
                        if backend.get("residual")
                        else []
                    ),
                    "end": {"label": str(name), "value": reported},
                },
            )
        )


def latency(subject: Subject, found: Found) -> Section | None:
    """Measured medians and ratios, each with its interval, or what to type to have them."""
    rows, intervals, words = [], [], []
    for label, row in zip(subject.labels, subject.rows, strict=True):
        measured = found.latency.get(row.model)
        if measured is None:
            continue
        times, ratio = measured["latency_s"], measured.get("ratio") or {}
        low, high = times.get("ci95") or (None, None)
        ratio_low, ratio_high = ratio.get("ci95") or (None, None)
        samples = times.get("samples")
        rows.append(
            (label, times.get("median"), low, high, times.get("p95"), times.get("count") or (
                len(samples) if isinstance(samples, list) else None),
             ratio.get("value"), ratio_low, ratio_high, measured.get("peak_bytes"),
             measured.get("verdict"))
        )  # fmt: skip
        intervals.append({"label": label, "value": times.get("median"), "low": low, "high": high})
        if ratio.get("value") is not None and ratio_low is not None:
            words.append(
                f"Measured, {label} takes {ratio['value']:.3f} × the time of "
                f"{ratio.get('to') or subject.labels[0]} "
                f"(95 % interval {ratio_low:.3f} to {ratio_high:.3f})."
            )
    if not rows:
        return None
    columns = (
        Column("model", "model"),
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
    return Section(
        "latency",
        "Measured latency",
        tuple(words),
        (Table("latency", "Latency with its 95 % interval", columns, tuple(rows)),),
        (
            Plot(
                "latency",
                "intervals",
                "Median latency and its 95 % interval",
                "seconds",
                "",
                "median latency of " + ", ".join(f"{r[0]} {seconds_text(r[1])}" for r in rows),
                {"rows": intervals},
            ),
        ),
    )


def theory(subject: Subject, found: Found) -> Section | None:
    """Ratios that theory gives beside ratios that were measured."""
    rows: list[tuple[Any, ...]] = []
    points: list[dict[str, Any]] = []
    base = subject.rows[0]
    for label, row, ratios in list(
        zip(subject.labels, subject.rows, subject.relative, strict=True)
    )[1:]:
        if row.error is not None or not ratios.get("macs"):
            continue
        measured = _measured_ratio(row, base, found)
        value, low, high = measured or (None, None, None)
        work = ratios["macs"]
        params = ratios["params"]
        assert work is not None
        rows.append(
            (label, 1 / params if params else None, 1 / work, 1 / value if value else None,
             1 / high if high else None, 1 / low if low else None)
        )  # fmt: skip
        if value:
            points.append(
                {"label": label, "x": 1 / work, "y": 1 / value, "y_low": 1 / high if high else None,
                 "y_high": 1 / low if low else None}
            )  # fmt: skip
    tables = []
    words = []
    if rows:
        note = "" if points else "No latency was measured; 'gadprof bench' gives it."
        words.append(
            f"If time went with MACs alone, the speed-up over {subject.labels[0]} would be the "
            "factor by which MACs are fewer."
        )
        tables.append(
            Table(
                "theory",
                "Theoretical and measured speed-up",
                (
                    Column("model", "model"),
                    Column("fewer_params", "fewer parameters", "ratio"),
                    Column("fewer_macs", "fewer MACs (theory)", "ratio"),
                    Column("speed_up", "measured speed-up", "ratio"),
                    Column("speed_up_low", "95 % from", "ratio"),
                    Column("speed_up_high", "to", "ratio"),
                ),
                tuple(rows),
                note,
            )
        )
    closed = _closed_forms(subject)
    if closed:
        tables.append(closed)
    plots = []
    for point in found.formula_points:
        made = _formula_point(point)
        if made:
            points.append(made)
    if points:
        plots.append(
            Plot(
                "theory",
                "scatter",
                "Measured against theoretical speed-up",
                "theoretical speed-up (fewer MACs)",
                "measured speed-up",
                "measured speed-up against the speed-up that fewer MACs would give",
                {"points": points, "diagonal": True},
            )
        )
    if not tables and not plots:
        return None
    return Section(
        "theory", "Theory against measurement", tuple(words), tuple(tables), tuple(plots)
    )


def _measured_ratio(
    row: ComparedRow, base: ComparedRow, found: Found
) -> tuple[float, float | None, float | None] | None:
    ratio = (found.latency.get(row.model) or {}).get("ratio") or {}
    if not ratio.get("value") or ratio.get("to") not in (None, base.model):
        return None
    low, high = ratio.get("ci95") or (None, None)
    return ratio["value"], low, high


def _formula_point(point: Mapping[str, Any]) -> dict[str, Any] | None:
    measured = point.get("measured")
    speed = measured.get("speed_up") if isinstance(measured, dict) else None
    if not isinstance(speed, dict) or not speed.get("value") or not point.get("Rs_macs"):
        return None
    low, high = speed.get("ci95") or (None, None)
    inputs = ", ".join(f"{key}={value}" for key, value in point["inputs"].items())
    label = f"{point.get('block', '')} {inputs}".strip()
    return {
        "label": label,
        "x": point["Rs_macs"],
        "y": speed["value"],
        "y_low": low,
        "y_high": high,
    }


_FORMS = {"ga": "ga", "ghost": "ghost", "ghost-se": "ghost-se"}


def _closed_forms(subject: Subject) -> Table | None:
    """GP and Rs of the first light model's block at each branch's width, by hand-written forms."""
    from gadprof.formula import formula

    for index, source in enumerate(subject.sources):
        spec, shape = source.spec, subject.shape(index)
        values = spec.values if spec is not None else {}
        block = _FORMS.get(str(values.get("block")))
        if block is None or shape is None or not {"width", "k", "d", "s", "r"} <= set(values):
            continue
        rows = []
        for branch in range(4):
            width, height, breadth = (
                values["width"] << branch,
                shape[1] >> (2 + branch),
                shape[2] >> (2 + branch),
            )
            if not height or not breadth:
                continue
            result = formula(
                block, c_in=width, c_out=width, k=values["k"], d=values["d"], s=values["s"],
                r=values["r"], h=height, w=breadth,
            )  # fmt: skip
            reference = result.reference or result
            rows.append(
                (branch + 1, width, reference.GP, result.GP, result.Rs, result.GG, result.Rs_macs)
            )
        if rows:
            return Table(
                "closed-forms",
                f"Closed forms of {subject.labels[index]}'s block at each branch",
                (
                    Column("branch", "branch", "count"),
                    Column("channels", "channels", "count"),
                    Column("convolution_params", "P of a convolution", "count"),
                    Column("GP", "GP", "count"),
                    Column("Rs", "Rs", "ratio"),
                    Column("GG", "GG", "count"),
                    Column("Rs_macs", "Rs of MACs", "ratio"),
                ),
                tuple(rows),
                "GP and GG count convolution and attention weights; Rs is P over GP.",
            )
    return None


def roofline(subject: Subject, found: Found) -> Section | None:
    """Work a byte against what the machine could do, where a profile was given."""
    points: list[dict[str, Any]] = []
    rows: list[tuple[Any, ...]] = []
    lines: list[dict[str, Any]] = []
    wanted = {row.model for row in subject.rows}
    for profile in found.profiles:
        if profile["model"] not in wanted:
            continue
        lines = lines or _roof_lines(profile.get("roofs"))
        for item in profile.get("stages") or profile.get("classes") or []:
            flops, moved, time = item.get("flops"), item.get("bytes"), item.get("time_s")
            if not flops or not moved or not time:
                continue
            name = f"{profile['model']} {item.get('name') or item.get('stage') or ''}".strip()
            bound = item.get("bound_s")
            rows.append((profile["model"], item.get("name") or item.get("stage"), flops, moved,
                         flops / moved, time, flops / time, bound))  # fmt: skip
            points.append({"label": name, "x": flops / moved, "y": flops / time})
    if not points:
        return None
    columns = (
        Column("model", "model"),
        Column("part", "part"),
        Column("flops", "FLOPs", "scaled"),
        Column("bytes", "bytes moved", "bytes"),
        Column("flops_per_byte", "FLOPs a byte", "ratio"),
        Column("time_s", "time", "seconds"),
        Column("flops_per_s", "FLOPs a second", "scaled"),
        Column("bound_s", "roofline bound", "seconds"),
    )
    return Section(
        "roofline",
        "Roofline",
        ("A part under the slope is bound by memory, one under the flat roof by arithmetic.",),
        (Table("roofline", "Work a byte and speed", columns, tuple(rows), folded=True),),
        (
            Plot(
                "roofline",
                "scatter",
                "Roofline",
                "FLOPs a byte",
                "FLOPs a second",
                "speed of each part against its arithmetic intensity, under the machine's roofs",
                {"points": points, "lines": lines, "x_log": True, "y_log": True},
            ),
        ),
    )


def _roof_lines(roofs: Any) -> list[dict[str, Any]]:
    if not isinstance(roofs, dict):
        return []
    peak, bandwidth = roofs.get("flops_per_s"), roofs.get("bytes_per_s")
    if not peak or not bandwidth:
        return []
    ridge = peak / bandwidth
    name = str(roofs.get("name") or "this machine")
    return [
        {
            "label": f"roof of {name}",
            "points": [[ridge / 1000, peak / 1000], [ridge, peak], [ridge * 100, peak]],
        }
    ]


def maps(subject: Subject) -> Section | None:
    """Every feature map at the ends of stages and branches, folded, one table a model."""
    from gadprof.shapes import feature_maps

    columns = (
        Column("stage", "stage"),
        Column("module", "module", "count"),
        Column("branch", "branch", "count"),
        Column("part", "part"),
        Column("path", "path"),
        Column("kind", "kind"),
        Column("channels", "channels", "count"),
        Column("height", "height", "count"),
        Column("width", "width", "count"),
    )
    tables = []
    for index, label in enumerate(subject.labels):
        spec, shape = subject.sources[index].spec, subject.shape(index)
        if spec is None or shape is None:
            continue
        rows = tuple(
            (m.stage, m.module, m.branch, m.part, m.path, m.kind, m.channels, m.height, m.width)
            for m in feature_maps(spec, shape)
        )
        key = f"maps-{index + 1}"
        tables.append(Table(key, f"Feature maps of {label}", columns, rows, folded=True))
    if not tables:
        return None
    return Section(
        "maps", "Feature maps", ("Channels and size, without the batch.",), tuple(tables)
    )


def environment(subject: Subject, found: Found, command: str) -> Section:
    """How to make the page again, and where measured figures come from."""
    from gadprof.version import __version__

    words = [f"gadprof {__version__}. Analytic figures are equal on every machine."]
    rows: list[tuple[Any, ...]] = []
    for index, machine in enumerate(found.machines, 1):
        for key, value in _flat(machine):
            rows.append((index, key, value))
    traced = [r.model for r in subject.rows if r.method == "trace"]
    if traced:
        words.append(f"{', '.join(traced)}: counted by a trace of the installed packages' code.")
    tables = []
    if found.files:
        tables.append(
            Table(
                "data-files",
                "Data that the page was made from",
                (Column("file", "file"), Column("sha256", "SHA-256")),
                tuple(found.files.items()),
            )
        )
    if rows:
        columns = (
            Column("machine", "machine", "count"),
            Column("what", "what"),
            Column("value", "value"),
        )
        tables.append(
            Table("machines", "Machines of the measured figures", columns, tuple(rows), folded=True)
        )
    return Section(
        "environment",
        "Environment, and how to make this page again",
        tuple(words),
        tuple(tables),
        commands=(command,) if command else (),
    )


def _flat(machine: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in machine.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key} ")
        elif isinstance(value, list):
            if value:
                pairs.append((f"{prefix}{key}", ", ".join(map(str, value))))
        elif value is not None:
            pairs.append(
                (f"{prefix}{key}", value if isinstance(value, (int, float)) else str(value))
            )
    return pairs


def comparison_json(subject: Subject) -> dict[str, Any]:
    """The comparison as a baseline reads it: exact rows, without a machine."""
    from dataclasses import replace

    from gadprof.compare import Comparison, comparison_object, percents
    from gadprof.results import Machine

    rows = tuple(
        replace(row, relative=ratios, change_percent=percents(ratios))
        for row, ratios in zip(subject.rows, subject.relative, strict=True)
    )
    nowhere = Machine("", 0, None, "", "", {})
    document = comparison_object(Comparison(rows, nowhere))
    del document["machine"]
    return document
