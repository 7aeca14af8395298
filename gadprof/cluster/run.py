"""Hands independent tasks to the workers of a cluster, and checks and keeps what comes back.

Promises: a task that finished is never run or counted again, also when the client was interrupted
and started anew; results are handed on in the order of the tasks, so that what is built from them
has the same bytes as on one machine. An answer is read and checked before it is kept; a worker that
dies in a task, or whose answer is none, costs that task another try elsewhere, three times, and
then the task's own row, which names the worker. Refuses to wait for a scheduler that has gone, or
for workers where none are left.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gadprof.cluster.journal import Journal
from gadprof.cluster.tasks import call
from gadprof.errors import GadprofError, ModelFailedError, SourceError
from gadprof.results.plain import to_plain
from gadprof.results.rebuild import SchemaError
from gadprof.version import __version__

IN_FLIGHT_PER_WORKER = 4
TRIES = 4
POLL_S = 1.0
RESULT_S = 60.0
# how long a run waits for a worker where there is none, or for a scheduler that is silent
ALONE_S = 60.0
MAX_ANSWER_BYTES = 1 << 29


@dataclass(frozen=True)
class Task:
    """One call of ``function`` (``module:name``) with plain ``arguments``; returns plain values.

    ``resources`` are what a worker must offer (``{"GPU": 1}``). ``check`` raises SchemaError for a
    value that is not an answer to this very task.
    """

    function: str
    arguments: Mapping[str, Any]
    resources: Mapping[str, float] = field(default_factory=dict)
    check: Callable[[Any], object] | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """The same for the same call under the same version, on every machine."""
        text = json.dumps([__version__, self.function, to_plain(self.arguments)], sort_keys=True)
        return "gadprof-" + hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def label(self) -> str:
        """What the task is about, for a person."""
        about = self.arguments.get("model") or self.arguments.get("models")
        return str(about) if about else f"{self.function} {dict(self.arguments)}"[:200]


def run_tasks(
    client: Any,
    tasks: Sequence[Task],
    journal: Journal,
    *,
    on_done: Callable[[int, int], None] | None = None,
) -> Iterator[Any]:
    """Run tasks and give their results in order; finished ones come from the journal.

    A result is the task's plain value, or the GadprofError that the task raised or that its workers
    cost it. At most a few tasks a worker are in flight, so that memory is bounded. Raises
    SourceError where the scheduler has gone, or no worker is left.
    """
    run = _Run(client, tasks, journal)
    results = dict(run.known)
    given, done = 0, len(results)
    try:
        run.submit(IN_FLIGHT_PER_WORKER * max(1, len(run.workers())))
        while given < len(tasks):
            while given in results:
                yield _value(results.pop(given))
                given += 1
            if given == len(tasks):
                return
            for index, result in run.next_results():
                results[index] = result
                done += 1
                if on_done is not None:
                    on_done(done, len(tasks))
                run.submit(1)
    finally:
        run.cancel()


class _Run:
    """The tasks that are still to run, and those in flight."""

    def __init__(self, client: Any, tasks: Sequence[Task], journal: Journal) -> None:
        self._client = client
        self._tasks = tasks
        self._journal = journal
        self._futures: dict[Any, int] = {}
        self._done: queue.Queue[Any] = queue.Queue()
        # by task: the workers that failed it, and how
        self._failures: dict[int, list[tuple[str, str]]] = {}
        self.known: dict[int, Any] = {}
        for index, task in enumerate(tasks):
            kept = journal.get(task.key)
            if kept is None:
                continue
            try:
                self.known[index] = check_answer(task, kept)
            except SchemaError:  # kept by a version that did not check
                journal.forget([task.key])
        self._queue = iter([index for index in range(len(tasks)) if index not in self.known])

    def workers(self) -> list[str]:
        """The addresses of the workers that the scheduler knows now."""
        try:
            return list(self._client.scheduler_info(n_workers=-1)["workers"])
        except Exception:  # a scheduler that has gone says nothing
            return []

    def submit(self, count: int) -> None:
        """Put more tasks in flight."""
        for _, index in zip(range(count), self._queue, strict=False):  # takes no more than it puts
            self._send(index)

    def _send(self, index: int) -> None:
        task = self._tasks[index]
        failures = self._failures.get(index, [])
        bad = {worker for worker, _ in failures}
        others = [worker for worker in self.workers() if worker not in bad] if bad else []
        future = self._client.submit(
            call,
            task.function,
            dict(task.arguments),
            # a key of its own for every try: the scheduler would answer with what it has
            key=f"{task.key}-{len(failures)}" if failures else task.key,
            resources=dict(task.resources) or None,
            workers=others or None,
            pure=False,
        )
        self._futures[future] = index
        future.add_done_callback(self._done.put)

    def next_results(self) -> list[tuple[int, Any]]:
        """What has been finished since the last call, at least one. Raises SourceError."""
        since = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                future = self._done.get(timeout=POLL_S)
                if found := self._finish(future):
                    return found
            status = self._client.status
            if status == "running" and self.workers():
                since = time.monotonic()
            elif status not in ("running", "connecting"):
                raise self._gone()
            elif time.monotonic() - since > ALONE_S:
                if status == "connecting":
                    raise self._gone()
                raise SourceError(
                    f"no worker is left at {self._client.scheduler.address!r}; what is finished is "
                    "kept: start workers and run this again"
                )

    @staticmethod
    def _gone() -> SourceError:
        return SourceError(
            "the Dask scheduler has gone; what is finished is kept: start it and run this again"
        )

    def _finish(self, future: Any) -> list[tuple[int, Any]]:
        """The result of a future, or none where its task is tried again."""
        from distributed import KilledWorker

        index = self._futures.pop(future)
        task = self._tasks[index]
        worker, words = "", ""
        try:
            if future.status == "cancelled" or future.status == "lost":
                raise self._gone()
            worker = ", ".join(self._client.who_has([future]).get(future.key, ()))
            result = read_answer(task, future.result(timeout=RESULT_S))
            self._journal.put(task.key, result)
            return [(index, result)]
        except SourceError:
            raise
        except KilledWorker as error:
            # the scheduler itself tried it several times
            last = getattr(error.last_worker, "address", error.last_worker)
            self._failures.setdefault(index, []).extend([(str(last), "ended in it")] * TRIES)
        except SchemaError as error:
            words = f"answered with what is no answer ({error})"
        except Exception as error:
            if self._client.status != "running":
                raise self._gone() from error
            line = next(iter(str(error).splitlines()), "")[:160]
            words = f"gave no answer ({type(error).__name__}: {line})"
            worker = worker or self._failed_on(future.key)
        finally:
            with contextlib.suppress(Exception):
                future.release()
        if words:
            self._failures.setdefault(index, []).append((worker, words))
        failures = self._failures[index]
        if len(failures) < TRIES:
            self._send(index)
            return []
        told = "; ".join(dict.fromkeys(f"worker {who or 'unknown'} {how}" for who, how in failures))
        error_of = {"error": f"{task.label}: {told}", "exit_code": ModelFailedError.exit_code}
        return [(index, error_of)]

    def _failed_on(self, key: str) -> str:
        """The workers on which the scheduler says that a task failed."""

        def failed_on(key: str, dask_scheduler: Any = None) -> list[str]:
            return list(dask_scheduler.tasks[key].erred_on)

        try:
            return ", ".join(self._client.run_on_scheduler(failed_on, key=key))
        except Exception:  # it has forgotten the task
            return ""

    def cancel(self) -> None:
        """Take back what is still in flight."""
        if self._futures:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._futures), force=True)
        self._futures.clear()


def read_answer(task: Task, text: Any) -> Mapping[str, Any]:
    """A worker's answer to a task, checked. Raises SchemaError."""
    if not isinstance(text, str):
        raise SchemaError(f"{type(text).__name__} is not a text")
    if len(text) > MAX_ANSWER_BYTES:
        raise SchemaError(f"{len(text)} characters are more than {MAX_ANSWER_BYTES}")
    try:
        answer = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"a text that is no JSON ({str(error)[:60]})") from error
    if isinstance(answer, dict) and isinstance(answer.get("failure"), str):
        raise SchemaError(answer["failure"])
    return check_answer(task, answer)


def check_answer(task: Task, answer: Any) -> Mapping[str, Any]:
    """The answer, if it is an error or a value that the task's check takes. Raises SchemaError."""
    if not isinstance(answer, dict):
        raise SchemaError(f"{type(answer).__name__} is not a mapping")
    if isinstance(answer.get("error"), str) and answer.get("exit_code") in (1, 2):
        return {"error": answer["error"], "exit_code": answer["exit_code"]}
    if answer.keys() != {"value"}:
        raise SchemaError("neither a value nor an error")
    if task.check is not None:
        task.check(answer["value"])
    return answer


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")


def _value(result: Mapping[str, Any]) -> Any:
    if "error" in result:
        error = GadprofError(result["error"])
        error.exit_code = int(result.get("exit_code", 2))
        return error
    return result["value"]
