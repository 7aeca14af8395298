"""A table of hostile and unlucky cases: how many were tried, survived and failed, class by class.

    python -m benchmarks.faults [--only CLASS]… [--case TEXT] [--jobs N] [--log FILE] [--page FILE]

A case survives when it ends in time with the right exit code and one clear line, without a
traceback, a process that outlives it, a file touched that nobody named, a raw control byte on a
terminal, or a wrong number with exit 0 (``fault_cases/judge.py``). Times are those of an idle
machine; a busy one is given more. With ``--log`` each end is kept as it comes, and what survived
there is not run again; ``--jobs 0`` runs nothing and tells what is kept. ``--page
reports/faults.md`` writes the table there. Exit code 1 where one failed. Linux only.
"""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.fault_cases.case import Case
from benchmarks.fault_cases.judge import faults
from benchmarks.fault_cases.made import shown
from benchmarks.fault_cases.run import run_case, take_over_orphans

# class -> the modules to load once for all of its cases
CLASSES: dict[str, tuple[str, ...]] = {
    "strings": (),
    "inputs": (),
    "options": (),
    "configuration": (),
    "baselines": (),
    "model_files": (),
    "onnx": (),
    "weights": (),
    "store": (),
    "disk": (),
    "signals": (),
    "terminals": (),
    "environments": (),
    "cluster": ("distributed",),
    "training": (
        "lightning.pytorch",
        "pycocotools.cocoeval",
        "cv2",
        "gadprof.pose.training",
        "gadprof.pose.evaluate",
        "gadprof.pose.redundancy",
    ),
    "strangers": (),
    "api": ("torch",),
}
MOST_LINE = 4000  # bytes that a pipe takes whole, whoever else writes to it
LIGHT = ("gadprof.cli", "gadprof.commands.count", "gadprof.commands.compare")


def cases_of(name: str) -> list[Case]:
    """The cases of a class; their names are unique."""
    found = list(importlib.import_module(f"benchmarks.fault_cases.{name}").cases())
    names = [case.name for case in found]
    twice = {item for item in names if names.count(item) > 1}
    assert not twice, f"{name}: {sorted(twice)[:3]} twice"
    return found


def ends(name: str, cases: list[Case], jobs: int) -> Iterator[dict[str, Any]]:
    """How each case ends, as they end; one process a job runs its share."""
    reading, writing = os.pipe()
    started = []
    for job in range(jobs):
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _share(name, cases[job::jobs], writing)
        started.append(pid)
    os.close(writing)
    with os.fdopen(reading, "r") as stream:
        for line in stream:
            yield json.loads(line)
    for pid in started:
        os.waitpid(pid, 0)


def _share(name: str, cases: list[Case], writing: int) -> None:
    take_over_orphans()
    for module in (*LIGHT, *CLASSES[name]):
        importlib.import_module(module)
    try:
        for case in cases:
            outcome, found = run_case(case, faults)
            end = {
                "class": name, "case": case.name, "faults": found, "exit": outcome.exit,
                "seconds": round(outcome.seconds, 2),
                "said": outcome.err.decode("utf-8", "replace")[-700:],
                "printed": outcome.out.decode("utf-8", "replace")[-300:],
            }  # fmt: skip
            line = json.dumps(end).encode()
            if len(line) >= MOST_LINE:
                line = json.dumps({**end, "said": "(long)", "printed": ""}).encode()
            os.write(writing, line + b"\n")
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def kept(log: Path | None) -> dict[tuple[str, str], dict[str, Any]]:
    """The ends of an earlier run, the last one of each case."""
    if log is None or not log.exists():
        return {}
    read = map(json.loads, log.read_text().splitlines())
    return {(end["class"], end["case"]): end for end in read}


def run_class(
    name: str, cases: list[Case], jobs: int, log: Path | None, *, loud: bool
) -> dict[str, Any]:
    """Run what has not survived yet; what is known of every case of the class."""
    known = {key: end for key, end in kept(log).items() if not end["faults"] or not jobs}
    begun = time.monotonic()
    found = [known[name, case.name] for case in cases if (name, case.name) in known]
    todo = [case for case in cases if (name, case.name) not in known]
    for end in ends(name, todo, jobs):
        found.append(end)
        if log is not None:
            with log.open("a") as stream:
                stream.write(json.dumps(end) + "\n")
        if end["faults"] or loud:
            click.echo(f"{name}: {end['case']}: {'; '.join(end['faults']) or 'survived'}")
            click.echo(f"    exit {end['exit']}, {end['seconds']} s, said {end['said'][-500:]!r}")
            if loud and end["printed"]:
                click.echo(f"    printed {end['printed']!r}")
    failed = [end for end in found if end["faults"]]
    return {
        "class": name, "cases": len(cases), "tried": len(found),
        "survived": len(found) - len(failed), "failed": len(failed),
        "seconds": round(time.monotonic() - begun, 1),
        "failures": [{"case": end["case"], "faults": end["faults"]} for end in failed],
    }  # fmt: skip


TITLES = ("class", "cases", "tried", "survived", "failed")


def page_of(rows: list[dict[str, Any]], sums: dict[str, Any]) -> str:
    """The table as a page, and every case that failed by its name."""
    lines = [
        "# Hostile and unlucky uses",
        "",
        f"{sums['survived']:,} of {sums['tried']:,} cases that were tried survived, of "
        f"{sums['cases']:,} that are written: each ended in time with the right exit code and one "
        "clear line, left no process and no file behind, showed no traceback and no control byte, "
        "and gave no wrong number.",
        "",
        f"| {' | '.join(TITLES)} |",
        f"| :--- |{' ---: |' * (len(TITLES) - 1)}",
    ]
    for row in [*rows, {"class": "all", **sums}]:
        cells = [row["class"].replace("_", " "), *(f"{row[key]:,}" for key in TITLES[1:])]
        lines.append(f"| {' | '.join(cells)} |")
    failures = [(row["class"], end) for row in rows for end in row["failures"]]
    if failures:
        lines += ["", "## What failed", ""]
        lines += [f"- {name}: {shown(end['case'], 90)!r}: {shown('; '.join(end['faults']), 200)}"
                  for name, end in failures]  # fmt: skip
    lines += [
        "",
        "Measured by `python -m benchmarks.faults --log FILE --page reports/faults.md` on "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}.",
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(CLASSES)), help="These classes.")
@click.option("--case", "pattern", default="*", help="Cases whose names match this pattern.")
@click.option("--jobs", default=2, show_default=True, help="Cases at the same time.")
@click.option("--log", type=click.Path(path_type=Path), help="Keep each end here, and go on.")
@click.option("--page", type=click.Path(path_type=Path), help="Write the table here, as markdown.")
@click.option("--list", "listed", is_flag=True, help="Only say how many cases there are.")
@click.option("--loud", is_flag=True, help="Print every case's end.")
def main(
    only: tuple[str, ...],
    pattern: str,
    jobs: int,
    log: Path | None,
    page: Path | None,
    listed: bool,
    loud: bool,
) -> None:
    """Run the cases and print the table."""
    rows: list[dict[str, Any]] = []
    for name in only or CLASSES:
        cases = [case for case in cases_of(name) if fnmatch.fnmatch(case.name, pattern)]
        if listed:
            click.echo(f"{name:15}{len(cases):6}")
            rows.append({"tried": len(cases)})
            continue
        rows.append(run_class(name, cases, jobs, log, loud=loud))
    if listed:
        click.echo(f"{'all':15}{sum(row['tried'] for row in rows):6}")
        return
    click.echo(f"{TITLES[0]:15}" + "".join(f"{title:>10}" for title in (*TITLES[1:], "seconds")))
    keys = (*TITLES[1:], "seconds")
    sums = {key: round(sum(row[key] for row in rows), 1) for key in keys}
    for row in [*rows, {"class": "all", **sums}]:
        click.echo(f"{row['class']:15}" + "".join(f"{row[key]:10}" for key in keys))
    if page is not None:
        page.write_text(page_of(rows, sums))
    lost = jobs and sums["tried"] < sums["cases"]
    raise SystemExit(bool(sums["failed"] or lost))


if __name__ == "__main__":
    main()
