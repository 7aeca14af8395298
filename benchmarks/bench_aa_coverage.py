"""How often the 95 % interval of a model's ratio to itself holds 1: interleaved, and blocked.

Two worker processes hold the same model. A repetition takes turns of both in interleaved blocks
and asks whether the interval holds 1; beside it the same number of turns is taken blocked (all of
one process, then all of the other). Once on the machine as it is, once with one core kept busy.

    python benchmarks/bench_aa_coverage.py [--quick] [--model timm:resnet18]

About 5 minutes; --quick (10 repetitions) about 1 minute. Wanted: at least 90 % of 40.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics as stdlib_statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from gadprof.measuring import schedule, statistics
from gadprof.measuring.isolation import Worker, load, quietest_cpus
from gadprof.measuring.settings import Setting
from gadprof.results import describe_machine

BLOCKS = 24


@contextlib.contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Keep one core busy with a Python loop while the block runs."""
    if not wanted:
        yield
        return
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        burner.kill()
        burner.wait()


def turn(worker: Worker, latency_s: float) -> float:
    """The median of one turn."""
    reply = worker.request(
        "sample",
        timeout_s=120,
        count=schedule.turn_samples(latency_s, 0.02),
        refresh=schedule.refresh_runs(latency_s),
    )
    return stdlib_statistics.median(reply["samples_ns"])


def holds_one(logs: list[float], seed: int) -> tuple[bool, float]:
    """Whether the interval of these log-ratios holds 1, and its half width."""
    estimate = statistics.ratio_of_paired(logs, seed=seed)
    assert estimate is not None
    return estimate.ci95[0] <= 1 <= estimate.ci95[1], estimate.half_width


def repetition(workers: dict[str, Worker], latency_s: float, seed: int) -> tuple[list[float], ...]:
    """Log-ratios of one repetition: interleaved, and blocked."""
    logs: list[float] = []
    for _, order in zip(range(BLOCKS), schedule.blocks(list(workers), seed), strict=False):
        medians = {name: turn(workers[name], latency_s) for name in order}
        logs.append(math.log(medians["b"] / medians["a"]))
    series: dict[str, list[float]] = {"a": [], "b": []}
    for (name,) in schedule.blocked(list(workers), BLOCKS):
        series[name].append(turn(workers[name], latency_s))
    blocked = [math.log(b / a) for a, b in zip(series["a"], series["b"], strict=True)]
    return logs, blocked


def main() -> None:
    """Print the share of intervals that hold 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", default="timm:resnet18")
    parser.add_argument("--repetitions", type=int, default=None)
    options = parser.parse_args()
    repetitions = options.repetitions or (10 if options.quick else 40)
    machine = describe_machine()
    print(f"{machine.cpu}, {machine.cores} cores, torch {machine.packages.get('torch')}")
    setting = Setting()
    cpus = quietest_cpus(1)
    with Worker("a", cpus=cpus) as first, Worker("b", cpus=cpus) as second:
        workers = {"a": first, "b": second}
        latency_s = 0.0
        for worker in workers.values():
            load(worker, options.model, setting, timeout_s=300)
            finished = False
            while not finished:
                warm = worker.request("warmup", timeout_s=300, slice_s=1.0, limit_s=5.0)
                finished, latency_s = warm["finished"], warm["last_median_s"]
        for busy in (False, True):
            held, widths = {"interleaved": 0, "blocked": 0}, []
            with busy_core(busy):
                for index in range(repetitions):
                    for name, logs in zip(held, repetition(workers, latency_s, index), strict=True):
                        inside, width = holds_one(logs, index)
                        held[name] += inside
                        if name == "interleaved":
                            widths.append(width)
            state = "one core kept busy" if busy else "as it is"
            print(
                f"{options.model}, {state}: interleaved holds 1 in {held['interleaved']} of "
                f"{repetitions} ({100 * held['interleaved'] / repetitions:.0f} %, median half "
                f"width {100 * stdlib_statistics.median(widths):.2f} %), blocked in "
                f"{held['blocked']} of {repetitions}"
            )


if __name__ == "__main__":
    main()
