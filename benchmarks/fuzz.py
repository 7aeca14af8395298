"""Coverage-guided fuzzing of every reader and renderer, with atheris; its corpus is committed.

Each target (``tests/fuzz_targets.py``) runs in a process of its own for its share of the time and
begins with what earlier runs kept. A fault is a traceback, more than 5 s, more than 1 GiB beyond
what the imports take, or a file touched outside the scratch folder; its input is written to the
folder of faults. Inputs that reach code which the corpus does not are added to it, the smallest
first, up to ``--keep`` bytes a target.

atheris is no dependency of gadprof: python -m venv fuzzing, install gadprof[dev] and atheris there.

PYTHONPATH=. python benchmarks/fuzz.py [--seconds 3600] [--only onnx] [--faults FOLDER] [--replay]
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fuzz_targets as fuzz

CHILD = "--one-target"
HANGS_S = 60  # by the clock, on a machine that others use too; the targets mind the processor's 5
MOST_BYTES = 1 << 30
LONGEST_INPUT = {"onnx": 2048, "tflite": 2048, "renderers": 512}


@click.command()
@click.option("--seconds", default=3600.0, show_default=True, help="For all targets together.")
@click.option("--only", multiple=True, type=click.Choice(list(fuzz.TARGETS)), help="These targets.")
@click.option("--faults", default="fuzz-faults", show_default=True, help="Where faults are kept.")
@click.option("--keep", default=12_000, show_default=True, help="Bytes of corpus a target.")
@click.option("--replay", is_flag=True, help="Run the kept corpus alone, once, without atheris.")
def main(seconds: float, only: tuple[str, ...], faults: str, keep: int, replay: bool) -> None:
    """Fuzz, and say what was run and found."""
    found = 0
    names = only or tuple(fuzz.TARGETS)
    for name in names:
        if replay:
            count, bad = replayed(name), 0
        else:
            count, bad = fuzzed(name, seconds / len(names), Path(faults), keep)
        found += bad
        click.echo(f"{name:14} {count:12,} inputs, {bad} faults, {size_of(name):,} bytes kept")
    sys.exit(1 if found else 0)


def corpus(name: str) -> Path:
    """A target's kept inputs."""
    folder = fuzz.CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def size_of(name: str) -> int:
    """The bytes that a target's corpus takes."""
    return sum(path.stat().st_size for path in corpus(name).iterdir())


def replayed(name: str) -> int:
    """Run a target on its corpus; the first fault ends it with a traceback."""
    inputs = sorted(corpus(name).iterdir())
    with tempfile.TemporaryDirectory(prefix="gadprof-fuzz-") as top:
        folder = Path(top) / "scratch"
        folder.mkdir()
        for path in inputs:
            fuzz.ends_well(fuzz.TARGETS[name], path.read_bytes(), folder)
    return len(inputs)


def fuzzed(name: str, seconds: float, faults: Path, most_bytes: int) -> tuple[int, int]:
    """Fuzz one target until its time is over, beginning again after each fault; runs and faults.

    Afterwards the smallest inputs that reach code which the kept ones do not are kept, too.
    """
    ends = time.monotonic() + seconds
    runs = bad = 0
    place = faults.absolute() / name
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gadprof-fuzz-") as top:
        words, found = Path(top) / "words", Path(top) / "found"
        found.mkdir()
        words.write_text("".join(map(_quoted, fuzz.words_of(name) or [b"gadprof"])))
        while (left := ends - time.monotonic()) > 1 and bad < 20:
            done = _guided(
                name, top, str(found), str(corpus(name)), f"-dict={words}",
                f"-max_total_time={int(left)}", f"-artifact_prefix={place}/",
                "-print_final_stats=1", "-reload=0", "-verbosity=0",
            )  # fmt: skip
            runs += _runs(done.stderr)
            if done.returncode:
                bad += 1
                (place / f"fault-{bad}.log").write_text(done.stdout + done.stderr)
            elif _runs(done.stderr) == 0:
                raise SystemExit(done.stdout + done.stderr)
        left_bytes = most_bytes - size_of(name)
        for path in sorted(found.iterdir(), key=lambda path: path.stat().st_size):
            left_bytes -= path.stat().st_size
            if left_bytes > 0:
                shutil.copy(path, corpus(name))
    return runs, bad


def _guided(name: str, top: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, __file__, CHILD, name, *arguments, f"-timeout={HANGS_S}",
        "-rss_limit_mb=0", f"-malloc_limit_mb={MOST_BYTES >> 20}",
        f"-max_len={LONGEST_INPUT.get(name, 256)}",
    ]  # fmt: skip
    environment = {**os.environ, "GADPROF_FUZZ_SCRATCH": top, "GADPROF_STORE": "off"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def _runs(told: str) -> int:
    for line in told.splitlines():
        if line.startswith("stat::number_of_executed_units:"):
            return int(line.split()[-1])
    return 0


def fuzz_here(name: str) -> None:
    """Fuzz a target in this process, for ever or until the first fault."""
    import atheris

    target = fuzz.TARGETS[name]
    top = Path(os.environ["GADPROF_FUZZ_SCRATCH"])
    folder = top / "scratch"
    folder.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["gadprof"]):
        # whatever a target imports late, it imports now
        for data in (b"", b"hrnet32", b"3x64x64", b"{}", *_kept(name)):
            with contextlib.suppress(Exception):
                fuzz.ends_well(target, data, folder)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    watch = fuzz.Watch(top)

    def run(data: bytes) -> None:
        with watch.watching():
            fuzz.ends_well(target, data, folder)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        assert now - used < MOST_BYTES, f"{now - used:,} bytes more than the imports"

    atheris.Setup([sys.argv[0], *sys.argv[3:]], run)
    atheris.Fuzz()


def _kept(name: str) -> list[bytes]:
    return [path.read_bytes() for path in corpus(name).iterdir()]


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        fuzz_here(sys.argv[2])
    else:
        main()
