"""What keeping results costs: samples and entries a second, bytes each, opening, and a command.

Ratios are within one run: a sample that is kept (one transaction) to the same insert in a bare
SQLite file of the same settings, and 'compare' with the store to 'compare --store off'.

python benchmarks/store.py [--samples 2000] [--entries 20000] [--runs 9]
"""

from __future__ import annotations

import os
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


@click.command()
@click.option("--samples", default=2000, show_default=True)
@click.option("--entries", default=20_000, show_default=True)
@click.option("--runs", default=9, show_default=True)
def main(samples: int, entries: int, runs: int) -> None:
    """Measure on a fresh store in a temporary folder."""
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
