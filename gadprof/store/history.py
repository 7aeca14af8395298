"""What the store holds of a model as a list and as a figure; and of all models, as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gadprof.errors import StoreError
from gadprof.results.figures import FIGURE, KEYS, total
from gadprof.results.page import AxisKind, Page, Plot, page_of
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.store.store import StoredModel, StoredResult

QUANTITIES = (*KEYS, "latency_s", "ap")


def models_page(models: Sequence[StoredModel]) -> Page:
    """A row a model: how many entries of which kinds, its baselines, and the latest."""
    columns = (
        Column("model", "model", rank=0),
        Column("entries", "entries", "count"),
        Column("kinds", "kinds"),
        Column("baselines", "baselines", rank=2),
        Column("latest", "latest"),
    )
    rows = tuple(
        (
            kept.model,
            kept.entries,
            ", ".join(kept.kinds),
            ", ".join(kept.baselines) or None,
            kept.latest[:16].replace("T", " "),
        )
        for kept in models
    )
    keys = [column.key for column in columns]
    document = {"models": [dict(zip(keys, row, strict=True)) for row in rows]}
    return page_of(Table("models", "", columns, rows), document=document, name="history")


def history_page(model: str, entries: Sequence[StoredResult], title: str = "") -> Page:
    """A row an entry, oldest first."""
    columns = (
        Column("recorded_at", "when", place="exact"),
        Column("when", "when", place="shown", rank=0),
        Column("kind", "kind", rank=0),
        Column("name", "name", rank=2),
        Column("input", "input", rank=1),
        Column("batch", "batch", "count", rank=2),
        *(
            Column(FIGURE[key].key, FIGURE[key].short, FIGURE[key].kind, rank=1)
            for key in ("params", "macs", "peak_activation_bytes")
        ),
        Column("latency_s", "latency", "seconds", rank=0),
        Column("setting", "setting", place="shown", rank=1),
        Column("ap", "AP", "share", rank=0),
        Column("samples", "samples", "count", rank=3),
        Column("gadprof", "gadprof", rank=3),
        Column("cpu", "cpu", place="exact"),
    )
    rows = tuple(
        (
            entry.recorded_at,
            entry.recorded_at[:16].replace("T", " "),
            entry.kind if entry.finished else f"{entry.kind} (unfinished)",
            entry.name,
            _shapes(entry),
            entry.settings.get("batch"),
            *(_total(entry, key) for key in ("params", "macs", "peak_activation_bytes")),
            figure_of(entry, "latency_s"),
            _setting(entry) or None,
            figure_of(entry, "ap"),
            len(entry.samples) or None,
            entry.gadprof_version,
            entry.machine.get("cpu"),
        )
        for entry in entries
    )
    return page_of(
        Table("history", title, columns, rows),
        document={"model": model, "entries": entries},
        name="history",
    )


def _total(entry: StoredResult, key: str) -> int | None:
    """A kept figure, marked where something was not counted."""
    value = figure_of(entry, key)
    at_least = bool((entry.result or {}).get("uncovered"))
    return total(key, value, at_least) if isinstance(value, int) else None


def figure_of(entry: StoredResult, quantity: str) -> float | int | None:
    """One figure of an entry in base units; the median for a latency; None where it has none."""
    result = entry.result or {}
    value = result.get(quantity)
    if quantity == "latency_s" and isinstance(value, dict):
        value = value.get("median")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def history_plot(model: str, entries: Sequence[StoredResult], quantity: str) -> Plot:
    """One figure over a model's entries, in the order in which they were kept.

    Raises StoreError where no entry has it.
    """
    points: list[dict[str, Any]] = []
    for index, entry in enumerate(entries, 1):
        value = figure_of(entry, quantity)
        if value is not None:
            group = _circumstances(entry, quantity)
            points.append({"label": "", "group": group, "x": index, "y": value})
    if not points:
        raise StoreError(f"no entry of {model!r} has {quantity}; choose another --quantity")
    lines = [
        {"label": "", "points": [[p["x"], p["y"]] for p in points if p["group"] == group]}
        for group in dict.fromkeys(point["group"] for point in points)
    ]
    word = _title(quantity)
    return Plot(
        "history",
        "scatter",
        f"{model}: {word}",
        "entry, oldest first",
        word,
        f"{word} of {model} over {len(points)} kept entries",
        {"points": points, "lines": [line for line in lines if len(line["points"]) > 1]},
        y_kind=_axis(quantity),
    )


def _title(quantity: str) -> str:
    return {"latency_s": "latency", "ap": "AP"}.get(quantity) or FIGURE[quantity].title


def _axis(quantity: str) -> AxisKind:
    return {"latency_s": "seconds", "ap": "share"}.get(quantity) or FIGURE[quantity].kind  # type: ignore[return-value]


def _shapes(entry: StoredResult) -> str | None:
    shapes = entry.settings.get("input") or entry.settings.get("input_shapes")
    if not isinstance(shapes, (list, tuple)):  # somebody else wrote it
        return None
    told = ("x".join(map(str, shape)) for shape in shapes if isinstance(shape, (list, tuple)))
    return " ".join(told) or None


def _setting(entry: StoredResult) -> str:
    """Device, precision, runtime and threads of a measured entry."""
    settings = entry.settings
    words = [str(settings[key]) for key in ("device", "dtype", "runtime") if settings.get(key)]
    words += [f"{settings['threads']} threads"] if settings.get("threads") else []
    return ", ".join(words)


def _circumstances(entry: StoredResult, quantity: str) -> str:
    """What must be equal for two entries' figures to be of one line: input, batch, and of a
    latency also the setting."""
    settings = entry.settings
    words = ["params"] if quantity in ("params", "weight_bytes") else [
        _shapes(entry) or "its own input",
        f"batch {settings.get('batch', 1)}",
    ]  # fmt: skip
    if quantity == "latency_s" and _setting(entry):
        words.append(_setting(entry))
    if quantity == "ap":
        words += [str(settings[key]) for key in ("data", "decoding") if settings.get(key)]
    return ", ".join(words)
