"""``gadprof sweep``: every design of a space, filtered, and the Pareto front."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gadprof.commands.option_types import BATCH, CARD, SEED, Count
from gadprof.commands.options import (
    cluster_option,
    command,
    limit_option,
    packed,
    plot_option,
    result_options,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, choose_output, plot_suffix, write_atomic
from gadprof.render.progress import Working
from gadprof.results.sentences import counted

SHOWN = 25


@dataclass(frozen=True)
class SweepOutput:
    """Where the front goes (``front``), and the Parquet file of the designs, if one is named."""

    front: Output
    designs: str | None


def choose_sweep_output(form: str | None, path: str | None, forms: Sequence[str]) -> SweepOutput:
    """``-o FILE.parquet`` takes the designs, any other file the front. Raises OutputError."""
    if path is not None and Path(path).suffix.lower() == ".parquet":
        check_writable(path)
        return SweepOutput(Output(form or forms[0]), path)
    return SweepOutput(choose_output(form, path, forms), None)


@dataclass(frozen=True)
class Wanted:
    """What passes and what is best."""

    largest: tuple[str, ...]
    smallest: tuple[str, ...]
    front_text: str


@dataclass(frozen=True)
class Timing:
    """The device whose latency is predicted."""

    latency: str | None
    batch: int


@dataclass(frozen=True)
class Run:
    """Which designs are costed, and where."""

    sample: int | None
    seed: int
    cluster: str | None
    store: str | None


def wanted_options(function: Any) -> Any:
    """``--max``, ``--min`` and ``--front``, as ``wanted``."""
    return packed(
        "wanted",
        Wanted,
        click.option(
            "--max", "largest", multiple=True, metavar="QUANTITY=N", help="Largest that passes."
        ),
        click.option("--min", "smallest", multiple=True, metavar="QUANTITY=N", help="Smallest."),
        click.option(
            "--front",
            "front_text",
            default="macs,params:max",
            show_default=True,
            help="Two or three quantities, minimised unless :max; latency is one.",
        ),
    )(function)


@command(
    name="sweep",
    example="gadprof sweep gadnet --width 16:64:8 --s 2,3",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("family")
@click.option("--input", "inputs", default="", metavar="HxW[,…]", help="Input sizes.")
@wanted_options
@packed(
    "timing",
    Timing,
    click.option(
        "--latency",
        type=CARD,
        help="Predict the front's latency on a device; for --front latency and --max latency=50ms "
        "too.",
    ),
    click.option("--batch", type=BATCH, default=256, show_default=True, help="For --latency."),
)
@packed(
    "run",
    Run,
    click.option("--sample", type=Count(), help="Draw this many designs at random."),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of --sample."),
    cluster_option("Run the chunks on a Dask scheduler."),
    click.option("--store", metavar="FILE", help="Results store that keeps a cluster's pieces."),
)
@plot_option("Plot the front (svg, pdf or png).")
@limit_option(SHOWN, "Front rows to print: those nearest the budget.")
@result_options(checked=choose_sweep_output)
@click.pass_context
def sweep(
    ctx: click.Context,
    family: str,
    inputs: str,
    wanted: Wanted,
    timing: Timing,
    run: Run,
    plot: str | None,
    limit: int,
    out: SweepOutput,
) -> None:
    """Cost every design of a space and keep the Pareto front.

    Knobs are options: --width 16:64:2 --s 2,3,4 --blocks 3-3-6-6,4-4-4-4 (a range includes its
    end); 'gadprof models --knobs gadnet32' lists them. -o FILE.parquet takes every design that
    passes, -o with another suffix the front.
    """
    from gadprof.results.page import page_of
    from gadprof.sweep.latency import split_objectives
    from gadprof.sweep.page import front_table
    from gadprof.sweep.run import Filters, read_objectives
    from gadprof.sweep.space import make_space

    if plot is not None:
        plot_suffix(plot)
    space = make_space(family, knob_options(ctx.args), inputs)
    cost_text, timed = split_objectives(wanted.front_text)
    objectives = read_objectives(cost_text, least=1 if timed else 2)
    largest, longest_s = split_latency(wanted.largest)
    limits = Filters(read_limits(largest, "--max"), read_limits(wanted.smallest, "--min"))
    limits.check()
    asks = timed is not None or longest_s is not None
    if asks and timing.latency is None:
        raise click.UsageError("latency is that of a device; type for example --latency rtx3090")
    if asks and run.cluster is not None:
        raise click.UsageError("latency is predicted on this machine; leave --cluster out")
    task = _Task(space, objectives, limits, run, out.designs)
    result = _timed(task, timing, timed, longest_s) if asks else _costed(task)
    rows = list(result.front)
    if timing.latency is not None and not asks:
        rows = _with_latency(rows, timing.latency, timing.batch)
    if plot is not None:
        draw_front(rows, result.objectives, plot)
    front = out.front
    shown = rows if front.form != "table" else nearest_budget(rows, limits, limit)
    table = front_table(
        shown,
        objectives,
        timed=timing.latency is not None,
        notes=_notes(result, len(rows), len(shown)),
        inputs=input_texts(space),
    )
    show(front, page_of(table, document=lambda: sweep_object(result, rows), name="sweep"))


def input_texts(space: Any) -> list[str]:
    """Every input of a space, as rows say it: where there are several, each row says its own."""
    return ["x".join(map(str, shape)) for shape in space.axis("input").values]


def draw_front(rows: Sequence[dict[str, Any]], objectives: Any, path: str) -> None:
    """Draw a front into a file of the kind that its suffix names. Raises OutputError."""
    from gadprof.render.plots import render_plot
    from gadprof.sweep.page import front_plot

    write_atomic(path, render_plot(front_plot(rows, objectives), plot_suffix(path)))


@dataclass(frozen=True)
class _Task:
    """A space with what passes and what is best, and how it is run."""

    space: Any
    objectives: Any
    limits: Any
    run: Run
    designs: str | None

    def parts(self, objectives: Any, **further: Any) -> Any:
        """The Parquet file that keeps the parts, or None."""
        if self.designs is None:
            return None
        from gadprof.sweep.parquet import PartStore

        return PartStore(
            self.designs, self.space, objectives, self.limits,
            sample=self.run.sample, seed=self.run.seed, **further,
        )  # fmt: skip


def _timed(task: _Task, timing: Timing, timed: Any, longest_s: float | None) -> Any:
    """The sweep with predicted latency among its objectives or limits."""
    from gadprof.sweep.latency import PART_DESIGNS, Timed, latency_sweep

    assert timing.latency is not None
    chosen = Timed(timing.latency, timing.batch, timed is not None, longest_s)
    on_front = (*task.objectives, timed) if timed is not None else task.objectives
    parts = task.parts(on_front, latency=chosen.describe(), part_designs=PART_DESIGNS)
    with Working("latency:") as work:
        return latency_sweep(
            task.space, task.objectives, task.limits, chosen, sample=task.run.sample,
            seed=task.run.seed, store=parts, on_progress=_told(work, "predicted"),
        )  # fmt: skip


def _costed(task: _Task) -> Any:
    """The sweep over exact costs alone, here or on a cluster."""
    run = task.run
    if run.cluster is not None:
        from gadprof.cluster.clients import cluster_sweep

        with Working("tasks") as work:
            return cluster_sweep(
                run.cluster, task.space, task.objectives, task.limits, sample=run.sample,
                seed=run.seed, output=task.designs, store=run.store, on_done=work.count,
            )  # fmt: skip
    from gadprof.sweep.run import run_sweep

    with Working("sweep:") as work:
        return run_sweep(
            task.space, task.objectives, task.limits, sample=run.sample, seed=run.seed,
            store=task.parts(task.objectives), on_progress=_told(work, "designs"),
        )  # fmt: skip


def nearest_budget(rows: Sequence[dict[str, Any]], limits: Any, count: int) -> list[dict[str, Any]]:
    """The rows that use most of what the limits allow, in their order; without limits a spread."""
    if len(rows) <= count:
        return list(rows)
    if not limits.largest and not limits.smallest:
        last = len(rows) - 1
        places = sorted({round(index * last / max(1, count - 1)) for index in range(count)})
        return [rows[place] for place in places]

    def slack(place: int) -> float:
        row = rows[place]
        pairs = [*limits.largest.items(), *limits.smallest.items()]
        return float(
            sum(abs(row[name] - bound) / max(1, bound) for name, bound in pairs if name in row)
        )

    return [rows[place] for place in sorted(sorted(range(len(rows)), key=slack)[:count])]


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
    for part in _parts(texts, option):
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


def _parts(texts: tuple[str, ...], option: str) -> list[str]:
    """Each ``QUANTITY=N`` of an option that may hold several; an empty text is bad use."""
    found = [text.replace(",", " ").split() for text in texts]
    if not all(found):
        raise click.BadParameter("it is empty; type params=12M", None, None, option)
    return [part for parts in found for part in parts]


def split_latency(texts: tuple[str, ...]) -> tuple[tuple[str, ...], float | None]:
    """Take ``latency=50ms`` out of the filters: the others, and the longest latency in seconds.

    Raises click.BadParameter.
    """
    parts = _parts(texts, "--max")
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
        counted(result.designs, "design")
        + " costed"
        + (f" (a sample of {result.space.size:,})" if result.sampled else "")
        + f", {result.passed:,} pass, {front:,} on the front of {objectives}"
        + (f" (latency asked for {result.predicted:,})" if result.predicted is not None else ""),
        f"{counted(result.checked, 'design')} costed again one by one, and none differs; {rate}",
    ]
    if front > shown:
        limits = [f"{name} {bound:,}" for name, bound in result.limits.largest.items()]
        limits += [f"{name} {bound:,}" for name, bound in result.limits.smallest.items()]
        which = f"nearest {' and '.join(limits)}" if limits else "spread over the whole front"
        lines.append(f"{shown} of {front} rows are shown, {which}; --limit {front} shows all")
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


def _told(work: Working, what: str) -> Callable[[Any], None]:
    """What says on the progress line how far a sweep is."""

    def report(state: Any) -> None:
        text = f"{state.done:,} {what}, {rate_text(state.rate)}/s, front {state.front:,}"
        work.at(text, state.done, state.total)

    return report
