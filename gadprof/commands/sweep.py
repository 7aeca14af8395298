"""``gadprof sweep``: every design of a space, filtered, and the Pareto front."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.options import format_option, tell_pieces

if TYPE_CHECKING:
    from gadprof.sweep.run import Objective

SHOWN = 25


@click.command(
    name="sweep",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("family")
@click.option("--input", "inputs", default="", metavar="HxW[,…]", help="Input sizes.")
@click.option("--max", "largest", multiple=True, metavar="QUANTITY=N", help="Largest that passes.")
@click.option("--min", "smallest", multiple=True, metavar="QUANTITY=N", help="Smallest.")
@click.option(
    "--front",
    "front_text",
    default="macs,params:max",
    show_default=True,
    help="Two or three quantities, minimised unless :max; latency is one.",
)
@click.option("--sample", type=click.IntRange(min=1), help="Draw this many designs at random.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of --sample."
)
@click.option(
    "--latency",
    metavar="DEVICE",
    help="Predict the front's latency on a device; for --front latency and --max latency=50ms too.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=256, show_default=True, help="For --latency."
)
@click.option("--plot", metavar="FILE", help="Plot the front (svg, pdf or png).")
@click.option("--cluster", metavar="ADDRESS", help="Run the chunks on a Dask scheduler.")
@click.option("--store", metavar="FILE", help="Results store that keeps a cluster's pieces.")
@click.option("--show", type=click.IntRange(min=1), default=SHOWN, help="Front rows to print.")
@format_option("table", "json", "csv", "md")
@click.option("-o", "--output", metavar="FILE.parquet", help="Write designs that pass as Parquet.")
@click.pass_context
def sweep(
    ctx: click.Context,
    family: str,
    inputs: str,
    largest: tuple[str, ...],
    smallest: tuple[str, ...],
    front_text: str,
    sample: int | None,
    seed: int,
    latency: str | None,
    batch: int,
    plot: str | None,
    cluster: str | None,
    store: str | None,
    show: int,
    output_format: str,
    output: str | None,
) -> None:
    """Cost every design of a space and keep the Pareto front.

    Knobs are options: --width 16:64:2 --s 2,3,4 --blocks 3-3-6-6,4-4-4-4 (a range includes its
    end); 'gadprof models --knobs gadnet32' lists them.
    """
    from gadprof.output import check_writable, emit, plot_suffix
    from gadprof.render.tables import render
    from gadprof.results.page import page_of
    from gadprof.sweep.latency import PART_DESIGNS, Timed, latency_sweep, split_objectives
    from gadprof.sweep.page import front_table
    from gadprof.sweep.run import Limits, read_objectives, run_sweep
    from gadprof.sweep.space import make_space

    if plot is not None:
        plot_suffix(plot)
    if output is not None:
        check_writable(output)
    space = make_space(family, knob_options(ctx.args), inputs)
    cost_text, timed = split_objectives(front_text)
    objectives = read_objectives(cost_text, least=1 if timed else 2)
    largest, longest_s = split_latency(largest)
    limits = Limits(read_limits(largest, "--max"), read_limits(smallest, "--min"))
    limits.check()
    wants_latency = timed is not None or longest_s is not None
    if wants_latency and latency is None:
        raise click.UsageError("latency is that of a device; type for example --latency rtx3090")
    if wants_latency and cluster is not None:
        raise click.UsageError("latency is predicted on this machine; leave --cluster out")
    identity: dict[str, Any] = {"sample": sample, "seed": seed}
    if latency is not None and wants_latency:
        chosen = Timed(latency, batch, timed is not None, longest_s)
        parts = None
        if output is not None:
            from gadprof.sweep.parquet import PartStore

            on_front = (*objectives, timed) if timed is not None else objectives
            parts = PartStore(
                output, space, on_front, limits, **identity,
                latency=chosen.describe(), part_designs=PART_DESIGNS,
            )  # fmt: skip
        with _progress("predicted") as report:
            result = latency_sweep(
                space, objectives, limits, chosen, **identity, store=parts, on_progress=report
            )
    elif cluster is not None:
        from gadprof.cluster.cluster import cluster_sweep

        result = cluster_sweep(
            cluster, space, objectives, limits,
            sample=sample, seed=seed, output=output, store=store, on_done=tell_pieces(),
        )  # fmt: skip
    else:
        parts = None
        if output is not None:
            from gadprof.sweep.parquet import PartStore

            parts = PartStore(output, space, objectives, limits, **identity)
        with _progress("designs") as report:
            result = run_sweep(
                space, objectives, limits, **identity, store=parts, on_progress=report
            )
    rows = list(result.front)
    if latency is not None and not wants_latency:
        rows = _with_latency(rows, latency, batch)
    if plot is not None:
        draw_front(rows, result.objectives, plot)
    shown = rows[:show] if output_format == "table" else rows
    notes = _notes(result, len(rows), show)
    table = front_table(shown, objectives, timed=latency is not None, notes=notes)
    page = page_of(table, document=lambda: sweep_object(result, rows), name="sweep")
    emit(render(page, output_format))


def draw_front(rows: Sequence[dict[str, Any]], objectives: Sequence[Objective], path: str) -> None:
    """Draw a front into a file of the kind that its suffix names. Raises OutputError."""
    from gadprof.output import plot_suffix, write_atomic
    from gadprof.render.plots import render_plot
    from gadprof.sweep.page import front_plot

    write_atomic(path, render_plot(front_plot(rows, objectives), plot_suffix(path)))


def knob_options(arguments: list[str]) -> dict[str, str]:
    """Read ``--width 16:64:2 --s=2,3`` into texts by knob; click.UsageError for anything else."""
    texts: dict[str, str] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise click.UsageError(f"unexpected {word!r}; knobs are options, as in --width 16:64:2")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                raise click.UsageError(f"--{name} has no value; type for example --{name} 2,3,4")
            value = words.pop(0)
        key = name.replace("-", "_")
        if key in texts:
            raise click.UsageError(f"--{name} is given twice; join the values with commas")
        texts[key] = value
    return texts


def read_limits(texts: tuple[str, ...], option: str) -> dict[str, int]:
    """Read ``params=12M`` and ``peak=64MiB``; several may stand in one text, parted by commas."""
    from gadprof.results.quantities import read_bytes, read_count
    from gadprof.sweep.run import quantity

    found: dict[str, int] = {}
    for part in (piece for text in texts for piece in text.replace(",", " ").split()):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise click.BadParameter(
                f"{part!r} is not QUANTITY=N; type params=12M", None, None, option
            )
        full = quantity(name)
        read = read_bytes if full.endswith("bytes") else read_count
        number = read(value, f"{option} {name}")
        if found.setdefault(full, number) != number:
            raise click.BadParameter(
                f"{name} is given as {found[full]:,} and as {number:,}; leave one out",
                None, None, option,
            )  # fmt: skip
    return found


def split_latency(texts: tuple[str, ...]) -> tuple[tuple[str, ...], float | None]:
    """Take ``latency=50ms`` out of the filters: the others, and the longest latency in seconds.

    Raises click.BadParameter.
    """
    parts = [piece for text in texts for piece in text.replace(",", " ").split()]
    timed = [part for part in parts if part.partition("=")[0] == "latency"]
    others = tuple(part for part in parts if part not in timed)
    if not timed:
        return others, None
    match = re.fullmatch(r"latency=(\d+(?:\.\d+)?)(s|ms|us)", timed[0])
    if match is None or len(timed) > 1:
        raise click.BadParameter(
            f"{' '.join(timed)!r} is not one duration; type latency=50ms", None, None, "--max"
        )
    return others, float(match[1]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[match[2]]


def sweep_object(result: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A sweep as plain values."""
    from gadprof.results.plain import describe_machine

    return {
        "space": result.space.describe(),
        "objectives": [item.text for item in result.objectives],
        "max": dict(result.limits.largest),
        "min": dict(result.limits.smallest),
        "sample": result.sampled,
        "designs": result.designs,
        "passed": result.passed,
        "checked": result.checked,
        "predicted": result.predicted,
        "resumed": result.resumed,
        "elapsed_s": result.elapsed_s,
        "front": rows,
        "machine": describe_machine(),
    }


def _notes(result: Any, front: int, shown: int) -> list[str]:
    objectives = ", ".join(item.text for item in result.objectives)
    if result.designs == result.resumed:
        rate = "the file was whole already"
    else:
        rate = f"{rate_text(result.rate)} designs/s"
    lines = [
        f"{result.designs:,} designs costed"
        + (f" (a sample of {result.space.size:,})" if result.sampled else "")
        + f", {result.passed:,} pass, {front:,} on the front of {objectives}"
        + (f" (latency asked for {result.predicted:,})" if result.predicted is not None else ""),
        f"{result.checked} designs costed again one by one agree; {rate}",
    ]
    if front > shown:
        lines.append(f"the first {shown} of the front are shown; --show {front} shows all")
    return lines


def _with_latency(rows: list[dict[str, Any]], device: str, batch: int) -> list[dict[str, Any]]:
    from gadprof.prediction.api import predict_models

    predicted = predict_models(
        [(row["model"], tuple(map(int, row["input"].split("x")))) for row in rows], device, batch
    )
    return [
        {**row, "predicted_latency_s": seconds}
        for row, seconds in zip(rows, predicted, strict=True)
    ]


def rate_text(rate: float) -> str:
    """Designs a second with a prefix that leaves digits: 22.9 M, 310 k, 42."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if rate >= size:
            return f"{rate / size:.3g}{letter}"
    return f"{rate:.3g}"


class _progress:  # noqa: N801
    """A progress bar on standard error, or nothing where that is not a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> Any:
        if not sys.stderr.isatty():
            self._bar: Any = None
            return None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._bar.start()
        task = self._bar.add_task("sweep", total=None)

        def report(state: Any) -> None:
            rate = rate_text(state.rate)
            text = f"{state.done:,} {self._what}, {rate}/s, front {state.front:,}"
            self._bar.update(task, total=state.total, completed=state.done, description=text)

        return report

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
