"""The measuring run: which models under which settings, group by group.

Promises: comparable rows are sampled in interleaved blocks, each model in a worker process of its
own; a failing worker costs its own row alone; an interrupt keeps what was measured; the clock and
the workers can be injected, so that all of this is tested without waiting. Refuses an empty list
of models and settings that cannot run here.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from gadprof.errors import OutputError, SettingError, os_reason
from gadprof.measuring.conclusions import conclude, unmeasured
from gadprof.measuring.entry import Entry, OnTurn, RunLimits, Spawn
from gadprof.measuring.group_run import GroupRun
from gadprof.measuring.launcher import Launcher, default_memory_limit
from gadprof.measuring.probes.heap import heap_policy
from gadprof.measuring.probes.nvml import card_state
from gadprof.measuring.progress import Progress, Silent
from gadprof.measuring.result import BenchGroup, BenchResult, BenchRow
from gadprof.measuring.settings import Setting, check_device, check_setting
from gadprof.results.plain import MACHINE_PACKAGES, describe_machine
from gadprof.workers.folders import private_folder

# as they are called where packages are installed from
RUNTIME_PACKAGES = ("onnxruntime", "openvino", "executorch", "ai-edge-litert", "ncnn", "mnn")

__all__ = ["BenchResult", "GroupRun", "Launcher", "RunLimits", "measure"]


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
    on_turn: OnTurn | None = None,
    card: Callable[[str], dict[str, Any]] = card_state,
    keep: str | None = None,
) -> BenchResult:
    """Measure every model under every setting; ratios to the first model of comparable rows.

    ``precision`` is the half width of the ratio's 95 % interval to reach (0.02 for 2 %),
    ``time_limit_s`` bounds the sampling of the whole run, ``timeout_s`` any single answer of a
    worker. ``launches`` bounds how often every model is started afresh in a new process during the
    run (None: as often as the time limit allows, where workers can be forked; 1: once), because a
    process keeps for life how the system happened to lay it out. ``on_turn`` is told each turn's
    row number, model, setting and samples (s) as they arrive. ``card`` tells the state of a CUDA
    device before any worker is on it. ``keep`` is a folder in which the files that runtimes make of
    a model stay, for runs to come. Raises SettingError, UnknownNameError, SourceError.
    """
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
            from gadprof.models.sources import resolve

            for model in models:
                resolve(model)
        memory_limit_bytes = memory_limit_bytes or default_memory_limit()
    with contextlib.ExitStack() as stack:
        folder: str | None = None
        if spawn is None:
            if keep is not None:
                folder = _made(keep)
            elif any(setting.is_file for setting in chosen):
                folder = stack.enter_context(private_folder("gadprof-bench-"))
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
            RunLimits(
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
            cards={
                setting.device: card(setting.device)
                for setting in chosen
                if setting.device.startswith("cuda")
            },
            folder=folder,
        )


def _made(folder: str) -> str:
    """The whole path of a folder that is there. Raises OutputError."""
    folder = os.path.abspath(folder)  # converters run in it, and what is kept names its files
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder!r}: {os_reason(error)}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder {folder!r} is not writable; keep the files elsewhere")
    return folder


def _measure(
    models: Sequence[str],
    chosen: tuple[Setting, ...],
    limits: RunLimits,
    *,
    spawn: Spawn,
    factories: Sequence[dict[str, Any] | None] | None,
    null: bool,
    extras: tuple[bool, bool],
    seed: int,
    progress: Progress | None,
    clock: Callable[[], float],
    on_turn: OnTurn | None,
    cards: dict[str, dict[str, Any]],
    folder: str | None,
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
    machine = describe_machine((*MACHINE_PACKAGES, *RUNTIME_PACKAGES, "scipy"))
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
            folder=folder,
        )
        if interrupted:
            rows.update((entry.key, unmeasured(entry)) for entry in members)
            continue
        run.go()
        interrupted = interrupted or run.interrupted
        left_s -= run.seconds
        group, group_rows = conclude(run, cards.get(members[0].setting.device))
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
            "freed_memory": heap_policy(),
        },
    )
