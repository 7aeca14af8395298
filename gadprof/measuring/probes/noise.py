"""What else happened on the machine: other programs' load, stolen time, throttling, drift.

Promises: reads counters before and after, and judges by differences; every warning says what to do
next. Refuses to guess: a counter that the machine lacks gives no warning and is None in the
conditions.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadprof.measuring.result import Warning
from gadprof.measuring.statistics import drift

CPU_FOLDER = Path("/sys/devices/system/cpu")
# thresholds: share of one core, share of the time, share of the clock, relative change
BUSY_CORES = 0.15
STOLEN_SHARE = 0.02
CLOCK_DROP = 0.05
DRIFT_SHARE = 0.03
WIDE_SPREAD = 0.10


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment; seconds since boot or process start, clocks in Hz."""

    wall_s: float
    busy_s: float
    stolen_s: float
    own_s: float
    cores: int
    clocks_hz: tuple[float, ...]
    throttled: int | None


@dataclass(frozen=True)
class Conditions:
    """What changed between two snapshots."""

    other_busy_cores: float | None
    stolen_share: float | None
    clock_before_hz: float | None
    clock_after_hz: float | None
    throttle_events: int | None
    cores: int


def snapshot(pids: Sequence[int]) -> Snapshot:
    """Read the machine's counters and the processor time of ``pids`` and of this process."""
    import psutil

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    stolen = getattr(times, "steal", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    own = 0.0
    for pid in (*pids, psutil.Process().pid):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid).cpu_times()
            own += process.user + process.system
    clocks: tuple[float, ...] = ()
    with contextlib.suppress(Exception):
        clocks = tuple(f.current * 1e6 for f in psutil.cpu_freq(percpu=True) or () if f.current)
    return Snapshot(
        wall_s=time.monotonic(),
        busy_s=sum(times) - idle - stolen - guest,
        stolen_s=stolen,
        own_s=own,
        cores=psutil.cpu_count() or 1,
        clocks_hz=clocks,
        throttled=throttle_count(),
    )


def throttle_count(folder: Path = CPU_FOLDER) -> int | None:
    """How often any core has been throttled for heat since boot; None where not counted."""
    files = list(folder.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    if not files:
        return None
    total = 0
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            total += int(file.read_text())
    return total


def between(before: Snapshot, after: Snapshot) -> Conditions:
    """The conditions of the time between two snapshots."""
    return over([(before, after)])


def over(spans: Sequence[tuple[Snapshot, Snapshot]]) -> Conditions:
    """The conditions of several stretches of time together: one a launch of the workers."""
    wall = sum(after.wall_s - before.wall_s for before, after in spans)
    first, last = spans[0][0], spans[-1][1]
    busy: float | None = None
    stolen: float | None = None
    if wall > 0.2:  # the kernel counts in ticks of 10 ms
        others = sum(
            (after.busy_s - before.busy_s) - (after.own_s - before.own_s) for before, after in spans
        )
        taken = sum(after.stolen_s - before.stolen_s for before, after in spans)
        busy = max(0.0, others / wall)
        stolen = max(0.0, taken / (wall * last.cores))
    events = None
    if first.throttled is not None and last.throttled is not None:
        events = last.throttled - first.throttled
    return Conditions(
        busy,
        stolen,
        max(first.clocks_hz) if first.clocks_hz else None,
        max(last.clocks_hz) if last.clocks_hz else None,
        events,
        last.cores,
    )


def condition_warnings(conditions: Conditions) -> tuple[Warning, ...]:
    """Warnings about the machine as a whole."""
    found: list[Warning] = []
    if conditions.other_busy_cores is not None and conditions.other_busy_cores > BUSY_CORES:
        found.append(
            Warning(
                "background load",
                f"other programs kept {conditions.other_busy_cores:.1f} of {conditions.cores} "
                "cores busy; absolute times are too high: stop them and measure again",
            )
        )
    if conditions.stolen_share is not None and conditions.stolen_share > STOLEN_SHARE:
        found.append(
            Warning(
                "stolen time",
                f"the hypervisor took {100 * conditions.stolen_share:.0f} % of the processor away; "
                "trust ratios, not absolute times, or use a machine of your own",
            )
        )
    if conditions.throttle_events:
        found.append(
            Warning(
                "throttling",
                f"the processor was throttled for heat {conditions.throttle_events} time(s); "
                "let it cool, fix the clock, and measure again",
            )
        )
    if conditions.clock_before_hz and conditions.clock_after_hz:
        drop = 1 - conditions.clock_after_hz / conditions.clock_before_hz
        if drop > CLOCK_DROP:
            found.append(
                Warning(
                    "throttling",
                    f"the clock fell by {100 * drop:.0f} % during the run; fix the clock "
                    "(cpupower frequency-set) or lengthen the warm-up",
                )
            )
    return tuple(found)


def common_drift(medians: Sequence[Sequence[float]]) -> list[float]:
    """One series for the whole run: each block's mean of the models' medians, each model's
    medians first divided by its own overall median."""
    import numpy as np

    matrix = np.asarray(medians, dtype=float)
    return [float(v) for v in (matrix / np.median(matrix, axis=0)).mean(axis=1)]


def drift_warnings(medians: Sequence[Sequence[float]]) -> tuple[Warning, ...]:
    """A warning when all models together got slower or faster; rows are blocks."""
    if len(medians) < 10:
        return ()
    change = drift(common_drift(medians))
    if abs(change.relative) < DRIFT_SHARE or change.p_value > 0.01:
        return ()
    word = "slower" if change.relative > 0 else "faster"
    return (
        Warning(
            "drift",
            f"all models got {100 * abs(change.relative):.0f} % {word} during the run (heat, clock "
            "or other load); ratios are unaffected, since turns are interleaved",
        ),
    )


def spread_warnings(spreads: dict[str, float]) -> tuple[Warning, ...]:
    """A warning when samples of a model scatter widely."""
    return tuple(
        Warning(
            "noise",
            f"{name}'s samples scatter by {100 * spread:.0f} %; a quieter machine or fewer "
            "--threads than cores gives narrower intervals",
        )
        for name, spread in spreads.items()
        if spread > WIDE_SPREAD
    )


def sensor_warnings(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> tuple[Warning, ...]:
    """Warnings from a card's sensors before and after the run."""
    if not before or not after or "unavailable" in after:
        return ()
    found: list[Warning] = []
    if after.get("slowdowns"):
        found.append(
            Warning(
                "throttling",
                f"the card reports {', '.join(after['slowdowns'])} (now "
                f"{after.get('temperature_c')} degrees, {after.get('power_w')} W); cool it or fix "
                "its clock (nvidia-smi --lock-gpu-clocks)",
            )
        )
    first, last = before.get("sm_clock_hz"), after.get("sm_clock_hz")
    if first and last and 1 - last / first > CLOCK_DROP:
        found.append(
            Warning(
                "throttling",
                f"the card's clock fell from {first / 1e6:.0f} to {last / 1e6:.0f} MHz; fix it "
                "(nvidia-smi --lock-gpu-clocks)",
            )
        )
    return tuple(found)
