"""The six figures of a network, once: their key, what they are called, and their unit.

Everything that shows, compares or limits them reads this table; keys are those of JSON, CSV and
configuration, and values are exact integers in base units.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class AtLeast(int):
    """A lower bound: the same integer to programs, "at least" in a table's cell for people."""


def total(key: str, value: int | None, at_least: bool) -> int | None:
    """A model's figure, marked where something was not counted and operations add it up."""
    return AtLeast(value) if at_least and value is not None and key in SUMMED else value


def lower_bound_note(name: str, uncovered: Mapping[str, int]) -> str:
    """What a person must know of a model whose totals lack something, in one line."""
    listed = ", ".join(f"{operation} x{times}" for operation, times in sorted(uncovered.items()))
    missing = f"; not counted: {listed}" if listed else ""
    return f"{name}: what is marked at least is a lower bound, ratios to it not settled{missing}"
