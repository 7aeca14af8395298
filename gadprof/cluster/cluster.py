"""Runs independent tasks on a Dask cluster, and keeps each result in the results store.

Promises: a task that finished is never run or counted again, also when the client was interrupted
and started anew; a task whose worker died is run again elsewhere; results are handed on in the
order of the tasks, so that what is built from them has the same bytes as on one machine. A
measurement holds its device alone (a lock on the worker's host, and the resource ``GPU`` for CUDA
devices). Refuses a scheduler that does not answer and workers without this very version.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadprof.errors import GadprofError, MissingExtraError, ModelFailedError, SourceError
from gadprof.results.plain import to_plain
from gadprof.version import __version__

CONNECT_S = 15.0
IN_FLIGHT_PER_WORKER = 4


@dataclass(frozen=True)
class Task:
    """One call of ``function`` (``module:name``) with plain ``arguments``; returns plain values.

    ``resources`` are what a worker must offer (``{"GPU": 1}``).
    """

    function: str
    arguments: Mapping[str, Any]
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same call under the same version, on every machine."""
        text = json.dumps([__version__, self.function, to_plain(self.arguments)], sort_keys=True)
        return "gadprof-" + hashlib.sha256(text.encode()).hexdigest()[:32]


@contextmanager
def connect(address: str, *, timeout_s: float = CONNECT_S) -> Iterator[Any]:
    """A client of the scheduler at ``address`` (``tcp://host:8786``), checked and closed again.

    Raises SourceError for a scheduler that does not answer, speaks another version of Dask, or has
    workers without this version of gadprof.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("distributed", "cluster", "--cluster") from error
    if not re.search(r":\d+/?$|^inproc://.", address):  # a client would hang on to it for 30 s
        raise SourceError(
            f"{address!r} is no scheduler's address; type for example tcp://host:8786"
        )
    try:
        client = distributed.Client(address, timeout=timeout_s, set_as_default=False)
    except Exception as error:
        words = " ".join(str(error).split())[:160] or type(error).__name__
        raise SourceError(
            f"no Dask scheduler answers at {address!r} ({words}); start one with: dask scheduler"
        ) from error
    try:
        _check_workers(client)
        yield client
    finally:
        client.close()


def _check_workers(client: Any) -> None:
    versions = client.get_versions()
    own = versions["client"]["packages"]["distributed"]
    scheduler = versions["scheduler"]["packages"]["distributed"]
    if scheduler.split(".")[:2] != own.split(".")[:2]:
        raise SourceError(
            f"the scheduler runs distributed {scheduler}, this machine {own}; install the same"
        )
    if not versions["workers"]:
        client.wait_for_workers(1, timeout=CONNECT_S)
    found = client.run(version_reader())
    for worker, version in found.items():
        if version != __version__:
            has = f"gadprof {version}" if version else "no gadprof"
            raise SourceError(
                f"worker {worker} has {has}, this machine {__version__}; "
                f"type there: pip install gadprof=={__version__}"
            )


def version_reader() -> Callable[[], str | None]:
    """A function that answers a worker's version of gadprof, None where it has none.

    It travels by value: a worker without the package could not even look it up.
    """

    def read() -> str | None:
        from importlib import import_module as load

        try:
            return str(load("gadprof.version").__version__)
        except ImportError:
            return None

    return read


def call(function: str, arguments: Mapping[str, Any]) -> Any:
    """Run one task; runs on the worker. Errors that are the task's own come back as values."""
    module_name, _, name = function.partition(":")
    try:
        return {"value": getattr(importlib.import_module(module_name), name)(**arguments)}
    except GadprofError as error:
        return {"error": str(error), "exit_code": error.exit_code}


class Journal:
    """The finished tasks, in the results store's own file; None as path keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            from gadprof.store.store import Store

            Store(path).close()  # makes the file, and refuses one that cannot be trusted
        self._connection = sqlite3.connect(path or ":memory:", timeout=60.0)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS cluster_tasks (key TEXT PRIMARY KEY, result TEXT NOT NULL)"
        )
        self._connection.commit()

    def get(self, key: str) -> Any:
        """The result of a finished task, or None."""
        row = self._connection.execute(
            "SELECT result FROM cluster_tasks WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, result: Any) -> None:
        """Keep a result; the first one stays."""
        with self._connection:
            self._connection.execute(
                "INSERT OR IGNORE INTO cluster_tasks VALUES (?, ?)",
                (key, json.dumps(to_plain(result))),
            )

    def forget(self, keys: Sequence[str]) -> None:
        """Drop results that have been built into something whole."""
        with self._connection:
            self._connection.executemany(
                "DELETE FROM cluster_tasks WHERE key = ?", [(key,) for key in keys]
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def run_tasks(
    client: Any,
    tasks: Sequence[Task],
    journal: Journal,
    *,
    on_done: Callable[[int, int], None] | None = None,
) -> Iterator[Any]:
    """Run tasks and give their results in order; finished ones come from the journal.

    A result is the task's plain value, or a GadprofError that the task raised. At most a few tasks
    a worker are in flight, so that memory is bounded. Raises ModelFailedError when a task took
    down every worker it was tried on.
    """
    from distributed import KilledWorker, as_completed

    results: dict[int, Any] = {}
    waiting = []
    for index, task in enumerate(tasks):
        known = journal.get(task.key)
        if known is None:
            waiting.append(index)
        else:
            results[index] = known
    queue = iter(waiting)
    futures: dict[Any, int] = {}
    completed = as_completed(loop=client.loop)

    def submit(count: int) -> None:
        for _, index in zip(range(count), queue, strict=False):  # takes no more than it submits
            task = tasks[index]
            future = client.submit(
                call, task.function, dict(task.arguments), key=task.key,
                resources=dict(task.resources) or None, pure=False,
            )  # fmt: skip
            futures[future] = index
            completed.add(future)

    submit(IN_FLIGHT_PER_WORKER * max(1, len(client.scheduler_info()["workers"])))
    given, done = 0, len(results)
    while given < len(tasks):
        while given in results:
            yield _value(results.pop(given))
            given += 1
        if given == len(tasks):
            return
        future = next(completed)
        index = futures.pop(future)
        try:
            results[index] = future.result()
        except KilledWorker as error:
            raise ModelFailedError(
                f"task {tasks[index].function} {dict(tasks[index].arguments)} ended every worker "
                "that tried it"
            ) from error
        journal.put(tasks[index].key, results[index])
        future.release()
        done += 1
        if on_done is not None:
            on_done(done, len(tasks))
        submit(1)


def _value(result: Mapping[str, Any]) -> Any:
    if "error" in result:
        error = GadprofError(result["error"])
        error.exit_code = int(result.get("exit_code", 2))
        return error
    return result["value"]


@contextmanager
def open_journal(store: str | None) -> Iterator[Journal]:
    """The journal in the store that ``--store`` or the environment names. Raises StoreError."""
    from gadprof.store.store import chosen_path

    path = chosen_path(store)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with closing(Journal(path)) as journal:
        yield journal


@contextmanager
def device_to_itself(device: str) -> Iterator[None]:
    """Hold a host's device alone while something is measured on it."""
    import os
    import tempfile

    name = device.replace(":", "-").replace("/", "-")
    path = Path(tempfile.gettempdir()) / f"gadprof-measuring-{name}-{os.getuid()}.lock"
    with path.open("w") as stream:
        try:
            import fcntl
        except ImportError:  # not on every system; the cluster's own slots then decide
            yield
            return
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


# --- what runs as a task --------------------------------------------------------------------------


def sweep_task(
    family: str,
    axes: Mapping[str, Any],
    objectives: str,
    largest: Mapping[str, int],
    smallest: Mapping[str, int],
    start: int,
    stop: int,
    sample: int | None,
    seed: int,
    keep: bool,
) -> dict[str, Any]:
    """Cost designs ``start`` to ``stop`` (positions in a sample) of a space; runs on a worker."""
    from gadprof.sweep.distributed import sweep_range

    return sweep_range(
        family, axes, objectives, largest, smallest, start, stop,
        sample=sample, seed=seed, keep=keep,
    )  # fmt: skip


def audit_task(
    model: str,
    shapes: Sequence[Sequence[int]],
    batch: int,
    backends: Sequence[str],
    timeout_s: float,
    memory_limit_bytes: int | None = None,
) -> dict[str, Any]:
    """Audit one model; runs on a worker."""
    from gadprof.audit.audit import audit

    made = audit(
        model,
        shapes=tuple(tuple(shape) for shape in shapes),
        batch=batch,
        backends=tuple(backends),
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )
    plain = to_plain(made)
    assert isinstance(plain, dict)
    return plain


def bench_task(
    models: Sequence[str], setting: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure models against the first of them on one worker, which nothing else measures on."""
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting
    from gadprof.results.rebuild import from_plain

    chosen = from_plain(Setting, setting)
    with device_to_itself(chosen.device):
        result = measure(list(models), chosen, **options)
    plain = to_plain(result)
    assert isinstance(plain, dict)
    return plain


def compare_task(model: str, shapes: Sequence[Sequence[int]], batch: int) -> dict[str, Any]:
    """One model's row of a comparison; runs on a worker."""
    from gadprof.comparison.compare import compare_row

    row = compare_row(model, shapes=tuple(tuple(shape) for shape in shapes), batch=batch)
    plain = to_plain(row)
    assert isinstance(plain, dict)
    return plain


# --- commands on a cluster ------------------------------------------------------------------------


def cluster_sweep(
    address: str,
    space: Any,
    objectives: Any,
    limits: Any,
    *,
    sample: int | None,
    seed: int,
    output: str | None,
    store: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> Any:
    """``gadprof sweep`` with its ranges as tasks; the same result as alone. Raises GadprofError."""
    from gadprof.sweep.distributed import join, ranges, space_arguments
    from gadprof.sweep.run import SweepResult, total_designs

    total_designs(space, sample)
    parts = None
    if output is not None:
        from gadprof.sweep.parquet import PartStore

        parts = PartStore(output, space, objectives, limits, sample=sample, seed=seed)
        if (known := parts.finished()) is not None:
            return SweepResult(
                space, objectives, limits, **known, elapsed_s=0.0, sampled=sample,
                resumed=known["designs"],
            )  # fmt: skip
    shared = {
        **space_arguments(space),
        "objectives": ",".join(item.text for item in objectives),
        "largest": dict(limits.largest),
        "smallest": dict(limits.smallest),
        "sample": sample,
        "seed": seed,
        "keep": output is not None,
    }
    tasks = [
        Task("gadprof.cluster.cluster:sweep_task", {**shared, "start": start, "stop": stop})
        for start, stop in ranges(space, sample, keep=output is not None)
    ]
    with connect(address) as client, open_journal(store) as journal:
        pieces = run_tasks(client, tasks, journal, on_done=on_done)
        result = join(space, objectives, limits, pieces, sample=sample, store=parts)
        journal.forget([task.key for task in tasks])
    return result


def cluster_rows(
    address: str,
    tasks: Sequence[Task],
    *,
    store: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
    keep: Callable[[list[Any]], None] | None = None,
) -> list[Any]:
    """The results of independent tasks, in order; an error stands in its own place.

    ``keep`` is given them before they are forgotten, to keep what they amount to.
    """
    with connect(address) as client, open_journal(store) as journal:
        results = list(run_tasks(client, tasks, journal, on_done=on_done))
        if keep is not None:
            keep(results)
        journal.forget([task.key for task in tasks])
    return results


def cluster_audits(
    address: str,
    models: Sequence[str],
    *,
    shapes: tuple[tuple[int, ...], ...],
    batch: int,
    backends: Sequence[str],
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    store: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Any]:
    """Audits of models, one task a model. Raises the first error of a task, and GadprofError."""
    from gadprof.audit.audit import Audit
    from gadprof.results.rebuild import from_plain

    tasks = [
        Task(
            "gadprof.cluster.cluster:audit_task",
            {
                "model": model,
                "shapes": [list(shape) for shape in shapes],
                "batch": batch,
                "backends": list(backends),
                "timeout_s": timeout_s,
                "memory_limit_bytes": memory_limit_bytes,
            },
        )
        for model in models
    ]

    audits = []
    for plain in cluster_rows(address, tasks, store=store, on_done=on_done):
        if isinstance(plain, GadprofError):
            raise plain
        audits.append(from_plain(Audit, plain))
    return audits


def cluster_bench(
    address: str,
    models: Sequence[str],
    settings: Sequence[Any],
    *,
    options: Mapping[str, Any],
    store: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> Any:
    """Measurements on a cluster, one task a model and setting, each beside the first model.

    ``options`` are ``measure``'s own. The ratio of a task is between samples that one worker
    interleaved (no latency of one machine is divided by another's), so that the first model has a
    row in every task; each group's ``conditions`` name the ``machine``. Every row is kept in the
    store with the machine that measured it. Gives a BenchResult; a task that failed is a row with
    its error.
    """
    from gadprof.measuring.result import BenchResult
    from gadprof.results.rebuild import from_plain
    from gadprof.store.recording import record_measured

    others: list[tuple[str, ...]] = [(models[0], other) for other in models[1:]]
    tasks = [
        Task(
            "gadprof.cluster.cluster:bench_task",
            {"models": list(pair), "setting": to_plain(setting), "options": dict(options)},
            {"GPU": 1.0} if setting.device.startswith("cuda") else {},
        )
        for setting in settings
        for pair in others or [(models[0],)]
    ]

    def rebuilt(results: list[Any]) -> list[Any]:
        return [
            item if isinstance(item, GadprofError) else from_plain(BenchResult, item)
            for item in results
        ]

    def keep(results: list[Any]) -> None:
        for item in rebuilt(results):
            if not isinstance(item, GadprofError):
                record_measured(item, store)

    results = cluster_rows(address, tasks, store=store, on_done=on_done, keep=keep)
    return _joined(rebuilt(results), tasks, settings, options)


def _joined(
    results: Sequence[Any],
    tasks: Sequence[Task],
    settings: Sequence[Any],
    options: Mapping[str, Any],
) -> Any:
    """One BenchResult of those of several tasks."""
    import dataclasses

    from gadprof.measuring.result import BenchResult, BenchRow
    from gadprof.results.plain import describe_machine

    rows: list[BenchRow] = []
    groups = []
    each = len(tasks) // len(settings)
    for index, (task, result) in enumerate(zip(tasks, results, strict=True)):
        if isinstance(result, GadprofError):
            model, setting = task.arguments["models"][-1], settings[index // each]
            kind = "usage" if result.exit_code == 2 else "model"
            rows.append(BenchRow(model, setting, error=str(result), error_kind=kind))
            continue
        for group in result.groups:
            groups.append(
                dataclasses.replace(
                    group,
                    rows=tuple(row + len(rows) for row in group.rows),
                    conditions={**group.conditions, "machine": to_plain(result.machine)},
                )
            )
        rows.extend(result.rows)
    whole = [item for item in results if not isinstance(item, GadprofError)]
    return BenchResult(
        tuple(rows),
        tuple(groups),
        options["precision"],
        options["time_limit_s"],
        any(item.interrupted for item in whole),
        whole[0].machine if whole else describe_machine(),
        {"cluster": True, **(whole[0].options if whole else {})},
    )


def cluster_compare(
    address: str,
    models: Sequence[str],
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    store: str | None = None,
) -> list[Any]:
    """Rows of a comparison, one task a model; a task's own error fills its row."""
    from gadprof.comparison.compare import ComparedRow
    from gadprof.results.rebuild import from_plain

    tasks = [
        Task(
            "gadprof.cluster.cluster:compare_task",
            {"model": model, "shapes": [list(shape) for shape in shapes], "batch": batch},
        )
        for model in models
    ]
    rows = []
    for model, plain in zip(models, cluster_rows(address, tasks, store=store), strict=True):
        if isinstance(plain, GadprofError):
            code = plain.exit_code
            rows.append(ComparedRow(model, shapes, batch, error=str(plain), exit_code=code))
        else:
            rows.append(from_plain(ComparedRow, plain))
    return rows
