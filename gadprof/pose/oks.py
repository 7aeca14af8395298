"""Object keypoint similarity, COCO's measure of how near a predicted person is.

OKS is the mean over the labelled keypoints of exp(-d^2 / (2 S^2 k^2)) with S^2 the person's area
and k = 2 sigma (the paper's equation 8). Where a person has no labelled keypoint, distances are
taken to the doubled box, as pycocotools does; so crowds and unlabelled persons compare equal too.
Source: pycocotools, ``COCOeval.computeOks``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gadprof.pose.keypoints import SIGMAS

EPSILON = float(np.spacing(1))


def oks(
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
    area: float,
    box: tuple[float, float, float, float],
    *,
    sigmas: tuple[float, ...] = SIGMAS,
) -> float:
    """The similarity, 0 to 1, of a predicted person to an annotated one.

    ``truth`` and ``predicted`` are J x 3 (x, y in pixels, and visibility or score); ``area`` is in
    square pixels; ``box`` (x, y, width, height) serves where nothing is labelled.
    """
    variances = (np.asarray(sigmas) * 2) ** 2
    actual: NDArray[np.float64] = np.asarray(truth, dtype=np.float64)
    guessed: NDArray[np.float64] = np.asarray(predicted, dtype=np.float64)
    labelled = actual[:, 2] > 0
    if labelled.any():
        dx = (guessed[:, 0] - actual[:, 0])[labelled]
        dy = (guessed[:, 1] - actual[:, 1])[labelled]
        variances = variances[labelled]
    else:
        x, y, width, height = box
        dx = _outside(guessed[:, 0], x - width, x + width * 2)
        dy = _outside(guessed[:, 1], y - height, y + height * 2)
    exponent = (dx**2 + dy**2) / variances / (area + EPSILON) / 2
    return float(np.exp(-exponent).mean())


def _outside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """How far values lie outside an interval."""
    return np.maximum(0.0, low - values) + np.maximum(0.0, values - high)


def similarities(
    person: NDArray[np.floating],
    others: NDArray[np.floating],
    area: float,
    areas: NDArray[np.floating],
    *,
    sigmas: tuple[float, ...] = SIGMAS,
) -> NDArray[np.float64]:
    """OKS between one predicted person (J x 3) and others (N x J x 3), by the mean of two areas.

    Source: HRNet, ``lib/nms/nms.py`` (oks_iou).
    """
    variances = (np.asarray(sigmas) * 2) ** 2
    squares = ((others[:, :, :2] - person[None, :, :2]) ** 2).sum(axis=2)
    scale = (area + np.asarray(areas, dtype=np.float64)) / 2 + EPSILON
    exponent = squares / variances[None] / scale[:, None] / 2
    result: NDArray[np.float64] = np.exp(-exponent).mean(axis=1)
    return result
