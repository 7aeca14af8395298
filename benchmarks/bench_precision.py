"""How long the ratio of gadnet32 to hrnet32 takes to get an interval of ±2 % at batch 1.

    python benchmarks/bench_precision.py [--quick]

At most 2 minutes (loading, warm-up, 60 s of sampling); --quick stops at ±5 %. Wanted: within 60 s.
"""

from __future__ import annotations

import argparse
import time

from gadprof.measuring.bench import measure
from gadprof.measuring.settings import Setting


def main() -> None:
    """Print the ratio, its half width and the seconds of sampling."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    precision = 0.05 if parser.parse_args().quick else 0.02
    started = time.perf_counter()
    result = measure(
        ["hrnet32", "gadnet32"],
        Setting(),
        precision=precision,
        time_limit_s=60,
        memory=False,
        energy=False,
    )
    group, row = result.groups[0], result.rows[1]
    print(f"{result.machine.cpu}, {result.machine.cores} cores")
    assert row.ratio is not None, row.error
    print(
        f"gadnet32 / hrnet32 = {row.ratio.value:.4f} ({row.ratio.ci95[0]:.4f} to "
        f"{row.ratio.ci95[1]:.4f}, ±{100 * row.ratio.half_width:.2f} %) after "
        f"{group.seconds:.1f} s of sampling in {group.blocks} blocks, ended by {group.stopped_by}; "
        f"whole run {time.perf_counter() - started:.1f} s"
    )
    for warning in group.warnings:
        print(f"warning ({warning.kind}): {warning.text}")


if __name__ == "__main__":
    main()
