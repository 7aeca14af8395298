"""The sampling of one group: start its workers, warm up, take turns until enough, look at the rest.

Promises: rows are sampled in interleaved blocks; ratios are formed block by block and kept apart by
launch; new processes are asked for only where they leave time to sample; a failing worker costs its
own row alone; an interrupt keeps what was measured; workers are closed in any case.
"""

from __future__ import annotations

import math
import random
import statistics as stdlib_statistics
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gadprof.measuring import schedule, statistics
from gadprof.measuring.entry import NULL, Entry, OnTurn, RunLimits, Spawn
from gadprof.measuring.kept import folder_of, kept, made_empty, shared_folder
from gadprof.measuring.launcher import convert, load
from gadprof.measuring.probes import noise
from gadprof.measuring.progress import Progress, RowProgress, RunProgress
from gadprof.measuring.warmup import AGAIN, MINIMUM_S, WarmUp
from gadprof.workers.process import Runner, WorkerFailedError

# what ending a worker and forking another takes beside loading its model
FORK_S = 0.15
# blocks between two launches at least, and the share of the time limit that one launch may take
SEGMENT_BLOCKS = 4
MAX_LAUNCH_SHARE = 0.25

Value = TypeVar("Value")


class GroupRun:
    """The rows that are comparable with each other: their turns and the launches between, and
    whether that is enough."""

    def __init__(
        self,
        members: list[Entry],
        limits: RunLimits,
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
        folder: str | None = None,
    ) -> None:
        self.members = members
        self.limits = limits
        self.share_s = share_s
        self.seed = seed
        self.null: Entry | None = None
        self.blocks = 0
        self.seconds = 0.0
        # the number of the first block of every launch
        self.launched_at = [0]
        self.launch_s = 0.0
        self.launching_s = 0.0
        self.ratios: dict[str, statistics.Estimate | None] = {}
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
        self._folder = folder

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

    def _at_its_own_cost(self, entry: Entry, action: Callable[[], Any]) -> Any:
        """An action on one entry whose failure is that entry's alone."""
        try:
            return action()
        except WorkerFailedError as failure:
            entry.failure = failure
            if entry.runner is not None:
                entry.runner.close()
            return None

    def _start(self, entry: Entry) -> None:
        self._report(f"loading {entry.model}")
        limits = self.limits

        def start() -> None:
            self._convert(entry)
            entry.runner = self._spawn(entry.model, entry.setting)
            entry.loaded = load(
                entry.runner,
                entry.model,
                entry.setting,
                timeout_s=limits.timeout_s,
                factory=entry.factory,
                converted=entry.converted,
            )
            entry.note(entry.loaded.get("notes", []))
            self._report(f"warming up {entry.model}")
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

        self._at_its_own_cost(entry, start)

    def _convert(self, entry: Entry) -> None:
        """Have the runtime's file written once, in a process that is gone before any is measured.

        The null and other rows of the same file share it, and so do runs that keep their files.
        """
        if self._folder is None or not entry.setting.is_file or entry.converted is not None:
            return
        folder = folder_of(self._folder, entry.model, entry.setting, entry.factory)
        entry.converted = kept(folder)
        if entry.converted is not None:
            return
        self._report(f"converting {entry.model}")
        entry.runner = self._spawn(entry.model, entry.setting)
        made_empty(folder)
        convert(
            entry.runner,
            entry.model,
            entry.setting,
            folder=folder,
            shared=shared_folder(self._folder, entry.model, entry.setting, entry.factory),
            timeout_s=self.limits.timeout_s,
            factory=entry.factory,
        )
        entry.runner.close()
        entry.converted = kept(folder)

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
                self._report("sampling")
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

        self._at_its_own_cost(entry, turn)
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
            self._report(f"memory of {entry.model}")
            runner = entry.runner
            assert runner is not None

            def finish(entry: Entry = entry, runner: Runner = runner) -> None:
                runner.request("check", timeout_s=timeout_s)
                # before the memory, which empties a caching allocator that must be warm here
                if wants_energy:
                    entry.energy = runner.request("energy", timeout_s=timeout_s, seconds=1.0)
                if wants_memory:
                    entry.memory = runner.request("memory", timeout_s=timeout_s)

            self._at_its_own_cost(entry, finish)

    def _sensors(self, entry: Entry) -> dict[str, Any] | None:
        runner = entry.runner
        if runner is None or not entry.setting.device.startswith("cuda"):
            return None
        reply = self._at_its_own_cost(
            entry, lambda: runner.request("sensors", timeout_s=self.limits.timeout_s)
        )
        return reply["sensors"] if reply else None

    def _report(self, phase: str) -> None:
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

    # --- what has been sampled so far, and whether that is enough

    @property
    def reference(self) -> Entry:
        """The row that the others are divided by: the first."""
        return self.members[0]

    def entries(self) -> list[Entry]:
        """All rows and the null."""
        return [*self.members, *([self.null] if self.null else [])]

    def label(self, entry: Entry) -> str:
        """The model's name, with what else tells it from the group's other rows."""
        words = []
        if len({member.setting.runtime for member in self.members}) > 1:
            words.append(entry.setting.runtime)
        if len({member.setting.channels_last for member in self.members}) > 1:
            words.append("channels last" if entry.setting.channels_last else "contiguous")
        if len({member.setting.dtype for member in self.members}) > 1:
            words.append(entry.setting.dtype)
        return f"{entry.model} ({', '.join(words)})" if words else entry.model

    def comparable(self, entry: Entry) -> bool:
        """Whether a row's input is the reference's."""
        return bool(entry.loaded.get("input_shapes") == self.reference.loaded.get("input_shapes"))

    def paired_logs(self, entry: Entry) -> list[list[float]]:
        """log(median of the entry's turn / median of the reference's turn), block by block, a list
        for every launch."""
        reference = self.reference.turns
        return self._by_launch(
            {
                block: math.log(
                    max(stdlib_statistics.median(turn), 1e-9)
                    / max(stdlib_statistics.median(reference[block]), 1e-9)
                )
                for block, turn in entry.turns.items()
                if block in reference
            }
        )

    def turns_of(self, entry: Entry) -> list[list[list[float]]]:
        """The entry's turns, a list for every launch."""
        return self._by_launch(entry.turns)

    def _by_launch(self, values: Mapping[int, Value]) -> list[list[Value]]:
        groups: list[list[Value]] = [[] for _ in self.launched_at]
        for block, value in values.items():
            groups[bisect_right(self.launched_at, block) - 1].append(value)
        return [group for group in groups if group]

    def estimate(self, entry: Entry) -> statistics.Estimate | None:
        """The entry's ratio to the reference so far."""
        return statistics.ratio_of_launches(self.paired_logs(entry), seed=self.seed)

    def narrow_enough(self) -> bool:
        """Whether every interval is as narrow as was asked for."""
        wanted = self.limits.precision
        others = [e for e in self.members[1:] if e.alive and self.comparable(e)]
        if self.reference.alive and others:
            self.ratios = {entry.key: self.estimate(entry) for entry in others}
            return all(
                estimate is not None and estimate.half_width <= wanted
                for estimate in self.ratios.values()
            )
        for entry in self.members:
            if entry.alive:
                median = statistics.median_of_launches(self.turns_of(entry), seed=self.seed)
                if median is None or median.half_width > wanted:
                    return False
        return True

    def enough_launches(self, ends: bool) -> bool:
        """Whether the interval may be looked at: at a launch's end, and after enough of them to
        tell launches from models, or as many as there will be."""
        if len(self.launched_at) >= statistics.MIN_BATCHES:
            return ends or len(self.launched_at) == self.limits.launches
        return not ends and not self._may_launch()

    def segment_ends(self) -> bool:
        """Whether it is time for another launch of every model.

        A segment lasts at least as long as launching takes, so that at most half of the time goes
        into launches, and none is begun that leaves no time to sample.
        """
        blocks = self.blocks - self.launched_at[-1]
        return (
            blocks >= SEGMENT_BLOCKS
            and blocks * self._block_s >= self.launch_s
            and self._may_launch()
        )

    @property
    def _block_s(self) -> float:
        """How long a block takes, launches apart."""
        return (self.seconds - self.launching_s) / self.blocks

    def _may_launch(self) -> bool:
        """Whether another launch is allowed, and leaves time to sample."""
        allowed = self.limits.launches
        if allowed is not None and len(self.launched_at) >= allowed:
            return False
        if self.launch_s > MAX_LAUNCH_SHARE * self.share_s:
            return False
        return self.seconds + self.launch_s + SEGMENT_BLOCKS * self._block_s < self.share_s

    def again_s(self) -> float:
        """What launching every model again should take: loading, and a warm-up that ends when the
        latency is the known one. Infinite where a worker does not tell how long it loaded."""
        total = 0.0
        for entry in self.entries():
            if entry.alive:
                assert entry.warm is not None
                warming = max(MINIMUM_S, (AGAIN + 1) * entry.warm.last_median_s)
                total += entry.loaded.get("load_s", math.inf) + warming + FORK_S
        return total

    def progress(self) -> tuple[RowProgress, ...]:
        """What there is of every row by now, for whoever watches."""
        rows = []
        for entry in self.members:
            flat = [sample for turn in entry.turns.values() for sample in turn]
            estimate = self.ratios.get(entry.key)
            rows.append(
                RowProgress(
                    self.label(entry),
                    len(flat),
                    stdlib_statistics.median(flat[-99:]) if flat else None,
                    estimate.value if estimate else None,
                    estimate.ci95 if estimate else None,
                    entry.failure.reason if entry.failure else None,
                )
            )
        return tuple(rows)
