"""Accuracies beside costs: measured ones and published ones, which are never mixed.

A measured accuracy comes from a file that ``gadprof evaluate --accuracy`` wrote, or from the
results store; it says what it was measured on. A published one is what a paper or a repository
prints of the network at the input it names, with that source (``data/published.csv``); overridden
presets have none.
Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gadprof.errors import DataError, nearest
from gadprof.results.plain import to_plain

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow, Comparison

PUBLISHED = "published"
STORE = "store"
COMMON_DATA = "COCO val2017"


@dataclass(frozen=True)
class PublishedAccuracy:
    """What a source prints: AP and its kin from 0 to 1 (None where it prints none), at an input.

    ``system`` is how the source calls the network and ``data`` what it was evaluated on.
    """

    model: str
    system: str
    ap: float
    ap50: float | None
    ap75: float | None
    ar: float | None
    input: tuple[int, int]
    data: str
    source: str
    url: str


def published(model: str) -> tuple[PublishedAccuracy, ...]:
    """Every published accuracy of a model string, in the order of the table of sources.

    Exactly the network that the source names: an overridden preset has none.
    """
    from gadprof.audit.published import rows

    def share(score: float | None) -> float | None:
        return None if score is None else round(score / 100, 6)

    return tuple(
        PublishedAccuracy(
            model,
            row.name,
            round(row.ap / 100, 6),
            share(row.ap50),
            share(row.ap75),
            share(row.ar),
            (row.input[1], row.input[2]),
            row.data,
            f"{row.paper}, {row.where}",
            row.url,
        )
        for row in rows()
        if model in row.models and row.ap is not None and len(row.input) == 3
    )


def chosen_published(rows: Sequence[ComparedRow]) -> tuple[PublishedAccuracy | None, ...]:
    """One published accuracy a row: on COCO val2017, at the counted input where there is one.

    One source, so one protocol, for as many rows as it has; within a source the highest AP.
    """
    fitting = []
    for row in rows:
        items = [item for item in published(row.model) if item.data == COMMON_DATA]
        same = [item for item in items if at_input(row, to_plain(item))]
        fitting.append(same or items)
    sources = [source for items in fitting for source in {item.source: 0 for item in items}]
    order = sorted(set(sources), key=lambda source: (-sources.count(source), sources.index(source)))
    return tuple(
        min(items, key=lambda item: (order.index(item.source), -item.ap), default=None)
        for items in fitting
    )


def in_store(store: str | None) -> tuple[Mapping[str, Any], ...]:
    """Every measured accuracy in the results store, oldest first. Raises StoreError."""
    from gadprof.errors import StoreError
    from gadprof.store.store import Store, chosen_path

    path = chosen_path(store)
    if path is None:
        raise StoreError("the results store is off; name one with --store PATH")
    with Store(path, create=False) as opened:
        entries = opened.entries(kinds=("accuracy",))
    return tuple(
        {
            **entry.settings,
            **(entry.result or {}),
            "model": entry.model,
            "input": (entry.settings.get("input") or [[0, 0, 0]])[0][1:],
        }
        for entry in entries
        if entry.finished
    )


def read_sources(
    sources: Sequence[str], *, store: str | None = None
) -> tuple[Mapping[str, Any], ...]:
    """The measured accuracies of files and, for ``store``, of the store.

    ``published`` is passed over. Raises DataError or StoreError.
    """
    from pathlib import Path

    from gadprof.pose.accuracy import read_accuracies

    found: list[Mapping[str, Any]] = []
    for source in sources:
        if source == PUBLISHED:
            continue
        if source == STORE:
            found += in_store(store)
            continue
        if not Path(source).exists() and nearest(source, (PUBLISHED, STORE)):
            raise DataError(
                f"{source!r} is no file{nearest(source, (PUBLISHED, STORE))} "
                "(--accuracy takes FILE, 'store' or 'published')"
            )
        found += [to_plain(item) for item in read_accuracies(source)]
    return tuple(found)


def measured_of(
    row: ComparedRow, accuracies: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The newest measured accuracy of a row, one at the counted input before any other."""
    own = [item for item in accuracies if item.get("model") == row.model]
    same = [item for item in own if at_input(row, item)]
    return (same or own)[-1] if own else None


def at_input(row: ComparedRow, accuracy: Mapping[str, Any]) -> bool:
    """Whether an accuracy is of the input that a row was counted at."""
    return bool(row.input) and tuple(accuracy.get("input") or ()) == tuple(row.input[0][-2:])


def with_accuracy(
    comparison: Comparison, sources: Sequence[str], *, store: str | None = None
) -> Comparison:
    """The comparison with the accuracies of ``sources``: files, ``store`` or ``published``.

    Raises DataError for a file that holds none, StoreError for a store that cannot be read.
    """
    found = read_sources(sources, store=store)
    told = PUBLISHED in sources
    rows = []
    chosen = chosen_published(comparison.rows) if told else (None,) * len(comparison.rows)
    for row, printed in zip(comparison.rows, chosen, strict=True):
        rows.append(
            replace(
                row,
                accuracy=measured_of(row, found),
                published_accuracy=to_plain(printed) if printed is not None else None,
            )
        )
    return replace(comparison, rows=tuple(rows))


def accuracy_notes(rows: Sequence[ComparedRow]) -> list[str]:
    """One line an accuracy: what it was measured on, or who published it."""
    lines = []
    for row in rows:
        if row.accuracy is not None:
            lines.append(f"AP of {row.model}: measured on {_measured_words(row, row.accuracy)}")
        if row.published_accuracy is not None:
            printed = row.published_accuracy
            lines.append(
                f"published AP of {row.model}: {printed['system']}, {printed['data']}, "
                f"{printed['source']}{_elsewhere(row, printed)}"
            )
    return lines


def _measured_words(row: ComparedRow, item: Mapping[str, Any]) -> str:
    words = [str(item.get("data", "?"))]
    if item.get("pictures") is not None:
        words.append(f"{item['pictures']} pictures, {item.get('persons')} boxes")
    if item.get("boxes"):
        words.append(str(item["boxes"]))
    words.append(f"{item.get('decoding', '?')} decoding")
    words.append("flip test" if item.get("flip_test") else "no flip test")
    return ", ".join(words) + _elsewhere(row, item)


def _elsewhere(row: ComparedRow, item: Mapping[str, Any]) -> str:
    if at_input(row, item):
        return ""
    return " (at " + "x".join(map(str, item.get("input") or ("?",))) + ", not at the counted input)"
