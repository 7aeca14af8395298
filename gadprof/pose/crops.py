"""The top-down crop: a box becomes an affine map to the network's input, HRNet's way.

A box is widened to the input's aspect ratio, padded by 1.25, and mapped so that its centre falls on
the middle of the input. Points are pixels with x first; a map is a 2 x 3 matrix. Source: HRNet,
``lib/utils/transforms.py`` (get_affine_transform) and ``lib/dataset/coco.py`` (_box2cs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from gadprof.pose.coco import Box
from gadprof.pose.pictures import Picture

PADDING = 1.25

# ImageNet's channel means and deviations, red-green-blue, of values in 0 to 1
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Crop:
    """A rotated rectangle of a picture: its centre and size in pixels, its turn in degrees."""

    x: float
    y: float
    width: float
    height: float
    rotation_deg: float = 0.0


def crop_of_box(box: Box, aspect: float, *, padding: float = PADDING) -> Crop:
    """The padded crop around a box (x, y, width, height), with width / height = ``aspect``."""
    x, y, width, height = box
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    return Crop(x + box[2] * 0.5, y + box[3] * 0.5, width * padding, height * padding)


def affine(crop: Crop, size: tuple[int, int]) -> NDArray[np.float64]:
    """The 2 x 3 map from picture pixels to an output of ``size`` (width, height) pixels.

    The scale is that of the widths, as in HRNet.
    """
    scale = size[0] / crop.width
    angle = math.radians(crop.rotation_deg)
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    return np.array(
        [
            [cosine, sine, size[0] * 0.5 - cosine * crop.x - sine * crop.y],
            [-sine, cosine, size[1] * 0.5 + sine * crop.x - cosine * crop.y],
        ]
    )


def mirrored(crop: Crop, size: tuple[int, int], picture_width: int) -> NDArray[np.float64]:
    """The map of the same crop of the mirrored picture, whose pixel x is width - 1 - x."""
    matrix = affine(replace(crop, x=picture_width - 1 - crop.x), size)
    shift = matrix[:, :1] * (picture_width - 1) + matrix[:, 2:]
    return np.concatenate([-matrix[:, :1], matrix[:, 1:2], shift], axis=1)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2 x 3 map that undoes another."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def transform(points: NDArray[np.floating], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 2) mapped by a 2 x 3 matrix."""
    mapped: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def warp(picture: Picture, matrix: NDArray[np.float64], size: tuple[int, int]) -> Picture:
    """A picture mapped onto ``size`` (width, height) pixels, bilinear, black outside."""
    warped = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)


def normalise(picture: Picture) -> NDArray[np.float32]:
    """A BGR picture as a float array 3 x height x width, RGB, by ImageNet's mean and deviation."""
    values = np.empty((3, *picture.shape[:2]), dtype=np.float32)
    for channel, table in enumerate(_tables()):
        cv2.LUT(np.ascontiguousarray(picture[:, :, 2 - channel]), table, dst=values[channel])
    return values


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float32], ...]:
    """For every channel, what each of the 256 byte values becomes."""
    bytes_ = np.arange(256, dtype=np.float64) / 255.0
    return tuple(
        ((bytes_ - mean) / deviation).astype(np.float32)
        for mean, deviation in zip(MEAN, DEVIATION, strict=True)
    )
