"""Measured accuracies as a small JSON file that other commands read; no heavy imports.

A measured accuracy says what it was measured on and with; published ones live elsewhere and are
never mixed with these.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadprof.errors import DataError
from gadprof.results import files
from gadprof.results.plain import to_json
from gadprof.results.rebuild import SchemaError, from_plain

KIND = "gadprof-accuracies"


@dataclass(frozen=True)
class Accuracy:
    """One measured accuracy of one set of weights.

    ``model`` is the model string; ``data`` the annotation file's name and ``persons`` and
    ``pictures`` its size; ``boxes`` says whose boxes were used; AP and AR are 0 to 1 (-1: no
    such persons); ``weights_sha256`` names the weights; ``machine`` where it was measured.
    """

    model: str
    data: str
    pictures: int
    persons: int
    input: tuple[int, int]
    boxes: str
    decoding: str
    flip_test: bool
    ap: float
    ap50: float
    ap75: float
    apm: float
    apl: float
    ar: float
    weights_sha256: str = ""
    note: str = ""
    machine: str = ""


def accuracies_json(accuracies: tuple[Accuracy, ...]) -> str:
    """The file's text."""
    return to_json({"kind": KIND, "accuracies": accuracies})


def read_accuracies(path: str | Path) -> tuple[Accuracy, ...]:
    """Every accuracy of a file that ``gadprof evaluate --accuracy`` wrote.

    Raises DataError where the file is missing or of another kind.
    """
    way_out = "write one with: gadprof evaluate MODEL --weights F --data DIR --accuracy FILE"
    content = files.read_json(path, "accuracies", DataError, way_out=way_out)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise DataError(f"'{path}' holds no measured accuracies; {way_out}")
    entries = content.get("accuracies", ())
    if not isinstance(entries, list):
        raise DataError(f"'{path}' holds no list of accuracies; {way_out}")
    return tuple(_read(entry, path) for entry in entries)


def add_accuracy(path: str | Path, accuracy: Accuracy) -> str:
    """The text of a file with one accuracy added; the same model, data and settings are replaced.

    Raises DataError where the file exists and holds something else.
    """
    old = read_accuracies(path) if Path(path).exists() else ()
    kept = tuple(item for item in old if _key(item) != _key(accuracy))
    return accuracies_json((*kept, accuracy))


def _key(item: Accuracy) -> tuple[Any, ...]:
    return (item.model, item.data, item.input, item.boxes, item.decoding, item.flip_test, item.note)


def _read(entry: Any, path: str | Path) -> Accuracy:
    names = {field.name for field in dataclasses.fields(Accuracy)}
    try:
        known = {key: value for key, value in entry.items() if key in names}
        return from_plain(Accuracy, known)
    except (AttributeError, SchemaError) as error:
        raise DataError(f"an accuracy in '{path}' is damaged: {error}") from error
