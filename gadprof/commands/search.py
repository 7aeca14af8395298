"""``gadprof search``: multi-objective search where the grid is too large."""

from __future__ import annotations

import sys
from typing import Any

import click

from gadprof.commands.options import format_option, output_option


@click.command(
    name="search",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("family")
@click.option("--input", "inputs", default="", metavar="HxW[,…]", help="Input sizes.")
@click.option("--max", "largest", multiple=True, metavar="QUANTITY=N", help="Largest allowed.")
@click.option("--min", "smallest", multiple=True, metavar="QUANTITY=N", help="Smallest allowed.")
@click.option("--front", "front_text", default="macs,params:max", show_default=True)
@click.option("--trials", type=click.IntRange(min=2), default=2000, show_default=True)
@click.option("--population", type=click.IntRange(min=2), default=64, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--plot", metavar="FILE", help="Plot the front (svg, pdf or png).")
@format_option("table", "json", "csv", "md")
@output_option
@click.pass_context
def search(
    ctx: click.Context,
    family: str,
    inputs: str,
    largest: tuple[str, ...],
    smallest: tuple[str, ...],
    front_text: str,
    trials: int,
    population: int,
    seed: int,
    plot: str | None,
    output_format: str,
    output: str | None,
) -> None:
    """Search a space for its Pareto front with NSGA-II; knobs are options, as in 'sweep'."""
    from gadprof.commands.sweep import draw_front, knob_options, read_limits
    from gadprof.output import check_writable, emit, plot_suffix
    from gadprof.render.tables import render
    from gadprof.results.page import page_of
    from gadprof.results.plain import describe_machine
    from gadprof.sweep.page import front_table
    from gadprof.sweep.run import Limits, read_objectives
    from gadprof.sweep.search import run_search
    from gadprof.sweep.space import make_space

    if output is not None:
        check_writable(output)
    if plot is not None:
        plot_suffix(plot)
    space = make_space(family, knob_options(ctx.args), inputs)
    if "latency" in front_text or any("latency" in text for text in (*largest, *smallest)):
        raise click.UsageError("search knows costs alone; predict latency with 'gadprof sweep'")
    objectives = read_objectives(front_text)
    limits = Limits(read_limits(largest, "--max"), read_limits(smallest, "--min"))

    def report(done: int) -> None:
        if sys.stderr.isatty() and (done % 50 == 0 or done == trials):
            click.echo(f"\r{done}/{trials} designs", nl=done == trials, err=True)

    result = run_search(
        space, objectives, limits,
        trials=trials, population=population, seed=seed, on_trial=report,
    )  # fmt: skip
    if plot is not None:
        draw_front(result.front, objectives, plot)

    def document() -> dict[str, Any]:
        return {
            "space": space.describe(),
            "objectives": [item.text for item in objectives],
            "max": dict(limits.largest),
            "min": dict(limits.smallest),
            "trials": result.trials,
            "distinct": result.distinct,
            "seed": result.seed,
            "front": result.front,
            "exact_front": result.exact,
            "reached_hypervolume": result.reached,
            "elapsed_s": result.elapsed_s,
            "machine": describe_machine(),
        }

    notes = [
        f"{result.trials:,} trials, {result.distinct:,} different designs of {space.size:,}, "
        f"{len(result.front)} on the front of {', '.join(o.text for o in objectives)}, "
        f"seed {seed}"
    ]
    if result.exact is not None and result.reached is not None:
        notes.append(
            f"the exact front has {len(result.exact)} designs; the search reached "
            f"{100 * result.reached:.2f} % of its hypervolume"
        )
    else:
        notes.append("the space is too large to enumerate, so the exact front is not known")
    table = front_table(result.front, objectives, timed=False, notes=notes)
    emit(render(page_of(table, document=document, name="search"), output_format), output)
