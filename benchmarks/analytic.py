"""How light the analytic commands are: ratios to ``import torch`` in one run, and cost per design.

python benchmarks/analytic.py [--runs 7]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click

from gadprof.networks.cost import cost_of
from gadprof.networks.spec import parse_spec, plan_of
from gadprof.results.plain import describe_machine

COMMANDS = {
    "import torch": ["-c", "import torch"],
    "formula": ["-m", "gadprof", "formula", "--cin", "64", "--cout", "64"],
    "compare": ["-m", "gadprof", "compare", "hrnet32", "gadnet32"],
}


@click.command()
@click.option("--runs", default=7, show_default=True)
def main(runs: int) -> None:
    """Time whole processes in turn, and single designs in this process."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - started)
    middle = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, value in middle.items():
        ratio = value / middle["import torch"]
        click.echo(f"{name}: {1e3 * value:.0f} ms, {ratio:.3f} of import torch")
    for family in ("hrnet32", "gadnet32"):
        times = []
        for width in range(20, 60):
            started = time.perf_counter()
            cost_of(plan_of(parse_spec(f"{family}:width={width}")), (3, 256, 192))
            times.append(time.perf_counter() - started)
        click.echo(f"cost of one {family} design: {1e3 * statistics.median(times):.2f} ms")
    click.echo(f"on {describe_machine().cpu}")


if __name__ == "__main__":
    main()
