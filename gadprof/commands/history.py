"""``gadprof history``: what the results store holds of a model, as a list and as a figure."""

from __future__ import annotations

import click

from gadprof.commands.option_types import MODEL
from gadprof.commands.options import (
    command,
    limit_option,
    plot_option,
    result_options,
    store_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, plot_suffix, write_atomic
from gadprof.store.history import QUANTITIES


@command(name="history")
@click.argument("model", required=False, metavar="[MODEL]", type=MODEL)
@click.option(
    "--kind",
    type=click.Choice(("cost", "count", "measurement", "accuracy", "training", "redundancy")),
    help="Only these.",
)
@limit_option(20, "Newest entries.")
@plot_option("Also draw one figure over the entries (svg, pdf, png).")
@click.option(
    "--quantity",
    type=click.Choice(QUANTITIES),
    metavar="QUANTITY",
    default="macs",
    show_default=True,
    help=f"What --plot draws: {', '.join(QUANTITIES)}.",
)
@result_options()
@store_option
def history(
    model: str | None,
    kind: str | None,
    limit: int,
    plot: str | None,
    quantity: str,
    out: Output,
    store: str | None,
) -> None:
    """List what was counted and measured of MODEL, oldest first; without MODEL, the models."""
    from gadprof.errors import StoreError, nearest
    from gadprof.results.sentences import counted
    from gadprof.store.history import history_page, history_plot, models_page
    from gadprof.store.store import Store, chosen_path

    suffix = ""
    if plot is not None:
        suffix = plot_suffix(plot)
        if model is None:
            raise click.UsageError("--plot needs a MODEL")
    path = chosen_path(store)
    if path is None:
        raise StoreError("the results store is off; name one with --store PATH")
    kinds = (kind,) if kind else ()
    with Store(path, create=False) as opened:
        if model is None:
            show(out, models_page(opened.summaries(kinds)))
            return
        if model not in opened.models():
            raise StoreError(
                f"the results store {str(path)!r} holds nothing of {model!r}"
                + (nearest(model, opened.models()) or "; 'gadprof history' lists what it holds")
            )
        entries = opened.entries(model, kinds=kinds, limit=limit)
    if plot is not None:
        from gadprof.render.plots import render_plot

        write_atomic(plot, render_plot(history_plot(model, entries, quantity), suffix))
    title = f"{model}: {counted(len(entries), 'entry', 'entries')} of {path}"
    show(out, history_page(model, entries, title))
