"""``gadprof search``: multi-objective search where the grid is too large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from gadprof.commands.option_types import SEED, Count
from gadprof.commands.options import command, limit_option, packed, plot_option, result_options
from gadprof.commands.search_measured import Timed, search_by_time, timed_options
from gadprof.commands.show import show
from gadprof.commands.sweep import Wanted, wanted_options
from gadprof.output import Output, plot_suffix
from gadprof.results.sentences import counted

OF_TIME = (
    "measure", "again", "reference", "beside", "receptive_field", "threads", "timeout_s", "cluster",
)  # fmt: skip


@dataclass(frozen=True)
class Trials:
    """How long the search goes on."""

    trials: int
    population: int
    seed: int


@command(
    name="search",
    example="gadprof search gadnet --width 16:64:8 --s 2,3",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("family")
@click.option("--input", "inputs", default="", metavar="HxW[,…]", help="Input sizes.")
@wanted_options
@packed(
    "run",
    Trials,
    click.option(
        "--trials", type=Count(2), default=2000, show_default=True, help="Designs to try."
    ),
    click.option(
        "--population",
        type=Count(2, 100_000),
        default=64,
        show_default=True,
        help="Designs of a generation.",
    ),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the search."),
)
@timed_options
@plot_option("Plot the front (svg, pdf or png).")
@limit_option(25, "Front rows to print: those nearest the budget.")
@result_options()
@click.pass_context
def search(
    ctx: click.Context,
    family: str,
    inputs: str,
    wanted: Wanted,
    run: Trials,
    timed: Timed,
    plot: str | None,
    limit: int,
    out: Output,
) -> int:
    """Search a space for its Pareto front with NSGA-II; knobs are options, as in 'sweep'.

    \b
    gadprof search gadnet --width 16:64:2 --s 2,3,4 --max macs=3G
    gadprof search hrnet --width 16:48:8 --blocks 1:4-1:4-1:6-1:6 --max macs=3G \\
        --objective latency:onnxruntime --objective latency:openvino

    With --objective it searches by measured time: some designs are built and measured, a model of
    their time is learned, those that it predicts fastest are measured next, and the best again.
    Exits 130 after Ctrl-C; what was measured is kept, and the same command goes on.
    """
    from gadprof.commands.sweep import (
        draw_front,
        input_texts,
        knob_options,
        nearest_budget,
        read_limits,
    )
    from gadprof.render.progress import Working
    from gadprof.results.page import page_of
    from gadprof.results.plain import describe_machine
    from gadprof.sweep.page import front_table
    from gadprof.sweep.run import Filters, read_objectives
    from gadprof.sweep.search import run_search
    from gadprof.sweep.space import make_space

    if plot is not None:
        plot_suffix(plot)
    space = make_space(family, knob_options(ctx.args), inputs)
    if timed.objectives:
        if plot is not None or typed(ctx, ("front_text",)):
            raise click.UsageError("--front and --plot are of costs; leave them out")
        if named := typed(ctx, ("trials", "population")):
            raise click.UsageError(
                f"{named} is of a search by costs; leave it out, or type --measure N"
            )
        limits = Filters(
            read_limits(wanted.largest, "--max"), read_limits(wanted.smallest, "--min")
        )
        return search_by_time(space, limits, timed, seed=run.seed, limit=limit, out=out)
    if named := typed(ctx, OF_TIME):
        raise click.UsageError(f"{named} is of measured time; add --objective latency:RUNTIME")
    asked = (wanted.front_text, *wanted.largest, *wanted.smallest)
    if any("latency" in text for text in asked):
        raise click.UsageError(
            "--front is of costs; measure latency with --objective latency:RUNTIME, or predict "
            "it with 'gadprof sweep'"
        )
    objectives = read_objectives(wanted.front_text)
    limits = Filters(read_limits(wanted.largest, "--max"), read_limits(wanted.smallest, "--min"))
    with Working("designs", run.trials) as work:
        result = run_search(
            space, objectives, limits, trials=run.trials, population=run.population,
            seed=run.seed, on_trial=lambda done: work.at("", done),
        )  # fmt: skip
    if plot is not None:
        draw_front(result.front, objectives, plot)
    shown = result.front if out.form != "table" else nearest_budget(result.front, limits, limit)

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
        f"seed {run.seed}"
    ]
    if result.exact is not None and result.reached is not None:
        notes.append(
            f"the exact front has {counted(len(result.exact), 'design')}; the search reached "
            f"{100 * result.reached:.2f} % of its hypervolume"
        )
    else:
        notes.append("the space is too large to enumerate, so the exact front is not known")
    if len(shown) < len(result.front):
        notes.append(f"{len(shown)} rows are shown; --limit {len(result.front)} shows all")
    table = front_table(shown, objectives, timed=False, notes=notes, inputs=input_texts(space))
    show(out, page_of(table, document=document, name="search"))
    return 0


def typed(ctx: click.Context, names: Sequence[str]) -> str:
    """The first of some parameters that was typed, as its option reads, or ""."""
    options = {param.name: param.opts[0] for param in ctx.command.params}
    given = click.core.ParameterSource.COMMANDLINE
    return next((options[name] for name in names if ctx.get_parameter_source(name) is given), "")
