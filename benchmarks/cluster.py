"""What a cluster costs and gains: the overhead of a task, and a sweep by two workers against one.

    python benchmarks/cluster.py [--tasks N] [--repeats N] [--quick]

A local Dask cluster of worker processes with one thread each; the client and the scheduler are
this process. Targets: a task that does nothing takes at most 10 ms; two workers sweep at 1.7 times
the rate of one or more; exit code 1 where one is missed. The sweep of 403 million designs keeps one
worker busy for about 20 s. Where other processes share the cores the wall ratio is theirs as much
as ours, so that the CPU time of each worker and of the client stand beside it, with the ratio that
they would give on cores of their own: (all of the worker's CPU time + the client's) over (that of
the busier worker + the client's).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import distributed

from gadprof.cluster.clients import cluster_sweep
from gadprof.cluster.journal import open_journal
from gadprof.cluster.run import Task, run_tasks
from gadprof.cluster.transport import connect
from gadprof.results.plain import describe_machine
from gadprof.sweep.run import Filters, read_objectives
from gadprof.sweep.space import make_space

KNOBS = {"width": "16:64", "d": "3,5", "s": "2,3,4", "modules": "1:2-1:6-1:4"}
WHOLE = {**KNOBS, "blocks": "1:13-1:13-1:13-1:13"}  # 403 million designs
TENTH = {**KNOBS, "blocks": "1:8-1:8-1:8-1:6"}
WARM = {**KNOBS, "blocks": "1:4-1:4-1:4-1:4"}
MOST_S, LEAST_RATIO = 0.010, 1.7


@dataclass(frozen=True)
class Timed:
    """One sweep: seconds by the clock, of CPU time of each worker, and of this process."""

    wall_s: float
    workers_s: tuple[float, ...]
    client_s: float


def start(workers: int) -> Any:
    """A cluster of worker processes on this machine."""
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=50,
    )


def task_overhead(address: str, tasks: int, store: str) -> tuple[float, float]:
    """Seconds a task that does nothing, with its result kept, and the client's CPU time of it."""
    with connect(address) as client, open_journal(store) as journal:
        list(run_tasks(client, _nothing(16, "warm"), journal))
        started, busy = time.monotonic(), time.process_time()
        list(run_tasks(client, _nothing(tasks, "timed"), journal))
        return (time.monotonic() - started) / tasks, (time.process_time() - busy) / tasks


def _nothing(count: int, word: str) -> list[Task]:
    return [Task("builtins:dict", {word: i}) for i in range(count)]


def busy_workers(cluster: Any) -> list[float]:
    """CPU seconds that each worker process has had."""
    with connect(cluster.scheduler_address) as client:
        return [seconds for _, seconds in sorted(client.run(time.process_time).items())]


def timed_sweep(cluster: Any, knobs: dict[str, str], store: str) -> Timed:
    """A whole sweep, as the command runs it."""
    space = make_space("gadnet", knobs)
    before = busy_workers(cluster)
    started, own = time.monotonic(), time.process_time()
    cluster_sweep(
        cluster.scheduler_address, space, read_objectives("macs,params:max"), Filters({}),
        sample=None, seed=0, output=None, store=store,
    )  # fmt: skip
    wall, own = time.monotonic() - started, time.process_time() - own
    after = busy_workers(cluster)
    return Timed(wall, tuple(b - a for a, b in zip(before, after, strict=True)), own)


def said(name: str, times: list[Timed]) -> str:
    """The median sweep in words."""
    chosen = sorted(times, key=lambda item: item.wall_s)[len(times) // 2]
    workers = " + ".join(f"{seconds:.2f}" for seconds in chosen.workers_s)
    return f"{name}: {chosen.wall_s:.2f} s; CPU: workers {workers}, client {chosen.client_s:.2f} s"


def alone(one: Timed, two: Timed) -> float:
    """The ratio that the CPU times would give on cores of their own."""
    return (sum(one.workers_s) + one.client_s) / (max(two.workers_s) + two.client_s)


@click.command()
@click.option("--tasks", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--quick", is_flag=True, help="A tenth of the designs: too few to carry a claim.")
def main(tasks: int, repeats: int, quick: bool) -> None:
    """Print both figures beside their targets; exit code 1 where one is missed."""
    knobs = TENTH if quick else WHOLE
    times: dict[int, list[Timed]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        with start(2) as cluster:
            store = str(Path(folder) / "tasks.sqlite")
            overhead, busy = task_overhead(cluster.scheduler_address, tasks, store)
        for turn in range(repeats):
            for count in (1, 2):
                with start(count) as cluster:  # alone: an idle cluster takes time too
                    timed_sweep(cluster, WARM, str(Path(folder) / f"warm-{count}-{turn}.sqlite"))
                    store = str(Path(folder) / f"{count}-{turn}.sqlite")
                    times[count].append(timed_sweep(cluster, knobs, store))
    pairs = list(zip(times[1], times[2], strict=True))
    ratio = median(a.wall_s / b.wall_s for a, b in pairs)
    own = median(alone(a, b) for a, b in pairs)
    click.echo(
        f"a task of {tasks}: {1e3 * overhead:.2f} ms, of which the client computes "
        f"{1e3 * busy:.2f} ms: {_verdict(overhead <= MOST_S)} (at most {1e3 * MOST_S:.0f} ms)"
    )
    click.echo(f"sweep of {make_space('gadnet', knobs).size:,} designs")
    click.echo(said("one worker", times[1]))
    click.echo(said("two workers", times[2]))
    click.echo(
        f"two against one: {ratio:.2f} by the clock: {_verdict(ratio >= LEAST_RATIO)} (at least "
        f"{LEAST_RATIO}); {own:.2f} by CPU time"
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    click.echo(f"on {describe_machine().cpu}, {os.cpu_count()} cores, load {load}")
    sys.exit(0 if overhead <= MOST_S and ratio >= LEAST_RATIO else 1)


def _verdict(passed: bool) -> str:
    return "pass" if passed else "FAIL"


if __name__ == "__main__":
    main()
