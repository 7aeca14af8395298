"""``gadprof history``: what the results store holds of a model, as a list and as a figure."""

from __future__ import annotations

import click

from gadprof.commands.options import complete_models, format_option, output_option, store_option
from gadprof.store.history import QUANTITIES


@click.command(name="history")
@click.argument("model", required=False, shell_complete=complete_models)
@click.option(
    "--kind",
    type=click.Choice(("cost", "count", "measurement", "accuracy", "training", "redundancy")),
    help="Only these.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Newest entries."
)
@click.option(
    "--plot", metavar="FILE", help="Also draw one figure over the entries (svg, pdf, png)."
)
@click.option(
    "--quantity",
    type=click.Choice(QUANTITIES),
    default="macs",
    show_default=True,
    help="What --plot draws.",
)
@format_option("table", "json", "csv", "md")
@output_option
@store_option
def history(
    model: str | None,
    kind: str | None,
    limit: int,
    plot: str | None,
    quantity: str,
    output_format: str,
    output: str | None,
    store: str | None,
) -> None:
    """List what was counted and measured of MODEL, oldest first; without MODEL, the models."""
    from gadprof.errors import StoreError, nearest
    from gadprof.output import check_writable, emit, plot_suffix, write_atomic
    from gadprof.render.tables import render
    from gadprof.store.history import history_page, history_plot, models_page
    from gadprof.store.store import Store, chosen_path

    if output is not None:
        check_writable(output)
    suffix = ""
    if plot is not None:
        suffix = plot_suffix(plot)
        if model is None:
            raise click.UsageError("--plot needs a MODEL")
    path = chosen_path(store)
    if path is None:
        raise StoreError("the results store is off; name one with --store PATH")
    with Store(path, create=False) as opened:
        if model is not None and model not in opened.models():
            raise StoreError(
                f"the results store {str(path)!r} holds nothing of {model!r}"
                + (nearest(model, opened.models()) or "; 'gadprof history' lists what it holds")
            )
        kinds = (kind,) if kind else ()
        if model is None:
            page = models_page(opened.entries(kinds=kinds))
        else:
            entries = opened.entries(model, kinds=kinds, limit=limit)
            page = history_page(model, entries, f"{model}: {len(entries)} entries of {path}")
            if plot is not None:
                from gadprof.render.plots import render_plot

                write_atomic(plot, render_plot(history_plot(model, entries, quantity), suffix))
        text = render(page, output_format)
    emit(text, output)
