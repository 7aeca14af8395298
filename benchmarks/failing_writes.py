"""Lets every system call that writes fail in turn, by every error, in everything that writes.

    PYTHONPATH=. python benchmarks/failing_writes.py [--only SCENARIO]… [--step N]

What fails are the calls below one folder (open, write, fsync, rename, link, chmod, …), one in each
attempt, by ENOSPC, EIO, EACCES and EINTR, in exports, plots, baselines, reports, stores, journals,
sweeps and checkpoints. An attempt survives when each file is the old one whole or the new one
whole, and the exit code and one line say which. The suite tries a sample of the same
(``tests/faults/``). Exit code 1 where one failed. Linux only, with a C compiler.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

import test_failing_writes as tests


@click.command()
@click.option("--only", multiple=True, help="These scenarios alone.")
@click.option("--step", default=1, show_default=True, help="Every so many writes.")
def main(only: tuple[str, ...], step: int) -> None:
    """Run the scenarios and print how many attempts there were."""
    tried = failed = 0
    with tempfile.TemporaryDirectory() as name:
        shim = tests.compiled(Path(name))
        for scenario in only or tests.STEPS:
            begun = time.monotonic()
            found = tests.attempts(shim, Path(name) / "folder", scenario, step)
            click.echo(f"{scenario}, {time.monotonic() - begun:.0f} s")
            for code, ends in found.items():
                tried += len(ends) - 2  # the first and the last fail nowhere
                try:
                    tests.judge(scenario, *ends)
                    told = "survived"
                except AssertionError as error:
                    failed += 1
                    told = f"FAILED: {str(error)[:600]}"
                click.echo(f"  {code:8}{len(ends) - 2:5} writes failed in turn: {told}")
    click.echo(f"{tried} attempts, {failed} series with a failure")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
