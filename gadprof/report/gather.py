"""One frozen Report, gathered from models and data files, that every renderer shows alike.

Promises: the same models and data give an equal Report on any machine: analytic figures hold no
clock, host or path, and whatever was measured comes from a data file, whose machine is told.
Refuses zero models, a model string that names nothing, and a data file it cannot recognise.
Knows no output language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gadprof.errors import SpecError
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow

ColumnKind = Literal["text", "count", "scaled", "bytes", "seconds", "ratio", "change", "share"]
PlotKind = Literal["scatter", "stacked", "waterfall", "intervals"]


@dataclass(frozen=True)
class Column:
    """A column: its key in CSV and JSON (with the unit), its title for people, how it reads."""

    key: str
    title: str
    kind: ColumnKind = "text"


@dataclass(frozen=True)
class Table:
    """Rows of exact values in base units; ``folded`` where a page shows it only on demand."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """What a figure shows, without saying how it is drawn.

    ``data`` by kind: scatter ``points`` (label, x, y, and optionally size, y_low, y_high, and
    group, which then has a colour and a place in the legend), ``front`` (indices of the Pareto
    front), ``lines`` (label, points), ``diagonal``, ``y_near`` (the axis keeps near the points),
    ``x_log``, ``y_log``, ``size_label``, ``largest_area`` (square points); stacked ``bars`` (label,
    parts of name and value); waterfall ``start``, ``steps`` and ``end`` (label, value); intervals
    ``rows`` (label, value, low, high) and optionally ``mark``.
    """

    key: str
    kind: PlotKind
    title: str
    x_label: str
    y_label: str
    alternative: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of the page: words first, then figures, then tables."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report(Tabular):
    """Everything that a page shows, in order; ``comparison`` is the JSON a baseline reads.

    ``rows`` are the counts behind it, for the results store.
    """

    name: str
    title: str
    models: tuple[str, ...]
    sections: tuple[Section, ...]
    comparison: Mapping[str, Any]
    failures: tuple[str, ...] = ()
    data_files: tuple[str, ...] = ()
    rows: tuple[ComparedRow, ...] = ()


def gather(
    models: Sequence[str],
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    title: str | None = None,
    name: str = "report",
    data: Sequence[str] = (),
    command: str = "",
    cluster: str | None = None,
) -> Report:
    """Gather a report of models; ``data`` are JSON files that other commands wrote.

    ``cluster`` is the address of a Dask scheduler that counts the models, one task each.

    Raises SpecError for no models, UnknownNameError or SourceError for a model string that names
    nothing, ReportDataError for a file that is not gadprof's.
    """
    from gadprof.comparison.compare import compare_row, relate
    from gadprof.models.sources import resolve
    from gadprof.render.escape import plain, unique_labels
    from gadprof.report.data import read_data
    from gadprof.report.sections import exact as parts
    from gadprof.report.sections import measured as measurements
    from gadprof.report.sections.accuracy import accuracy
    from gadprof.report.sections.counters import counters
    from gadprof.report.subject import Subject

    if not models:
        raise SpecError(
            "no models to report; type for example: gadprof report hrnet32 gadnet32, "
            'or write models = ["hrnet32"] under [report] in gadprof.toml'
        )
    sources = [resolve(model) for model in models]
    found = read_data(data)
    if cluster is not None:
        from gadprof.cluster.cluster import cluster_compare

        rows = tuple(cluster_compare(cluster, models, shapes=shapes, batch=batch))
    else:
        rows = tuple(compare_row(model, shapes=shapes, batch=batch) for model in models)
    labels = unique_labels([row.model for row in rows])
    subject = Subject(
        labels=tuple(labels),
        rows=rows,
        relative=tuple(relate(row, rows[0]) for row in rows),
        sources=tuple(sources),
        shapes=shapes,
        batch=batch,
    )
    sections = [
        section
        for section in (
            parts.comparison(subject, found),
            parts.breakdown(subject),
            counters(subject, found),
            accuracy(subject, found),
            measurements.latency(subject, found),
            measurements.theory(subject, found),
            measurements.roofline(subject, found),
            parts.maps(subject),
            parts.environment(subject, found, command),
        )
        if section is not None
    ]
    summary = parts.summary(subject, sections)
    return Report(
        name=name,
        title=plain(title or _title(labels)),
        models=tuple(models),
        sections=(summary, *sections),
        comparison=parts.comparison_json(subject),
        failures=tuple(f"{row.model}: {row.error}" for row in rows if row.error),
        data_files=tuple(found.files),
        rows=rows,
    )


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{labels[0]} against {', '.join(labels[1:])}"
