"""The sampling of one group: start its workers, warm up, take turns until enough, look at the rest.

Promises: rows are sampled in interleaved blocks; a failing worker costs its own row alone; an
interrupt keeps what was measured; workers are closed in any case.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from gadprof.measuring import schedule, statistics
from gadprof.measuring.entry import NULL, Entry, Limits, OnTurn, Spawn
from gadprof.measuring.group_samples import GroupSamples
from gadprof.measuring.probes import noise
from gadprof.measuring.progress import Progress, RunProgress
from gadprof.measuring.warmup import WarmUp
from gadprof.measuring.worker_process import Runner, WorkerFailedError, load


class GroupRun(GroupSamples):
    """The sampling of rows that are comparable with each other."""

    def __init__(
        self,
        members: list[Entry],
        limits: Limits,
        *,
        share_s: float,
        spawn: Spawn,
        clock: Callable[[], float],
        seed: int,
        null: bool,
        extras: tuple[bool, bool],
        progress: Progress,
        position: tuple[int, int],
        on_turn: OnTurn | None = None,
    ) -> None:
        super().__init__(members, limits, share_s=share_s, seed=seed)
        self.interrupted = False
        self.stopped_by = "nothing to measure"
        self.conditions: noise.Conditions | None = None
        self._want_null = null
        self._spawn = spawn
        self._clock = clock
        self._extras = extras
        self._progress = progress
        self._position = position
        self._on_turn = on_turn

    def go(self) -> None:
        """Load, warm up, sample, look at memory and energy; workers are closed in any case."""
        try:
            try:
                self._prepare()
                self._sample()
                self._afterwards()
            except KeyboardInterrupt:
                self.interrupted = True
                self.stopped_by = "interrupt"
        finally:
            for entry in self.entries():
                if entry.runner is not None:
                    entry.runner.close()

    def _guarded(self, entry: Entry, action: Callable[[], Any]) -> Any:
        """An action on one entry whose failure is that entry's alone."""
        try:
            return action()
        except WorkerFailedError as failure:
            entry.failure = failure
            if entry.runner is not None:
                entry.runner.close()
            return None

    def _start(self, entry: Entry) -> None:
        self._tell(f"loading {entry.model}")
        limits = self.limits

        def start() -> None:
            entry.runner = self._spawn(entry.model, entry.setting)
            entry.loaded = load(
                entry.runner,
                entry.model,
                entry.setting,
                timeout_s=limits.timeout_s,
                memory_limit_bytes=limits.memory_limit_bytes,
                factory=entry.factory,
            )
            entry.note(entry.loaded.get("notes", []))
            self._tell(f"warming up {entry.model}")
            known_s = entry.warm.last_median_s if entry.warm is not None else None
            if known_s is None:
                checked = entry.runner.request("check", timeout_s=limits.timeout_s)
                entry.note(checked.get("notes", []))
            finished = False
            while not finished:
                warm = entry.runner.request(
                    "warmup",
                    timeout_s=limits.timeout_s,
                    slice_s=min(1.0, limits.timeout_s / 4),
                    limit_s=limits.warm_up_s,
                    known_s=known_s,
                )
                finished = warm.pop("finished")
            if entry.warm is None:
                entry.warm = WarmUp(**warm)

        self._guarded(entry, start)

    def _prepare(self) -> None:
        taken: list[float] = []
        for entry in self.members:
            started = self._clock()
            self._start(entry)
            taken.append(self._clock() - started)
        if self._want_null and len(self.members) > 1 and self.reference.alive:
            self.null = Entry(
                NULL, self.reference.model, self.reference.setting, self.reference.factory
            )
            started = self._clock()
            self._start(self.null)
            taken.append(self._clock() - started)
        # the first start of all also pays for imports: what another costs is told by the rest
        others = taken[1:] or taken
        first_s = math.fsum(others) / len(others) * len(taken)
        self.launch_s = min(first_s, self.again_s())
        for entry in self.members:
            if entry.alive:
                entry.sensors_before = self._sensors(entry)

    def _sample(self) -> None:
        keys = {entry.key: entry for entry in self.entries() if entry.alive}
        if not any(entry.alive for entry in self.members):
            self.stopped_by = "every row failed"
            return
        limits = self.limits
        spans: list[tuple[noise.Snapshot, noise.Snapshot]] = []
        before = noise.snapshot(self._pids())
        started = self._clock()
        next_check = limits.min_blocks
        narrow_before = False
        self.stopped_by = "time limit"
        try:
            for order in schedule.blocks(list(keys), self.seed):
                for key in order:
                    if keys[key].alive:
                        self._turn(keys[key])
                self.blocks += 1
                self.seconds = self._clock() - started
                alive = [entry for entry in self.members if entry.alive]
                if not alive:
                    self.stopped_by = "every row failed"
                    break
                ends = self.segment_ends()
                if self.blocks >= next_check and self.enough_launches(ends):
                    next_check = self.blocks + max(2, self.blocks // 8)
                    narrow = self.narrow_enough()
                    # twice in a row: one lucky narrow interval must not end the run
                    if narrow and narrow_before:
                        self.stopped_by = "precision"
                        break
                    narrow_before = narrow
                self._tell("sampling")
                enough = self.blocks >= statistics.MIN_BATCHES
                if self.seconds >= self.share_s * (1.0 if enough else limits.grace):
                    break
                if ends:
                    spans.append((before, noise.snapshot(self._pids())))
                    self._launch_again(list(keys.values()))
                    before = noise.snapshot(self._pids())
        except KeyboardInterrupt:
            self.interrupted = True
            self.stopped_by = "interrupt"
        finally:
            self.seconds = self._clock() - started
            self.conditions = noise.over([*spans, (before, noise.snapshot(self._pids()))])

    def _pids(self) -> list[int]:
        return [pid for entry in self.entries() if isinstance(pid := entry.loaded.get("pid"), int)]

    def _launch_again(self, entries: list[Entry]) -> None:
        """Every model in a new process, in an order drawn afresh."""
        started = self._clock()
        order = [entry for entry in entries if entry.alive]
        random.Random(self.seed + self.blocks).shuffle(order)
        for entry in order:
            assert entry.runner is not None
            entry.runner.close()
            self._start(entry)
        self.launch_s = self._clock() - started
        self.launching_s += self.launch_s
        self.launched_at.append(self.blocks)

    def _turn(self, entry: Entry) -> None:
        assert entry.warm is not None
        latency_s = entry.warm.last_median_s
        runner = entry.runner
        assert runner is not None

        def turn() -> None:
            reply = runner.request(
                "sample",
                timeout_s=self.limits.timeout_s,
                count=schedule.turn_samples(latency_s),
                refresh=schedule.refresh_runs(latency_s),
            )
            entry.turns[self.blocks] = [sample / 1e9 for sample in reply["samples_ns"]]

        self._guarded(entry, turn)
        if self._on_turn and entry.key != NULL and self.blocks in entry.turns:
            self._on_turn(int(entry.key), entry.model, entry.setting, entry.turns[self.blocks])

    def _afterwards(self) -> None:
        if self.interrupted:
            return
        wants_memory, wants_energy = self._extras
        timeout_s = self.limits.timeout_s
        for entry in self.members:
            if not entry.alive:
                continue
            entry.sensors_after = self._sensors(entry)
            self._tell(f"memory of {entry.model}")
            runner = entry.runner
            assert runner is not None

            def finish(entry: Entry = entry, runner: Runner = runner) -> None:
                runner.request("check", timeout_s=timeout_s)
                # before the memory, which empties a caching allocator that must be warm here
                if wants_energy:
                    entry.energy = runner.request("energy", timeout_s=timeout_s, seconds=1.0)
                if wants_memory:
                    entry.memory = runner.request("memory", timeout_s=timeout_s)

            self._guarded(entry, finish)

    def _sensors(self, entry: Entry) -> dict[str, Any] | None:
        runner = entry.runner
        if runner is None or not entry.setting.device.startswith("cuda"):
            return None
        reply = self._guarded(
            entry, lambda: runner.request("sensors", timeout_s=self.limits.timeout_s)
        )
        return reply["sensors"] if reply else None

    def _tell(self, phase: str) -> None:
        group, groups = self._position
        self._progress.update(
            RunProgress(
                phase,
                group,
                groups,
                self.blocks,
                self.seconds,
                max(0.0, self.share_s - self.seconds),
                self.limits.precision,
                self.progress(),
            )
        )
