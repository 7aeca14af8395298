"""``gadprof check``: the gate of a pipeline; exits 0, 1 (a broken rule) or 2 (bad use)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gadprof.commands.options import baseline_option, format_option, output_option, store_option

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow
    from gadprof.gate.config import Config
    from gadprof.results.verdicts import CheckResult


@click.command(name="check")
@click.argument("models", nargs=-1, metavar="[BUDGET...]")
@click.option("--config", metavar="FILE", help="Configuration; default gadprof.toml or pyproject.")
@baseline_option
@click.option("--no-latency", is_flag=True, help="Measure nothing; latency rules only warn.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds of sampling for each latency rule.",
)
@format_option("table", "json", "github", "junit", "md")
@output_option
@click.option("--junit", metavar="FILE", help="Also write JUnit XML here.")
@click.option("--json", "json_file", metavar="FILE", help="Also write JSON here.")
@click.option(
    "--summary",
    metavar="FILE",
    envvar="GITHUB_STEP_SUMMARY",
    show_envvar=True,
    help="Append a markdown summary here.",
)
@click.option("--save-baseline", metavar="FILE", help="Write the counted figures as a baseline.")
@store_option
def check(
    models: tuple[str, ...],
    config: str | None,
    baseline: str | None,
    no_latency: bool,
    time_limit: float,
    output_format: str,
    output: str | None,
    junit: str | None,
    json_file: str | None,
    summary: str | None,
    save_baseline: str | None,
    store: str | None,
) -> int:
    """Judge the budgets of the configuration, or only the BUDGETs named.

    \b
    [budgets.gadnet32]            # in gadprof.toml; [tool.gadprof.budgets.gadnet32] in pyproject
    max_params = "12M"            # also max_macs, max_flops, max_activations, max_kernels
    max_peak_bytes = "64MiB"      # also max_weight_bytes
    min_coverage = "100%"
    max_growth = "2%"             # against --baseline, or baseline = "…" in the file
    max_latency_ratio = 0.9       # to reference, measured in the same run
    reference = "hrnet32"
    """
    from functools import partial

    from gadprof.gate.check import measured_ratio, run_check
    from gadprof.gate.config import load_config
    from gadprof.output import append_text, check_writable, emit, write_atomic
    from gadprof.render.annotations import to_step_summary
    from gadprof.render.junit import to_junit
    from gadprof.results.plain import to_json
    from gadprof.store.recording import MeasurementRecorder, record_rows

    for path in (output, junit, json_file, save_baseline):
        if path is not None:
            check_writable(path)
    settings = load_config(config)
    kept_in = store or settings.store
    with MeasurementRecorder(kept_in) as recorder:
        measure = partial(measured_ratio, time_limit_s=time_limit, recorder=recorder)
        result, rows = run_check(
            settings,
            models,
            baseline=baseline,
            store=kept_in,
            measure=None if no_latency else measure,
        )
    emit(_render(result, settings, output_format), output)
    if junit:
        write_atomic(junit, to_junit(result))
    if json_file:
        write_atomic(json_file, to_json(_object(result)))
    if summary:
        append_text(summary, to_step_summary(result))
    if save_baseline:
        write_atomic(save_baseline, to_json({"rows": [_kept(row) for row in rows]}))
    record_rows(rows, store=kept_in)
    return result.exit_code


def _render(result: CheckResult, config: Config, output_format: str) -> str:
    from gadprof.render.annotations import MARKS, to_annotations, to_step_summary
    from gadprof.render.console import to_console
    from gadprof.render.junit import to_junit
    from gadprof.results.plain import to_json
    from gadprof.results.verdicts import ordered

    match output_format:
        case "json":
            return to_json(_object(result))
        case "github":
            return to_annotations(
                result, lambda v: config.line_of(v.budget, v.rule.partition(".")[0])
            )
        case "junit":
            return to_junit(result)
        case "md":
            return to_step_summary(result)
    rows = [[MARKS[v.status], v.budget, v.rule, v.message] for v in ordered(result.verdicts)]
    return to_console(["", "model", "rule", "result"], rows, notes=[result.summary])


def _object(result: CheckResult) -> dict[str, object]:
    return {
        "ok": result.exit_code == 0,
        "summary": result.summary,
        "config": result.config,
        "baseline": result.baseline,
        "verdicts": result.verdicts,
    }


def _kept(row: ComparedRow) -> dict[str, object]:
    from gadprof.results.figures import KEYS

    figures = {name: getattr(row, name) for name in KEYS}
    return {"model": row.model, "input": row.input, "batch": row.batch, **figures}
