"""How many exact designs a second one core sweeps, and in how much memory.

python benchmarks/sweep_rate.py [--quick]
"""

from __future__ import annotations

import resource
import time

import click

from gadprof.results import describe_machine
from gadprof.sweep.run import read_objectives, run_sweep
from gadprof.sweep.space import make_space


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of the designs.")
def main(quick: bool) -> None:
    """Sweep about 10^8 designs of each family, parameters and MACs."""
    blocks = "1:6-1:6-1:6-1:6" if quick else "1:10-1:10-1:10-1:10"
    for family in ("hrnet", "gadnet"):
        texts = {"width": "16:64", "k": "1,3", "blocks": blocks, "modules": "1:2-1:4-1:4"}
        if family == "gadnet":
            texts = {"width": "16:64", "d": "3,5", "blocks": blocks, "modules": "1:2-1:4-1:4"}
        space = make_space(family, texts)
        started = time.process_time()
        result = run_sweep(space, read_objectives("macs,params:max"))
        seconds = time.process_time() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        click.echo(
            f"{family}: {result.designs:,} designs, {result.designs / seconds / 1e6:.1f} million/s "
            f"of CPU time, {result.checked} checked one by one, peak {peak:.2f} GiB"
        )
    click.echo(f"on {describe_machine().cpu}")


if __name__ == "__main__":
    main()
