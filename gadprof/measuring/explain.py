"""Where the time of two models goes, and why the one with fewer MACs is or is not faster.

Promises: each model's times by class (and by stage) add up to its unprofiled latency; beside them
stand the counted MACs and bytes and the roofline bound of the same work. The reason given in words
is derived from these figures alone. Refuses a runtime whose operations torch does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gadprof.errors import ModelFailedError, SettingError
from gadprof.measuring.bench import Limits, require_extra
from gadprof.measuring.classes import FRAMEWORK
from gadprof.measuring.isolation import Worker, WorkerFailedError, default_memory_limit, load
from gadprof.measuring.progress import Progress
from gadprof.measuring.result import BenchResult
from gadprof.measuring.roofline import Peaks
from gadprof.measuring.settings import Setting
from gadprof.results import Machine
from gadprof.tabular import Tabular

PROFILE_RUNS = 5


@dataclass(frozen=True)
class Part:
    """A class or a stage of one model; seconds scaled to the unprofiled latency.

    ``bound_s`` is the sum of its operations' class-by-class roofline bounds, ``intensity`` FLOPs a
    byte (None where nothing is moved), ``efficiency`` the bound over the time (None where the
    bound is another machine's than the time).
    """

    name: str
    seconds: float
    share: float
    operations: float
    macs: int
    flops: int
    traffic_bytes: int
    intensity: float | None
    bound_s: float
    efficiency: float | None
    limit: str


@dataclass(frozen=True)
class Explained:
    """One model: latency, totals, and its parts by class and by stage, longest first."""

    model: str
    latency_s: float
    ci95: tuple[float, float] | None
    profiled_s: float
    kernels: float
    macs: int
    flops: int
    traffic_bytes: int
    intensity: float | None
    bound_s: float
    by_class: tuple[Part, ...]
    by_stage: tuple[Part, ...]
    error: str | None = None


@dataclass(frozen=True)
class Explanation(Tabular):
    """All models under one setting, the peaks that the bounds rest on, and the words."""

    models: tuple[Explained, ...]
    setting: Setting
    peaks: Peaks
    ratio: dict[str, Any]
    words: tuple[str, ...]
    warnings: tuple[str, ...]
    machine: Machine
    interrupted: bool = False


def parts(
    key: int,
    profile: dict[str, Any],
    work: Sequence[dict[str, Any]],
    latency_s: float,
    peaks: Peaks,
    *,
    same_machine: bool = True,
) -> tuple[Part, ...]:
    """A model's parts by stage (``key`` 0) or by class (``key`` 1), longest first.

    ``profile`` has seconds and operations as [stage, class, value]; ``work`` counted records by
    stage and class. Seconds are scaled by latency / profiled time. ``same_machine`` says whether
    the peaks are those of the machine that was timed.
    """
    scale = latency_s / profile["profiled_s"] if profile["profiled_s"] > 0 else 0.0
    seconds: dict[str, float] = {}
    operations: dict[str, float] = {}
    for item in profile["seconds"]:
        seconds[item[key]] = seconds.get(item[key], 0.0) + item[2] * scale
    for item in profile["operations"]:
        operations[item[key]] = operations.get(item[key], 0.0) + item[2]
    label = ("stage", "operation_class")[key]
    sums: dict[str, list[float]] = {}
    for record in work:
        entry = sums.setdefault(record[label], [0, 0, 0, 0.0])
        entry[0] += record["macs"]
        entry[1] += record["flops"]
        entry[2] += record["traffic_bytes"]
        entry[3] += peaks.bound_s(record["flops"], record["traffic_bytes"])
    found = []
    for name in dict.fromkeys([*seconds, *sums]):
        spent = seconds.get(name, 0.0)
        macs, flops, traffic, bound = sums.get(name, [0, 0, 0, 0.0])
        found.append(
            Part(
                name=name,
                seconds=spent,
                share=spent / latency_s if latency_s > 0 else 0.0,
                operations=operations.get(name, 0.0),
                macs=int(macs),
                flops=int(flops),
                traffic_bytes=int(traffic),
                intensity=flops / traffic if traffic else None,
                bound_s=bound,
                efficiency=bound / spent if same_machine and spent > 0 and bound > 0 else None,
                limit=peaks.limit(flops, traffic) if bound > 0 else "",
            )
        )
    return tuple(sorted(found, key=lambda part: -part.seconds))


def assemble(
    model: str,
    latency_s: float,
    ci95: tuple[float, float] | None,
    profile: dict[str, Any],
    work: Sequence[dict[str, Any]],
    peaks: Peaks,
    *,
    same_machine: bool = True,
) -> Explained:
    """One model's explanation from its measured parts; ``same_machine`` as for ``parts``."""
    by_class = parts(1, profile, work, latency_s, peaks, same_machine=same_machine)
    flops = sum(record["flops"] for record in work)
    traffic = sum(record["traffic_bytes"] for record in work)
    return Explained(
        model=model,
        latency_s=latency_s,
        ci95=ci95,
        profiled_s=profile["profiled_s"],
        kernels=profile["kernels"],
        macs=sum(record["macs"] for record in work),
        flops=flops,
        traffic_bytes=traffic,
        intensity=flops / traffic if traffic else None,
        bound_s=sum(part.bound_s for part in by_class),
        by_class=by_class,
        by_stage=parts(0, profile, work, latency_s, peaks, same_machine=same_machine),
    )


def reasons(first: Explained, second: Explained, outcome: str, peaks: Peaks) -> tuple[str, ...]:
    """Sentences that say why the second is or is not faster than the first."""
    ratio = second.latency_s / first.latency_s
    macs = second.macs / first.macs if first.macs else float("nan")
    sentences = [
        f"{second.model} has {macs:.2f} x the MACs of {first.model} and takes {ratio:.2f} x its "
        f"time ({_ms(second.latency_s)} against {_ms(first.latency_s)})."
    ]
    if outcome == "cannot tell":
        sentences.append("The difference in time lies within what this run can tell.")
    before = {part.name: part for part in first.by_class}
    after = {part.name: part for part in second.by_class}
    changes = sorted(
        (
            (after[name].seconds if name in after else 0.0)
            - (before[name].seconds if name in before else 0.0),
            name,
        )
        for name in dict.fromkeys([*before, *after])
    )
    saved = [(change, name) for change, name in changes if change < -0.02 * first.latency_s]
    added = [
        (change, name) for change, name in reversed(changes) if change > 0.02 * first.latency_s
    ]
    if saved:
        sentences.append(
            "Time saved: " + "; ".join(f"{name} {_ms(-change)}" for change, name in saved[:3]) + "."
        )
    if added:
        sentences.append(
            "Time added: " + "; ".join(f"{name} {_ms(change)}" for change, name in added[:3]) + "."
        )
    for _, name in added[:2]:
        sentences.extend(_why(name, before.get(name), after[name], second, peaks))
    if ratio > macs * 1.1 and first.macs and second.macs:
        speed_first = 2 * first.macs / first.latency_s / 1e9
        speed_second = 2 * second.macs / second.latency_s / 1e9
        sentences.append(
            f"So a MAC costs it more time: {speed_second:.1f} against {speed_first:.1f} GFLOP/s "
            f"over the whole model (this machine's matrix product reaches "
            f"{peaks.flops_per_s / 1e9:.0f})."
            if peaks.measured
            else f"So a MAC costs it more time: {speed_second:.1f} against {speed_first:.1f} "
            "GFLOP/s over the whole model."
        )
    if first.intensity and second.intensity and second.intensity < 0.8 * first.intensity:
        sentences.append(
            f"It does {second.intensity:.1f} FLOPs a byte moved against {first.intensity:.1f}: "
            "fewer MACs, but not as much less memory traffic."
        )
    if second.kernels > 1.2 * first.kernels:
        sentences.append(
            f"It launches {second.kernels:.0f} operations against {first.kernels:.0f}, each with a "
            "fixed cost."
        )
    bounds = second.bound_s / first.bound_s if first.bound_s else float("nan")
    where = "" if peaks.measured else f" of {peaks.name}"
    sentences.append(
        f"By the roofline{where} alone it would take {bounds:.2f} x the time; the rest is how well "
        "the kernels use the machine."
    )
    return tuple(sentences)


def _why(name: str, before: Part | None, after: Part, model: Explained, peaks: Peaks) -> list[str]:
    if name == FRAMEWORK:
        return [f"{name}: Python and dispatch between {model.kernels:.0f} operations."]
    share_macs = after.macs / model.macs if model.macs else 0.0
    words = (
        f"{name}: {100 * after.share:.0f} % of its time for {100 * share_macs:.0f} % of its MACs"
    )
    if after.efficiency is not None:
        words += f", at {100 * after.efficiency:.0f} % of its {after.limit} bound"
    if before is None:
        words += " (the other has none)"
    elif before.efficiency is not None and after.efficiency is not None:
        words += f" (the other's at {100 * before.efficiency:.0f} %)"
    if after.intensity is not None and after.intensity < peaks.ridge:
        who = "this machine" if peaks.measured else peaks.name
        words += f"; {after.intensity:.1f} FLOPs a byte, where {who} needs {peaks.ridge:.0f}"
    return [words + "."]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def explain(
    models: Sequence[str],
    setting: Setting,
    *,
    precision: float = 0.03,
    time_limit_s: float = 30.0,
    timeout_s: float = 300.0,
    sheet: Peaks | None = None,
    trace_paths: Sequence[str | None] = (),
    progress: Progress | None = None,
    on_turn: Callable[[int, str, Setting, Sequence[float]], None] | None = None,
    on_measured: Callable[[BenchResult], None] | None = None,
) -> Explanation:
    """Measure, profile and count each model, and say why.

    ``on_turn`` is told the latency samples as they arrive (see ``measure``), ``on_measured`` the
    latencies before the profile begins.

    Raises SettingError, MissingExtraError, and ModelFailedError when a model fails.
    """
    from gadprof.measuring.bench import measure

    require_extra()
    if setting.runtime not in ("eager", "torchscript"):
        raise SettingError(f"{setting.runtime} hides its operations from torch; use eager")
    bench = measure(
        models,
        setting,
        precision=precision,
        time_limit_s=time_limit_s,
        timeout_s=timeout_s,
        memory=False,
        energy=False,
        progress=progress,
        on_turn=on_turn,
    )
    if on_measured is not None:
        on_measured(bench)
    failed = [row for row in bench.rows if row.error]
    if failed:
        kind = WorkerFailedError if failed[0].error_kind != "usage" else SettingError
        text = f"{failed[0].model}: {failed[0].error}"
        raise kind("model", text) if kind is WorkerFailedError else SettingError(text)
    limits = Limits(timeout_s=timeout_s)
    peaks = sheet or measured_peaks(setting, timeout_s=timeout_s)
    explained = []
    for index, row in enumerate(bench.rows):
        path = trace_paths[index] if index < len(trace_paths) else None
        profile, work = _observe(row.model, setting, limits, path)
        assert row.latency_s is not None
        explained.append(
            assemble(
                row.model,
                row.latency_s.median,
                row.latency_s.ci95,
                profile,
                work,
                peaks,
                # a sheet is held against times only where a card may be the one that it describes
                same_machine=peaks.measured or setting.device.startswith("cuda"),
            )
        )
    return Explanation(
        models=tuple(explained),
        setting=setting,
        peaks=peaks,
        ratio=_ratios(bench),
        words=tuple(
            sentence
            for other, row in zip(explained[1:], bench.rows[1:], strict=True)
            for sentence in reasons(explained[0], other, row.outcome, peaks)
        ),
        warnings=tuple(warning.text for group in bench.groups for warning in group.warnings),
        machine=bench.machine,
        interrupted=bench.interrupted,
    )


def _ratios(bench: BenchResult) -> dict[str, Any]:
    return {row.model: asdict(row.ratio) for row in bench.rows if row.ratio is not None}


def measured_peaks(setting: Setting, *, timeout_s: float = 300.0) -> Peaks:
    """This machine's peaks under a setting, by a process of its own. Raises WorkerFailedError."""
    with Worker("peaks", threads=setting.threads) as worker:
        reply = worker.request("peaks", timeout_s=timeout_s, setting=asdict(setting))
    return Peaks(**reply)


def _observe(
    model: str, setting: Setting, limits: Limits, trace_path: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    worker = Worker(
        model,
        threads=setting.threads,
        memory_limit_bytes=default_memory_limit() if setting.device == "cpu" else None,
    )
    with worker:
        load(worker, model, replace(setting, cuda_graph=False), timeout_s=limits.timeout_s)
        try:
            work = worker.request("work", timeout_s=limits.timeout_s)["work"]
        except WorkerFailedError as failure:
            raise ModelFailedError(f"{model} could not be counted: {failure.reason}") from failure
        worker.request("sample", timeout_s=limits.timeout_s, count=2, refresh=0)
        profile = worker.request(
            "profile", timeout_s=limits.timeout_s, runs=PROFILE_RUNS, trace_path=trace_path
        )
    return profile, work
