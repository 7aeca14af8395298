"""From heatmaps to points: the highest cell, moved by a fraction of a cell.

Two rules: HRNet's quarter of a cell towards the higher neighbour, and DARK's Taylor step on the
smoothed map's logarithm. Arrays are N x J x height x width; points come out in heatmap cells.
Sources: HRNet, ``lib/core/inference.py``; Zhang et al., "Distribution-aware coordinate
representation for human pose estimation", CVPR 2020, equations 5 to 9.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Decoding = Literal["quarter", "dark", "argmax"]
DECODINGS: tuple[Decoding, ...] = ("quarter", "dark", "argmax")


def decode(
    heatmaps: NDArray[np.float32], decoding: Decoding, *, sigma: float = 2.0
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Points N x J x 2 (x, y in cells) and scores N x J (the map's highest value).

    ``sigma`` is the targets' in cells; DARK smooths with it. Raises ValueError for another rule.
    """
    points, scores = peaks(heatmaps)
    match decoding:
        case "argmax":
            return points, scores
        case "quarter":
            return points + _quarter(heatmaps, points), scores
        case "dark":
            return points + _dark(heatmaps, points, sigma), scores
    raise ValueError(f"no decoding {decoding!r}; it is one of {', '.join(DECODINGS)}")


def peaks(heatmaps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Every map's highest cell, N x J x 2, and its value, N x J; cell (0, 0) for empty maps."""
    count, joints, _, width = heatmaps.shape
    flat = heatmaps.reshape(count, joints, -1)
    index = flat.argmax(axis=2)
    scores: NDArray[np.float32] = np.take_along_axis(flat, index[:, :, None], axis=2)[:, :, 0]
    points = np.stack([index % width, index // width], axis=2).astype(np.float64)
    points[scores <= 0] = 0.0
    return points, scores


def _inside(
    points: NDArray[np.float64], height: int, width: int, margin: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Columns and rows moved to where ``margin`` neighbours exist, and which needed no move."""
    x, y = points[..., 0].astype(np.intp), points[..., 1].astype(np.intp)
    good = (x >= margin) & (x < width - margin) & (y >= margin) & (y < height - margin)
    middle_x, middle_y = min(margin, width - 1), min(margin, height - 1)
    return np.where(good, x, middle_x), np.where(good, y, middle_y), good


def _neighbours(
    maps: NDArray[np.floating], x: NDArray[np.intp], y: NDArray[np.intp], dx: int, dy: int
) -> NDArray[np.floating]:
    rows, columns = np.indices(x.shape)
    values: NDArray[np.floating] = maps[rows, columns, y + dy, x + dx]
    return values


def _quarter(heatmaps: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A quarter of a cell towards the higher neighbour each way; none beside the border."""
    height, width = heatmaps.shape[2:]
    # HRNet leaves alone the first two and the last column and row
    x, y, _ = _inside(points, height, width, 1)
    good = (
        (points[..., 0] > 1)
        & (points[..., 0] < width - 1)
        & (points[..., 1] > 1)
        & (points[..., 1] < height - 1)
    )
    if height < 3 or width < 3:
        return np.zeros_like(points)
    step = np.stack(
        [
            _neighbours(heatmaps, x, y, 1, 0) - _neighbours(heatmaps, x, y, -1, 0),
            _neighbours(heatmaps, x, y, 0, 1) - _neighbours(heatmaps, x, y, 0, -1),
        ],
        axis=-1,
    )
    return np.where(good[..., None], 0.25 * np.sign(step), 0.0)


def _dark(
    heatmaps: NDArray[np.float32], points: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """The Taylor step -H^-1 D of the smoothed map's logarithm at its highest cell."""
    height, width = heatmaps.shape[2:]
    if height < 5 or width < 5:
        return np.zeros_like(points)
    logs = np.log(np.maximum(_smooth(heatmaps, sigma), 1e-10))
    x, y, good = _inside(points, height, width, 2)

    def at(dx: int, dy: int) -> NDArray[np.floating]:
        return _neighbours(logs, x, y, dx, dy)

    gradient_x, gradient_y = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    curve_xx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    curve_yy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    curve_xy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
    determinant = curve_xx * curve_yy - curve_xy**2
    good &= determinant != 0
    safe = np.where(good, determinant, 1.0)
    step = np.stack(
        [
            -(curve_yy * gradient_x - curve_xy * gradient_y) / safe,
            -(curve_xx * gradient_y - curve_xy * gradient_x) / safe,
        ],
        axis=-1,
    )
    return np.where(good[..., None], step, 0.0)


def _smooth(heatmaps: NDArray[np.float32], sigma: float) -> NDArray[np.float64]:
    """Every map blurred like the targets' Gaussian, its highest value kept (equation 9).

    The kernel spans 5.5 sigma (11 cells for sigma 2), as DARK's does.
    """
    size = max(3, round(5.5 * sigma) // 2 * 2 + 1)
    kernel_sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8  # OpenCV's own rule for a kernel's size
    smoothed = np.empty(heatmaps.shape, dtype=np.float64)
    for sample, joint in np.ndindex(*heatmaps.shape[:2]):
        plane = heatmaps[sample, joint].astype(np.float64)
        blurred = cv2.GaussianBlur(
            plane, (size, size), kernel_sigma, borderType=cv2.BORDER_CONSTANT
        )
        highest = blurred.max()
        smoothed[sample, joint] = blurred * (plane.max() / highest) if highest > 0 else blurred
    return smoothed
