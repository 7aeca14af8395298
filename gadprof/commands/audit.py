"""``gadprof audit``: every other counter, run for real, and its number explained."""

from __future__ import annotations

import click

from gadprof.commands.options import batch_option, format_option, input_option, output_option


@click.command(name="audit")
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option(
    "--list",
    "whole_list",
    is_flag=True,
    help="Audit the fixed list of models; with -o PAGE.md the data goes to PAGE.json beside it.",
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
def audit(
    models: tuple[str, ...],
    whole_list: bool,
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
) -> int:
    """Run every counting backend on MODEL and explain each number against ours."""
    from gadprof.counting.audit import audit as audit_model
    from gadprof.counting.backends import distribution_of, not_installed, parse_backends
    from gadprof.output import check_writable, emit
    from gadprof.render.audit import render_audit
    from gadprof.sources import parse_shapes

    if bool(models) == whole_list:
        raise click.UsageError("name at least one MODEL, or --list for the fixed list")
    if output is not None:
        check_writable(output)
    names = parse_backends(backends)
    limit_bytes = int(memory_limit * 2**30) if memory_limit else None

    def progress(text: str) -> None:
        click.echo(f"auditing {text}", err=True)

    if whole_list:
        return _audit_list(names, timeout, limit_bytes, jobs, strict, output_format, output)
    shapes = parse_shapes(input_texts)
    if cluster is not None:
        from gadprof.cluster import cluster_audits

        audits = cluster_audits(
            cluster, models, shapes=shapes, batch=batch, backends=names, timeout_s=timeout
        )
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
    emit(render_audit(audits, output_format), output)
    missing = [name for name in names if distribution_of(name) is None]
    for name in missing:
        click.echo(f"gadprof: {not_installed(name)}", err=True)
    if missing:
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
) -> int:
    from pathlib import Path

    from gadprof.counting.audit_list import MODELS, audit_models
    from gadprof.output import emit
    from gadprof.render.audit_report import report_json, report_markdown

    audits, refused = audit_models(
        MODELS,
        names,
        timeout_s=timeout,
        memory_limit_bytes=limit_bytes,
        jobs=jobs,
        progress=lambda text: click.echo(text, err=True),
    )
    data = report_json(audits, refused)
    if output is not None and output.endswith(".md"):
        emit(report_markdown(audits, refused), output)
        emit(data, str(Path(output).with_suffix(".json")))
    else:
        emit(data if output_format == "json" else report_markdown(audits, refused), output)
    return 1 if strict and not all(item.explained for item in audits) else 0
