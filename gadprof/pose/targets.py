"""Heatmap targets: a Gaussian for every labelled keypoint, and the weight it counts with.

Source: HRNet, ``JointsDataset.generate_target`` (centre rounded to a cell, three sigmas drawn,
sigma 2 at 64 x 48); ``unbiased`` keeps the centre's fraction instead (Zhang et al.,
"Distribution-aware coordinate representation for human pose estimation", CVPR 2020, section 3.2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDE = 4


def default_sigma(heatmap_height: int) -> float:
    """Sigma in cells: 2 at 64 x 48, 3 at 96 x 72, in proportion between and beyond."""
    return 2.0 * heatmap_height / 64.0


def make_targets(
    joints: NDArray[np.floating],
    size: tuple[int, int],
    *,
    sigma: float,
    unbiased: bool = False,
    stride: int = STRIDE,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps (J, height, width) and weights (J,) from joints (J x 3) in input pixels.

    ``size`` is the heatmap's (width, height) in cells. A joint that is not labelled, or whose
    Gaussian falls outside altogether, has weight 0 and an empty map.
    """
    width, height = size
    maps = np.zeros((len(joints), height, width), dtype=np.float32)
    weights = np.zeros(len(joints), dtype=np.float32)
    reach = int(sigma * 3)
    for index, (x, y, visibility) in enumerate(joints.tolist()):
        if visibility <= 0:
            continue
        centre_x, centre_y = int(x / stride + 0.5), int(y / stride + 0.5)
        left, top = centre_x - reach, centre_y - reach
        right, bottom = centre_x + reach + 1, centre_y + reach + 1
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            continue
        weights[index] = 1.0
        columns = slice(max(0, left), min(right, width))
        rows = slice(max(0, top), min(bottom, height))
        if unbiased:
            patch = _product(sigma, reach, x / stride - centre_x, y / stride - centre_y)
        else:
            patch = _rounded(sigma, reach)
        maps[index, rows, columns] = patch[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
    return maps, weights


def _product(sigma: float, reach: int, shift_x: float, shift_y: float) -> NDArray[np.float32]:
    """A Gaussian of peak 1 on a square of 2 reach + 1 cells, its centre shifted from the middle."""
    steps = np.arange(-reach, reach + 1)
    row = np.exp(-((steps - shift_x) ** 2) / (2 * sigma**2))
    column = np.exp(-((steps - shift_y) ** 2) / (2 * sigma**2))
    return np.outer(column, row).astype(np.float32)


@lru_cache(maxsize=16)
def _rounded(sigma: float, reach: int) -> NDArray[np.float32]:
    patch = _product(sigma, reach, 0.0, 0.0)
    patch.flags.writeable = False
    return patch
