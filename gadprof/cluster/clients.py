"""The commands that a cluster can carry out: a sweep, audits, measurements, a comparison.

Promises what the command gives on one machine; a task's own error fills its own row. An answer that
is not of its schema, not of the model that was asked for, or not finite is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gadprof.cluster.journal import open_journal
from gadprof.cluster.run import Task, run_tasks
from gadprof.cluster.transport import connect
from gadprof.errors import GadprofError
from gadprof.results.plain import to_plain
from gadprof.results.rebuild import SchemaError, from_plain

TASKS = "gadprof.cluster.tasks"


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
    from functools import partial

    from gadprof.sweep.distributed import check_piece, join, ranges, space_arguments
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
        Task(
            f"{TASKS}:sweep_task",
            {**shared, "start": start, "stop": stop},
            check=partial(check_piece, designs=stop - start, objectives=len(objectives)),
        )
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

    tasks = [
        Task(
            f"{TASKS}:audit_task",
            {
                "model": model,
                "shapes": [list(shape) for shape in shapes],
                "batch": batch,
                "backends": list(backends),
                "timeout_s": timeout_s,
                "memory_limit_bytes": memory_limit_bytes,
            },
            check=_about(Audit, model),
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
    from gadprof.store.recording import record_measured

    others: list[tuple[str, ...]] = [(models[0], other) for other in models[1:]]
    tasks = [
        Task(
            f"{TASKS}:bench_task",
            {"models": list(pair), "setting": to_plain(setting), "options": dict(options)},
            {"GPU": 1.0} if setting.device.startswith("cuda") else {},
            check=_measured(pair, setting),
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


def cluster_machines(address: str) -> list[Any]:
    """What each worker says of its machine, as the store keeps it. Raises GadprofError."""
    from gadprof.cluster.tasks import machine_task

    with connect(address) as client:
        return list(client.run(machine_task).values())


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

    tasks = [
        Task(
            f"{TASKS}:compare_task",
            {"model": model, "shapes": [list(shape) for shape in shapes], "batch": batch},
            check=_row_about(model),
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


def _about(kind: type[Any], model: str) -> Callable[[Any], object]:
    """Takes a record of ``kind`` that is about ``model``."""

    def check(value: Any) -> None:
        if (named := from_plain(kind, value).model) != model:
            raise SchemaError(f"it is about {named!r}, not {model!r}")

    return check


def _row_about(model: str) -> Callable[[Any], object]:
    """Takes a row of a comparison about ``model``, with figures that a count can have."""
    from gadprof.comparison.compare import ComparedRow
    from gadprof.results.figures import KEYS

    about = _about(ComparedRow, model)

    def check(value: Any) -> None:
        about(value)
        figures = [value.get(key) for key in KEYS]
        if not value.get("error") and any(type(f) is not int or f < 0 for f in figures):
            raise SchemaError("a row without an error lacks figures, or has them below zero")

    return check


def _measured(models: Sequence[str], setting: Any) -> Callable[[Any], object]:
    """Takes a measurement of these models, in their order, under this setting."""
    from gadprof.measuring.result import BenchResult

    def check(value: Any) -> None:
        result = from_plain(BenchResult, value)
        named = [row.model for row in result.rows]
        if named != list(models):
            raise SchemaError(f"it is about {named}, not {list(models)}")
        if any(row.setting != setting for row in result.rows):
            raise SchemaError("it was measured under another setting")

    return check
