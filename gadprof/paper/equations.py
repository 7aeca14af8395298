"""Equations 1 and 5 to 7 on a grid of integers: closed form against plan, and against a trace.

Three witnesses that know nothing of each other: ``gadprof.formula`` (by hand from the literature),
the fold of the block's plan, and a trace of the built block. Every count is compared with ``==``.
The equations' bodies are not part of the text that could be read; they are rebuilt from its words
and from the papers that it builds on, so agreement here says that the reconstruction is consistent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gadprof.formulas.formula import Formula, formula
from gadprof.networks.blocks.names import formula_block
from gadprof.networks.cost import Cost, cost_of

# the grid against the plan: every combination
GRID: Mapping[str, tuple[Any, ...]] = {
    "channels": ((1, 1), (3, 64), (5, 7), (16, 100), (64, 64), (256, 32)),
    "k": (1, 3),
    "d": (1, 3, 5),
    "s": (1, 2, 3, 5),
    "r": (1, 16),
    "size": ((8, 6),),
    "stride": (1, 2),
}

# the grid against a trace of the built block: smaller, since each point is run
TRACED: Mapping[str, tuple[Any, ...]] = {
    "channels": ((3, 64), (5, 7), (64, 64), (256, 32)),
    "k": (3,),
    "d": (3, 5),
    "s": (2, 3),
    "r": (16,),
    "size": ((8, 6),),
}

# a GdBlock halves the size; the others are traced as they stand in a branch
TRACED_STRIDE: Mapping[str, int] = {"ghost": 1, "ga": 1, "gd": 2}


@dataclass(frozen=True)
class Equation:
    """One equation: what it states, the closed forms that it is checked on, and what is equal."""

    key: str
    states: str
    blocks: tuple[str, ...]


EQUATIONS: tuple[Equation, ...] = (
    Equation("1", "GP = m·Cin·k² + g·d², the weights of a Ghost operation", ("ghost",)),
    Equation("5", "GP of GaBlock and GdBlock: equation 1 and 2·c·ceil(c/r)", ("ga", "gd")),
    Equation("6", "GG = H·W·(m·Cin·k² + g·d²) + 2·c·ceil(c/r), their MACs", ("ga", "gd")),
    Equation("7", "Rs = P / GP, against the ordinary convolution", ("ghost", "ga", "gd")),
    Equation(
        "7, limit", "Rs = s·Cin / (Cin + s - 1) where k = d, s divides Cout, no attention",
        ("ghost",),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """An equation on a grid: how many points were checked against what, and how many are equal.

    ``first_difference`` names the first point that differs, or is empty.
    """

    equation: str
    states: str
    against: str
    points: int
    equal: int
    first_difference: str


@dataclass(frozen=True)
class TracedPoint:
    """One block at one point: the closed form's GP and GG, and what a trace of it counted."""

    block: str
    c_in: int
    c_out: int
    k: int
    d: int
    s: int
    r: int
    h: int
    w: int
    stride: int
    GP: int
    GG: int
    params: int
    traced_macs: int
    traced_params: int
    equal: bool


def points(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, int]]:
    """Every point of a grid as inputs of a closed form."""
    for (c_in, c_out), k, d, s, r, (h, w), stride in itertools.product(
        *(grid[name] for name in ("channels", "k", "d", "s", "r", "size", "stride"))
    ):
        yield {
            "c_in": c_in, "c_out": c_out, "k": k, "d": d, "s": s, "r": r, "h": h, "w": w,
            "stride": stride,
        }  # fmt: skip


def check_against_plan() -> tuple[Checked, ...]:
    """Every equation on GRID against the fold of the block's plan."""
    found = {block: list(_costed(block)) for block in ("ghost", "ga", "gd")}
    rows = []
    for equation in EQUATIONS:
        total, equal, first = 0, 0, ""
        for block in equation.blocks:
            for closed, block_cost, conv_cost in found[block]:
                judged = _holds(equation.key, closed, block_cost, conv_cost)
                if judged is None:
                    continue
                total += 1
                equal += judged
                if not judged and not first:
                    first = f"{block} at {dict(closed.inputs)}"
        rows.append(Checked(equation.key, equation.states, "the plan's cost", total, equal, first))
    return tuple(rows)


def _costed(block: str) -> Iterator[tuple[Formula, Cost, Cost]]:
    convs: dict[tuple[int, ...], Cost] = {}
    for inputs in points(GRID):
        place = tuple(inputs[name] for name in ("c_in", "c_out", "k", "h", "w", "stride"))
        if place not in convs:
            convs[place] = _cost("conv", inputs)
        yield formula(block, **inputs), _cost(block, inputs), convs[place]


def _cost(block: str, inputs: Mapping[str, int]) -> Cost:
    return cost_of(*formula_block(block, inputs))


def weights(cost: Cost) -> int:
    """The weights of convolutions and fully connected layers, as GP counts them."""
    return int(cost.params_by_kind["convolution"] + cost.params_by_kind["linear"])


def _holds(key: str, closed: Formula, block: Cost, conv: Cost) -> bool | None:
    """Whether an equation holds at a point; None where it does not speak of the point."""
    inputs = closed.inputs
    match key:
        case "1" | "5":
            return weights(block) == closed.GP and block.params == closed.params
        case "6":
            return int(block.macs) == closed.GG
        case "7":
            return weights(conv) / weights(block) == closed.Rs
        case "7, limit":
            if inputs["k"] != inputs["d"] or inputs["c_out"] % inputs["s"]:
                return None
            s, c_in = inputs["s"], inputs["c_in"]
            return Fraction(weights(conv), weights(block)) == Fraction(s * c_in, c_in + s - 1)
    raise TypeError(f"no check for equation {key}")


def check_against_trace() -> tuple[TracedPoint, ...]:
    """Ghost operation, GaBlock and GdBlock at every point of TRACED, built and traced."""
    import torch

    from gadprof.audit.verify import block_module
    from gadprof.counting.count import count

    made = []
    for block in ("ghost", "ga", "gd"):
        for inputs in points({**TRACED, "stride": (TRACED_STRIDE[block],)}):
            closed = formula(block, **inputs)
            module, shapes = block_module(closed)
            trace = count(module, tuple(map(torch.zeros, shapes)), name=block)
            traced_params = sum(item.numel() for item in module.parameters())
            made.append(
                TracedPoint(
                    block, **inputs, GP=closed.GP, GG=closed.GG, params=closed.params,
                    traced_macs=int(trace.macs), traced_params=traced_params,
                    equal=trace.macs == closed.GG and traced_params == closed.params,
                )
            )  # fmt: skip
    return tuple(made)
