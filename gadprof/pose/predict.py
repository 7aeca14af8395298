"""Keypoints of the persons in one picture, drawn and as COCO's results.

Boxes come from a file, or are the whole picture where none is named. The picture is only read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gadprof.errors import DataError
from gadprof.pose import coco, draw, keypoints
from gadprof.pose.detections import detection_entries
from gadprof.pose.evaluate import Suppression, coco_results
from gadprof.pose.inference import InferenceSettings, predict_people
from gadprof.pose.pictures import read_picture


@dataclass(frozen=True)
class Prediction:
    """The persons found, in COCO's results format, and the picture with them drawn, as PNG."""

    results: tuple[dict[str, Any], ...]
    drawn_png: bytes

    def to_json(self) -> str:
        """COCO's results format: a JSON list."""
        return json.dumps(list(self.results), indent=1) + "\n"


def image_id_of(path: str | Path) -> int:
    """The picture's number in COCO: its file name where that is one, else 0."""
    stem = Path(path).stem
    return int(stem) if re.fullmatch(r"\d+", stem) else 0


def read_boxes(
    path: str | Path, image: str | Path, *, threshold: float = 0.0
) -> tuple[tuple[coco.Box, float], ...]:
    """Boxes (x, y, width, height) of one picture with their scores, from a JSON list.

    Entries are plain boxes, or objects with ``bbox`` and perhaps ``score``, ``category_id`` and
    ``image_id``; entries of other pictures, other categories and lower scores are left out. Raises
    DataError.
    """
    picture = read_picture(image)
    height, width = picture.shape[:2]
    number = image_id_of(image)
    boxes: list[tuple[coco.Box, float]] = []
    for index, entry in enumerate(detection_entries(path)):
        if entry.get("category_id", 1) != 1 or entry.get("image_id", number) != number:
            continue
        score = float(entry.get("score", 1.0))
        if score >= threshold:
            where = f"box {index} in '{path}'"
            boxes.append((coco.check_box(entry["bbox"], width, height, where), score))
    if not boxes:
        raise DataError(
            f"'{path}' holds no box for picture {number} with a score of at least {threshold:g}; "
            "an entry's image_id is the number in the picture's file name"
        )
    return tuple(boxes)


def predict(
    module: nn.Module,
    image: str | Path,
    settings: InferenceSettings,
    *,
    boxes: tuple[tuple[coco.Box, float], ...] = (),
    suppression: Suppression | None = None,
    least_score: float = 0.2,
) -> Prediction:
    """Find the keypoints of every box; the whole picture is one box where none is given.

    Raises DataError.
    """
    picture = read_picture(image)
    height, width = picture.shape[:2]
    number = image_id_of(image)
    people = [
        coco.Person(
            number, index, Path(image), box, np.zeros((keypoints.COUNT, 3), np.float32), score
        )
        for index, (box, score) in enumerate(boxes or (((0.0, 0.0, width, height), 1.0),))
    ]
    points = predict_people(module, people, settings)
    results = coco_results(people, points, settings, suppression or Suppression())
    skeletons = [np.array(item["keypoints"]).reshape(-1, 3) for item in results]
    drawn = draw.draw_people(
        picture, skeletons, boxes=[box for box, _ in boxes], threshold=least_score
    )
    return Prediction(tuple(results), draw.png_bytes(drawn))
