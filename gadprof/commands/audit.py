"""``gadprof audit``: every other counter, run for real, and its number explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from gadprof.commands.option_types import COUNTERS, PROCESSES, SIZE
from gadprof.commands.options import (
    batch_option,
    cluster_option,
    command,
    input_option,
    models_argument,
    packed,
    result_options,
    save_as_option,
    store_option,
    timeout_option,
)
from gadprof.commands.show import show
from gadprof.errors import GadprofError
from gadprof.output import Output, emit, tell
from gadprof.render.progress import Working

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit


@dataclass(frozen=True)
class Listed:
    """Which part of the fixed list is audited."""

    whole_list: bool
    only: str | None
    missing: bool
    jobs: int


@dataclass(frozen=True)
class Run:
    """Which counters run, where, and within which limits."""

    backends: str
    timeout: float
    memory_limit: int | None
    cluster: str | None
    strict: bool


@command(name="audit", example="gadprof audit gadnet32")
@models_argument(required=False)
@packed(
    "listed",
    Listed,
    click.option(
        "--list",
        "whole_list",
        is_flag=True,
        help="Audit the fixed list of models; with -o PAGE.md the data goes to PAGE.json beside "
        "it.",
    ),
    click.option(
        "--only",
        metavar="NAME,…",
        help="With --list: audit these anew and merge them into the data beside -o PAGE.md.",
    ),
    click.option(
        "--missing",
        is_flag=True,
        help="With --list: audit the models that the data lacks, and drop those off the list.",
    ),
    click.option(
        "--jobs",
        type=PROCESSES,
        default=1,
        show_default=True,
        help="Counters that run at the same time, with --list.",
    ),
)
@input_option
@batch_option
@packed(
    "run",
    Run,
    click.option(
        "--backends",
        type=COUNTERS,
        default="all",
        show_default=True,
        metavar="all|NAME,…",
        help="The counters to run, each in a process of its own.",
    ),
    timeout_option("For one counter on one model."),
    click.option(
        "--memory-limit",
        type=SIZE,
        help="Memory for one counter, like 4GiB; four fifths of the machine's by default.",
    ),
    cluster_option("One task a model on a Dask scheduler."),
    click.option(
        "--strict", is_flag=True, help="Exit 1 where a number is not explained to the last."
    ),
)
@result_options()
@save_as_option
@store_option
def audit(
    models: tuple[str, ...],
    listed: Listed,
    input_texts: tuple[str, ...],
    batch: int,
    run: Run,
    out: Output,
    save_as: str | None,
    store: str | None,
) -> int:
    """Run every counting backend on MODEL and explain each number against ours."""
    from gadprof.audit.backends import distribution_of, not_installed, parse_backends
    from gadprof.audit.page import audit_page
    from gadprof.models.sources import given_inputs, resolve
    from gadprof.store.recording import record_audits

    _check_use(models, listed, out)
    names = parse_backends(run.backends)
    if listed.whole_list:
        return _audit_list(
            names, listed, run, out, lambda audits: record_audits(audits, store=store, name=save_as)
        )
    models, shapes = given_inputs(models, input_texts)
    for model in models:
        resolve(model)  # before any is audited for minutes
    audits, refused = _audits(models, names, shapes, batch, run, store)
    show(out, audit_page(audits))
    record_audits(audits, store=store, name=save_as)
    absent = [name for name in names if distribution_of(name) is None]
    for name in absent:
        tell(f"gadprof: {not_installed(name)}")
    if absent:
        return 2
    failed = [
        (item.model, row) for item in audits for row in item.backends if row.error is not None
    ]
    for model, row in failed:
        tell(f"gadprof: {row.name} on {model}: {row.error}")
    for error in refused:
        tell(f"gadprof: {' '.join(str(error).split())}")
    if refused:
        return max(error.exit_code for error in refused)
    if failed or (run.strict and not all(item.explained for item in audits)):
        return 1
    return 0


def _check_use(models: tuple[str, ...], listed: Listed, out: Output) -> None:
    """Refuse options that do not go together. Raises click.UsageError."""
    if bool(models) == listed.whole_list:
        raise click.UsageError("name at least one MODEL, or --list for the fixed list")
    if listed.only is not None or listed.missing:
        if not listed.whole_list or (listed.only is not None and listed.missing):
            raise click.UsageError("--only and --missing are two ways to run a part of --list")
        if out.path is None or out.form != "md":
            raise click.UsageError("name the page whose data is merged into: -o PAGE.md")
        if listed.only is not None and not _words(listed.only):
            raise click.UsageError("--only names no model; type for example --only hrnet32")


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))


def _audits(
    models: tuple[str, ...],
    names: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    batch: int,
    run: Run,
    store: str | None,
) -> tuple[Sequence[Audit], list[GadprofError]]:
    """Each model audited, here or on a cluster, and what one of several was refused for."""
    if run.cluster is not None:
        from gadprof.cluster.clients import cluster_audits

        with Working("tasks") as work:
            answers = cluster_audits(
                run.cluster, models, shapes=shapes, batch=batch, backends=names,
                timeout_s=run.timeout, memory_limit_bytes=run.memory_limit, store=store,
                on_done=work.count,
            )  # fmt: skip
            return answers, []
    from gadprof.audit.audit import audit as audit_model

    audits: list[Audit] = []
    refused: list[GadprofError] = []
    with Working("auditing", len(models)) as work:
        for number, model in enumerate(models):
            try:
                done = audit_model(
                    model,
                    shapes=shapes,
                    batch=batch,
                    backends=names,
                    timeout_s=run.timeout,
                    memory_limit_bytes=run.memory_limit,
                    progress=partial(work.at, done=number),
                )
                audits.append(done)
            except GadprofError as error:
                refused.append(error)
    if not audits:
        raise refused[0]
    return audits, refused


def _audit_list(
    names: tuple[str, ...],
    listed: Listed,
    run: Run,
    out: Output,
    keep: Callable[[Sequence[Audit]], None],
) -> int:
    from pathlib import Path

    from gadprof.audit import audit_data, list_page
    from gadprof.audit.audit_list import MODELS, audit_models
    from gadprof.render.markdown import page_markdown

    beside = str(Path(out.path).with_suffix(".json")) if out.path and out.form == "md" else ""
    merging = listed.only is not None or listed.missing
    models = MODELS
    if merging:
        kept = audit_data.read_data(beside)
        audit_data.check_mergeable(kept, list_page.installed_versions(), names)
        part = (
            audit_data.chosen(_words(listed.only), MODELS)
            if listed.only is not None
            else audit_data.missing_from(kept, MODELS)
        )
        models = {name: MODELS[name] for name in part}
    with Working("auditing") as work:
        audits, refused = audit_models(
            models,
            names,
            timeout_s=run.timeout,
            memory_limit_bytes=run.memory_limit,
            jobs=listed.jobs,
            progress=work.at,
        )
    keep(audits)
    data = list_page.list_data(audits, refused)
    if merging:
        data = audit_data.merge(kept, data, MODELS)
        audits, refused = audit_data.audits_of(data), data["refused"]
    text = list_page.list_json(data)
    if out.form == "json":
        out.emit(text)
    else:
        files = [("JSON", Path(beside).name)] if beside else []
        out.emit(page_markdown(list_page.list_page(audits, refused), str, files))
        if beside:
            emit(text, beside)
    if merging:
        absent = audit_data.missing_from(data, MODELS)
        tell(
            f"{len(models)} audited, {len(data['models'])} in {beside}"
            + (f", {len(absent)} of the list are still missing there" if absent else "")
        )
    return 1 if run.strict and not all(item.explained for item in audits) else 0
