"""Detected boxes from a file in COCO's results format, read and checked as annotations are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gadprof.errors import DataError
from gadprof.pose import keypoints
from gadprof.pose.coco import (
    Person,
    Split,
    check_box,
    check_present,
    listing,
    load_annotations,
    read_json,
)


def load_detections(
    path: str | Path,
    split: Split,
    *,
    threshold: float = 0.0,
    skip_bad: bool = False,
    notes: list[str] | None = None,
) -> tuple[Person, ...]:
    """Detected persons from a COCO results file, as the literature evaluates with.

    Entries of other categories and scores below ``threshold`` are left out. Raises DataError.
    """
    content = load_annotations(split)
    images = {int(image["id"]): image for image in content["images"]}
    present = listing(split.images)
    people: list[Person] = []
    for number, entry in enumerate(detection_entries(path)):
        where = f"detection {number} in '{path}'"
        if entry.get("category_id", 1) != 1 or float(entry.get("score", 1.0)) < threshold:
            continue
        try:
            image = images.get(int(entry["image_id"])) if "image_id" in entry else None
            if image is None:
                raise DataError(
                    f"{where} names picture {entry.get('image_id')}, which "
                    f"'{split.annotations.name}' does not list"
                )
            box = check_box(entry.get("bbox", ()), int(image["width"]), int(image["height"]), where)
            check_present(image["file_name"], present, split, where)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error} (--skip-bad leaves such boxes out)") from error
            if notes is not None:
                notes.append(f"left out: {error}")
            continue
        people.append(
            Person(
                int(image["id"]),
                number,
                split.images / image["file_name"],
                box,
                np.zeros((keypoints.COUNT, 3), dtype=np.float32),
                float(entry.get("score", 1.0)),
            )
        )
    if not people:
        raise DataError(f"'{path}' holds no person with a score of at least {threshold}")
    return tuple(people)


def detection_entries(path: str | Path) -> list[Mapping[str, Any]]:
    """A results file's entries: a JSON list of objects, or of plain boxes. Raises DataError."""
    content = read_json(path, "detection file")
    if not isinstance(content, list):
        raise DataError(
            f"detection file '{path}' is not a list; it holds objects with image_id, bbox "
            "(x, y, width, height) and score"
        )
    entries: list[Mapping[str, Any]] = []
    for number, entry in enumerate(content):
        if isinstance(entry, list):
            entry = {"bbox": entry}
        if not isinstance(entry, dict) or "bbox" not in entry:
            raise DataError(f"detection {number} in '{path}' has no bbox (x, y, width, height)")
        for name in ("image_id", "score"):
            value = entry.get(name, 1)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise DataError(f"detection {number} in '{path}': {name} {value!r} is no number")
        entries.append(entry)
    return entries
