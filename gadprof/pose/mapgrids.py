"""Feature maps as picture grids: a row of models, a column of places, every map a small picture.

Each map is scaled to its own range, dark low and bright high, so that a grid shows form, not size.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]


def grid(maps: Maps, *, limit: int = 64) -> NDArray[np.float64]:
    """The first ``limit`` maps (C x H x W) in a square of rows as one picture of values 0 to 1.

    The lines between maps, and the places that no map fills, are NaN.
    """
    shown = maps[:limit]
    count, height, width = shown.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    picture = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for number, plane in enumerate(shown):
        low, high = float(plane.min()), float(plane.max())
        scaled = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        picture[top : top + height, left : left + width] = scaled
    return picture


def figure_bytes(
    models: Mapping[str, Mapping[str, Maps]],
    captions: Mapping[tuple[str, str], str],
    *,
    file_format: str = "png",
    limit: int = 64,
) -> bytes:
    """One figure of every model's maps at every place, as PNG, SVG or PDF."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places = list(next(iter(models.values())))
    colors = matplotlib.colormaps["viridis"].with_extremes(bad="white")
    figure = Figure(figsize=(2.9 * len(places), 3.7 * len(models)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(models), len(places), squeeze=False)
    for row, (model, by_place) in enumerate(models.items()):
        for column, (place, maps) in enumerate(by_place.items()):
            axis = axes[row][column]
            axis.imshow(
                grid(maps, limit=limit), cmap=colors, vmin=0, vmax=1, interpolation="nearest"
            )
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(f"{model}\n{place}", fontsize=8)
            axis.set_xlabel(captions.get((model, place), ""), fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=150)
    return buffer.getvalue()
