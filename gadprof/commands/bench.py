"""``gadprof bench``: measured latency ratios with intervals, memory and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from gadprof.commands.measure_options import LimitOptions, Settings, limit_options, setting_options
from gadprof.commands.option_types import LIMIT, SIZE
from gadprof.commands.options import (
    cluster_option,
    command,
    input_option,
    models_argument,
    packed,
    result_options,
    store_option,
)
from gadprof.commands.show import show
from gadprof.output import Output, tell


@dataclass(frozen=True)
class Probes:
    """What is measured beside the time, and how often models start afresh."""

    memory_limit: int | None
    launches: int | None
    null: bool
    memory: bool
    energy: bool
    keep: str | None

    def named(self) -> dict[str, Any]:
        """As the measuring functions call them."""
        return {
            "memory_limit_bytes": self.memory_limit,
            "launches": self.launches,
            "null": self.null,
            "memory": self.memory,
            "energy": self.energy,
            "keep": self.keep,
        }


@command(name="bench", example="gadprof bench hrnet32 gadnet32")
@models_argument()
@input_option
@setting_options
@limit_options("2%", "60s")
@packed(
    "probes",
    Probes,
    click.option(
        "--memory-limit",
        type=SIZE,
        help="Kill a model that grows beyond, like 4GiB.  [default: 90 % of what is free]",
    ),
    click.option(
        "--launches",
        type=LIMIT,
        help="Start every model afresh at most this often.  [default: as often as time allows]",
    ),
    click.option(
        "--null/--no-null", default=True, help="Measure the first model against itself too."
    ),
    click.option("--memory/--no-memory", default=True, help="Record peak memory."),
    click.option("--energy/--no-energy", default=True, help="Read energy counters."),
    click.option(
        "--keep",
        metavar="FOLDER",
        help="Keep the files that runtimes make of a model, and take those that lie there.",
    ),
)
@cluster_option("One task a model on a Dask scheduler.")
@result_options("latex")
@store_option
def bench(
    models: tuple[str, ...],
    input_texts: tuple[str, ...],
    settings: Settings,
    limits: LimitOptions,
    probes: Probes,
    cluster: str | None,
    out: Output,
    store: str | None,
) -> int:
    """Measure the latency of MODELS in interleaved blocks, each in a process of its own.

    \b
    gadprof bench hrnet32 gadnet32
    gadprof bench timm:resnet18 --batch 1,8 --runtime eager,onnxruntime
    gadprof bench hrnet32 gadnet32 --runtime all --precision fp32,int8
    gadprof bench a.py:build b.py:build --precision 1% --time-limit 2m -o run.json

    Ratios are to the first model. Exits 1 when a row failed, 130 after Ctrl-C (what was measured
    until then is printed all the same).
    """
    from gadprof.models.sources import given_inputs

    models, shapes = given_inputs(models, input_texts)
    chosen = settings.read(shapes, limits.formats)
    options = {**limits.named(), **probes.named(), "seed": settings.seed}
    if cluster is not None:
        from gadprof.cluster.clients import cluster_bench
        from gadprof.render.progress import Working

        with Working("tasks") as work:
            result = cluster_bench(
                cluster, models, chosen, options=options, store=store, on_done=work.count
            )
    else:
        from gadprof.measuring.bench import measure
        from gadprof.render.live import live_view
        from gadprof.store.recording import MeasurementRecorder

        with MeasurementRecorder(store) as recorder, live_view() as view:
            result = measure(models, chosen, progress=view, on_turn=recorder.turn, **options)
            recorder.finish(result)
    show(out, result.page())
    if not out.seen:
        tell_failures(result.rows, interrupted=result.interrupted)
    return int(result.exit_code)


def tell_failures(rows: Sequence[Any], *, interrupted: bool) -> None:
    """Say on standard error which ``rows`` (with ``model`` and ``error``) failed, and of what."""
    for row in rows:
        if row.error:
            tell(f"gadprof: {row.model}: {row.error}")
    if interrupted:
        tell("gadprof: interrupted; the rows hold what was measured until then")
