"""``gadprof redundancy``: how alike a network's feature maps are, in figures and picture grids."""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.options import format_option, output_option, store_option


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
    from gadprof.pose.pages import redundancy_page
    from gadprof.pose.redundancy import DEFAULT_PLACES, NEAR_DUPLICATE
    from gadprof.pose.side_by_side import FIGURE_FORMATS, VARIANTS, look
    from gadprof.render.tables import render
    from gadprof.results.plain import describe_machine
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
    document = {
        "image": Path(options["image"]).name,
        "input": seen.size,
        "weights": dict(zip(names, weights, strict=True)) if weights else None,
        "seed": options["seed"],
        "near_duplicate_correlation": NEAR_DUPLICATE,
        "redundancy": seen.figures,
        "machine": machine,
    }
    page = redundancy_page(seen.figures, document, trained=bool(weights))
    emit(render(page, options["output_format"]), options["output"])
