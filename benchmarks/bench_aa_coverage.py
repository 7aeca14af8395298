"""How often the 95 % interval of a model's ratio to itself holds 1: interleaved, and blocked.

A repetition is a whole measuring run of a model against itself, as ``gadprof bench A A`` makes it
(fresh processes, interleaved blocks, several launches, the default precision), and beside it a
blocked measurement of the same: one process, all turns of its model, then another process, all of
its turns. Repetitions on the machine as it is and with one core kept busy take turns, so that a run
that is cut short has as many of both.

A run samples for at most 10 s (--limit-s) and ends earlier at the default precision of 2 %; the
blocked one has 30 turns of 40 ms of each process. resnet18 on one thread: about 18 s a repetition
and state on two quiet cores, 25 minutes for 40 of both.

    python benchmarks/bench_aa_coverage.py [--repetitions 40] [--busy both|only|no] [--minutes 30]

Every repetition is appended to --results as it ends; the same command goes on where the last one
stopped, and --summary prints what is there without measuring. A repetition that fails is kept with
its reason and counts as an interval that does not hold 1. Wanted: 1 held in at least 90 % of 40, in
both states; exit 1 below that, or with fewer repetitions than asked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics as stdlib_statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gadprof.measuring import schedule, statistics
from gadprof.measuring.bench import measure
from gadprof.measuring.launcher import Launcher, default_memory_limit, load
from gadprof.measuring.settings import Setting
from gadprof.results.plain import describe_machine
from gadprof.version import __version__

BLOCKED_TURNS = 30
WANTED_SHARE = 0.9
STATES = {"both": ("quiet", "busy"), "only": ("busy",), "no": ("quiet",)}
METHODS = ("interleaved", "blocked")
RESULTS = Path(tempfile.gettempdir()) / "gadprof-aa-coverage.jsonl"

Record = dict[str, Any]


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


def interleaved(model: str, seed: int, limit_s: float) -> Record:
    """The interval of a whole run, how it ended and what else ran on the machine."""
    result = measure(
        [model, model], time_limit_s=limit_s, null=False, memory=False, energy=False, seed=seed
    )
    if result.interrupted:
        raise KeyboardInterrupt  # a run that was cut short is no repetition
    row, group = result.rows[1], result.groups[0]
    if row.ratio is None:
        raise RuntimeError(row.error or row.ratio_absent)
    return {
        "ci95": row.ratio.ci95,
        "launches": group.launches,
        "blocks": group.blocks,
        "seconds": group.seconds,
        "stopped_by": group.stopped_by,
        "other_busy_cores": group.conditions.get("other_busy_cores"),
    }


def blocked(model: str) -> Record:
    """The interval from one process after the other."""
    setting = Setting()
    series: list[list[float]] = []
    with Launcher([model], [setting], default_memory_limit()) as launcher:
        for _ in range(2):
            worker = launcher.spawn(model, setting)
            try:
                series.append(turns_of(worker, model, setting))
            finally:
                worker.close()
    logs = [math.log(second / first) for first, second in zip(*series, strict=True)]
    estimate = statistics.ratio_of_paired(logs)
    if estimate is None:
        raise RuntimeError("too few turns for an interval")
    return {"ci95": estimate.ci95}


def turns_of(worker: Any, model: str, setting: Setting) -> list[float]:
    """The medians of a process's turns, taken without a pause once it is warm."""
    load(worker, model, setting, timeout_s=300)
    finished, latency_s = False, 0.0
    while not finished:
        warm = worker.request("warmup", timeout_s=300, slice_s=1.0, limit_s=5.0)
        finished, latency_s = warm["finished"], warm["last_median_s"]
    count, refresh = schedule.turn_samples(latency_s), schedule.refresh_runs(latency_s)
    return [
        stdlib_statistics.median(
            worker.request("sample", timeout_s=120, count=count, refresh=refresh)["samples_ns"]
        )
        for _ in range(BLOCKED_TURNS)
    ]


def attempt(method: str, model: str, seed: int, limit_s: float) -> Record:
    """One measurement; a failure is a record with its reason."""
    try:
        return interleaved(model, seed, limit_s) if method == "interleaved" else blocked(model)
    except Exception as error:
        return {"ci95": None, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def circumstances(model: str, limit_s: float) -> Record:
    """What must agree for two repetitions to be counted together."""
    machine = describe_machine()
    return {
        "model": model,
        "limit_s": limit_s,
        "blocked_turns": BLOCKED_TURNS,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "torch": machine.packages.get("torch"),
        "gadprof": __version__,
    }


def read_records(path: Path, common: Mapping[str, Any]) -> dict[tuple[str, int], Record]:
    """The repetitions of these circumstances by (state, number); a torn last line is left out."""
    found: dict[tuple[str, int], Record] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if all(record.get(key) == value for key, value in common.items()):
                    found[record["state"], record["repetition"]] = record
    return found


def append(path: Path, record: Record) -> None:
    """Add a line and see it to the disk; a torn line before it stays a line of its own."""
    with path.open("a+b") as stream:
        torn = False
        if stream.seek(0, 2):
            stream.seek(-1, 2)
            torn = stream.read(1) != b"\n"
        stream.write((b"\n" if torn else b"") + json.dumps(record).encode() + b"\n")


def holds(record: Mapping[str, Any], method: str) -> bool:
    """Whether a repetition's interval holds 1."""
    interval = record[method]["ci95"]
    return interval is not None and interval[0] <= 1 <= interval[1]


def summary(records: Sequence[Record], state: str, asked: int) -> tuple[str, bool]:
    """A state's shares in words, and whether the interleaved one is what is wanted."""
    from scipy.stats import binomtest

    count = len(records)
    if not count:
        return f"{state}: no repetition", False
    lines = [f"{state}: {count} of {asked} repetitions"]
    for method in METHODS:
        held = sum(holds(record, method) for record in records)
        wilson = binomtest(held, count).proportion_ci(method="wilson")
        intervals = [record[method]["ci95"] for record in records if record[method]["ci95"]]
        words = f"  {method}: 1 held in {held} of {count} ({100 * held / count:.0f} %, "
        words += f"Wilson 95 %: {100 * wilson.low:.0f} to {100 * wilson.high:.0f} %)"
        if intervals:
            width = stdlib_statistics.median((high - low) / 2 for low, high in intervals)
            words += f", median half width {100 * width:.2f} %"
        errors = [record[method]["error"] for record in records if "error" in record[method]]
        words += f", {len(errors)} failed (the first: {errors[0]})" if errors else ""
        lines.append(words)
    loads = [record["interleaved"].get("other_busy_cores") for record in records]
    known = [value for value in loads if value is not None]
    if known:
        lines.append(
            f"  other programs kept {stdlib_statistics.median(known):.2f} cores busy at the "
            f"median, {max(known):.2f} at most"
        )
    share = sum(holds(record, "interleaved") for record in records) / count
    passed = count >= asked and share >= WANTED_SHARE
    lines.append(f"  {'PASS' if passed else 'FAIL'}: wanted {100 * WANTED_SHARE:.0f} % of {asked}")
    return "\n".join(lines), passed


def repeat(options: argparse.Namespace, states: Sequence[str], common: Record) -> None:
    """Measure the repetitions that are not there yet, until the minutes are over."""
    done = read_records(options.results, common)
    started = time.perf_counter()
    for number in range(options.repetitions):
        for state in states:
            if (state, number) in done:
                continue
            if time.perf_counter() - started > 60 * options.minutes:
                print(f"{options.minutes:g} minutes are over; the same command goes on", flush=True)
                return
            before = time.perf_counter()
            record: Record = {**common, "state": state, "repetition": number}
            with busy_core(state == "busy"):
                for method in METHODS:
                    record[method] = attempt(method, options.model, number, options.limit_s)
            record["wall_s"] = time.perf_counter() - before
            append(options.results, record)
            words = ", ".join(f"{m} {'holds' if holds(record, m) else 'misses'}" for m in METHODS)
            print(f"{state} {number + 1}: {words} ({record['wall_s']:.0f} s)", flush=True)


def main() -> None:
    """Print the share of intervals that hold 1 in each state."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="timm:resnet18")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--busy", choices=tuple(STATES), default="both", nargs="?", const="only")
    parser.add_argument("--limit-s", type=float, default=10.0, help="of one interleaved run")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="print what is there")
    options = parser.parse_args()
    common = circumstances(options.model, options.limit_s)
    print(f"{common['cpu']}, {common['cores']} cores, torch {common['torch']}: {options.model}")
    states = STATES[options.busy]
    if not options.summary:
        print(f"each repetition is appended to {options.results}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            repeat(options, states, common)
    records = read_records(options.results, common)
    passed = True
    for state in states:
        own = [
            record
            for (name, number), record in sorted(records.items())
            if name == state and number < options.repetitions
        ]
        text, good = summary(own, state, options.repetitions)
        print(text)
        passed = passed and good
    raise SystemExit(int(not passed))


if __name__ == "__main__":
    main()
