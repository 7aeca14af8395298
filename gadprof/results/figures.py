"""The six figures of a network, once: their key, what they are called, and their unit.

Everything that shows, compares or limits them reads this table; keys are those of JSON, CSV and
configuration, and values are exact integers in base units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One figure: ``title`` in pages and sentences, ``short`` over a column of a terminal."""

    key: str
    title: str
    short: str
    kind: Literal["scaled", "bytes"]


FIGURES = (
    Figure("params", "parameters", "params", "scaled"),
    Figure("macs", "MACs", "MACs", "scaled"),
    Figure("flops", "FLOPs", "FLOPs", "scaled"),
    Figure("activations", "activations", "activations", "scaled"),
    Figure("peak_activation_bytes", "peak activations", "peak act.", "bytes"),
    Figure("weight_bytes", "weights", "weights", "bytes"),
)
KEYS = tuple(figure.key for figure in FIGURES)
FIGURE = {figure.key: figure for figure in FIGURES}
