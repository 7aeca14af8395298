"""Who starts the workers of a run, on which processors, under which limits.

Promises: on the CPU all workers of a thread count are forked from one process that has imported
what their models need, where the system can fork; all of them run on the same processors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gadprof.measuring.settings import Setting
from gadprof.workers.limits import ProcessLimits
from gadprof.workers.process import Runner, Worker
from gadprof.workers.zygote import Zygote, available

SERVICE = "gadprof.measuring.worker:service"


def measuring_worker(
    *,
    threads: int = 1,
    memory_limit_bytes: int | None = None,
    cpus: tuple[int, ...] = (),
    zygote: Zygote | None = None,
) -> Worker:
    """A process that holds one model and is asked for its samples. Raises WorkerFailedError."""
    limits = ProcessLimits(memory_limit_bytes)
    return Worker(SERVICE, limits=limits, threads=threads, cpus=cpus, zygote=zygote)


def load(
    worker: Runner,
    model: str,
    setting: Setting,
    *,
    timeout_s: float,
    factory: dict[str, Any] | None = None,
    converted: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Have a worker build a model string (or call ``factory``) under a setting, or load the file
    that was made of it.

    Raises WorkerFailedError.
    """
    return worker.request(
        "load",
        timeout_s=timeout_s,
        model=model,
        setting=asdict(setting),
        factory=factory,
        converted=converted,
    )


def convert(
    worker: Runner,
    model: str,
    setting: Setting,
    *,
    folder: str,
    shared: str | None = None,
    weights: str = "",
    timeout_s: float,
    factory: dict[str, Any] | None = None,
) -> None:
    """Have a worker write a model's file for its runtime into a folder; ``shared`` is one for the
    file in fp32 that several files are made of, ``weights`` a checkpoint to load first.

    The worker's process may crash or hang in a converter, and is done with afterwards. Raises
    WorkerFailedError.
    """
    worker.request(
        "convert",
        timeout_s=timeout_s,
        model=model,
        setting=asdict(setting),
        factory=factory,
        folder=folder,
        shared=shared,
        weights=weights,
    )


class Launcher:
    """Starts the workers of a run: on the CPU forked from one zygote a thread count."""

    def __init__(
        self, models: Sequence[str], settings: Sequence[Setting], memory_limit_bytes: int
    ) -> None:
        self.forks = available() and all(setting.device == "cpu" for setting in settings)
        self._limit_bytes = memory_limit_bytes
        self._modules = ["torch", SERVICE.partition(":")[0]]
        self._modules += ["gadprof.networks.build", "gadprof.networks.spec:presets"]
        self._modules += ["gadprof.models.sources", "gadprof.measuring.runtimes.eager"]
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
            return measuring_worker(threads=threads)
        cpus = self._cpus.get(threads, ())
        if self.forks and threads not in self._zygotes:
            self._zygotes[threads] = Zygote(threads, cpus=cpus, modules=self._modules)
        return measuring_worker(
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


def quietest_cpus(count: int) -> tuple[int, ...]:
    """The ``count`` least busy processors, on which all workers of a run are put.

    Only one of them runs at a time; on the same processors they meet the same neighbours, where
    the scheduler would give one model a quiet core and another a busy one. Empty (no restriction)
    where all processors are wanted or the system cannot do it.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return ()
    import psutil

    busy = psutil.cpu_percent(interval=0.2, percpu=True)
    allowed.sort(key=lambda cpu: busy[cpu] if cpu < len(busy) else 100.0)
    return tuple(sorted(allowed[:count]))


def default_memory_limit() -> int:
    """Nine tenths of the memory that is free now: the machine must not swap."""
    import psutil

    return int(psutil.virtual_memory().available * 0.9)
