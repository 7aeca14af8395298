"""How often the 95 % interval of a model's ratio to itself holds 1: interleaved, and blocked.

A repetition is a whole measuring run of a model against itself, as ``gadprof bench A A`` makes it
(fresh processes, interleaved blocks, several launches), and beside it a blocked measurement of the
same: one process, all turns of its model, then another process, all of its turns. Once on the
machine as it is, once with one core kept busy.

    python benchmarks/bench_aa_coverage.py [--repetitions 40] [--states quiet,busy] [--limit-s 15]

About 25 s a repetition and state; --quick is 5 repetitions. Wanted: 1 held in at least 90 % of 40.
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
from gadprof.measuring.bench import Launcher, measure
from gadprof.measuring.isolation import default_memory_limit, load
from gadprof.measuring.settings import Setting
from gadprof.results import describe_machine

BLOCKED_TURNS = 40


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


def interleaved(model: str, seed: int, limit_s: float) -> tuple[float, float]:
    """The ends of the interval that a whole run gives."""
    result = measure(
        [model, model],
        time_limit_s=limit_s,
        null=False,
        memory=False,
        energy=False,
        seed=seed,
    )
    ratio = result.rows[1].ratio
    assert ratio is not None, result.rows[1].error or result.rows[1].ratio_absent
    return ratio.ci95


def blocked(model: str) -> tuple[float, float]:
    """The ends of the interval from one process after the other."""
    setting = Setting()
    series: list[list[float]] = []
    with Launcher([model], [setting], default_memory_limit()) as launcher:
        for _ in range(2):
            worker = launcher.spawn(model, setting)
            load(worker, model, setting, timeout_s=300)
            finished, latency_s = False, 0.0
            while not finished:
                warm = worker.request("warmup", timeout_s=300, slice_s=1.0, limit_s=5.0)
                finished, latency_s = warm["finished"], warm["last_median_s"]
            turns = []
            for _ in range(BLOCKED_TURNS):
                reply = worker.request(
                    "sample",
                    timeout_s=120,
                    count=schedule.turn_samples(latency_s),
                    refresh=schedule.refresh_runs(latency_s),
                )
                turns.append(stdlib_statistics.median(reply["samples_ns"]))
            series.append(turns)
            worker.close()
    logs = [math.log(second / first) for first, second in zip(*series, strict=True)]
    estimate = statistics.ratio_of_paired(logs)
    assert estimate is not None
    return estimate.ci95


def main() -> None:
    """Print the share of intervals that hold 1; exit 1 below 90 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", default="timm:resnet18")
    parser.add_argument("--repetitions", type=int, default=None)
    parser.add_argument("--states", default="quiet,busy")
    parser.add_argument("--limit-s", type=float, default=15.0)
    options = parser.parse_args()
    repetitions = options.repetitions or (5 if options.quick else 40)
    machine = describe_machine()
    print(f"{machine.cpu}, {machine.cores} cores, torch {machine.packages.get('torch')}")
    failed = False
    for state in options.states.split(","):
        held = {"interleaved": 0, "blocked": 0}
        widths: dict[str, list[float]] = {"interleaved": [], "blocked": []}
        with busy_core(state == "busy"):
            for index in range(repetitions):
                for name, (low, high) in (
                    ("interleaved", interleaved(options.model, index, options.limit_s)),
                    ("blocked", blocked(options.model)),
                ):
                    held[name] += low <= 1 <= high
                    widths[name].append((high - low) / 2)
        words = "; ".join(
            f"{name} holds 1 in {held[name]} of {repetitions} "
            f"({100 * held[name] / repetitions:.0f} %, median half width "
            f"{100 * stdlib_statistics.median(widths[name]):.2f} %)"
            for name in held
        )
        print(f"{options.model}, {state}: {words}", flush=True)
        failed = failed or held["interleaved"] < 0.9 * repetitions
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
