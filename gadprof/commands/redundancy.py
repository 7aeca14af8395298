"""``gadprof redundancy``: how alike a network's feature maps are, in figures and picture grids."""

from __future__ import annotations

import math
from typing import Any

import click

from gadprof.commands.options import format_option, output_option, store_option

HEADERS = (
    "model",
    "place",
    "maps",
    "size",
    "constant",
    "|r|",
    "eff. rank",
    "rank/maps",
    "CKA",
    "dup.",
)


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--image", required=True, metavar="FILE", help="The picture to look at.")
@click.option("--weights", multiple=True, metavar="FILE", help="One for each model, in order.")
@click.option("--place", "places", multiple=True, help="Module name, e.g. stage4[0]; repeatable.")
@click.option("--input", "input_text", metavar="HxW", help="Size.  [the weights', or 256x192]")
@click.option("--figure", metavar="FILE", help="Write the maps as a grid: .png, .svg or .pdf.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights that are not given.")
@click.option("--limit", type=click.IntRange(min=1), default=64, show_default=True,
              help="Maps a grid shows.")  # fmt: skip
@format_option("table", "json", "csv", "md")
@output_option
@store_option
def redundancy(models: tuple[str, ...], **options: Any) -> None:
    """Measure how redundant feature maps are.

    Without MODEL: hrnet32, ghost-hrnet32, ghost-se-hrnet32 and gadnet32 side by side. Figures of
    networks without --weights are those of random weights, and say so.
    """
    from gadprof.pose.extra import require

    require("gadprof redundancy", "cv2")
    from pathlib import Path

    from gadprof.output import check_writable, emit, write_atomic
    from gadprof.pose.redundancy import DEFAULT_PLACES, NEAR_DUPLICATE
    from gadprof.pose.side_by_side import FIGURE_FORMATS, VARIANTS, look
    from gadprof.render.tables import render_table
    from gadprof.results.plain import describe_machine, to_json
    from gadprof.store.recording import record_redundancy

    names = models or VARIANTS
    weights = options["weights"]
    if weights and len(weights) != len(names):
        raise click.UsageError(
            f"{len(names)} models and {len(weights)} --weights; give one for each model, or none"
        )
    figure = options["figure"]
    if figure is not None:
        check_writable(figure)
        if Path(figure).suffix.lower().lstrip(".") not in FIGURE_FORMATS:
            raise click.UsageError(f"--figure {figure} is not .png, .svg or .pdf")
    if options["output"] is not None:
        check_writable(options["output"])
    from gadprof.commands.pose_options import input_size, network_source

    seen = look(
        [network_source(name) for name in names],
        options["image"],
        weights=weights,
        places=options["places"] or DEFAULT_PLACES,
        size=input_size(options["input_text"]),
        seed=options["seed"],
    )
    machine = describe_machine()
    about = {
        "image": Path(options["image"]).name,
        "seed": None if weights else options["seed"],
        "near_duplicate_correlation": NEAR_DUPLICATE,
    }
    record_redundancy(seen.figures, seen.size, about, store=options["store"])
    if figure is not None:
        kind = Path(figure).suffix.lower().lstrip(".")
        write_atomic(figure, seen.figure(kind, limit=options["limit"]))
    kind = options["output_format"]
    if kind == "json":
        payload = {
            "image": Path(options["image"]).name,
            "input": seen.size,
            "weights": dict(zip(names, weights, strict=True)) if weights else None,
            "seed": options["seed"],
            "near_duplicate_correlation": NEAR_DUPLICATE,
            "redundancy": seen.figures,
            "machine": machine,
        }
        emit(to_json(payload), options["output"])
        return
    rows = [
        [
            item.model,
            item.place,
            item.maps,
            f"{item.height}x{item.width}",
            item.constant,
            _figure(item.mean_abs_correlation, 3),
            _figure(item.effective_rank, 1),
            _figure(item.effective_rank_share, 2),
            _figure(item.neighbour_cka, 3),
            _figure(item.near_duplicate_share, 2),
        ]
        for item in seen.figures
    ]
    table_options = {"notes": _notes(bool(weights), NEAR_DUPLICATE)} if kind == "table" else {}
    emit(render_table(kind, HEADERS, rows, **table_options), options["output"])


def _notes(trained: bool, duplicate: float) -> tuple[str, ...]:
    notes = (
        "|r|: mean absolute correlation of all pairs of maps; eff. rank: exp of the entropy of the "
        "singular values; CKA: linear, between neighbouring maps; dup.: share of maps that another "
        f"follows with |r| >= {duplicate}. Constant maps are left out of all four.",
    )
    if trained:
        return notes
    untrained = (
        "Random weights, batch normalisation calibrated on the picture: these figures tell of the "
        "architecture, not of training."
    )
    return (untrained, *notes)


def _figure(value: float, digits: int) -> str:
    """A figure with so many digits, or a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
