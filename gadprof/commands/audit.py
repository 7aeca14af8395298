"""``gadprof audit``: every other counter, run for real, and its number explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from gadprof.commands.options import (
    batch_option,
    format_option,
    input_option,
    output_option,
    save_as_option,
    store_option,
)

if TYPE_CHECKING:
    from gadprof.audit.audit import Audit


@click.command(name="audit")
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option(
    "--list",
    "whole_list",
    is_flag=True,
    help="Audit the fixed list of models; with -o PAGE.md the data goes to PAGE.json beside it.",
)
@click.option(
    "--only",
    metavar="NAME,…",
    help="With --list: audit these anew and merge them into the data beside -o PAGE.md.",
)
@click.option(
    "--missing",
    is_flag=True,
    help="With --list: audit the models that the data lacks, and drop those off the list.",
)
@input_option
@batch_option
@click.option(
    "--backends",
    default="all",
    show_default=True,
    metavar="all|NAME,…",
    help="The counters to run, each in a process of its own.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for one counter on one model.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Memory for one counter; four fifths of the machine's by default.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Counters that run at the same time, with --list.",
)
@click.option("--cluster", metavar="ADDRESS", help="One task a model on a Dask scheduler.")
@click.option("--strict", is_flag=True, help="Exit 1 where a number is not explained to the last.")
@format_option("table", "json", "md")
@output_option
@save_as_option
@store_option
def audit(
    models: tuple[str, ...],
    whole_list: bool,
    only: str | None,
    missing: bool,
    input_texts: tuple[str, ...],
    batch: int,
    backends: str,
    timeout: float,
    memory_limit: float | None,
    jobs: int,
    cluster: str | None,
    strict: bool,
    output_format: str,
    output: str | None,
    save_as: str | None,
    store: str | None,
) -> int:
    """Run every counting backend on MODEL and explain each number against ours."""
    from gadprof.audit.audit import audit as audit_model
    from gadprof.audit.backends import distribution_of, not_installed, parse_backends
    from gadprof.audit.page import audit_page
    from gadprof.models.sources import parse_shapes
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.store.recording import record_audits

    if bool(models) == whole_list:
        raise click.UsageError("name at least one MODEL, or --list for the fixed list")
    if only is not None or missing:
        if not whole_list or (only is not None and missing):
            raise click.UsageError("--only and --missing are two ways to run a part of --list")
        if output is None or not output.endswith(".md"):
            raise click.UsageError("name the page whose data is merged into: -o PAGE.md")
    if output is not None:
        check_writable(output)
    names = parse_backends(backends)
    limit_bytes = int(memory_limit * 2**30) if memory_limit else None

    def progress(text: str) -> None:
        click.echo(f"auditing {text}", err=True)

    if whole_list:
        part = tuple(filter(None, re.split(r"[,\s]+", only))) if only is not None else None
        if part == ():
            raise click.UsageError("--only names no model; type for example --only hrnet32")
        return _audit_list(
            names, timeout, limit_bytes, jobs, strict, output_format, output, part, missing,
            lambda audits: record_audits(audits, store=store, name=save_as),
        )  # fmt: skip
    shapes = parse_shapes(input_texts)
    if cluster is not None:
        from gadprof.cluster.cluster import cluster_audits
        from gadprof.commands.options import tell_pieces

        audits = cluster_audits(
            cluster, models, shapes=shapes, batch=batch, backends=names, timeout_s=timeout,
            memory_limit_bytes=limit_bytes, store=store, on_done=tell_pieces(),
        )  # fmt: skip
    else:
        audits = [
            audit_model(
                model,
                shapes=shapes,
                batch=batch,
                backends=names,
                timeout_s=timeout,
                memory_limit_bytes=limit_bytes,
                progress=progress,
            )
            for model in models
        ]
    emit(render(audit_page(audits), output_format), output)
    record_audits(audits, store=store, name=save_as)
    absent = [name for name in names if distribution_of(name) is None]
    for name in absent:
        click.echo(f"gadprof: {not_installed(name)}", err=True)
    if absent:
        return 2
    failed = [
        (item.model, row) for item in audits for row in item.backends if row.error is not None
    ]
    for model, row in failed:
        click.echo(f"gadprof: {row.name} on {model}: {row.error}", err=True)
    if failed or (strict and not all(item.explained for item in audits)):
        return 1
    return 0


def _audit_list(
    names: tuple[str, ...],
    timeout: float,
    limit_bytes: int | None,
    jobs: int,
    strict: bool,
    output_format: str,
    output: str | None,
    only: tuple[str, ...] | None,
    missing: bool,
    keep: Callable[[Sequence[Audit]], None],
) -> int:
    from pathlib import Path

    from gadprof.audit import audit_data, list_page
    from gadprof.audit.audit_list import MODELS, audit_models
    from gadprof.output import emit
    from gadprof.render.markdown import page_markdown

    page = output is not None and output.endswith(".md")
    beside = str(Path(output).with_suffix(".json")) if output is not None and page else ""
    merging = only is not None or missing
    models = MODELS
    if merging:
        kept = audit_data.read_data(beside)
        audit_data.check_mergeable(kept, list_page.installed_versions(), names)
        part = (
            audit_data.chosen(only, MODELS)
            if only is not None
            else audit_data.missing_from(kept, MODELS)
        )
        models = {name: MODELS[name] for name in part}
    audits, refused = audit_models(
        models,
        names,
        timeout_s=timeout,
        memory_limit_bytes=limit_bytes,
        jobs=jobs,
        progress=lambda text: click.echo(text, err=True),
    )
    keep(audits)
    data = list_page.list_data(audits, refused)
    if merging:
        data = audit_data.merge(kept, data, MODELS)
        audits, refused = audit_data.audits_of(data), data["refused"]
    text = list_page.list_json(data)
    shown = page_markdown(
        list_page.list_page(audits, refused), str, [("JSON", Path(beside).name)] if page else []
    )
    if page:
        emit(shown, output)
        emit(text, beside)
    else:
        emit(text if output_format == "json" else shown, output)
    if merging:
        absent = audit_data.missing_from(data, MODELS)
        click.echo(
            f"{len(models)} audited, {len(data['models'])} in {beside}"
            + (f", {len(absent)} of the list are still missing there" if absent else ""),
            err=True,
        )
    return 1 if strict and not all(item.explained for item in audits) else 0
