"""The six figures of a network, once: their key, what they are called, and their unit.

Everything that shows, compares or limits them reads this table; keys are those of JSON, CSV and
configuration, and values are exact integers in base units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One figure: ``title`` in pages and sentences, ``short`` over a column of a terminal.

    ``summed`` says that operations add it up, so that one without a rule leaves a lower bound.
    """

    key: str
    title: str
    short: str
    kind: Literal["scaled", "bytes"]
    summed: bool = False


FIGURES = (
    Figure("params", "parameters", "params", "scaled"),
    Figure("macs", "MACs", "MACs", "scaled", summed=True),
    Figure("flops", "FLOPs", "FLOPs", "scaled", summed=True),
    Figure("activations", "activations", "activations", "scaled", summed=True),
    Figure("peak_activation_bytes", "peak activations", "peak act.", "bytes", summed=True),
    Figure("weight_bytes", "weights", "weights", "bytes"),
)
KEYS = tuple(figure.key for figure in FIGURES)
SUMMED = tuple(figure.key for figure in FIGURES if figure.summed)
FIGURE = {figure.key: figure for figure in FIGURES}
