"""gadprof's median beside ``torch.utils.benchmark``'s ``blocked_autorange``, in alternation.

Both measure the same model with one thread in inference mode, subnormals flushed and freed memory
kept (the page faults of a fresh process depend on its history), each in its own process, taking
turns so that drift hits both alike. Two processes of one model differ by a per cent or two for as
long as they live, so that both sides are launched several times (--launches 3) and the medians of
the launches' medians are compared. Wanted: within 3 %; exit 1 beyond.

    python benchmarks/bench_against_timer.py [--quick] [--models hrnet32,…]

About 4 minutes; --quick about 2 minutes.
"""

from __future__ import annotations

import argparse
import statistics as stdlib_statistics
import subprocess
import sys

from gadprof.measuring import schedule
from gadprof.measuring.launcher import load, measuring_worker
from gadprof.measuring.settings import Setting
from gadprof.results.plain import describe_machine

MODELS = ("hrnet32", "gadnet32", "timm:resnet18", "timm:mobilenetv2_100")
WANTED = 0.03

# the other side: prints one median for every line that it reads
TIMER = """
import sys, torch
from gadprof.measuring.probes.heap import keep_heap
keep_heap()
torch.set_flush_denormal(True)
torch.set_num_threads(1)
from torch.utils.benchmark import Timer
from gadprof.models.sources import load
loaded = load(sys.argv[1])
model, (x,) = loaded.module, loaded.args
timer = Timer("with torch.inference_mode(): model(x)", globals={"model": model, "x": x,
              "torch": torch}, num_threads=1)
timer.blocked_autorange(min_run_time=0.5)
print("ready", flush=True)
for line in sys.stdin:
    print(timer.blocked_autorange(min_run_time=float(line)).median, flush=True)
"""


def compare(model: str, rounds: int, seconds: float) -> tuple[float, float]:
    """Median seconds of both, over alternating rounds of ``seconds`` each."""
    other = subprocess.Popen(
        [sys.executable, "-c", TIMER, model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    ours: list[float] = []
    theirs: list[float] = []
    try:
        assert other.stdout.readline().strip() == "ready"
        with measuring_worker() as worker:
            load(worker, model, Setting(), timeout_s=300)
            finished, latency_s = False, 0.0
            while not finished:
                warm = worker.request("warmup", timeout_s=300, slice_s=1.0, limit_s=10.0)
                finished, latency_s = warm["finished"], warm["last_median_s"]
            for _ in range(rounds):
                other.stdin.write(f"{seconds}\n")
                other.stdin.flush()
                theirs.append(float(other.stdout.readline()))
                spent, taken = 0.0, []
                while spent < seconds:
                    reply = worker.request(
                        "sample",
                        timeout_s=120,
                        count=schedule.turn_samples(latency_s),
                        refresh=schedule.refresh_runs(latency_s),
                    )
                    taken += [sample / 1e9 for sample in reply["samples_ns"]]
                    spent = sum(taken)
                ours.append(stdlib_statistics.median(taken))
    finally:
        other.kill()
        other.wait()
    return stdlib_statistics.median(ours), stdlib_statistics.median(theirs)


def main() -> None:
    """Print both medians and their ratio for every model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--launches", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    rounds, seconds = (3, 0.6) if options.quick else (5, 1.0)
    machine = describe_machine()
    print(f"{machine.cpu}, {machine.cores} cores, torch {machine.packages.get('torch')}")
    failed = False
    for model in options.models.split(","):
        launches = [compare(model, rounds, seconds) for _ in range(options.launches)]
        ours = stdlib_statistics.median(own for own, _ in launches)
        theirs = stdlib_statistics.median(other for _, other in launches)
        passed = abs(ours / theirs - 1) <= WANTED
        failed = failed or not passed
        print(
            f"{model}: gadprof {1e3 * ours:.3f} ms, blocked_autorange {1e3 * theirs:.3f} ms, "
            f"ratio {ours / theirs:.4f}: {'PASS' if passed else 'FAIL'}, wanted within "
            f"{100 * WANTED:g} %",
            flush=True,
        )
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
