"""Who starts the workers of a run, and on which processors.

Promises: on the CPU all workers of a thread count are forked from one process that has imported
what their models need, where the system can fork; all of them run on the same processors.
"""

from __future__ import annotations

from collections.abc import Sequence

from gadprof.measuring.settings import Setting
from gadprof.measuring.worker_process import Runner, Worker, quietest_cpus, worker_environment
from gadprof.workers.zygote import Zygote, available


class Launcher:
    """Starts the workers of a run: on the CPU forked from one zygote a thread count."""

    def __init__(
        self, models: Sequence[str], settings: Sequence[Setting], memory_limit_bytes: int
    ) -> None:
        self.forks = available() and all(setting.device == "cpu" for setting in settings)
        self._limit_bytes = memory_limit_bytes
        self._modules = ["torch", "gadprof.models.sources", "gadprof.networks.build"]
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
