"""A report's section of accuracies: measured ones, and published ones apart with their sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gadprof.comparison.accuracies import (
    COMMON_DATA,
    PublishedAccuracy,
    chosen_published,
    measured_of,
    published,
)
from gadprof.report.data import Found, number
from gadprof.report.sections.bubbles import accuracy_bubbles
from gadprof.report.subject import Subject
from gadprof.results.page import Section
from gadprof.results.plain import to_plain
from gadprof.results.table import Column, Table

_SCORES = ("ap", "ap50", "ap75", "apm", "apl", "ar")


def accuracy(subject: Subject, found: Found) -> Section | None:
    """AP of the models, measured and published in two tables; None where there is neither."""
    tables, plots, words = [], [], []
    measured = [measured_of(row, found.accuracy.get(row.model, ())) for row in subject.rows]
    if any(measured):
        rows: list[tuple[Any, ...]] = []
        for label, row in zip(subject.labels, subject.rows, strict=True):
            for item in found.accuracy.get(row.model, ()):
                size = "×".join(map(str, item.get("input") or ()))
                scores = [number(item.get(name)) for name in _SCORES]
                rows.append(
                    (label, *(None if score is None or score < 0 else score for score in scores),
                     size, item.get("data"), item.get("pictures"), item.get("persons"),
                     item.get("boxes"), item.get("decoding"), item.get("flip_test"),
                     item.get("note") or None)
                )  # fmt: skip
        titles = ("AP", "AP50", "AP75", "APM", "APL", "AR")
        columns = (
            Column("model", "model"),
            *(Column(key, title, "share") for key, title in zip(_SCORES, titles, strict=True)),
            Column("input", "input"),
            Column("data", "data"),
            Column("pictures", "pictures", "count"),
            Column("persons", "boxes", "count"),
            Column("boxes", "whose boxes"),
            Column("decoding", "decoding"),
            Column("flip_test", "flip test"),
            Column("note", "note"),
        )
        tables.append(Table("accuracy", "Measured accuracy", columns, tuple(rows)))
        plot = accuracy_bubbles(subject.labels, subject.rows, measured)
        plots += [plot] if plot else []
        words.append("Measured accuracies say what they were measured on; –: no such persons.")
    printed = [published(row.model) for row in subject.rows]
    if any(printed):
        tables.append(_published_table(subject, printed))
        best = chosen_published(subject.rows)
        plain = [to_plain(item) if item is not None else None for item in best]
        plot = accuracy_bubbles(subject.labels, subject.rows, plain, published=True)
        plots += [plot] if plot and len(plot.data["points"]) > 1 else []
        words.append(
            "Published accuracies are what the named source prints; nothing of them was measured "
            "here, and no figure mixes the two. A plot of them takes as many models as it can from "
            f"one source, on {COMMON_DATA} at the counted input."
        )
    if not tables:
        return None
    return Section("accuracy", "Accuracy", tuple(words), tuple(tables), tuple(plots))


def _published_table(subject: Subject, printed: Sequence[Sequence[PublishedAccuracy]]) -> Table:
    rows = tuple(
        (label, item.system, item.ap, item.ap50, item.ap75, item.ar,
         "×".join(map(str, item.input)), item.data, item.source, item.url)
        for label, items in zip(subject.labels, printed, strict=True)
        for item in items
    )  # fmt: skip
    columns = (
        Column("model", "model"),
        Column("system", "named there"),
        Column("ap", "AP", "share"),
        Column("ap50", "AP50", "share"),
        Column("ap75", "AP75", "share"),
        Column("ar", "AR", "share"),
        Column("input", "input"),
        Column("data", "data"),
        Column("source", "source"),
        Column("url", "at"),
    )
    return Table("published-accuracy", "Published accuracy", columns, rows, folded=len(rows) > 12)
