"""Joules a run, where a counter can tell, and why not where none can.

Promises: energy is the difference of a hardware counter over a window of many runs, divided by the
runs; the counter's smallest step is reported beside it, and the window lasts until the difference
is at least 100 steps. It is the whole package's or card's energy, what was idle included. Refuses
to estimate: without a counter it says "not available" and why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
MINIMUM_STEPS = 100


@dataclass(frozen=True)
class Energy:
    """Energy of one run: joules, counter and resolution, or why there is none."""

    joules_per_run: float | None
    resolution_j: float | None
    counter: str
    runs: int
    window_s: float
    reason: str = ""


class Counter(Protocol):
    """A hardware energy counter."""

    name: str
    resolution_j: float

    def read_j(self) -> float: ...


class RaplCounter:
    """The sum of all CPU packages' counters, in joules, made monotonic over their wrap-arounds."""

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = sorted(
            zone
            for zone in (root.glob("intel-rapl:*") if root.is_dir() else ())
            if zone.name.count(":") == 1 and (zone / "energy_uj").exists()
        )
        if not zones:
            raise LookupError(
                f"no RAPL energy counter under {root} (a virtual machine, or not Linux on x86)"
            )
        unreadable = [zone for zone in zones if not os.access(zone / "energy_uj", os.R_OK)]
        if unreadable:
            path = unreadable[0] / "energy_uj"
            raise LookupError(f"{path} is not readable; type: sudo chmod a+r {path}")
        self._zones = zones
        self._ranges = [self._integer(zone / "max_energy_range_uj", 0) for zone in zones]
        self._last = [self._integer(zone / "energy_uj") for zone in zones]
        self._total_uj = 0
        names = [(zone / "name").read_text().strip() for zone in zones]
        self.name = "RAPL " + " + ".join(names)
        # the files count in microjoules; the hardware's own step is 2^-14 J on Intel client and
        # server parts (Intel SDM vol. 3B, MSR_RAPL_POWER_UNIT, default energy status unit)
        self.resolution_j = 2.0**-14

    @staticmethod
    def _integer(path: Path, default: int | None = None) -> int:
        try:
            return int(path.read_text())
        except OSError:
            if default is None:
                raise
            return default

    def read_j(self) -> float:
        """Joules since the counter was opened."""
        for index, zone in enumerate(self._zones):
            now = self._integer(zone / "energy_uj")
            step = now - self._last[index]
            if step < 0:
                step += self._ranges[index]
            self._total_uj += step
            self._last[index] = now
        return self._total_uj / 1e6


class NvmlCounter:
    """The card's energy since the driver was loaded (Volta and later)."""

    def __init__(self, device: str, opener: Callable[[str], tuple[Any, Any]] | None = None) -> None:
        from gadprof.measuring.probes.nvml import open_device

        try:
            self._nvml, self._handle = (opener or open_device)(device)
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except ImportError as error:
            raise LookupError("needs nvidia-ml-py; type: pip install 'gadprof[gpu]'") from error
        except Exception as error:
            raise LookupError(f"NVML: {type(error).__name__}: {error}") from error
        self.name = "NVML total energy"
        self.resolution_j = 1e-3

    def read_j(self) -> float:
        """Joules since the driver was loaded."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3


def open_counter(device: str) -> Counter:
    """The energy counter of a device. Raises LookupError with the reason."""
    if device.startswith("cuda"):
        return NvmlCounter(device)
    if device == "cpu":
        return RaplCounter()
    raise LookupError(f"no energy counter is known for {device}")


def measure_energy(
    run: Callable[[], Any],
    sample: Callable[[Callable[[], Any], int], list[int]],
    device: str,
    seconds: float,
    *,
    opener: Callable[[str], Counter] = open_counter,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Energy of one run as the fields of ``Energy``, over a window of at least ``seconds``."""
    try:
        counter = opener(device)
    except LookupError as error:
        return asdict(Energy(None, None, "", 0, 0.0, f"not available: {error}"))
    runs = 0
    started, before = clock(), counter.read_j()
    while True:
        sample(run, 1)
        runs += 1
        elapsed = clock() - started
        if elapsed >= seconds:
            used = counter.read_j() - before
            if used >= MINIMUM_STEPS * counter.resolution_j:
                break
            if elapsed >= 10 * seconds:
                reason = f"not available: {counter.name} did not move in {elapsed:.1f} s"
                return asdict(
                    Energy(None, counter.resolution_j, counter.name, runs, elapsed, reason)
                )
    return asdict(Energy(used / runs, counter.resolution_j, counter.name, runs, elapsed))
