"""COCO keypoint annotations, read and checked; the files are never written to.

Promises every person that can be trained on or evaluated, with a box on its picture; refuses,
in one line that names the annotation, files without keypoints, boxes of no area or outside the
picture, and pictures that are not there.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadprof.errors import DataError, OutputError
from gadprof.pose import keypoints
from gadprof.results import files

MOST_BYTES = 4 << 30  # COCO's own annotations of training have half a GB
MOST_NUMBER = 1 << 63
MOST_PIXELS = 1 << 31  # of a side, in any format of pictures
Box = tuple[float, float, float, float]

PICTURE_KEYS = ("id", "file_name", "width", "height")


@dataclass(frozen=True)
class Split:
    """An annotation file and the folder of its pictures."""

    name: str
    annotations: Path
    images: Path


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one picture.

    ``box`` is x, y, width, height in pixels; ``joints`` is 17 x 3 (x, y,
    visibility 0 to 2) in pixels, zeros for a detection; ``score`` is the box's own.
    """

    image_id: int
    annotation_id: int
    path: Path
    box: Box
    joints: NDArray[np.float32]
    score: float = 1.0


def find_split(
    data: str | Path | None,
    split: str,
    *,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
) -> Split:
    """Where a split's files are.

    ``data`` is a folder in COCO's own layout (``annotations/person_keypoints_<split>.json`` and
    ``<split>/``); ``annotations`` and ``images`` name either by hand. A folder that holds
    ``person_keypoints.json`` beside its pictures is taken as it is. Raises DataError.
    """
    if data is None and (annotations is None or images is None):
        raise DataError("no data: give --data DIR, or --annotations FILE with --images DIR")
    folder = Path(data) if data is not None else Path()
    if data is not None and not folder.is_dir():
        raise DataError(f"data folder '{folder}' does not exist; give --data DIR in COCO's layout")
    flat = folder / "person_keypoints.json"
    official = folder / "annotations" / f"person_keypoints_{split}.json"
    is_flat = data is not None and flat.is_file() and not official.is_file()
    annotation_path = Path(annotations) if annotations else (flat if is_flat else official)
    image_folder = Path(images) if images else (folder if is_flat else folder / split)
    if not annotation_path.is_file():
        raise DataError(
            f"annotation file '{annotation_path}' does not exist; COCO's layout is "
            f"DIR/annotations/person_keypoints_{split}.json and DIR/{split}/"
        )
    if not image_folder.is_dir():
        raise DataError(f"picture folder '{image_folder}' does not exist; give --images DIR")
    return Split(split, annotation_path, image_folder)


def spare(split: Split, *targets: str | Path | None) -> None:
    """Refuse to write a file or run into a split's pictures or over its annotations.

    Raises OutputError.
    """
    pictures, annotations = split.images.resolve(), split.annotations.resolve()
    for target in targets:
        if target is None:
            continue
        place = Path(target).resolve()
        if place in (annotations, annotations.parent) or pictures in (place, *place.parents):
            raise OutputError(
                f"'{target}' lies in the data of '{split.annotations}', which is never written to; "
                "choose another place"
            )


def read_json(path: str | Path, what: str) -> Any:
    """A JSON file's content; raises DataError that names the file and the line at fault."""
    return files.read_json(path, what, DataError, most_bytes=MOST_BYTES)


def load_annotations(split: Split) -> dict[str, Any]:
    """A split's annotation file, checked to be COCO keypoints. Raises DataError."""
    content = read_json(split.annotations, "annotation file")
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise DataError(
            f"annotation file '{split.annotations}' is not in COCO's format: it needs images, "
            "annotations and categories"
        )
    for key, needed in (("images", PICTURE_KEYS), ("annotations", ("id", "image_id"))):
        if not isinstance(content[key], list):
            raise DataError(
                f"annotation file '{split.annotations}' is not in COCO's format: {key} is no list"
            )
        for number, entry in enumerate(content[key]):
            lacks = [name for name in needed if _missing(entry, name)]
            if lacks:
                raise DataError(
                    f"annotation file '{split.annotations}' is not in COCO's format: entry "
                    f"{number} of {key} lacks {', '.join(lacks)}"
                )
    return content


def _missing(entry: Any, name: str) -> bool:
    """Whether an annotation file's entry lacks a value, or has one that is no such thing."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if name == "file_name":
        return not isinstance(value, str)
    return not isinstance(value, (int, float)) or not abs(value) < MOST_NUMBER


def load_people(
    split: Split,
    *,
    skip_bad: bool = False,
    notes: list[str] | None = None,
) -> tuple[Person, ...]:
    """Every annotated person with at least one labelled keypoint, crowds apart, in file order.

    A person that breaks a rule (see the module) is refused, or with ``skip_bad`` left out and named
    in ``notes``. Raises DataError.
    """
    content = load_annotations(split)
    images = {int(image["id"]): image for image in content["images"]}
    present = listing(split.images)
    people: list[Person] = []
    for annotation in content["annotations"]:
        identity = annotation.get("id", "?")
        if annotation.get("category_id", 1) != 1 or annotation.get("iscrowd", 0):
            continue
        values = annotation.get("keypoints")
        if values is None:
            raise DataError(
                f"annotation {identity} in '{split.annotations}' has no keypoints; use "
                "person_keypoints_*.json, not instances_*.json"
            )
        try:
            joints = _joints(values, identity)
            if not (joints[:, 2] > 0).any():
                continue
            image = images.get(int(annotation["image_id"]))
            if image is None:
                raise DataError(
                    f"annotation {identity} names picture {annotation['image_id']}, which "
                    f"'{split.annotations}' does not list"
                )
            where = f"annotation {identity} in '{split.annotations.name}'"
            size = int(image["width"]), int(image["height"])
            box = clip_box(check_box(annotation.get("bbox", ()), *size, where), *size)
            check_present(image["file_name"], present, split, f"annotation {identity}")
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error} (--skip-bad leaves such persons out)") from error
            if notes is not None:
                notes.append(f"left out: {error}")
            continue
        path = split.images / image["file_name"]
        people.append(Person(int(image["id"]), int(identity), path, box, joints))
    if not people:
        raise DataError(
            f"'{split.annotations}' holds no person with keypoints; "
            "use COCO's person_keypoints_*.json"
        )
    return tuple(people)


def check_box(values: Any, width: int, height: int, where: str) -> Box:
    """A box (x, y, width, height in pixels) that overlaps its picture, as it was given.

    Raises DataError for a box that is not four finite numbers, of no area, or outside the picture.
    """
    try:
        x, y, w, h = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: box {values!r} is not x, y, width, height") from error
    shown = f"box [{x:g}, {y:g}, {w:g}, {h:g}]"
    if not all(map(math.isfinite, (x, y, w, h))):
        raise DataError(f"{where}: {shown} is not finite")
    if max(map(abs, (x, y, w, h))) > MOST_PIXELS:
        raise DataError(f"{where}: {shown} is larger than any picture")
    if w <= 0 or h <= 0:
        raise DataError(f"{where}: {shown} has no area; width and height must be positive")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise DataError(f"{where}: {shown} lies outside the picture, which is {width}x{height}")
    return (x, y, w, h)


def clip_box(box: Box, width: int, height: int) -> Box:
    """An annotated box clipped to its picture; its last pixel counts as inside, as in HRNet."""
    x, y, w, h = box
    left, top = max(0.0, x), max(0.0, y)
    right, bottom = min(width - 1.0, x + w - 1.0), min(height - 1.0, y + h - 1.0)
    return (left, top, max(1.0, right - left), max(1.0, bottom - top))


def image_ids(people: Iterable[Person]) -> tuple[int, ...]:
    """The pictures that some persons are in, sorted."""
    return tuple(sorted({person.image_id for person in people}))


def _joints(values: Any, identity: Any) -> NDArray[np.float32]:
    size = 3 * keypoints.COUNT
    if not isinstance(values, list) or len(values) != size:
        raise DataError(
            f"annotation {identity} has {len(values) if isinstance(values, list) else 'no'} "
            f"keypoint values; COCO persons have {size} (17 x, y, visibility)"
        )
    try:
        found = np.asarray(values)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.shape != (size,) or found.dtype.kind not in "iuf":
        raise DataError(f"annotation {identity} has keypoints that are not numbers")
    with np.errstate(over="ignore"):
        joints = found.astype(np.float32).reshape(keypoints.COUNT, 3)
    if not np.isfinite(joints).all():
        raise DataError(f"annotation {identity} has keypoints that are not finite")
    return joints


def check_present(name: str, present: set[str], split: Split, where: str) -> None:
    """Refuse a picture that is not in its folder. Raises DataError."""
    if name not in present:
        raise DataError(
            f"picture '{split.images / name}' of {where} is missing; download it, or name its "
            "folder with --images"
        )


def listing(folder: Path) -> set[str]:
    """The names of the files in a folder."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}
