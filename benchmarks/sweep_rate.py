"""How many exact designs a second one core sweeps, and in how much memory.

    python benchmarks/sweep_rate.py [--quick]

Parameters and MACs, of more than 10^8 designs of each family. Targets: 5 million designs a second
of CPU time, 1 GiB at the most; exit code 1 where one is missed.
"""

from __future__ import annotations

import resource
import sys
import time

import click

from gadprof.results.plain import describe_machine
from gadprof.sweep.run import read_objectives, run_sweep
from gadprof.sweep.space import make_space

LEAST_RATE, MOST_GIB = 5e6, 1.0


@click.command()
@click.option("--quick", is_flag=True, help="A twelfth of the designs: too few to carry a claim.")
def main(quick: bool) -> None:
    """Sweep both families and print rate and peak beside their targets."""
    missed = False
    for family, knob in (("hrnet", "k"), ("gadnet", "d")):
        texts = {
            "width": "16:64",
            knob: "1,3" if knob == "k" else "3,5",
            "blocks": "1:6-1:6-1:6-1:5" if quick else "1:13-1:10-1:10-1:10",
            "modules": "1:4-1:5-1:4",
        }
        space = make_space(family, texts)
        started = time.process_time()
        result = run_sweep(space, read_objectives("macs,params:max"))
        seconds = time.process_time() - started
        rate = result.designs / seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        passed = rate >= LEAST_RATE and peak <= MOST_GIB
        missed = missed or not passed
        click.echo(
            f"{family}: {result.designs:,} designs, {rate / 1e6:.1f} million/s of CPU time (at "
            f"least {LEAST_RATE / 1e6:.0f}), {result.checked} checked one by one, peak "
            f"{peak:.2f} GiB (at most {MOST_GIB:.0f}): {'pass' if passed else 'FAIL'}"
        )
    click.echo(f"on {describe_machine().cpu}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
