"""Measured and audited results for a report: JSON files that gadprof's own commands wrote.

Recognises what ``bench``, ``audit``, ``compare --backends`` or ``--measure``, ``explain`` and
``formula --measure`` write, by their keys. Refuses any other file, and one larger than 64 MiB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadprof.errors import ReportDataError

MAX_DATA_BYTES = 64 << 20


@dataclass(frozen=True)
class Found:
    """What the data files hold, by model string; ``files`` maps a file's name to its digest."""

    latency: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    audits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profiles: tuple[Mapping[str, Any], ...] = ()
    formula_points: tuple[Mapping[str, Any], ...] = ()
    machines: tuple[Mapping[str, Any], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def read_data(paths: Sequence[str]) -> Found:
    """Read every file and merge what they hold; a later file wins. Raises ReportDataError."""
    latency: dict[str, Any] = {}
    accuracy: dict[str, float] = {}
    counters: dict[str, Any] = {}
    audits: dict[str, Any] = {}
    profiles: list[Mapping[str, Any]] = []
    points: list[Mapping[str, Any]] = []
    machines: list[Mapping[str, Any]] = []
    files: dict[str, str] = {}
    for path in paths:
        document, digest = _load(Path(path))
        files[Path(path).name] = digest
        machine = document.get("machine")
        if isinstance(machine, dict) and machine not in machines:
            machines.append(machine)
        known = False
        for row in _objects(document.get("rows"), "model"):
            known = True
            if isinstance(row.get("latency_s"), dict):
                latency[row["model"]] = row
            if isinstance(row.get("accuracy"), dict) and _number(row["accuracy"].get("AP")):
                accuracy[row["model"]] = row["accuracy"]["AP"]
            if isinstance(row.get("backends"), dict) and row["backends"]:
                counters[row["model"]] = row["backends"]
        for audit in (document, *_objects(document.get("audits"), "model")):
            if isinstance(audit.get("model"), str) and isinstance(audit.get("backends"), list):
                known = True
                audits[audit["model"]] = audit
        for profile in _objects(document.get("models"), "model"):
            known = True
            profiles.append({**profile, "roofs": document.get("roofs") or document.get("device")})
        for point in _objects(document.get("points"), "inputs"):
            known = True
            points.append(point)
        if not known:
            raise ReportDataError(
                f"{path!r} holds nothing a report shows; give JSON from gadprof bench, audit, "
                "explain, compare or formula (--format json -o FILE)"
            )
    return Found(
        latency,
        accuracy,
        counters,
        audits,
        tuple(profiles),
        tuple(points),
        tuple(machines),
        files,
    )


def _load(path: Path) -> tuple[dict[str, Any], str]:
    try:
        if path.stat().st_size > MAX_DATA_BYTES:
            raise ReportDataError(f"{str(path)!r} is larger than 64 MiB; give a smaller file")
        data = path.read_bytes()
        document = json.loads(data)
    except OSError as error:
        raise ReportDataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ReportDataError(f"{str(path)!r} is not JSON: {str(error)[:120]}") from error
    if not isinstance(document, dict):
        raise ReportDataError(f"{str(path)!r} is not an object that gadprof wrote")
    return document, hashlib.sha256(data).hexdigest()


def _objects(value: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    kind = str if key == "model" else dict
    return [item for item in value if isinstance(item, dict) and isinstance(item.get(key), kind)]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
