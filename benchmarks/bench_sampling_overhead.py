"""What one sample costs beyond the model: turns of a model that does nothing.

    python benchmarks/bench_sampling_overhead.py [--quick]

About 10 seconds. Wanted: at most 20 µs a sample, the parent's pacing, the pipe and the JSON
included.
"""

from __future__ import annotations

import argparse
import statistics as stdlib_statistics
import time

from gadprof.measuring import schedule
from gadprof.measuring.launcher import measuring_worker
from gadprof.measuring.settings import Setting
from gadprof.results.plain import describe_machine

WANTED_US = 20.0


def empty() -> tuple[object, tuple[object, ...]]:
    """A module that returns its input."""
    import torch

    return torch.nn.Identity(), (torch.zeros(1),)


def main() -> None:
    """Print the cost of a sample in a turn of a model that does nothing."""
    from dataclasses import asdict

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    turns = 50 if parser.parse_args().quick else 300
    machine = describe_machine()
    with measuring_worker() as worker:
        worker.request(
            "load",
            timeout_s=60,
            model="empty",
            setting=asdict(Setting()),
            factory={"function": "bench_sampling_overhead:empty", "arguments": {}},
        )
        count = schedule.turn_samples(1e-6)
        costs, inside = [], []
        for _ in range(turns):
            started = time.perf_counter_ns()
            reply = worker.request("sample", timeout_s=60, count=count, refresh=1)
            costs.append((time.perf_counter_ns() - started) / count / 1e3)
            inside.append(stdlib_statistics.median(reply["samples_ns"]) / 1e3)
    print(f"{machine.cpu}, {machine.cores} cores, torch {machine.packages.get('torch')}")
    cost, own = stdlib_statistics.median(costs), stdlib_statistics.median(inside)
    print(
        f"{cost:.2f} µs a sample of {count} a turn, of which {own:.2f} µs are the empty model "
        f"under inference mode: overhead {cost - own:.2f} µs"
    )
    passed = cost - own <= WANTED_US
    print(f"{'PASS' if passed else 'FAIL'}: wanted at most {WANTED_US:g} µs a sample")
    raise SystemExit(int(not passed))


if __name__ == "__main__":
    import os

    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.path.dirname(os.path.abspath(__file__)), os.environ.get("PYTHONPATH")])
    )
    main()
