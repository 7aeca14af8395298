"""A small COCO keypoint set of stick figures, drawn from a seed, in COCO's folder layout.

Every limb has its own colour, so that left and right can be told; background, pose, size, place and
stroke vary. For tests and demonstrations: it says nothing about accuracy on photographs. Run
``python -m gadprof.pose.synthetic DIR`` to write one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from gadprof.errors import OutputError, os_reason
from gadprof.output import tell, write_atomic
from gadprof.pose import keypoints
from gadprof.pose.pictures import Picture
from gadprof.results.plain import to_json

WIDTH, HEIGHT = 240, 240


@dataclass(frozen=True)
class Bone:
    """A limb from one keypoint to another: length in body heights, and how far it may turn."""

    start: int
    end: int
    length: float
    angle_deg: float
    turn_deg: float


# angles count clockwise from straight down, in the picture; the person faces the viewer, so that
# its left is on the right
BONES: tuple[Bone, ...] = (
    Bone(5, 7, 0.17, -20, 60),
    Bone(7, 9, 0.16, -20, 70),
    Bone(6, 8, 0.17, 20, 60),
    Bone(8, 10, 0.16, 20, 70),
    Bone(11, 13, 0.23, -5, 30),
    Bone(13, 15, 0.23, -5, 25),
    Bone(12, 14, 0.23, 5, 30),
    Bone(14, 16, 0.23, 5, 25),
)


def stick_figure(generator: np.random.Generator, height: float) -> NDArray[np.float64]:
    """Keypoints (17 x 2) of one random person ``height`` pixels tall, its hips' middle at 0, 0."""
    lean = math.radians(float(generator.uniform(-12, 12)))
    up = np.array([math.sin(lean), -math.cos(lean)])
    side = np.array([math.cos(lean), math.sin(lean)])
    points = np.zeros((keypoints.COUNT, 2))
    points[11], points[12] = side * 0.07, -side * 0.07
    chest = up * 0.30
    points[5], points[6] = chest + side * 0.11, chest - side * 0.11
    head = chest + up * 0.14 + side * float(generator.uniform(-0.02, 0.02))
    points[0] = head
    points[1], points[2] = head + up * 0.03 + side * 0.025, head + up * 0.03 - side * 0.025
    points[3], points[4] = head + up * 0.02 + side * 0.05, head + up * 0.02 - side * 0.05
    turns: dict[int, float] = {}
    for bone in BONES:
        # a forearm or shin starts from where its upper limb points
        base = turns.get(bone.start, bone.angle_deg)
        angle = base + float(generator.uniform(-bone.turn_deg, bone.turn_deg))
        turns[bone.end] = angle
        direction = math.radians(angle) + lean
        step = np.array([-math.sin(direction), math.cos(direction)])
        points[bone.end] = points[bone.start] + bone.length * step
    return points * height


def draw_figure(picture: Picture, points: NDArray[np.float64], stroke: int) -> None:
    """Paint one person's limbs and head onto a picture, each limb in its own colour."""
    whole = [tuple(round(value) for value in point) for point in points.tolist()]
    for number, (first, second) in enumerate(keypoints.SKELETON):
        cv2.line(picture, whole[first], whole[second], limb_colour(number), stroke, cv2.LINE_AA)
    for number, point in enumerate(whole):
        radius = max(1, stroke // 2 if number else stroke)
        cv2.circle(picture, point, radius, limb_colour(number + 3), -1, cv2.LINE_AA)


def limb_colour(number: int) -> tuple[int, int, int]:
    """A bright colour that differs from its neighbours'."""
    hue = np.array([[[number * 67 % 180, 255, 255]]], dtype=np.uint8)
    blue, green, red = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return (int(blue), int(green), int(red))


def make_picture(generator: np.random.Generator) -> tuple[Picture, NDArray[np.float64]]:
    """One picture (240 x 240) and its person's keypoints (17 x 3, all visible, inside)."""
    coarse = generator.integers(0, 140, size=(6, 6, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    height = float(generator.uniform(100, 200))
    points = stick_figure(generator, height)
    low, high = points.min(axis=0) - 6, points.max(axis=0) + 6
    room = np.maximum(np.array([WIDTH, HEIGHT]) - (high - low), 0.0)
    points = points - low + generator.uniform(0, 1, size=2) * room
    draw_figure(picture, points, max(2, int(height / 40)))
    inside = (points >= 0).all(axis=1) & (points < [WIDTH, HEIGHT]).all(axis=1)
    return picture, np.concatenate([points, np.where(inside, 2.0, 0.0)[:, None]], axis=1)


def make_split(folder: Path, split: str, count: int, seed: int) -> None:
    """Write one split: ``count`` pictures of one person each, and their annotations.

    Raises OutputError.
    """
    generator = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / "annotations").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder '{folder / split}': {os_reason(error)}") from error
    for number in range(1, count + 1):
        picture, joints = make_picture(generator)
        name = f"{number:012d}.png"
        write_atomic(folder / split / name, cv2.imencode(".png", picture)[1].tobytes())
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        labelled = joints[joints[:, 2] > 0, :2]
        low = np.maximum(labelled.min(axis=0) - 5, 0)
        high = np.minimum(labelled.max(axis=0) + 5, [WIDTH, HEIGHT])
        width, height = (high - low).tolist()
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [*low.tolist(), width, height],
                # a person's outline covers about half of its box in COCO
                "area": 0.5 * width * height,
                "num_keypoints": len(labelled),
                "keypoints": (joints * (joints[:, 2:] > 0)).round(2).reshape(-1).tolist(),
            }
        )
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(keypoints.NAMES),
        "skeleton": [[first + 1, second + 1] for first, second in keypoints.SKELETON],
    }
    content = {
        "info": {"description": f"stick figures, seed {seed}"},
        "licenses": [],
        "categories": [category],
        "images": images,
        "annotations": annotations,
    }
    write_atomic(folder / "annotations" / f"person_keypoints_{split}.json", to_json(content))


def make_stick_figures(folder: Path, *, train: int = 512, val: int = 64, seed: int = 0) -> Path:
    """Write a training and a held-out split in COCO's layout (train2017, val2017).

    Raises OutputError.
    """
    make_split(folder, "train2017", train, 2 * seed + 1)
    make_split(folder, "val2017", val, 2 * seed + 2)
    return folder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", default=512, show_default=True, help="Training pictures.")
@click.option("--val", default=64, show_default=True, help="Held-out pictures.")
@click.option("--seed", default=0, show_default=True)
def main(folder: Path, train: int, val: int, seed: int) -> None:
    """Write a stick-figure set into FOLDER."""
    make_stick_figures(folder, train=train, val=val, seed=seed)
    tell(f"{train} training and {val} held-out pictures in {folder}")


if __name__ == "__main__":
    main()
