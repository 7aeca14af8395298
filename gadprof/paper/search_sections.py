"""The page's sections on the reconstruction: the search, its default, and the Ghost variant.

Promises that the page says how loose the fit is: how many designs agree as well, where the default
lies among them, and what it departs in.
"""

from __future__ import annotations

from collections.abc import Sequence

from gadprof.networks.spec import format_value
from gadprof.paper.claims import value_of
from gadprof.paper.ghosts import GhostVariant, claimed_ratios, nearest_variants, variant
from gadprof.paper.search import (
    BY_CONSTRUCTION,
    DEFAULT,
    REFERENCE,
    RULES,
    WITHIN_POINTS,
    Design,
    Scope,
    Search,
)
from gadprof.paper.systems import exact
from gadprof.paper.verdicts import every_ratio
from gadprof.results.page import Section
from gadprof.results.table import Column, Table


def fit_words(search: Search) -> str:
    """That the agreement with the abstract is a fit, with the numbers that say how loose a fit."""
    hrnet, wide = search.hrnet, search.any_modules
    return (
        f"The default was chosen with both claims in view, so that its agreement is a fit and no "
        f"independent confirmation. {hrnet.within} of {hrnet.designs:,} designs that obey every "
        f"row of the text and keep {hrnet.title} lie within {WITHIN_POINTS:g} point of both "
        f"claims, the default {ordinal(hrnet.default_rank)} of them; with {wide.title} "
        f"{wide.within} of {wide.designs:,} do, the default {ordinal(wide.default_rank)}. Its "
        f"cheap kernel of {search.default.d} is a choice of ours: with "
        + ", ".join(f"d = {item.d} it is {item.distance:.2f}" for item in search.kernels)
        + " points off."
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th …"""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


_DESIGN = (
    Column("model", "design"), Column("blocks", "GaBlocks a branch"), Column("modules", "modules"),
    Column("s", "s"), Column("k", "k"), Column("d", "d"), Column("r", "r"),
    Column("operations", "Ghost operations a block"), Column("down", "down"),
    Column("transition", "transition"), Column("up", "up"), Column("params", "parameters", "count"),
    Column("params_to_hrnet32", "to HRNet32", "change", digits=2), Column("macs", "MACs", "count"),
    Column("macs_to_hrnet32", "to HRNet32 (MACs)", "change", digits=2),
    Column("distance_points", "points off"),
    Column("broken", "rows broken"), Column("departures", "departs from HRNet and GhostNet in"),
)  # fmt: skip


def design_row(item: Design) -> tuple[object, ...]:
    """A design as cells of the search's tables."""
    n, reference = item.n, exact(REFERENCE)
    return (
        item.model or "(no model string)", f"{n}-{n}-{2 * n}-{2 * n}", format_value(item.modules),
        item.s, item.k, item.d, item.r, item.operations, item.down, item.transition, item.up,
        item.params, item.params / reference.params, item.macs, item.macs / reference.macs,
        item.distance, ", ".join(item.broken), ", ".join(item.departures),
    )  # fmt: skip


def designs(key: str, title: str, items: Sequence[Design], **more: bool | str) -> Table:
    """Designs as a table, without the columns in which none differs from what the text fixes."""
    rows = tuple(design_row(item) for item in items)
    fixed = {"r": 16, "down": "gd", "transition": "gd", "up": True, "broken": ""}
    keep = [
        index
        for index, column in enumerate(_DESIGN)
        if column.key not in fixed or any(row[index] != fixed[column.key] for row in rows)
    ]
    return Table(
        key, title, tuple(_DESIGN[i] for i in keep), tuple(tuple(r[i] for i in keep) for r in rows),
        str(more.get("note", "")), bool(more.get("folded", False)),
    )  # fmt: skip


def why_default(search: Search) -> str:
    """Which design is the default, and why: the sentence that page and console share."""
    kernels = {item.d: item for item in search.kernels}
    default, own, nearest = search.default, kernels[3], search.hrnet.ranked[0]
    rivals = [
        item
        for item in search.any_modules.close
        if len(item.departures) <= len(default.departures) and item != default
    ]
    return (
        f"The default is {default.model} (d = {default.d}), {default.distance:.2f} points off: of "
        f"the designs that obey the text, keep {search.hrnet.title} and lie within "
        f"{WITHIN_POINTS:g} point of both claims, it departs least from what HRNet and GhostNet "
        f"have of their own, in a cheap kernel of {default.d} where GhostNet has 3. That is a "
        f"departure all the same: d = 3 is {own.distance:.2f} points off. The nearest is "
        f"{nearest.model}, {nearest.distance:.2f} points off, which departs further. "
        "Designs that also depart in one knob alone and lie within the point: "
        + ", ".join(f"{item.model} ({item.distance:.2f})" for item in rivals)
        + "."
    )


def neutral_words() -> str:
    """What the two knobs that the search does not vary would change."""
    base, biased, added = (
        exact(name) for name in (DEFAULT, f"{DEFAULT}:se_bias=yes", f"{DEFAULT}:shortcut=yes")
    )
    reference = exact(REFERENCE)
    points = 100 * (biased.params - base.params) / reference.params
    return (
        f"Not varied: biases in squeeze-and-excitation (+{biased.params - base.params:,} "
        f"parameters, {points:.2f} points, and {biased.macs - base.macs} MACs) and a GaBlock's "
        f"shortcut ({added.params - base.params} parameters, {added.macs - base.macs} MACs), which "
        "the claims cannot tell apart."
    )


def scope_words(scope: Scope) -> str:
    """How many designs of a scope come near, and where the default lies."""
    return (
        f"With {scope.title}: {scope.designs:,} designs obey every row, {scope.within} "
        f"({100 * scope.share:.2f} %) lie within {WITHIN_POINTS:g} point of both claims, and the "
        f"default is the {ordinal(scope.default_rank)} nearest."
    )


def search_section(search: Search) -> Section:
    """The reconstruction search: what was enumerated, what is near, the front, the default."""
    hrnet, wide = search.hrnet, search.any_modules
    rules = "; ".join(f"row {row}: {text}" for row, text in RULES.items())
    built = "; ".join(f"row {row}: {text}" for row, text in BY_CONSTRUCTION.items())
    relaxed = [item for _, item in search.relaxed]
    return Section(
        "search",
        "The reconstruction search",
        (
            f"{search.grid:,} designs were enumerated, {search.obeying:,} obey every row that the "
            f"text fixes. A design's distance is the larger of its two errors in percentage "
            f"points, against −{value_of('params')} % of parameters and −{value_of('macs')} % of "
            "MACs.",
            f"Rows that every design of the grid obeys: {built}.",
            f"Rows that it may break: {rules}.",
            fit_words(search),
            scope_words(hrnet),
            scope_words(wide),
            why_default(search),
            f"One row let go: with plain convolutions between the stages ({relaxed[0].model}) "
            f"GhostNet's own d = 3 is {relaxed[0].distance:.2f} points off, but the text says that "
            "GdBlocks down-sample between the stages.",
            neutral_words(),
        ),
        (
            designs("kernels", "The default with each cheap kernel d", search.kernels),
            designs("nearest", f"Nearest designs, {hrnet.title}", hrnet.ranked),
            designs(
                "front", f"Pareto front of the two errors, {hrnet.title}", hrnet.front,
                note="No design that obeys the text and keeps these modules is nearer to one claim "
                "and as near to the other.",
            ),
            designs("relaxed", "One row of the text let go, all else kept", relaxed),
            designs(
                "nearest-any", f"Every design within the point, {wide.title}", wide.close,
                folded=True,
            ),
            designs("front-any", f"Pareto front, {wide.title}", wide.front, folded=True),
        ),
        commands=("gadprof paper --search",),
    )  # fmt: skip


_VARIANT = (
    Column("model", "variant"), Column("params", "parameters", "count"),
    Column("macs", "MACs", "count"), Column("params_ratio", "× GADNet32's parameters", "ratio"),
    Column("macs_ratio", "× GADNet32's MACs", "ratio"), Column("distance_points", "points off"),
    Column("changes", "differs from the plain exchange in"),
)  # fmt: skip


def _variant_row(item: GhostVariant) -> tuple[object, ...]:
    return (
        item.model, item.params, item.macs, item.params_ratio, item.macs_ratio,
        item.distance, ", ".join(item.changes),
    )  # fmt: skip


def ghost_section() -> Section:
    """What the Ghost variant would have to be for 136 % and 84 % to hold."""
    number, nearest = nearest_variants()
    claimed = claimed_ratios()
    plain = tuple(variant(name) for name in ("ghost-hrnet32", "ghost-se-hrnet32"))
    best = nearest[0]
    return Section(
        "ghost",
        "What 136 % and 84 % would need",
        (
            f"Read as increases they make the Ghost variant {claimed[0]:.2f} times GADNet32's "
            f"parameters and {claimed[1]:.2f} times its complexity. HRNet32 with its BasicBlocks "
            f"exchanged has {plain[0].params_ratio:.2f} and {plain[0].macs_ratio:.2f}, and no pair "
            "of the ablation's four networks gives either figure.",
            f"Of {number:,} variants the nearest is {best.model}, {best.distance:.2f} points off: "
            "GhostBlocks would have to be compared in GADNet's own skeleton (three Bottlenecks, "
            "(n, n, 2n, 2n) blocks, GdBlocks for down-sampling) and not in HRNet32. Its "
            "agreement is a fit as well.",
        ),
        (
            Table("exchange", "The plain exchange", _VARIANT, tuple(map(_variant_row, plain))),
            Table("ghosts", "Nearest variants", _VARIANT, tuple(map(_variant_row, nearest))),
            Table(
                "ratios", "Larger over smaller, less one, for every pair of the ablation",
                (
                    Column("larger", "larger"), Column("smaller", "smaller"),
                    Column("params_ratio", "parameters", "change", digits=2),
                    Column("macs_ratio", "MACs", "change", digits=2),
                ),
                every_ratio(),
            ),
        ),
    )  # fmt: skip
