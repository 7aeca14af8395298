"""Whether a kill -9 at a random moment loses anything that was acknowledged.

    python -m benchmarks.kills [--only NAME]… [--rounds N] [--seed N] [--log FILE]

Each round forks a process that has everything imported, lets it run a tiny sweep, training, report,
benchmark or a row of writes into a store, and kills it after a random time, up to a little more
than the whole takes. After every kill what lies on the disk is checked: a result is absent or
whole, what had been kept is still there, a store's pages agree. A run that is killed is gone on
with until one ends by itself; what it gives then equals, byte for byte, what an uninterrupted one
gave. Exit code 1 where one round lost something. Linux only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.fault_cases.run import left_running, take_over_orphans

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 6, 5, 4, 2), nn.ReLU(), nn.Conv2d(6, 17, 3, 1, 1))
"""
PICTURES = 6
SMALL = "gadnet32:width=8,blocks=1-1-1-1,modules=1-1-1"


@dataclass(frozen=True)
class Scenario:
    """What runs in a folder; what it amounts to when it ended; what is wrong on the disk.

    ``kept`` is what must never become less: how much the disk holds. ``share`` is how many of a
    hundred rounds it gets.
    """

    act: Callable[[Path], int]
    result: Callable[[Path], object]
    wrong: Callable[[Path, object], str]
    kept: Callable[[Path], int]
    share: int


def command(*words: str) -> Callable[[Path], int]:
    def act(folder: Path) -> int:
        from gadprof.cli import run

        return run([word.replace("FOLDER", str(folder)) for word in words])

    return act


def digests(folder: Path) -> dict[str, str]:
    """Every file's digest."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- sweep ----------------------------------------------------------------------------------------


def sweep(folder: Path) -> int:
    """A sweep whose parts are small, so that a kill comes between them."""
    from gadprof.sweep import parquet

    parquet.PART_DESIGNS = 8
    return command("sweep", "gadnet", "--width", "8:16", "--s", "2,3", "--r", "2,4", "--modules",
                   "1-1-1", "--blocks", "1-1-1-1", "-o", "FOLDER/out.parquet")(folder)  # fmt: skip


def sweep_kept(folder: Path) -> int:
    state = folder / "out.parquet.parts" / "state.json"
    if (folder / "out.parquet").exists():
        return 1 << 60
    return int(json.loads(state.read_text())["done"]) if state.exists() else 0


def only_whole(*names: str) -> Callable[[Path, object], str]:
    """Each named file is absent, or the one that an uninterrupted run wrote."""

    def wrong(folder: Path, whole: object) -> str:
        assert isinstance(whole, dict)
        found = digests(folder)
        bad = [name for name in names if name in found and found[name] != whole[name]]
        return f"{bad[0]} is not whole" if bad else ""

    return wrong


# --- training -------------------------------------------------------------------------------------


def train(folder: Path) -> int:
    (folder / "run").mkdir(exist_ok=True)
    more = ("--resume",) if (folder / "run" / "last.ckpt").exists() else ()
    if not (folder / "data").exists():
        from gadprof.pose.synthetic import make_split

        made = folder / f"data-{os.getpid()}"
        made.mkdir()
        make_split(made, "train2017", PICTURES, 1)
        (folder / "net.py").write_text(NET)
        made.rename(folder / "data")
    os.chdir(folder)
    return command("train", "net.py:build", "--data", "data", "-o", "run", "--input=64x64",
                   "--epochs=12", "--batch=3", "--device=cpu", "--logger=none", "--store=off",
                   *more)(folder)  # fmt: skip


def train_result(folder: Path) -> object:
    """The weights' bytes, tensor by tensor: a file of torch's names its own folder."""
    import torch

    content = torch.load(folder / "run" / "weights.pt", weights_only=True)
    return {name: value.numpy().tobytes() for name, value in content["state_dict"].items()}


def train_wrong(folder: Path, whole: object) -> str:
    place = folder / "run" / "weights.pt"
    return "weights.pt is not whole" if place.exists() and train_result(folder) != whole else ""


def train_kept(folder: Path) -> int:
    """The epoch of the last checkpoint, which has to load."""
    import torch

    place = folder / "run" / "last.ckpt"
    if not place.exists():
        return 0
    return int(torch.load(place, weights_only=False)["epoch"])


# --- a store --------------------------------------------------------------------------------------


def write_store(folder: Path) -> int:
    """Samples and entries, each told to a file of its own when its call returns."""
    from gadprof.store.store import NewEntry, Store

    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Store(folder / "s.sqlite") as store:
        for number in range(20):
            name = f"{os.getpid()}-{number}"
            store.add([NewEntry("cost", name, {"macs": number})])
            os.write(told, f"{name}\n".encode())
            recording = store.start("measurement", f"m{name}")
            for sample in range(5):
                recording.sample(sample)
                os.write(told, f"m{name} {sample}\n".encode())
            recording.finish({"latency_s": 1.0})
            os.write(told, f"m{name}\n".encode())
    return 0


def told_words(folder: Path) -> list[str]:
    place = folder / "told"
    return place.read_text().splitlines() if place.exists() else []


def store_wrong(folder: Path, _whole: object) -> str:
    """Everything that was told is in the store."""
    told = told_words(folder)
    if not (folder / "s.sqlite").exists():
        return "the store has gone" if told else ""
    from gadprof.store.store import Store

    with Store(folder / "s.sqlite") as store:
        held: set[str] = set()
        for entry in store.entries():
            if entry.finished:
                held.add(entry.model)
            held |= {f"{entry.model} {value}" for value in entry.samples}
    lost = [word for word in told if word not in held]
    return f"{len(lost)} writes are lost, the first {lost[0]!r}" if lost else pages(folder)


def pages(folder: Path) -> str:
    """Whether a store's pages agree."""
    with contextlib.closing(sqlite3.connect(folder / "s.sqlite")) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
    return "" if state == "ok" else f"the store's pages do not agree: {state}"


# --- bench ----------------------------------------------------------------------------------------


def bench(folder: Path) -> int:
    (folder / "net.py").write_text(NET)
    os.chdir(folder)
    return command("bench", "net.py:build", "--input=3x32x32", "--time-limit=1s", "--launches=2",
                   "--no-null", "--no-energy", "--store=s.sqlite", "-o",
                   "bench.json")(folder)  # fmt: skip


def samples(folder: Path) -> int:
    """How many samples a store holds."""
    if not (folder / "s.sqlite").exists():
        return 0
    with contextlib.closing(sqlite3.connect(folder / "s.sqlite")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM samples").fetchone()
    return int(count)


def bench_wrong(folder: Path, _whole: object) -> str:
    """What was printed of a finished run is in the store, and its file is JSON."""
    if (folder / "bench.json").exists():
        json.loads((folder / "bench.json").read_text())
        if not samples(folder):
            return "a finished run kept no sample"
    return pages(folder) if (folder / "s.sqlite").exists() else ""


def report_wrong(folder: Path, whole: object) -> str:
    assert isinstance(whole, dict)
    found = digests(folder)
    bad = [name for name, digest in found.items() if whole.get(name, digest) != digest]
    strange = [name for name in found if name not in whole and "gadprof" not in name]
    return f"{bad[0]} is half written" if bad else f"{strange[0]} is strange" if strange else ""


REPORT = command("report", SMALL, "-o", "FOLDER/out", "--store=off")
SCENARIOS: dict[str, Scenario] = {
    "store": Scenario(write_store, lambda _: None, store_wrong, lambda f: len(told_words(f)), 60),
    "sweep": Scenario(sweep, digests, only_whole("out.parquet"), sweep_kept, 20),
    "report": Scenario(REPORT, digests, report_wrong, lambda _: 0, 8),
    "train": Scenario(train, train_result, train_wrong, train_kept, 10),
    "bench": Scenario(bench, lambda folder: None, bench_wrong, samples, 2),
}  # fmt: skip


def start(scenario: Scenario, folder: Path) -> int:
    """A process that runs the scenario and says nothing; its number."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        said = os.open(folder.parent / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.dup2(said, 2)
        code = scenario.act(folder)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_rounds(
    name: str, rounds: int, draw: random.Random, root: Path, log: Path | None
) -> tuple[int, int, list[str]]:
    """So many kills of a scenario: kills done, runs that ended, and what went wrong."""
    scenario, faults, ended = SCENARIOS[name], [], 0
    warm(scenario, root / "warm" / name)
    whole, took = uninterrupted(scenario, root / "whole" / name)
    folder = root / "cut" / name
    fresh(folder)
    kills, kept = 0, 0
    while kills < rounds:
        child = start(scenario, folder)
        over = time.monotonic() + draw.uniform(0, took * 1.15)
        code = None
        while code is None and time.monotonic() < over:
            pid, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if pid else None
            time.sleep(0.001)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        left = left_running(10.0)  # in time is what orphans.py asks
        fault = f"left running: {left[0]}" if left else looked_at(scenario, folder, whole)
        now = 0 if fault else scenario.kept(folder)
        if not fault and now < kept:
            fault = f"{kept} were kept, {now} are left"
        kept = now
        if code is not None:
            ended += 1
            if code != 0:
                said = (folder.parent / "said").read_text(errors="replace")[-300:]
                fault = fault or f"exit {code}: {said}"
            elif not fault and name != "bench" and scenario.result(folder) != whole:
                fault = "what it gave is not what an uninterrupted run gives"
        if fault:
            faults.append(f"{name}, kill {kills}: {fault}")
            click.echo(faults[-1])
        if fault or (code is not None and (name != "store" or ended % 20 == 0)):
            fresh(folder)
            kept = 0
        if log is not None:
            log.write_text(json.dumps({"name": name, "kills": kills, "ended": ended,
                                       "faults": faults}))  # fmt: skip
    return kills, ended, faults


def looked_at(scenario: Scenario, folder: Path, whole: object) -> str:
    try:
        return scenario.wrong(folder, whole)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def warm(scenario: Scenario, folder: Path) -> None:
    """Run once here, so that each round finds everything imported."""
    fresh(folder)
    home = os.getcwd()
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        scenario.act(folder)
    os.chdir(home)


def uninterrupted(scenario: Scenario, folder: Path) -> tuple[object, float]:
    """What a run gives that nobody ends, and how long it takes."""
    fresh(folder)
    begun = time.monotonic()
    _, status = os.waitpid(start(scenario, folder), 0)
    took = time.monotonic() - begun
    if status:
        raise SystemExit((folder.parent / "said").read_text())
    return scenario.result(folder), took


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(SCENARIOS)), help="These alone.")
@click.option("--rounds", default=1000, show_default=True, help="Kills in all.")
@click.option("--seed", default=0, show_default=True)
@click.option("--log", type=click.Path(path_type=Path), help="Write how far it is here.")
def main(only: tuple[str, ...], rounds: int, seed: int, log: Path | None) -> None:
    """Kill, look, go on; print how many kills and what was lost."""
    import torch

    torch.set_num_threads(1)
    os.environ.update(OMP_NUM_THREADS="1", GADPROF_STORE="off")
    take_over_orphans()
    draw = random.Random(seed)
    chosen = only or tuple(SCENARIOS)
    shares = sum(SCENARIOS[name].share for name in chosen)
    lost, kills, total = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["MPLCONFIGDIR"] = name
        for scenario in chosen:
            share = rounds * SCENARIOS[scenario].share // shares
            begun = time.monotonic()
            kills, ended, faults = run_rounds(scenario, share, draw, Path(name), log)
            lost += faults
            total += kills
            click.echo(f"{scenario:8}{kills:6} kills, {ended:4} runs ended, {len(faults)} faults, "
                       f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    click.echo(f"{total} kills at random moments, {len(lost)} lost something")
    raise SystemExit(bool(lost))


if __name__ == "__main__":
    main()
