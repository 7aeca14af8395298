"""``gadprof check``: the gate of a pipeline; exits 0, 1 (a broken rule) or 2 (bad use)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gadprof.commands.option_types import DURATION
from gadprof.commands.options import (
    Within,
    baseline_option,
    command,
    config_option,
    memory_limit_option,
    option,
    packed,
    result_options,
    store_option,
    timeout_option,
)
from gadprof.output import Output, append_text, check_writable, tell, write_atomic
from gadprof.results.verdicts import NAMED

if TYPE_CHECKING:
    from gadprof.comparison.compare import ComparedRow
    from gadprof.gate.config import Config
    from gadprof.results.page import Page
    from gadprof.results.verdicts import BaseChange, CheckResult


@dataclass(frozen=True)
class Judging:
    """What is judged against what, and how long is measured."""

    config: str | None
    baseline: str | None
    base: str | None
    waive: str | None
    waiver_label: str | None
    no_latency: bool
    time_limit: float


@dataclass(frozen=True)
class Beside:
    """Files that are written beside the result."""

    junit: str | None
    json_file: str | None
    summary: str | None
    save_baseline: str | None


@command(name="check")
@click.argument("models", nargs=-1, metavar="[BUDGET]...")
@packed(
    "judging",
    Judging,
    config_option,
    baseline_option,
    click.option(
        "--base",
        metavar="REF",
        help="Also say what changed in each model's file since this git ref (with --json).",
    ),
    click.option(
        "--waive",
        metavar="REASON",
        help="Let every broken rule pass for this reason; it is shown. Or [[waivers]] in the file.",
    ),
    click.option(
        "--waiver-label",
        metavar="LABEL",
        help="The same, where the pull request of $GITHUB_EVENT_PATH carries this label.",
    ),
    click.option("--no-latency", is_flag=True, help="Measure nothing; latency rules only warn."),
    click.option(
        "--time-limit",
        type=DURATION,
        default="60s",
        show_default=True,
        help="Sampling time of each latency rule, and of each model against --base.",
    ),
)
@packed("within", Within, timeout_option("How long to wait for a model."), memory_limit_option)
@result_options("github", "junit")
@packed(
    "beside",
    Beside,
    click.option("--junit", metavar="FILE", help="Also write JUnit XML here."),
    click.option("--json", "json_file", metavar="FILE", help="Also write JSON here."),
    click.option(
        "--summary",
        metavar="FILE",
        envvar="GITHUB_STEP_SUMMARY",
        show_envvar=True,
        help="Append a markdown summary here.",
    ),
    option("--save-baseline", metavar="FILE", help="Write the counted figures as a baseline."),
)
@store_option
def check(
    models: tuple[str, ...],
    judging: Judging,
    within: Within,
    out: Output,
    beside: Beside,
    store: str | None,
) -> int:
    """Judge the budgets of the configuration, or only the BUDGETs named.

    \b
    [budgets.gadnet32]        # pyproject.toml: [tool.gadprof.budgets.gadnet32]
    max_params = "12M"        # also max_macs, _flops, _activations, _kernels
    max_peak_bytes = "64MiB"  # also max_weight_bytes
    min_coverage = "100%"
    max_growth = "2%"         # against --baseline, or the file's baseline = "…"
    max_latency_ratio = 0.9   # to reference, measured in the same run
    reference = "hrnet32"
    """
    from functools import partial

    from gadprof.gate.check import measured_ratio, run_check
    from gadprof.gate.config import load_config
    from gadprof.render.annotations import to_step_summary
    from gadprof.render.junit import to_junit
    from gadprof.render.progress import Working
    from gadprof.results.plain import to_json
    from gadprof.store.recording import MeasurementRecorder, record_rows

    for path in (beside.junit, beside.json_file, beside.save_baseline):
        if path is not None:
            check_writable(path)
    settings = load_config(judging.config)
    # what the environment says comes before a file that a stranger may have written
    kept_in = store or os.environ.get("GADPROF_STORE") or settings.store
    with MeasurementRecorder(kept_in) as recorder, Working("checking budgets"):
        measure = partial(measured_ratio, time_limit_s=judging.time_limit, recorder=recorder)
        result, rows = run_check(
            settings,
            models,
            baseline=judging.baseline,
            store=kept_in,
            measure=None if judging.no_latency else measure,
            waive=judging.waive or _label(judging.waiver_label),
            bounds=within.bounds,
        )
        changes = _changes(settings, models, judging)
    out.emit(_render(result, settings, out))
    if beside.junit:
        write_atomic(beside.junit, to_junit(result))
    if beside.json_file:
        more = {} if judging.base is None else {"base": judging.base, "changes": changes}
        write_atomic(beside.json_file, to_json({**_object(result), **more}))
    if beside.summary:
        append_text(beside.summary, to_step_summary(result))
    if beside.save_baseline:
        write_atomic(beside.save_baseline, to_json({"rows": [_kept(row) for row in rows]}))
    record_rows(rows, store=kept_in)
    for verdict in result.verdicts:
        if verdict.status == "error" and verdict.rule == NAMED:
            tell(f"gadprof: {verdict.message}")
    return result.exit_code


def _label(wanted: str | None) -> str | None:
    """The reason that a label of the pull request gives, if it carries it."""
    from gadprof.errors import ConfigError
    from gadprof.results.files import read_json

    path = os.environ.get("GITHUB_EVENT_PATH")
    if wanted is None or not path:
        return None
    try:
        event = read_json(path, "event", ConfigError)
        labels = [label["name"] for label in event["pull_request"]["labels"]]
    except (ConfigError, KeyError, TypeError):
        return None
    return f"label {wanted}" if wanted in labels else None


def _changes(settings: Config, models: tuple[str, ...], judging: Judging) -> tuple[BaseChange, ...]:
    """What changed in the models' own files since the base."""
    if judging.base is None:
        return ()
    from gadprof.gate.base import against_base

    budgets = [budget for budget in settings.budgets if not models or budget.name in models]
    return against_base(
        budgets,
        judging.base,
        latency=not judging.no_latency,
        time_limit_s=judging.time_limit,
    )


def _render(result: CheckResult, config: Config, out: Output) -> str:
    from gadprof.render.annotations import to_annotations, to_step_summary
    from gadprof.render.junit import to_junit
    from gadprof.render.tables import render

    match out.form:
        case "github":
            return to_annotations(
                result, lambda v: config.line_of(v.budget, v.rule.partition(".")[0])
            )
        case "junit":
            return to_junit(result)
        case "md":
            return to_step_summary(result)
    return render(_page(result), out.form, color=out.color)


def _page(result: CheckResult) -> Page:
    """One verdict a row, broken rules first."""
    from gadprof.render.annotations import MARKS
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table
    from gadprof.results.verdicts import ordered

    columns = (
        Column("mark", "", place="shown", rank=0),
        Column("status", "status", place="exact"),
        Column("budget", "model", rank=0),
        Column("model", "model", place="exact"),
        Column("rule", "rule", rank=2),
        Column("message", "result", rank=1),
        Column("limit", "limit", place="exact"),
        Column("actual", "actual", place="exact"),
    )
    rows = tuple(
        (MARKS[v.status], v.status, v.budget, v.model, v.rule, v.message, v.limit, v.actual)
        for v in ordered(result.verdicts)
    )
    verdict = f"{MARKS['fail' if result.exit_code else 'pass']} {result.summary}"
    table = Table("verdicts", verdict, columns, rows)
    return page_of(table, document=_object(result), name="check")


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
