"""What a cluster costs and gains: the overhead of a task, and a sweep by two workers against one.

    python benchmarks/cluster.py [--tasks N] [--repeats N]

A local Dask cluster of worker processes with one thread each. Targets: a task that does nothing
takes at most 10 ms; two workers sweep at 1.7 times the rate of one or more. Where other processes
share the cores the second figure is theirs as much as ours, so the load is printed.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import distributed

from gadprof.cluster import Task, cluster_sweep, connect, open_journal, run_tasks
from gadprof.results import describe_machine
from gadprof.sweep.run import Limits, read_objectives
from gadprof.sweep.space import make_space

# 58 million designs, so that there are many ranges to share out
SPACE = {
    "width": "16:64",
    "d": "3,5",
    "s": "2,3,4",
    "blocks": "1:8-1:8-1:8-1:8",
    "modules": "1:2-1:6-1:4",
}


def start(workers: int) -> Any:
    """A cluster of worker processes on this machine."""
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
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


def sweep_seconds(address: str, store: str) -> float:
    """Seconds of a whole sweep."""
    space = make_space("gadnet", SPACE)
    started = time.monotonic()
    cluster_sweep(
        address, space, read_objectives("macs,params:max"), Limits({}),
        sample=None, seed=0, output=None, store=store,
    )  # fmt: skip
    return time.monotonic() - started


@click.command()
@click.option("--tasks", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
def main(tasks: int, repeats: int) -> None:
    """Print both figures beside their targets."""
    with tempfile.TemporaryDirectory() as folder, start(1) as one, start(2) as two:
        overhead, busy = task_overhead(two.scheduler_address, tasks, str(Path(folder) / "a.sqlite"))
        click.echo(
            f"a task of {tasks}: {1e3 * overhead:.2f} ms (at most 10), of "
            f"which the client computes {1e3 * busy:.2f} ms"
        )
        times: dict[str, list[float]] = {"one": [], "two": []}
        for turn in range(repeats + 1):  # the first warms the workers up
            for name, cluster in (("one", one), ("two", two)):
                store = str(Path(folder) / f"{name}{turn}.sqlite")
                times[name].append(sweep_seconds(cluster.scheduler_address, store))
        ratios = [a / b for a, b in zip(times["one"][1:], times["two"][1:], strict=True)]
        click.echo(
            f"sweep: one worker {median(times['one'][1:]):.2f} s, two "
            f"{median(times['two'][1:]):.2f} s, ratio {median(ratios):.2f} (at least 1.7)"
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    click.echo(f"on {describe_machine().cpu}, {os.cpu_count()} cores, load {load}")


if __name__ == "__main__":
    main()
