"""What HRNet32 with Ghost operations would have to be for the ablation's two figures to hold.

The text says that GADNet has 136 % fewer parameters and 84 % less complexity than HRNet32 with
GhostBlocks: read as increases, that variant is 2.36 and 1.84 times GADNet32. Promises the exact
cost of every variant of a grid (GhostBlocks or GhostBlocks with attention in HRNet's skeleton) and
the nearest to both ratios; a variant that is no BasicBlock-for-GhostBlock exchange names what else
it changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gadprof.networks.spec import parse_spec
from gadprof.paper.claims import value_of
from gadprof.paper.search import DEFAULT, discrete_knobs
from gadprof.paper.systems import exact
from gadprof.sweep.space import make_space
from gadprof.sweep.tables import combine, level_values, occurrences, structure_columns, tabulate

PRESETS: Mapping[str, str] = {"ghost": "ghost-hrnet32", "ghost-se": "ghost-se-hrnet32"}
BLOCKS = tuple(
    tuple(n * share for share in shares)
    for shares in ((1, 1, 1, 1), (1, 1, 2, 2))
    for n in (1, 2, 3, 4, 5, 6)
)
BOTTLENECKS = (4, 3)
S, D = (2, 3, 4), (1, 3, 5, 7)
DOWN = ("conv", "gd")


@dataclass(frozen=True)
class GhostVariant:
    """A Ghost variant of HRNet32, its exact cost and its ratios to GADNet32.

    ``params_error`` and ``macs_error`` are the ratios' differences from the claimed ones in
    percentage points of GADNet32; ``distance`` is the larger size. ``changes`` are the knobs that
    differ from HRNet32 with its BasicBlocks exchanged.
    """

    model: str
    params: int
    macs: int
    params_ratio: float
    macs_ratio: float
    params_error: float
    macs_error: float
    distance: float
    changes: tuple[str, ...]


def claimed_ratios() -> tuple[float, float]:
    """The Ghost variant's parameters and complexity over GADNet32's, read as increases."""
    return 1 + value_of("ghost-136") / 100, 1 + value_of("ghost-84") / 100


def variant(model: str) -> GhostVariant:
    """One variant as a record."""
    cost, base = exact(model), exact(DEFAULT)
    ratios = (cost.params / base.params, cost.macs / base.macs)
    errors = tuple(
        100 * (found - claimed) for found, claimed in zip(ratios, claimed_ratios(), strict=True)
    )
    spec = parse_spec(model)
    plain = parse_spec(PRESETS[spec.block])
    return GhostVariant(
        model=model,
        params=cost.params,
        macs=cost.macs,
        params_ratio=round(ratios[0], 4),
        macs_ratio=round(ratios[1], 4),
        params_error=round(errors[0], 2),
        macs_error=round(errors[1], 2),
        distance=round(max(map(abs, errors)), 2),
        changes=tuple(name for name, value in spec.items if plain.values[name] != value),
    )


def nearest_variants(count: int = 5) -> tuple[int, tuple[GhostVariant, ...]]:
    """How many variants the grid has, and the nearest to both ratios, nearest first."""
    structures = [
        {"joints": 17, "bottlenecks": bottlenecks, "up": True, "modules": (1, 4, 3), "blocks": item}
        for bottlenecks, item in itertools.product(BOTTLENECKS, BLOCKS)
    ]
    counts = occurrences(structure_columns(structures))
    base, claimed = exact(DEFAULT), claimed_ratios()
    found: list[tuple[float, str]] = []
    for block, preset in PRESETS.items():
        space = make_space(preset, {"d": ",".join(map(str, D))})
        arrays = level_values(space)
        for s, down, transition in itertools.product(S, DOWN, DOWN):
            level = {
                **discrete_knobs(space), "block": block, "s": s, "down": down,
                "transition": transition,
            }  # fmt: skip
            parts = tabulate(space, level, arrays, ("params", "macs")).parts
            params = np.asarray(combine(counts, parts["params"]), dtype=np.int64)
            macs = np.asarray(combine(counts, parts["macs"]), dtype=np.int64)
            errors = np.maximum(
                np.abs(params / base.params - claimed[0]), np.abs(macs / base.macs - claimed[1])
            )
            for (row, column), error in np.ndenumerate(errors):
                knobs = {
                    "bottlenecks": structures[row]["bottlenecks"],
                    "blocks": structures[row]["blocks"],
                    "s": s, "down": down, "transition": transition,
                    "d": int(arrays["d"][column]),
                }  # fmt: skip
                found.append((float(error), parse_spec(preset).replace(**knobs).name))
    found.sort()
    return len(found), tuple(variant(name) for _, name in found[:count])
