"""Predicted persons drawn on a picture: limbs by side of the body, joints as dots.

Left is orange, right is blue, the middle green (colours that most colour-blind people can tell);
joints and limbs below a score are left out. The picture that is given is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from gadprof.pose import keypoints
from gadprof.pose.coco import Box
from gadprof.pose.pictures import Picture

# blue-green-red, from Okabe and Ito's palette
LEFT = (0, 159, 230)
RIGHT = (178, 114, 0)
MIDDLE = (115, 158, 0)
BOX = (200, 200, 200)


def draw_people(
    picture: Picture,
    people: Sequence[NDArray[np.floating]],
    *,
    boxes: Sequence[Box] = (),
    threshold: float = 0.2,
) -> Picture:
    """A copy of a picture with every person's (17 x 3: x, y, score) skeleton and box drawn."""
    drawn: Picture = picture.copy()
    stroke = max(1, round(max(picture.shape[:2]) / 320))
    for x, y, width, height in boxes:
        corners = (round(x), round(y)), (round(x + width), round(y + height))
        cv2.rectangle(drawn, *corners, BOX, 1, cv2.LINE_AA)
    for person in people:
        for first, second in keypoints.SKELETON:
            if min(person[first, 2], person[second, 2]) >= threshold:
                colour = _side(first, second)
                ends = _pixel(person[first]), _pixel(person[second])
                cv2.line(drawn, *ends, (255, 255, 255), stroke + 2, cv2.LINE_AA)
                cv2.line(drawn, *ends, colour, stroke, cv2.LINE_AA)
        for joint, point in enumerate(person):
            if point[2] >= threshold:
                colour = _side(joint, joint)
                cv2.circle(drawn, _pixel(point), stroke + 2, (255, 255, 255), -1, cv2.LINE_AA)
                cv2.circle(drawn, _pixel(point), stroke + 1, colour, -1, cv2.LINE_AA)
    return drawn


def png_bytes(picture: Picture) -> bytes:
    """A picture as a PNG file's content."""
    data: bytes = cv2.imencode(".png", picture)[1].tobytes()
    return data


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return (round(float(point[0])), round(float(point[1])))


def _side(first: int, second: int) -> tuple[int, int, int]:
    """The colour of a limb or joint: COCO's odd keypoints are left, even ones right."""
    sides = {0 if joint == 0 else 1 + joint % 2 for joint in (first, second)}
    if sides == {2}:
        return LEFT
    return RIGHT if sides == {1} else MIDDLE
