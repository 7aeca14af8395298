"""``gadprof redundancy``: how alike a network's feature maps are, in figures and picture grids."""

from __future__ import annotations

from dataclasses import dataclass

import click

from gadprof.commands.option_types import SEED
from gadprof.commands.options import (
    command,
    limit_option,
    models_argument,
    packed,
    plot_option,
    result_options,
    store_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, write_atomic


@dataclass(frozen=True)
class Subject:
    """Which maps of which networks, of which picture."""

    image: str
    weights: tuple[str, ...]
    places: tuple[str, ...]
    input_text: str | None
    seed: int


@command(name="redundancy", example="gadprof redundancy gadnet32 --image photo.jpg")
@models_argument(required=False)
@packed(
    "subject",
    Subject,
    click.option("--image", required=True, metavar="FILE", help="The picture to look at."),
    click.option("--weights", multiple=True, metavar="FILE", help="One for each model, in order."),
    click.option(
        "--place", "places", multiple=True, help="Module name, e.g. stage4[0]; repeatable."
    ),
    click.option("--input", "input_text", metavar="HxW", help="Size.  [the weights', or 256x192]"),
    click.option(
        "--seed",
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of weights that are not given.",
    ),
)
@plot_option("Write the maps as a grid: .png, .svg or .pdf.")
@limit_option(64, "Maps a grid shows.")
@result_options()
@store_option
def redundancy(
    models: tuple[str, ...],
    subject: Subject,
    plot: str | None,
    limit: int,
    out: Output,
    store: str | None,
) -> None:
    """Measure how redundant feature maps are.

    Without MODEL: hrnet32, ghost-hrnet32, ghost-se-hrnet32 and gadnet32 side by side. Figures of
    networks without --weights are those of random weights, and say so.
    """
    from gadprof.pose.extra import require

    require("gadprof redundancy", "cv2")
    from pathlib import Path

    from gadprof.pose.pages import redundancy_page
    from gadprof.pose.redundancy import DEFAULT_PLACES, NEAR_DUPLICATE
    from gadprof.pose.side_by_side import FIGURE_FORMATS, VARIANTS, feature_maps_of
    from gadprof.render.progress import Working
    from gadprof.results.plain import describe_machine
    from gadprof.store.recording import record_redundancy

    names = models or VARIANTS
    weights = subject.weights
    if weights and len(weights) != len(names):
        raise click.UsageError(
            f"{len(names)} models and {len(weights)} --weights; give one for each model, or none"
        )
    if plot is not None:
        check_writable(plot)
        if Path(plot).suffix.lower().lstrip(".") not in FIGURE_FORMATS:
            raise click.UsageError(f"--plot {plot} is not .png, .svg or .pdf")
    from gadprof.commands.pose_options import input_size, network_source

    with Working("running"):
        seen = feature_maps_of(
            [network_source(name) for name in names],
            subject.image,
            weights=weights,
            places=subject.places or DEFAULT_PLACES,
            size=input_size(subject.input_text),
            seed=subject.seed,
        )
    machine = describe_machine()
    about = {
        "image": Path(subject.image).name,
        "seed": None if weights else subject.seed,
        "near_duplicate_correlation": NEAR_DUPLICATE,
    }
    record_redundancy(seen.figures, seen.size, about, store=store)
    if plot is not None:
        kind = Path(plot).suffix.lower().lstrip(".")
        write_atomic(plot, seen.figure(kind, limit=limit))
    document = {
        "image": Path(subject.image).name,
        "input": seen.size,
        "weights": dict(zip(names, weights, strict=True)) if weights else None,
        "seed": subject.seed,
        "near_duplicate_correlation": NEAR_DUPLICATE,
        "redundancy": seen.figures,
        "machine": machine,
    }
    show(out, redundancy_page(seen.figures, document, trained=bool(weights)))
