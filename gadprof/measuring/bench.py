"""The measuring run: which models, in which order, until when, and what follows from the samples.

Promises: comparable rows are sampled in interleaved blocks, each model in a worker process of its
own; a failing worker costs its own row alone; an interrupt keeps what was measured; the clock and
the workers can be injected, so that all of this is tested without waiting. Refuses an empty list
of models and settings that cannot run here.
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics as stdlib_statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from gadprof.errors import MissingExtraError, SettingError
from gadprof.measuring import noise, schedule, statistics
from gadprof.measuring.isolation import (
    Runner,
    Worker,
    WorkerFailedError,
    default_memory_limit,
    load,
    quietest_cpus,
    worker_environment,
)
from gadprof.measuring.progress import Progress, RowProgress, RunProgress, Silent
from gadprof.measuring.result import (
    BenchGroup,
    BenchResult,
    BenchRow,
    Latency,
    Ratio,
    Warning,
)
from gadprof.measuring.settings import Setting, check_device, check_setting
from gadprof.measuring.verdict import judge
from gadprof.measuring.warmup import AGAIN, MINIMUM_S, RUNS_TO_SETTLE, WarmUp
from gadprof.measuring.zygote import Zygote, available
from gadprof.results import MACHINE_PACKAGES, describe_machine

MIN_BLOCKS = 12
NULL = "null"
# blocks between two launches at least, and the share of the time limit that one launch may take
SEGMENT_BLOCKS = 4
MAX_LAUNCH_SHARE = 0.25
# what ending a worker and forking another takes beside loading its model
FORK_S = 0.15

Spawn = Callable[[str, Setting], Runner]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Limits:
    """When to stop and what to bound; seconds and bytes."""

    precision: float = 0.02
    time_limit_s: float = 60.0
    timeout_s: float = 300.0
    warm_up_s: float = 10.0
    memory_limit_bytes: int | None = None
    min_blocks: int = MIN_BLOCKS
    # how often each model may be launched afresh: 1 is once, None as often as time allows
    launches: int | None = 1
    # how many times the limit may pass until there are enough blocks for an interval
    grace: float = 1.0


@dataclass
class Entry:
    """One row while it is being measured (or the null, which has no row)."""

    key: str
    model: str
    setting: Setting
    factory: dict[str, Any] | None = None
    runner: Runner | None = None
    loaded: dict[str, Any] = field(default_factory=dict)
    warm: WarmUp | None = None
    notes: list[str] = field(default_factory=list)
    turns: dict[int, list[float]] = field(default_factory=dict)
    failure: WorkerFailedError | None = None
    memory: dict[str, Any] | None = None
    energy: dict[str, Any] | None = None
    sensors_before: dict[str, Any] | None = None
    sensors_after: dict[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """Whether it still takes turns."""
        return self.failure is None and self.runner is not None

    def note(self, notes: Sequence[str]) -> None:
        """Keep notes that are not kept yet: every launch of a model says the same."""
        self.notes.extend(note for note in notes if note not in self.notes)


def measure(
    models: Sequence[str],
    settings: Setting | Sequence[Setting] = Setting(),  # noqa: B008  (frozen)
    *,
    precision: float = 0.02,
    time_limit_s: float = 60.0,
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
    null: bool = True,
    memory: bool = True,
    energy: bool = True,
    seed: int = 0,
    launches: int | None = None,
    progress: Progress | None = None,
    spawn: Spawn | None = None,
    clock: Callable[[], float] = time.perf_counter,
    factories: Sequence[dict[str, Any] | None] | None = None,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
) -> BenchResult:
    """Measure every model under every setting; ratios to the first model of comparable rows.

    ``precision`` is the half width of the ratio's 95 % interval to reach (0.02 for 2 %),
    ``time_limit_s`` bounds the sampling of the whole run, ``timeout_s`` any single answer of a
    worker. ``launches`` bounds how often every model is started afresh in a new process during the
    run (None: as often as the time limit allows, where workers can be forked; 1: once), because a
    process keeps for life how the system happened to lay it out. ``on_turn`` is told each turn's
    row number, model, setting and samples (s) as they
    arrive. Raises SettingError, UnknownNameError, SourceError, MissingExtraError.
    """
    require_extra()
    if not models:
        raise SettingError("no model to measure; name at least one")
    if not precision > 0:
        raise SettingError(f"precision {precision} is not positive; try 2%")
    if not time_limit_s > 0:
        raise SettingError(f"time limit {time_limit_s} s is not positive; try 60")
    chosen = (settings,) if isinstance(settings, Setting) else tuple(settings)
    for setting in chosen:
        check_setting(setting)
    if spawn is None:
        for device in dict.fromkeys(setting.device for setting in chosen):
            check_device(device)
        if factories is None:
            from gadprof.sources import resolve

            for model in models:
                resolve(model)
        memory_limit_bytes = memory_limit_bytes or default_memory_limit()
    with contextlib.ExitStack() as stack:
        if spawn is None:
            assert memory_limit_bytes is not None
            launcher = stack.enter_context(Launcher(models, chosen, memory_limit_bytes))
            spawn = launcher.spawn
            if not launcher.forks:
                launches = launches or 1
        else:
            launches = launches or 1
        return _measure(
            models,
            chosen,
            Limits(
                precision,
                time_limit_s,
                timeout_s,
                memory_limit_bytes=memory_limit_bytes,
                launches=launches,
            ),
            spawn=spawn,
            factories=factories,
            null=null,
            extras=(memory, energy),
            seed=seed,
            progress=progress,
            clock=clock,
            on_turn=on_turn,
        )


class Launcher:
    """Starts the workers of a run: on the CPU forked from one zygote a thread count."""

    def __init__(
        self, models: Sequence[str], settings: Sequence[Setting], memory_limit_bytes: int
    ) -> None:
        self.forks = available() and all(setting.device == "cpu" for setting in settings)
        self._limit_bytes = memory_limit_bytes
        self._modules = ["torch", "gadprof.sources", "gadprof.build"]
        self._modules += [
            name
            for name in ("torchvision", "timm")
            if any(m.startswith(name + ":") for m in models)
        ]
        self._zygotes: dict[int, Zygote] = {}
        self._cpus = {
            threads: quietest_cpus(threads)
            for threads in {setting.threads for setting in settings if setting.device == "cpu"}
        }

    def spawn(self, name: str, setting: Setting) -> Runner:
        """A worker for one model. Raises WorkerFailedError."""
        threads = setting.threads
        if setting.device != "cpu":
            return Worker(name, threads=threads)
        cpus = self._cpus.get(threads, ())
        if self.forks and threads not in self._zygotes:
            self._zygotes[threads] = Zygote(
                worker_environment(threads), cpus=cpus, modules=self._modules
            )
        return Worker(
            name,
            threads=threads,
            memory_limit_bytes=self._limit_bytes,
            cpus=cpus,
            zygote=self._zygotes.get(threads),
        )

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        for zygote in self._zygotes.values():
            zygote.close()


def _measure(
    models: Sequence[str],
    chosen: tuple[Setting, ...],
    limits: Limits,
    *,
    spawn: Spawn,
    factories: Sequence[dict[str, Any] | None] | None,
    null: bool,
    extras: tuple[bool, bool],
    seed: int,
    progress: Progress | None,
    clock: Callable[[], float],
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None,
) -> BenchResult:
    entries = [
        Entry(str(index), model, setting, factories[position] if factories else None)
        for index, (setting, (position, model)) in enumerate(
            (setting, item) for setting in chosen for item in enumerate(models)
        )
    ]
    grouped: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.setting.comparable_key, []).append(entry)
    machine = describe_machine((*MACHINE_PACKAGES, "onnxruntime", "openvino", "scipy"))
    groups: list[BenchGroup] = []
    rows: dict[str, BenchRow] = {}
    interrupted = False
    left_s = limits.time_limit_s
    for number, members in enumerate(grouped.values()):
        run = GroupRun(
            members,
            limits,
            share_s=left_s / (len(grouped) - number),
            spawn=spawn,
            clock=clock,
            seed=seed,
            null=null,
            extras=extras,
            progress=progress or Silent(),
            position=(number + 1, len(grouped)),
            on_turn=on_turn,
        )
        if interrupted:
            rows.update((entry.key, unmeasured(entry)) for entry in members)
            continue
        run.go()
        interrupted = interrupted or run.interrupted
        left_s -= run.seconds
        group, group_rows = conclude(run)
        groups.append(group)
        rows.update(group_rows)
    return BenchResult(
        rows=tuple(rows[entry.key] for entry in entries),
        groups=tuple(groups),
        precision=limits.precision,
        time_limit_s=limits.time_limit_s,
        interrupted=interrupted,
        machine=machine,
        options={
            "null": null,
            "seed": seed,
            "timeout_s": limits.timeout_s,
            "launches": limits.launches,
            "subnormals": "flushed to zero on the CPU",
        },
    )


def require_extra() -> None:
    """Refuse to measure without the extra's packages. Raises MissingExtraError."""
    for package in ("scipy", "psutil"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "bench", "measuring") from error


class GroupRun:
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
        on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
    ) -> None:
        self.members = members
        self.limits = limits
        self.share_s = share_s
        self.interrupted = False
        self.stopped_by = "nothing to measure"
        self.blocks = 0
        self.seconds = 0.0
        # the number of the first block of every launch
        self.launched_at = [0]
        self.launch_s = 0.0
        self._launching_s = 0.0
        self.conditions: noise.Conditions | None = None
        self.null: Entry | None = None
        self._want_null = null
        self._spawn = spawn
        self._clock = clock
        self._seed = seed
        self._extras = extras
        self._progress = progress
        self._position = position
        self._on_turn = on_turn
        self._ratios: dict[str, statistics.Estimate | None] = {}

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
        return f"{entry.model} ({', '.join(words)})" if words else entry.model

    def comparable(self, entry: Entry) -> bool:
        """Whether a row's input is the reference's."""
        return bool(entry.loaded.get("input_shapes") == self.reference.loaded.get("input_shapes"))

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
        self.launch_s = min(first_s, self._again_s())
        for entry in self.members:
            if entry.alive:
                entry.sensors_before = self._sensors(entry)

    def _again_s(self) -> float:
        """What launching every model again should take: loading, and a warm-up that ends when the
        latency is the known one. Infinite where a worker does not tell how long it loaded."""
        total = 0.0
        for entry in self.entries():
            if entry.alive:
                assert entry.warm is not None
                warming = max(MINIMUM_S, (AGAIN + 1) * entry.warm.last_median_s)
                total += entry.loaded.get("load_s", math.inf) + warming + FORK_S
        return total

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
            for order in schedule.blocks(list(keys), self._seed):
                for key in order:
                    if keys[key].alive:
                        self._turn(keys[key])
                self.blocks += 1
                self.seconds = self._clock() - started
                alive = [entry for entry in self.members if entry.alive]
                if not alive:
                    self.stopped_by = "every row failed"
                    break
                ends = self._segment_ends()
                if self.blocks >= next_check and self._enough_launches(ends):
                    next_check = self.blocks + max(2, self.blocks // 8)
                    narrow = self._narrow_enough()
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

    def _enough_launches(self, ends: bool) -> bool:
        """Whether the interval may be looked at: at a launch's end, and after enough of them to
        tell launches from models, or as many as there will be."""
        if len(self.launched_at) >= statistics.MIN_BATCHES:
            return ends or len(self.launched_at) == self.limits.launches
        return not ends and not self._may_launch()

    def _segment_ends(self) -> bool:
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
        return (self.seconds - self._launching_s) / self.blocks

    def _may_launch(self) -> bool:
        """Whether another launch is allowed, and leaves time to sample."""
        allowed = self.limits.launches
        if allowed is not None and len(self.launched_at) >= allowed:
            return False
        if self.launch_s > MAX_LAUNCH_SHARE * self.share_s:
            return False
        return self.seconds + self.launch_s + SEGMENT_BLOCKS * self._block_s < self.share_s

    def _launch_again(self, entries: list[Entry]) -> None:
        """Every model in a new process, in an order drawn afresh."""
        started = self._clock()
        order = [entry for entry in entries if entry.alive]
        random.Random(self._seed + self.blocks).shuffle(order)
        for entry in order:
            assert entry.runner is not None
            entry.runner.close()
            self._start(entry)
        self.launch_s = self._clock() - started
        self._launching_s += self.launch_s
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
        return statistics.ratio_of_launches(self.paired_logs(entry), seed=self._seed)

    def _narrow_enough(self) -> bool:
        wanted = self.limits.precision
        others = [e for e in self.members[1:] if e.alive and self.comparable(e)]
        if self.reference.alive and others:
            self._ratios = {entry.key: self.estimate(entry) for entry in others}
            return all(
                estimate is not None and estimate.half_width <= wanted
                for estimate in self._ratios.values()
            )
        for entry in self.members:
            if entry.alive:
                median = statistics.median_of_launches(self.turns_of(entry), seed=self._seed)
                if median is None or median.half_width > wanted:
                    return False
        return True

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
        rows = []
        for entry in self.members:
            flat = [sample for turn in entry.turns.values() for sample in turn]
            estimate = self._ratios.get(entry.key)
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
                tuple(rows),
            )
        )


def conclude(run: GroupRun) -> tuple[BenchGroup, dict[str, BenchRow]]:
    """Rows, null, verdicts and warnings of a finished group."""
    null = _ratio(run, run.null) if run.null and run.null.alive and run.reference.alive else None
    rows = {entry.key: _row(run, entry, null) for entry in run.members}
    group = BenchGroup(
        rows=tuple(int(entry.key) for entry in run.members),
        blocks=run.blocks,
        seconds=run.seconds,
        stopped_by=run.stopped_by,
        launches=len(run.launched_at),
        null=null,
        conditions=asdict(run.conditions) if run.conditions else {},
        warnings=_warnings(run, rows, null),
    )
    return group, rows


def unmeasured(entry: Entry) -> BenchRow:
    """A row that an interrupt kept from its turn."""
    return BenchRow(
        entry.model,
        entry.setting,
        error="not measured: interrupted before its turn",
        error_kind="interrupt",
    )


def _ratio(run: GroupRun, entry: Entry) -> Ratio | None:
    estimate = run.estimate(entry)
    if estimate is None:
        return None
    return Ratio(
        estimate.value,
        estimate.ci95,
        run.label(run.reference),
        sum(len(logs) for logs in run.paired_logs(entry)),
        estimate.batch_blocks,
        estimate.launches,
    )


def latency_of(launches: Sequence[Sequence[Sequence[float]]], seed: int = 0) -> Latency | None:
    """The statistics of one row's turns in each launch, or None without samples."""
    turns = [turn for launch in launches for turn in launch]
    samples = tuple(sample for turn in turns for sample in turn)
    if not samples:
        return None
    estimate = statistics.median_of_launches(launches, seed=seed)
    return Latency(
        median=stdlib_statistics.median(samples),
        mean=math.fsum(samples) / len(samples),
        p90=statistics.quantile(samples, 0.90),
        p95=statistics.quantile(samples, 0.95),
        p99=statistics.quantile(samples, 0.99),
        spread=statistics.robust_spread(samples),
        ci95=estimate.ci95 if estimate else None,
        count=len(samples),
        samples=samples,
        turns=tuple(len(turn) for turn in turns),
    )


def _row(run: GroupRun, entry: Entry, null: Ratio | None) -> BenchRow:
    shapes = tuple(tuple(shape) for shape in entry.loaded.get("input_shapes", ()))
    common: dict[str, Any] = {
        "model": entry.model,
        "setting": entry.setting,
        "input_shapes": shapes,
        "runtime_version": entry.loaded.get("runtime_version", ""),
        "runtime_difference": entry.loaded.get("difference"),
        "warm_up": entry.warm,
        "notes": tuple(entry.notes),
    }
    if entry.failure is not None:
        return BenchRow(
            **common,
            error=entry.failure.reason,
            error_kind=entry.failure.kind,
            stderr_tail=entry.failure.tail,
            ratio_absent="its row failed",
        )
    latency = latency_of(run.turns_of(entry), run._seed)
    if latency is None:
        return BenchRow(**common, error="not measured: interrupted", error_kind="interrupt")
    ratio, absent, verdict, outcome = None, "", "", ""
    if entry is run.reference:
        if len(run.members) > 1:
            ratio = Ratio(1.0, (1.0, 1.0), run.label(entry), run.blocks, 1, len(run.launched_at))
            verdict = outcome = "reference"
    elif run.reference.failure is not None:
        absent = f"the first model, {run.reference.model}, failed"
    elif not run.comparable(entry):
        absent = "its input differs from the first model's; give both one --input"
    else:
        ratio = _ratio(run, entry)
        if ratio is None:
            absent = "too few blocks; raise --time-limit"
        else:
            outcome, verdict = judge(ratio, null)
    memory = entry.memory or {}
    return BenchRow(
        **common,
        latency_s=latency,
        throughput_per_s=entry.setting.batch / latency.median if latency.median > 0 else None,
        ratio=ratio,
        ratio_absent=absent,
        verdict=verdict or ("" if len(run.members) == 1 else f"no ratio: {absent}"),
        outcome=outcome,
        peak_bytes=memory.get("peak_bytes"),
        predicted_peak_bytes=memory.get("predicted_peak_bytes"),
        memory=memory or None,
        energy=entry.energy,
        sensors={"before": entry.sensors_before, "after": entry.sensors_after}
        if entry.sensors_before
        else None,
    )


def _warnings(run: GroupRun, rows: dict[str, BenchRow], null: Ratio | None) -> tuple[Warning, ...]:
    found: list[Warning] = []
    if run.conditions is not None:
        found.extend(noise.condition_warnings(run.conditions))
    for entry in run.members:
        found.extend(noise.sensor_warnings(entry.sensors_before, entry.sensors_after))
    alive = [entry for entry in run.members if entry.alive]
    complete = [block for block in range(run.blocks) if all(block in e.turns for e in alive)]
    if alive and complete:
        medians = [[stdlib_statistics.median(e.turns[b]) for e in alive] for b in complete]
        found.extend(noise.drift_warnings(medians))
    found.extend(
        noise.spread_warnings(
            {
                run.label(entry): latency.spread
                for entry in run.members
                if (latency := rows[entry.key].latency_s) is not None
            }
        )
    )
    for entry in alive:
        if entry.warm is not None and not entry.warm.settled:
            runs = f"{entry.warm.runs} warm-up run" + ("s" if entry.warm.runs != 1 else "")
            text = f"{entry.model} was still getting faster after {runs}"
            if entry.warm.runs < RUNS_TO_SETTLE:
                text = f"there was time for {runs} of {entry.model}, too few to see it settle"
            found.append(Warning("not settled", f"{text}; its first samples may be high"))
    if null is not None and not null.ci95[0] <= 1 <= null.ci95[1]:
        worst = max(abs(end - 1) for end in null.ci95)
        found.append(
            Warning(
                "null",
                f"{null.to} against a second copy of itself gave {null.value:.3f} "
                f"({null.ci95[0]:.3f} to {null.ci95[1]:.3f}): differences below "
                f"{100 * worst:.1f} % are between processes, not models, and are not claimed",
            )
        )
    if len(alive) > 1 and len(run.launched_at) == 1 and run.limits.launches != 1:
        found.append(
            Warning(
                "one launch",
                "there was time to launch each model once only: how far two processes of one model "
                "differ is not in the intervals; raise --time-limit",
            )
        )
    if run.stopped_by == "time limit":
        wide = [
            run.label(entry)
            for entry in run.members
            if (row := rows[entry.key]).outcome != "reference"
            and row.latency_s
            and (row.ratio is None or row.ratio.half_width > run.limits.precision)
            and not row.ratio_absent.startswith(("its input", "the first"))
        ]
        if wide and len(run.members) > 1:
            found.append(
                Warning(
                    "time limit",
                    f"precision of {100 * run.limits.precision:g} % not reached within "
                    f"{run.share_s:.3g} s for {', '.join(wide)}; "
                    "raise --time-limit",
                )
            )
    return tuple(found)
