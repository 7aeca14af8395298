"""Foreign counters in processes of their own, with a time and a memory limit.

Promises: a model or counter that raises, hangs, crashes, prints, exits or takes all the memory
costs its own row, with one line that says what happened. A process is kept for the next request
and replaced after any failure. Refuses nothing; every outcome is a ``BackendCount``.
"""

from __future__ import annotations

from gadprof.audit.backends import BackendCount, distribution_of, failed, not_installed
from gadprof.results.rebuild import SchemaError, from_plain
from gadprof.workers.limits import ProcessLimits, default_memory_bytes
from gadprof.workers.process import Worker, WorkerFailedError

DEFAULT_TIMEOUT_S = 300.0
SERVICE = "gadprof.audit.counter_worker:service"


def run_isolated(
    name: str,
    source_text: str,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> BackendCount:
    """Count a model with one backend in a fresh process.

    ``shapes`` are without batch; empty means the source's own. ``memory_limit_bytes`` defaults to
    four fifths of the machine's memory. Raises UnknownNameError for an unknown backend.
    """
    with CounterProcess(memory_limit_bytes) as process:
        return process.count(name, source_text, shapes, batch, timeout_s)


class CounterProcess:
    """Answers one request after another; a context manager that ends its process.

    Usable for many models in a row; after a failure the next request starts a new process.
    """

    def __init__(self, memory_limit_bytes: int | None = None) -> None:
        limit = default_memory_bytes() if memory_limit_bytes is None else memory_limit_bytes
        self._limits = ProcessLimits(limit)
        self._worker: Worker | None = None

    def __enter__(self) -> CounterProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(
        self,
        name: str,
        source_text: str,
        shapes: tuple[tuple[int, ...], ...] = (),
        batch: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> BackendCount:
        """Ask for one count; never raises for what the model or the counter does."""
        if distribution_of(name) is None:
            return failed(name, not_installed(name))
        try:
            if self._worker is None:
                self._worker = Worker(SERVICE, limits=self._limits)
            answer = self._worker.request(
                "count",
                timeout_s=timeout_s,
                backend=name,
                source=source_text,
                shapes=shapes,
                batch=batch,
            )
            count = from_plain(BackendCount, answer)
        except WorkerFailedError as failure:
            self.close()
            last = f": {failure.tail[-1][:200]}" if failure.kind == "crash" and failure.tail else ""
            return failed(name, failure.reason + last)
        except SchemaError as error:
            self.close()
            return failed(name, f"it answered with what is no count ({error})")
        if count.error is not None:
            self.close()
        return count

    def stop(self) -> None:
        """End the process from another thread; the count that is waited for fails."""
        worker = self._worker
        if worker is not None:
            worker.stop()

    def close(self) -> None:
        """End the process and everything that it started."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
