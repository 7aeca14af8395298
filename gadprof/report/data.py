"""Measured and audited results for a report: JSON files that gadprof's own commands wrote.

Recognises what ``bench``, ``audit``, ``compare`` (``--backends``, ``--measure``, ``--accuracy``),
``explain``, ``formula --measure`` and ``evaluate --accuracy`` write, by their keys. Refuses any
other file, and one larger than 64 MiB.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadprof.errors import ReportDataError
from gadprof.results import files
from gadprof.results.plain import SCHEMA_VERSION

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What the data files hold, by model string; ``files`` maps a file's name to its digest.

    ``latency`` has every measured row of a model (one a setting), ``accuracy`` every measured
    accuracy, ``profiles`` each explained model with the ``peaks`` that its bounds rest on.
    """

    latency: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    accuracy: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    counters: Mapping[str, Plain] = field(default_factory=dict)
    audits: Mapping[str, Plain] = field(default_factory=dict)
    profiles: tuple[Plain, ...] = ()
    formula_points: tuple[Plain, ...] = ()
    machines: tuple[Plain, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def models(self) -> tuple[str, ...]:
        """Every model that the files say something about."""
        names = (*self.latency, *self.accuracy, *self.counters, *self.audits)
        return tuple(dict.fromkeys((*names, *(str(item["model"]) for item in self.profiles))))


def read_data(paths: Sequence[str]) -> Found:
    """Read every file and merge what they hold. Raises ReportDataError.

    Of counters, audits and profiles a later file wins; rows of latency and accuracy add up.
    """
    found = _Gathered()
    for path in paths:
        document, digest = _load(Path(path))
        version = document.get("schema_version", SCHEMA_VERSION)
        if type(version) is not int or version > SCHEMA_VERSION:
            raise ReportDataError(
                f"{path!r} has schema version {str(version)[:20]}, this gadprof reads "
                f"{SCHEMA_VERSION}; update gadprof, or write it anew"
            )
        found.files[Path(path).name] = digest
        machine = document.get("machine")
        if isinstance(machine, dict) and machine not in found.machines:
            found.machines.append(machine)
        if not found.take(document):
            raise ReportDataError(
                f"{path!r} holds nothing a report shows; give JSON from gadprof bench, audit, "
                "explain, compare, evaluate or formula --measure (--format json -o FILE)"
            )
    return found.done()


class _Gathered:
    """What has been read so far."""

    def __init__(self) -> None:
        self.latency: dict[str, list[Plain]] = {}
        self.accuracy: dict[str, list[Plain]] = {}
        self.counters: dict[str, Plain] = {}
        self.audits: dict[str, Plain] = {}
        self.profiles: dict[str, Plain] = {}
        self.points: list[Plain] = []
        self.machines: list[Plain] = []
        self.files: dict[str, str] = {}

    def take(self, document: Plain) -> bool:
        """Keep what a document holds; whether it held anything known."""
        rows = _objects(document.get("rows"), "model")
        comparison = document.get("comparison")
        if isinstance(comparison, dict):
            rows += _objects(comparison.get("rows"), "model")
        for row in rows:
            self._row(row)
        models = _objects([*plain_list(document.get("models")), document], "model")
        known = False
        for model in models:
            if isinstance(model.get("backends"), list):
                self.audits[model["model"]] = model
            elif isinstance(model.get("by_class"), list):
                shared = {key: document.get(key) for key in ("peaks", "setting")}
                self.profiles[model["model"]] = {**model, **shared}
            else:
                continue
            known = True
        accuracies = _objects(document.get("accuracies"), "model")
        for item in accuracies:
            if _number(item.get("ap")):
                self.accuracy.setdefault(item["model"], []).append(item)
        points = [
            point
            for point in _objects([*plain_list(document.get("points")), document], "inputs")
            if isinstance(point.get("measured"), dict)
        ]
        self.points += points
        return bool(rows or known or accuracies or points)

    def _row(self, row: Plain) -> None:
        model = row["model"]
        if isinstance(row.get("latency_s"), dict) and _number(row["latency_s"].get("median")):
            self.latency.setdefault(model, []).append(row)
        accuracy = row.get("accuracy")
        for item in accuracy if isinstance(accuracy, list) else [accuracy]:
            if isinstance(item, dict) and _number(item.get("ap")):
                self.accuracy.setdefault(model, []).append(item)
        if isinstance(row.get("backends"), dict) and row["backends"]:
            self.counters[model] = row["backends"]

    def done(self) -> Found:
        """All of it, frozen."""
        return Found(
            {model: tuple(rows) for model, rows in self.latency.items()},
            {model: tuple(items) for model, items in self.accuracy.items()},
            self.counters,
            self.audits,
            tuple(self.profiles.values()),
            tuple(self.points),
            tuple(self.machines),
            self.files,
        )


def measured_at(row: Plain) -> tuple[tuple[tuple[int, ...], ...], int]:
    """The input shapes (without the batch) and the batch size of a measured row."""
    settings = row.get("settings") if isinstance(row.get("settings"), dict) else {}
    assert isinstance(settings, dict)
    shapes = row.get("input_shapes") or row.get("input") or settings.get("input_shapes")
    batch = settings.get("batch") or row.get("batch")
    return (
        tuple(tuple(shape) for shape in plain_list(shapes) if isinstance(shape, list)),
        batch if isinstance(batch, int) else 1,
    )


def _load(path: Path) -> tuple[dict[str, Any], str]:
    data = files.read_file(path, "data", ReportDataError)
    document = files.parse_json(data, f"data {str(path)!r}", ReportDataError)
    if not isinstance(document, dict):
        raise ReportDataError(f"{str(path)!r} is not an object that gadprof wrote")
    return document, hashlib.sha256(data).hexdigest()


def plain_list(value: Any) -> list[Any]:
    """A list of a data file, empty where there is something else."""
    return value if isinstance(value, list) else []


def _objects(value: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    kind = str if key == "model" else dict
    return [item for item in value if isinstance(item, dict) and isinstance(item.get(key), kind)]


def _number(value: Any) -> bool:
    return number(value) is not None


def number(value: Any) -> float | None:
    """A finite number of a data file, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def plain_object(value: Any) -> Plain:
    """An object of a data file, empty where there is something else."""
    return value if isinstance(value, dict) else {}
