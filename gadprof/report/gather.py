"""One frozen Report, gathered from models and data files, that every renderer shows alike.

Promises: the same models and data give an equal Report on any machine: analytic figures hold no
clock, host or path, and whatever was measured comes from a data file, whose machine is told.
Refuses zero models, model strings of which none names anything (one that does not is left out and
told), and a data file it cannot recognise. Knows no output language.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gadprof.errors import GadprofError, SpecError
from gadprof.results.page import Page, section_object
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow
    from gadprof.models.sources import Source


@dataclass(frozen=True)
class Report(Page, Tabular):
    """A page of models: ``rows`` are the counts behind it, for the store, ``failures`` its faults.

    ``exit_code`` is 2 where a model string named nothing, 1 where a model failed, else 0. Its
    document holds the comparison that a baseline reads.
    """

    failures: tuple[str, ...] = ()
    rows: tuple[ComparedRow, ...] = ()
    exit_code: int = 0

    def page(self) -> Page:
        """The report is its own page."""
        return self


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

    Raises SpecError for no models, UnknownNameError or SourceError where no model string names
    anything (one of several is left out, and told), ReportDataError for a file that is not
    gadprof's.
    """
    from gadprof.comparison.compare import compare_row, relate
    from gadprof.report.data import read_data
    from gadprof.report.sections import exact as parts
    from gadprof.report.sections import measured as measurements
    from gadprof.report.sections.accuracy import accuracy
    from gadprof.report.sections.counters import counters
    from gadprof.report.subject import Subject
    from gadprof.results.escape import plain, unique_labels

    if not models:
        raise SpecError(
            "no models to report; type for example: gadprof report hrnet32 gadnet32, "
            'or write models = ["hrnet32"] under [report] in gadprof.toml'
        )
    named, refused = _resolved(models)
    models, sources = [name for name, _ in named], [source for _, source in named]
    found = read_data(data)
    if cluster is not None:
        from gadprof.cluster.clients import cluster_compare

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
            parts.modules(subject),
            parts.maps(subject),
            parts.environment(subject, found, command),
        )
        if section is not None
    ]
    summary = parts.summary(subject, sections)
    shown = (summary, *sections)
    title = plain(title or _title(labels))
    return Report(
        name,
        title,
        shown,
        {
            "title": title,
            "models": tuple(models),
            "comparison": parts.comparison_json(subject),
            "sections": [section_object(section) for section in shown],
            "data_files": tuple(found.files),
        },
        command,
        failures=(*refused, *(f"{row.model}: {row.error}" for row in rows if row.error)),
        rows=rows,
        exit_code=2 if refused else int(any(row.error for row in rows)),
    )


def _resolved(models: Sequence[str]) -> tuple[list[tuple[str, Source]], list[str]]:
    """What the model strings name, and what is wrong with those that name nothing.

    Raises the first one's error where all do.
    """
    from gadprof.models.sources import resolve

    found: list[tuple[str, Source]] = []
    errors: list[GadprofError] = []
    for model in models:
        try:
            found.append((model, resolve(model)))
        except GadprofError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found, [str(error) for error in errors]


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{labels[0]} against {', '.join(labels[1:])}"
