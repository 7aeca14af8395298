"""A page: what a command, a report or a figure says, without saying in which language.

Promises that one page gives every form: words, tables and figures for people, and ``document``,
the JSON for programs. Knows no output language; ``gadprof.render`` turns it into text or bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gadprof.results.table import Table, table_object

PlotKind = Literal["scatter", "stacked", "waterfall", "intervals", "timeline", "heat"]
AxisKind = Literal["scaled", "bytes", "seconds", "share"]
Document = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Plot:
    """What a figure shows, without saying how it is drawn.

    ``data`` by kind: scatter ``points`` (label, x, y, and optionally size, y_low, y_high, and
    group, which then has a colour and a place in the legend), ``front`` (indices of the Pareto
    front), ``lines`` (label, points), ``diagonal``, ``y_near`` (the axis keeps near the points),
    ``x_log``, ``y_log``, ``size_label``, ``size_kind``, ``largest_area`` (square points); stacked
    ``bars`` (label, parts of name and value); waterfall ``start``, ``steps`` and ``end`` (label,
    value); intervals ``rows`` (label, value, low, high); timeline ``steps`` (x, y), ``spans``
    (name, start, end) and ``peak`` (label, x, y); heat ``columns`` and ``lines`` (labels) and
    ``cells`` (a row of value and sure each, ratios around 1). ``x_kind`` and ``y_kind`` are the
    units of the axes, whose labels carry none.
    """

    key: str
    kind: PlotKind
    title: str
    x_label: str
    y_label: str
    alternative: str
    data: Mapping[str, Any]
    x_kind: AxisKind = "scaled"
    y_kind: AxisKind = "scaled"


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
class Page:
    """Sections in order; ``name`` is the stem of the page's files, ``command`` what makes it.

    ``frame`` holds the rows for programs where no table that people read does.
    """

    name: str
    title: str
    sections: tuple[Section, ...]
    document: Document = field(default_factory=dict)
    command: str = ""
    frame: Table | None = None

    def json(self) -> Mapping[str, Any]:
        """The document, which may be made only now."""
        return self.document() if callable(self.document) else self.document

    def exact(self) -> tuple[list[str], list[list[Any]]]:
        """Keys and exact rows for CSV and a DataFrame: ``frame``, or else the first table."""
        return (self.frame or self.tables[0]).exact()

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the page."""
        return tuple(table for section in self.sections for table in section.tables)

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Every figure of the page."""
        return tuple(plot for section in self.sections for plot in section.plots)


def section_object(section: Section) -> dict[str, Any]:
    """A section as plain values for JSON."""
    return {
        "key": section.key,
        "title": section.title,
        "words": section.words,
        "tables": [table_object(table) for table in section.tables],
        "plots": section.plots,
        "commands": section.commands,
    }


def page_of(*tables: Table, document: Document, name: str, words: str = "") -> Page:
    """A page of tables under one verdict in words, as most commands have."""
    return Page(name, name, (Section(name, "", (words,) if words else (), tables),), document)
