"""One colour a stage, a block and a model in every figure and page.

Promises: a name that is listed here has its colour everywhere; any other takes the first colour
that is still free among the names of its page, in their order. Colours are told apart by
colour-blind readers (Okabe and Ito, 2008; Tol, 2021) and stand out on white and on black.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gadprof.results.page import Plot

BLUE, ORANGE, GREEN, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"
RED, OLIVE, WINE, INDIGO, SAND = "#D55E00", "#999933", "#AA4499", "#6655BB", "#BB9955"
PALETTE = (BLUE, ORANGE, GREEN, RED, PINK, SKY, WINE, OLIVE, INDIGO, SAND)
OTHER = "#999999"
UP, DOWN, START, END = ORANGE, GREEN, BLUE, SKY  # of a waterfall

_MODELS = {
    "hrnet": BLUE,
    "ghost-hrnet": SKY,
    "ghost-se-hrnet": GREEN,
    "gadnet": RED,
    "lite-hrnet": ORANGE,
    "SimpleBaseline head": WINE,
    "hourglass": PINK,
    "hourglass-residual": INDIGO,
    "cpn": OLIVE,
}
_STAGES = {
    "stem": SKY,
    "stage1": ORANGE,
    "transition1": SAND,
    "stage2": GREEN,
    "transition2": OLIVE,
    "stage3": BLUE,
    "transition3": INDIGO,
    "stage4": RED,
    "head": PINK,
}
_BLOCKS = {
    "conv": BLUE,
    "ghost": SKY,
    "ghost-se": GREEN,
    "ga": RED,
    "gd": PINK,
}
# what a module path calls a stage
_PATHS = {
    **dict.fromkeys(("conv1", "bn1", "conv2", "bn2", "relu"), SKY),
    "layer1": ORANGE,
    "final_layer": PINK,
}
_FIXED = {**_MODELS, **_STAGES, **_BLOCKS, **_PATHS}


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name; two share one only if they are one stage, or of too many."""
    wanted = list(dict.fromkeys(names))
    found = {name: color for name in wanted if (color := _FIXED.get(name)) is not None}
    for name in wanted:
        color = _MODELS.get(_family(name))
        if name not in found and color is not None and color not in found.values():
            found[name] = color
    for name in wanted:
        if name not in found:
            free = [color for color in PALETTE if color not in found.values()]
            found[name] = free[0] if free else PALETTE[len(found) % len(PALETTE)]
    return {name: found[name] for name in wanted}


def plot_colors(plots: Iterable[Plot]) -> Mapping[str, str]:
    """The colours of everything that some figures show: parts of bars, then groups and models."""
    parts: list[str] = []
    models: list[str] = []
    for plot in plots:
        data = plot.data
        parts += [str(part["name"]) for bar in data.get("bars", ()) for part in bar["parts"]]
        parts += [str(span["name"]) for span in data.get("spans", ())]
        points = data.get("points", ())
        groups = [point["group"] for point in points if point.get("group") is not None]
        models += map(str, groups or [point["label"] for point in points])
        models += [str(row["label"]) for row in data.get("rows", ())]
    return {**colors_of(parts), **colors_of(models)}


def _family(name: str) -> str:
    """The family of a model string: ``ghost-hrnet32:width=8`` is a ghost-hrnet."""
    found = re.match(r"[a-z][a-z_-]*[a-z]", name)
    return found[0] if found else name
