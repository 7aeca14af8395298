"""What follows from the samples of a group: rows, ratios, verdicts and warnings.

Promises: a row that failed says why and gives no ratio; nothing is claimed that the null of the
same run contradicts. Measures nothing.
"""

from __future__ import annotations

import math
import statistics as stdlib_statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gadprof.measuring import statistics
from gadprof.measuring.entry import Entry
from gadprof.measuring.group_run import GroupRun
from gadprof.measuring.probes import noise
from gadprof.measuring.result import BenchGroup, BenchRow, Latency, Ratio, Warning
from gadprof.measuring.verdict import judge
from gadprof.measuring.warmup import RUNS_TO_SETTLE


def conclude(
    run: GroupRun, card: dict[str, Any] | None = None
) -> tuple[BenchGroup, dict[str, BenchRow]]:
    """Rows, null, verdicts and warnings of a finished group; ``card``: its state beforehand."""
    null = _ratio(run, run.null) if run.null and run.null.alive and run.reference.alive else None
    rows = {entry.key: _row(run, entry, null) for entry in run.members}
    conditions = asdict(run.conditions) if run.conditions else {}
    known: tuple[Warning, ...] = ()
    if card is not None:
        conditions["card"] = {key: value for key, value in card.items() if key != "words"}
        known = tuple(Warning("card", words) for words in card["words"])
    group = BenchGroup(
        rows=tuple(int(entry.key) for entry in run.members),
        blocks=run.blocks,
        seconds=run.seconds,
        stopped_by=run.stopped_by,
        launches=len(run.launched_at),
        null=null,
        conditions=conditions,
        warnings=known + _warnings(run, rows, null),
    )
    return group, rows


def unmeasured(entry: Entry) -> BenchRow:
    """A row that an interrupt kept from its turn."""
    return BenchRow(
        entry.model,
        entry.setting,
        error="not measured: interrupted before its turn",
        error_kind="interrupt",
    )


def _ratio(run: GroupRun, entry: Entry) -> Ratio | None:
    estimate = run.estimate(entry)
    if estimate is None:
        return None
    return Ratio(
        estimate.value,
        estimate.ci95,
        run.label(run.reference),
        sum(len(logs) for logs in run.paired_logs(entry)),
        estimate.batch_blocks,
        estimate.launches,
    )


def latency_of(launches: Sequence[Sequence[Sequence[float]]], seed: int = 0) -> Latency | None:
    """The statistics of one row's turns in each launch, or None without samples."""
    turns = [turn for launch in launches for turn in launch]
    samples = tuple(sample for turn in turns for sample in turn)
    if not samples:
        return None
    estimate = statistics.median_of_launches(launches, seed=seed)
    return Latency(
        median=stdlib_statistics.median(samples),
        mean=math.fsum(samples) / len(samples),
        p90=statistics.quantile(samples, 0.90),
        p95=statistics.quantile(samples, 0.95),
        p99=statistics.quantile(samples, 0.99),
        spread=statistics.robust_spread(samples),
        ci95=estimate.ci95 if estimate else None,
        count=len(samples),
        samples=samples,
        turns=tuple(len(turn) for turn in turns),
    )


def _told(entry: Entry) -> str:
    """Why a row failed; of a card without room, with what the model would have needed."""
    assert entry.failure is not None
    reason = entry.failure.reason
    on_card = entry.setting.device.startswith("cuda") and entry.factory is None
    if entry.failure.kind == "memory" and on_card:
        from gadprof.measuring.room import room_needed

        needed = room_needed(entry.model, entry.setting)
        return f"{reason}; {needed}" if needed else reason
    return reason


def _row(run: GroupRun, entry: Entry, null: Ratio | None) -> BenchRow:
    shapes = tuple(tuple(shape) for shape in entry.loaded.get("input_shapes", ()))
    common: dict[str, Any] = {
        "model": entry.model,
        "setting": entry.setting,
        "input_shapes": shapes,
        "runtime_version": entry.loaded.get("runtime_version", ""),
        "runtime_difference": entry.loaded.get("difference"),
        "deployed": entry.loaded.get("deployed"),
        "warm_up": entry.warm,
        "notes": tuple(entry.notes),
    }
    if entry.failure is not None:
        return BenchRow(
            **common,
            error=_told(entry),
            error_kind=entry.failure.kind,
            stderr_tail=entry.failure.tail,
            ratio_absent="its row failed",
        )
    latency = latency_of(run.turns_of(entry), run.seed)
    if latency is None:
        return BenchRow(**common, error="not measured: interrupted", error_kind="interrupt")
    ratio, absent, verdict, outcome = None, "", "", ""
    if entry is run.reference:
        if len(run.members) > 1:
            ratio = Ratio(1.0, (1.0, 1.0), run.label(entry), run.blocks, 1, len(run.launched_at))
            verdict = outcome = "reference"
    elif run.reference.failure is not None:
        absent = f"the first model, {run.reference.model}, failed"
    elif not run.comparable(entry):
        absent = "its input differs from the first model's; give both one --input"
    else:
        ratio = _ratio(run, entry)
        if ratio is None:
            absent = "too few blocks; raise --time-limit"
        else:
            outcome, verdict = judge(ratio, null)
    memory = entry.memory or {}
    return BenchRow(
        **common,
        latency_s=latency,
        throughput_per_s=entry.setting.batch / latency.median if latency.median > 0 else None,
        ratio=ratio,
        ratio_absent=absent,
        verdict=verdict or ("" if len(run.members) == 1 else f"no ratio: {absent}"),
        outcome=outcome,
        peak_bytes=memory.get("peak_bytes"),
        predicted_peak_bytes=memory.get("predicted_peak_bytes"),
        memory=memory or None,
        energy=entry.energy,
        sensors={"before": entry.sensors_before, "after": entry.sensors_after}
        if entry.sensors_before
        else None,
    )


def _warnings(run: GroupRun, rows: dict[str, BenchRow], null: Ratio | None) -> tuple[Warning, ...]:
    found: list[Warning] = []
    if run.conditions is not None:
        found.extend(noise.condition_warnings(run.conditions))
    for entry in run.members:
        found.extend(noise.sensor_warnings(entry.sensors_before, entry.sensors_after))
    alive = [entry for entry in run.members if entry.alive]
    complete = [block for block in range(run.blocks) if all(block in e.turns for e in alive)]
    if alive and complete:
        medians = [[stdlib_statistics.median(e.turns[b]) for e in alive] for b in complete]
        found.extend(noise.drift_warnings(medians))
    found.extend(
        noise.spread_warnings(
            {
                run.label(entry): latency.spread
                for entry in run.members
                if (latency := rows[entry.key].latency_s) is not None
            }
        )
    )
    for entry in alive:
        if entry.warm is not None and not entry.warm.settled:
            runs = f"{entry.warm.runs} warm-up run" + ("s" if entry.warm.runs != 1 else "")
            text = f"{entry.model} was still getting faster after {runs}"
            if entry.warm.runs < RUNS_TO_SETTLE:
                text = f"there was time for {runs} of {entry.model}, too few to see it settle"
            found.append(Warning("not settled", f"{text}; its first samples may be high"))
    if null is not None and not null.ci95[0] <= 1 <= null.ci95[1]:
        worst = max(abs(end - 1) for end in null.ci95)
        found.append(
            Warning(
                "null",
                f"{null.to} against a second copy of itself gave {null.value:.3f} "
                f"({null.ci95[0]:.3f} to {null.ci95[1]:.3f}): differences below "
                f"{100 * worst:.1f} % are between processes, not models, and are not claimed",
            )
        )
    if len(alive) > 1 and len(run.launched_at) == 1 and run.limits.launches != 1:
        found.append(
            Warning(
                "one launch",
                "there was time to launch each model once only: how far two processes of one model "
                "differ is not in the intervals; raise --time-limit",
            )
        )
    if run.stopped_by == "time limit":
        wide = [
            run.label(entry)
            for entry in run.members
            if (row := rows[entry.key]).outcome != "reference"
            and row.latency_s
            and (row.ratio is None or row.ratio.half_width > run.limits.precision)
            and not row.ratio_absent.startswith(("its input", "the first"))
        ]
        if wide and len(run.members) > 1:
            found.append(
                Warning(
                    "time limit",
                    f"precision of {100 * run.limits.precision:g} % not reached within "
                    f"{run.share_s:.3g} s for {', '.join(wide)}; "
                    "raise --time-limit",
                )
            )
    return tuple(found)
