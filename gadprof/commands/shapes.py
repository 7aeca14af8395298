"""``gadprof shapes``: every feature map's channels and size (the paper's tables 1 and 3)."""

from __future__ import annotations

import click

from gadprof.commands.options import command, model_argument, picture_option, result_options
from gadprof.commands.show import show
from gadprof.output import Output


@command(name="shapes", example="gadprof shapes gadnet32")
@model_argument
@picture_option
@click.option("--every", is_flag=True, help="Every module, not only stages and branches.")
@result_options("latex")
def shapes(
    model: str,
    input_texts: tuple[str, ...],
    every: bool,
    out: Output,
) -> None:
    """Every feature map's channels and size, by stage and branch."""
    from gadprof.errors import SourceError
    from gadprof.models.sources import parse_shapes, resolve
    from gadprof.networks.shapes import feature_maps, maps_table
    from gadprof.results.page import page_of

    source = resolve(model)
    if source.spec is None:
        raise SourceError(f"{model!r} has no plan; 'gadprof count {model}' counts it from a trace")
    given = parse_shapes(input_texts)
    shape = given[0] if given else source.spec.default_input
    maps = feature_maps(source.spec, shape, every=every)
    title = f"{model} at {'x'.join(map(str, shape))}"
    document = {"model": model, "input": shape, "maps": list(maps)}
    show(out, page_of(maps_table(maps, title=title), document=document, name="shapes"))
