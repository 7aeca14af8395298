"""What keeping results costs: samples and entries a second, bytes each, opening, and a command.

Ratios are within one run: a sample that is kept (one transaction) to the same insert in a bare
SQLite file of the same settings, and 'compare' with the store to 'compare --store off'.

A big store (``--rows``) is read by 'history', whose time is told beside that of the same command on
a store of one entry; and 10,000 counts in one process (``--counts``) by what its memory grows.

python benchmarks/store.py [--samples 2000] [--entries 20000] [--runs 9] [--rows 100000]
    [--counts 10000]
"""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from gadprof.results.plain import describe_machine
from gadprof.store.store import NewEntry, Store

RESULT = {
    "params": 28_536_113,
    "macs": 7_645_003_776,
    "flops": 15_360_000_000,
    "activations": 19_120_000,
    "peak_activation_bytes": 10_813_440,
    "weight_bytes": 114_144_452,
}
SETTINGS = {"input": [[3, 256, 192]], "batch": 1, "method": "analytic"}


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_rate(path: Path, count: int) -> float:
    """Single inserts a second into an SQLite file with the store's settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE s (e INTEGER, p INTEGER, v TEXT, PRIMARY KEY (e, p))")

    def insert() -> None:
        for index in range(count):
            connection.execute("INSERT INTO s VALUES (1, ?, ?)", (index, repr(index / 7)))

    taken = seconds(insert)
    connection.close()
    return count / taken


def histories(folder: Path, rows: int, runs: int) -> None:
    """What 'history' takes on a big store, beside what it takes on a small one."""
    big, small = folder / "big.sqlite", folder / "one.sqlite"
    names = ["hrnet32", *(f"gadnet32:width={n}" for n in range(999))]
    many = [
        NewEntry("cost", names[n % 1000 if n % 2 else 0], RESULT, SETTINGS) for n in range(rows)
    ]
    for path, entries in ((big, many), (small, many[:1])):
        with Store(path) as store:
            store.add(entries, name="kept")
    commands = {
        "history": [],
        "history hrnet32": ["hrnet32"],
        "history hrnet32, all": ["hrnet32", "--limit", str(min(rows, 100_000)), "--format", "csv"],
        "history --plot, 2000": [
            "hrnet32", "--limit", "2000", "--plot", str(folder / "h.svg"), "--format", "csv"
        ],
    }  # fmt: skip
    for word, arguments in commands.items():
        taken: dict[Path, list[float]] = {big: [], small: []}
        for _ in range(runs):
            for path, times in taken.items():
                times.append(command_seconds(["history", *arguments, "--store", str(path)]))
        at_big, at_small = (statistics.median(times) for times in taken.values())
        click.echo(
            f"{word}: {at_big:.2f} s of the processor with {rows:,} entries, "
            f"{at_small:.2f} s with one"
        )


def command_seconds(arguments: list[str]) -> float:
    """The processor's time of a command, so that a busy machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "gadprof", *arguments], stdout=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def growth(counts: int) -> float:
    """By how many MiB a process grows from its hundredth count to its last."""
    import psutil
    import torch

    import gadprof

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(288, 5),
    )  # fmt: skip
    x, process, at_first = torch.zeros(2, 3, 8, 8), psutil.Process(), 0
    for number in range(counts):
        gadprof.count(model, (x,), train=number % 4 == 0)
        if number == 99:
            at_first = process.memory_info().rss
    return float((process.memory_info().rss - at_first) / 2**20)


@click.command()
@click.option("--samples", default=2000, show_default=True)
@click.option("--entries", default=20_000, show_default=True)
@click.option("--runs", default=9, show_default=True)
@click.option("--rows", default=100_000, show_default=True)
@click.option("--counts", default=10_000, show_default=True)
def main(samples: int, entries: int, runs: int, rows: int, counts: int) -> None:
    """Measure on a fresh store in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        histories(Path(folder), rows, min(runs, 3))
    if counts > 100:
        click.echo(f"{counts:,} counts: {growth(counts):.1f} MiB more than after the first hundred")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.sqlite"
        with Store(path) as store:
            store.add([NewEntry("cost", "m", RESULT, SETTINGS)])
            recording = store.start("measurement", "m", SETTINGS)
            taken = seconds(lambda: [recording.sample(index / 7) for index in range(samples)])
        bare = bare_rate(Path(folder) / "bare.sqlite", samples)
        rate = samples / taken
        click.echo(
            f"samples kept one by one: {rate:,.0f} a second, {1e6 / rate:.0f} µs each, "
            f"{bare / rate:.2f} x the time of a bare insert"
        )
        many = [NewEntry("cost", f"gadnet32:width={n}", RESULT, SETTINGS) for n in range(entries)]
        before = path.stat().st_size
        with Store(path) as store:
            taken = seconds(lambda: store.add(many))
        size = path.stat().st_size
        click.echo(
            f"entries in one transaction: {entries / taken:,.0f} a second, "
            f"{(size - before) / entries:.0f} bytes each; the file has {size / 2**20:.1f} MiB"
        )
        opening = [seconds(lambda: Store(path).close()) for _ in range(runs)]
        click.echo(f"opening it to write: {1e3 * statistics.median(opening):.2f} ms")
        reading = [seconds(lambda: Store(path, create=False).close()) for _ in range(min(runs, 5))]
        click.echo(f"opening it to read, whole check: {1e3 * statistics.median(reading):.1f} ms")
        with Store(path, create=False) as store:
            one = [seconds(lambda: store.entries("gadnet32:width=7")) for _ in range(runs)]
        click.echo(f"one model's history: {1e3 * statistics.median(one):.2f} ms")
        times: dict[str, list[float]] = {"off": [], str(Path(folder) / "small.sqlite"): []}
        for _ in range(runs + 1):
            for where, taken_s in times.items():
                command = [sys.executable, "-m", "gadprof", "compare", "hrnet32", "gadnet32"]
                taken_s.append(
                    seconds(
                        lambda command=command, where=where: subprocess.run(  # type: ignore[misc]
                            [*command, "--store", where], stdout=subprocess.DEVNULL, check=True,
                            env=os.environ,
                        )
                    )
                )  # fmt: skip
        off, on = (statistics.median(values[1:]) for values in times.values())
        click.echo(
            f"compare with the store: {1e3 * on:.0f} ms against {1e3 * off:.0f} ms without, "
            f"{on / off:.3f} x"
        )
    click.echo(f"on {describe_machine().cpu}")


if __name__ == "__main__":
    main()
