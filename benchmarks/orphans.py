"""Whether anything outlives a command that is ended at a random moment.

    python benchmarks/orphans.py [--rounds N] [--seed N] [--only COMMAND]…

Each round starts a command on a model that leaves processes behind (in its own group, in sessions
of their own, without a parent) and never ends, waits a random time, in every other round after the
model has begun, and ends the command with a random signal, SIGKILL among them. ``kit`` is the kit
of child processes alone, under a program without torch. A second later every process that carries
the round's mark is an orphan, and every temporary folder that the round made is left over. Exit
code 1 where there is one. Linux only.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import psutil

MARK = "GADPROF_ORPHANS_ROUND"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
COMMANDS = {
    "count": ("count",),
    "compare": ("compare",),
    "audit": ("audit",),
    "bench": ("bench",),
    "bench of a file": ("bench", "--runtime", "onnxruntime"),
    "export": ("export", "--to", "onnx", "-o", "net.onnx"),
    "kit": (),
}
BEGINS_S = 300.0
KIT = """
from gadprof.workers.folders import private_folder
from gadprof.workers.process import Worker

if __name__ == "__main__":
    with private_folder(), Worker("net:build") as worker:
        worker.request("nothing", timeout_s=600)
"""
WITHIN_S = 1.0
MODEL = """
import os, subprocess, sys, threading, time
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]

def build():
    open(os.environ["GADPROF_ORPHANS_BEGAN"], "w").close()
    subprocess.Popen(SLEEP)
    subprocess.Popen(SLEEP, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(SLEEP, start_new_session=True)
        os._exit(0)
    threading.Thread(target=time.sleep, args=(600,)).start()
    while True:
        time.sleep(os.getpid() % 2)  # every other one burns a processor
"""


def patience() -> float:
    """How much longer a second takes where more wants to run than there are processors."""
    return min(20.0, max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1)))


def marked(value: str) -> list[int]:
    """The processes that carry a round's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def one_round(
    number: int, folder: Path, draw: random.Random, longest_s: float, words: tuple[str, ...]
) -> tuple[str, str]:
    """What was done, and what was left ("" for nothing)."""
    word, signal_number = draw.choice(words), draw.choice(SIGNALS)
    private = folder / f"tmp-{number}"
    private.mkdir()
    mark = f"{os.getpid()}-{number}"
    typed = [*COMMANDS[word], "net.py:build", "--input", "3x8x8"]
    environment = {**os.environ, MARK: mark, "TMPDIR": str(private), "GADPROF_STORE": "off"}
    environment["GADPROF_ORPHANS_BEGAN"] = str(began := folder / f"began-{number}")
    if word == "kit":
        paths = [str(folder / "kit"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = subprocess.Popen(
        [sys.executable, *(["kit.py"] if word == "kit" else ["-m", "gadprof", *typed])],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begins = time.monotonic() + BEGINS_S
    while number % 2 and not began.exists() and time.monotonic() < begins:
        time.sleep(0.02)
    time.sleep(draw.uniform(0, min(longest_s, 2.0) if number % 2 else longest_s))
    command.send_signal(signal_number)
    try:
        command.wait(timeout=60 * patience())
    except subprocess.TimeoutExpired:
        command.kill()
        return f"{word} {signal_number.name}", "the command went on"
    ended = time.monotonic()
    while (left := marked(mark)) and time.monotonic() < ended + WITHIN_S * patience():
        time.sleep(0.05)
    names = []
    for pid in left:
        try:
            names.append(" ".join(psutil.Process(pid).cmdline())[-60:])
            psutil.Process(pid).kill()
        except psutil.Error:
            continue
    kept = [path.name for path in private.iterdir()]
    return f"{word} {signal_number.name}", "; ".join(names + kept)


@click.command()
@click.option("--rounds", default=500, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--longest", "longest_s", default=8.0, show_default=True, help="Seconds to wait.")
@click.option("--only", multiple=True, type=click.Choice(list(COMMANDS)), help="These commands.")
def main(rounds: int, seed: int, longest_s: float, only: tuple[str, ...]) -> None:
    """Run the rounds and print what was left."""
    # what runs in the background is started deaf to these, and so is what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    draw = random.Random(seed)
    done: Counter[str] = Counter()
    left: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "net.py").write_text(MODEL)
        (Path(name) / "kit").mkdir()
        (Path(name) / "kit" / "net.py").write_text(MODEL)
        (Path(name) / "kit.py").write_text(KIT)
        for number in range(rounds):
            what, found = one_round(number, Path(name), draw, longest_s, only or tuple(COMMANDS))
            done[what] += 1
            if found:
                left.append(f"round {number}, {what}: {found}")
                click.echo(left[-1])
        began = sum(1 for _ in Path(name).glob("began-*"))
    for what, count in sorted(done.items()):
        click.echo(f"{count:5d}  {what}")
    click.echo(f"{rounds} commands ended at random moments, {began} of them with a model that had "
               f"begun; {len(left)} left something behind")  # fmt: skip
    raise SystemExit(bool(left))


if __name__ == "__main__":
    main()
