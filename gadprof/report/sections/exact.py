"""The exact sections of a report: each a pure function from counts to words, tables and plots.

Promises that a section without figures is left out, or says in words what fills it; nothing that
was not counted or measured is shown. Exact values stay exact: only renderers scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gadprof.comparison.compare import ComparedRow
from gadprof.report.data import Found
from gadprof.report.sections.bubbles import bubbles
from gadprof.report.subject import Subject, input_words
from gadprof.results.cells import bytes_text, percent_text, scaled
from gadprof.results.figures import FIGURES, KEYS, lower_bound_note, total
from gadprof.results.page import Plot, Section
from gadprof.results.table import Column, Table


def summary(subject: Subject, sections: Sequence[Section]) -> Section:
    """What the page says, in a few sentences."""
    first, base = subject.labels[0], subject.rows[0]
    words = _finding(subject, sections)
    if base.params is not None:
        words.append(
            f"{first} has {scaled(base.params)} parameters and takes "
            f"{_least(base)}{scaled(base.macs)}MAC ({_least(base)}{scaled(base.flops)}FLOP) "
            f"at {input_words(subject)}; its activations peak at "
            f"{_least(base)}{bytes_text(base.peak_activation_bytes)}."
        )
    for label, row, ratios in list(
        zip(subject.labels, subject.rows, subject.relative, strict=True)
    )[1:]:
        if row.error is not None:
            words.append(f"{label} could not be counted: {row.error}")
            continue
        words.append(
            f"{label} has {scaled(row.params)} parameters ({percent_text(ratios['params'])}), "
            f"{_least(row)}{scaled(row.macs)}MAC ({percent_text(ratios['macs'])}) and a peak of "
            f"{_least(row)}{bytes_text(row.peak_activation_bytes)} "
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


def _least(row: ComparedRow) -> str:
    return "at least " if row.at_least else ""


def _finding(subject: Subject, sections: Sequence[Section]) -> list[str]:
    """What the counts say of the lightest model, and whether a measured time follows."""
    first = subject.labels[0]
    others = [
        (label, row, ratios)
        for label, row, ratios in zip(subject.labels, subject.rows, subject.relative, strict=True)
        if row.error is None and ratios.get("macs") and ratios.get("params")
    ][1:]
    if not others:
        return []
    label, _, ratios = min(others, key=lambda item: item[2]["macs"] or 0)
    words = (
        f"{label} takes {_change(ratios['macs'], 'MACs')} than {first} and has "
        f"{_change(ratios['params'], 'parameters')}."
    )
    if len(others) > 1:
        words = (
            f"Of {len(others) + 1} models {label} takes the fewest MACs: "
            f"{_change(ratios['macs'], 'than ' + first)}, and "
            f"{_change(ratios['params'], 'parameters')}."
        )
    timed = [s for s in sections if s.key == "latency" and s.tables]
    if not timed:
        return [f"{words} Whether it is faster, too, was not measured for this page."]
    ratio = next((r[9] for r in timed[0].tables[0].rows if r[0] == label and r[9]), None)
    if ratio is None:
        return [words]
    pace = f"{abs(1 - ratio):.0%}".replace("%", " %") + (" less" if ratio < 1 else " more")
    return [f"{words} Measured, it takes {pace} time than {first}."]


def _change(ratio: float | None, what: str) -> str:
    """A ratio as so many per cent fewer or more of something."""
    change = 100 * abs(1 - (ratio or 1))
    return f"{change:.1f} % {'fewer' if (ratio or 1) < 1 else 'more'} {what}"


def comparison(subject: Subject, found: Found) -> Section:
    """The models in one table, and where they lie beside each other."""
    columns = [Column("model", "model")]
    for figure in FIGURES:
        columns.append(Column(figure.key, figure.title, figure.kind))
        columns.append(Column(f"{figure.key}_relative", "to first", "joined"))
    columns.append(Column("method", "counted by"))
    rows = [
        (
            label,
            *(
                item
                for name in KEYS
                for item in (total(name, getattr(row, name), row.at_least), ratios.get(name))
            ),
            "failed" if row.error else row.method,
        )
        for label, row, ratios in zip(subject.labels, subject.rows, subject.relative, strict=True)
    ]
    words = [f"Exact counts at {input_words(subject)}; per cents are to {subject.labels[0]}."]
    words += [f"{row.model} failed: {row.error}" for row in subject.rows if row.error]
    words += [f"{row.model}: {row.note}" for row in subject.rows if row.note]
    for label, row in zip(subject.labels, subject.rows, strict=True):
        if row.uncovered:
            words.append(f"{lower_bound_note(label, row.uncovered)}.")
    return Section(
        "comparison",
        "Comparison",
        tuple(words),
        (Table("comparison", "Parameters, work and memory", tuple(columns), tuple(rows)),),
        bubbles(subject.labels, subject.rows, found),
    )


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
    from gadprof.models.parts import by_block, by_stage, traced_by_stage, traced_by_type

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


TREE_DEPTH = 3  # levels of modules that a report shows; 'gadprof count' shows them all


def modules(subject: Subject) -> Section | None:
    """The module tree of each model that is built in, folded, one table a model."""
    from gadprof.counting.page import count_page
    from gadprof.models.counting import trace_model

    tables = []
    for index, label in enumerate(subject.labels):
        source, shape = subject.sources[index], subject.shape(index)
        if shape is None:
            continue
        trace = trace_model(source, shapes=(shape,), batch=subject.batch)
        (table,) = count_page(trace, "module", TREE_DEPTH).tables
        key, title = f"modules-{index + 1}", f"Modules of {label}"
        tables.append(replace(table, key=key, title=title, notes=(), folded=True))
    if not tables:
        return None
    words = (
        f"Each module with all that it holds, down to level {TREE_DEPTH}; 'gadprof count MODEL -o "
        "page.html' shows every level of one model, and when its memory is full.",
    )
    return Section("modules", "Modules", words, tuple(tables))


def maps(subject: Subject) -> Section | None:
    """Every feature map at the ends of stages and branches, folded, one table a model."""
    from gadprof.networks.shapes import feature_maps, maps_table

    tables = []
    for index, label in enumerate(subject.labels):
        spec, shape = subject.sources[index].spec, subject.shape(index)
        if spec is None or shape is None:
            continue
        maps = feature_maps(spec, shape)
        title = f"Feature maps of {label}"
        tables.append(maps_table(maps, f"maps-{index + 1}", title, folded=True))
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
    listed = {row.model for row in subject.rows}
    others = [model for model in found.models() if model not in listed]
    if others:
        shown = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if others[8:] else "")
        words.append(f"The data files also hold figures of models not on this page: {shown}.")
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
    from gadprof.comparison.compare import Comparison, percents
    from gadprof.comparison.page import comparison_object
    from gadprof.results.plain import Machine

    rows = tuple(
        replace(row, relative=ratios, change_percent=percents(ratios))
        for row, ratios in zip(subject.rows, subject.relative, strict=True)
    )
    nowhere = Machine("", 0, None, "", "", {})
    document = comparison_object(Comparison(rows, nowhere))
    del document["machine"]
    return document
