"""Measured speed-up and memory of many small pairs of modules: a block and what it replaces.

Promises: each pair is measured like any other comparison (interleaved, warm, with an interval), in
two processes that live on from pair to pair, so that a grid of hundreds of points takes minutes; a
process that dies takes its own point with it and is replaced. Refuses nothing: a point that fails
says why. Factories are functions by name with plain arguments, which the workers call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gadprof.measuring.conclusions import conclude
from gadprof.measuring.entry import Entry, RunLimits
from gadprof.measuring.group_run import GroupRun
from gadprof.measuring.launcher import measuring_worker, quietest_cpus
from gadprof.measuring.progress import Silent
from gadprof.measuring.settings import Setting, check_device, check_setting
from gadprof.workers.process import Runner, WorkerFailedError

Factory = dict[str, Any]
# the pair, 0 for the reference or 1 for the block, the setting, the samples (s) of one turn
OnPairTurn = Callable[[int, int, Setting, Sequence[float]], None]


@dataclass(frozen=True)
class MeasuredPair:
    """A block against its reference.

    ``speed_up`` is reference time / block time (above 1: the block is faster), with its 95 %
    interval; ``memory_ratio`` the reference's peak bytes / the block's, weights and input included.
    """

    speed_up: float | None
    ci95: tuple[float, float] | None
    memory_ratio: float | None
    latency_s: float | None = None
    reference_latency_s: float | None = None
    peak_bytes: int | None = None
    reference_peak_bytes: int | None = None
    blocks: int = 0
    error: str | None = None
    # how many cores other programs kept busy meanwhile; None where the time is too short to tell
    other_busy_cores: float | None = None


class WorkerPair:
    """Two workers that outlive single runs; a dead one is replaced when it is next asked for."""

    def __init__(self, spawn: Callable[[], Runner]) -> None:
        self._spawn = spawn
        self._runners: dict[str, Runner] = {}

    def get(self, name: str) -> BorrowedWorker:
        """The worker for ``reference`` or ``block``, started when there is none."""
        if name not in self._runners:
            self._runners[name] = self._spawn()
        return BorrowedWorker(self, name, self._runners[name])

    def drop(self, name: str) -> None:
        """End a worker."""
        runner = self._runners.pop(name, None)
        if runner is not None:
            runner.close()

    def close(self) -> None:
        """End both."""
        for name in list(self._runners):
            self.drop(name)


class BorrowedWorker:
    """A worker for the time of one run: closing it leaves it alive, a failure ends it."""

    def __init__(self, pair: WorkerPair, name: str, runner: Runner) -> None:
        self._pair, self._name, self._runner = pair, name, runner

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Ask the worker. Raises WorkerFailedError, after which the worker is gone."""
        try:
            return self._runner.request(operation, timeout_s=timeout_s, **fields)
        except WorkerFailedError:
            self._pair.drop(self._name)
            raise

    def close(self) -> None:
        """Leave it alive for the next run."""


def measure_pairs(
    pairs: Sequence[tuple[Factory, Factory]],
    setting: Setting,
    *,
    precision: float = 0.05,
    point_limit_s: float = 2.0,
    timeout_s: float = 60.0,
    seed: int = 0,
    spawn: Callable[[], Runner] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_turn: OnPairTurn | None = None,
) -> Iterator[MeasuredPair]:
    """Measure (block, reference) pairs one after another, each for at most ``point_limit_s``.

    ``on_turn`` is told the pair's number, 0 for the reference or 1 for the block, the setting and
    the samples (s) of each turn as they arrive.

    Raises SettingError, MissingExtraError.
    """
    check_setting(setting)
    if spawn is None:
        check_device(setting.device)
        cpus = quietest_cpus(setting.threads) if setting.device == "cpu" else ()

        def spawn() -> Runner:
            return measuring_worker(threads=setting.threads, cpus=cpus)

    workers = WorkerPair(spawn)
    limits = RunLimits(precision, point_limit_s, timeout_s, warm_up_s=1.0, grace=10.0)
    try:
        for number, (block, reference) in enumerate(pairs):
            pair_turn = partial(on_turn, number) if on_turn is not None else None
            yield _measure_pair(block, reference, setting, limits, workers, seed, clock, pair_turn)
    finally:
        workers.close()


def _measure_pair(
    block: Factory,
    reference: Factory,
    setting: Setting,
    limits: RunLimits,
    workers: WorkerPair,
    seed: int,
    clock: Callable[[], float],
    on_turn: Callable[[int, Setting, Sequence[float]], None] | None = None,
) -> MeasuredPair:
    entries = [
        Entry("0", "reference", setting, reference),
        Entry("1", "block", setting, block),
    ]
    run = GroupRun(
        entries,
        limits,
        share_s=limits.time_limit_s,
        spawn=lambda name, _: workers.get(name),
        clock=clock,
        seed=seed,
        null=False,
        extras=(True, False),
        progress=Silent(),
        position=(1, 1),
        on_turn=None
        if on_turn is None
        else lambda row, _, setting, samples: on_turn(row, setting, samples),
    )
    run.go()
    if run.interrupted:
        raise KeyboardInterrupt
    _, rows = conclude(run)
    first, second = rows["0"], rows["1"]
    failed = first.error or second.error
    if failed or first.latency_s is None or second.latency_s is None or second.ratio is None:
        return MeasuredPair(None, None, None, error=failed or second.ratio_absent)
    low, high = second.ratio.ci95
    return MeasuredPair(
        speed_up=1 / second.ratio.value,
        ci95=(1 / high, 1 / low),
        memory_ratio=first.peak_bytes / second.peak_bytes
        if first.peak_bytes and second.peak_bytes
        else None,
        latency_s=second.latency_s.median,
        reference_latency_s=first.latency_s.median,
        peak_bytes=second.peak_bytes,
        reference_peak_bytes=first.peak_bytes,
        blocks=run.blocks,
        other_busy_cores=run.conditions.other_busy_cores if run.conditions else None,
    )
