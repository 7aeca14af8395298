"""One model taken apart: its time by class and by stage, beside its work and the roofline.

Promises: the parts' times add up to the unprofiled latency, and each part stands beside the MACs
and bytes that were counted for the same operations. Measures nothing: it puts together what a
worker answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gadprof.measuring.explain.roofline import Peaks


@dataclass(frozen=True)
class PartTime:
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
    """One model: latency, totals, and its parts by class and by stage, longest first.

    ``at_least`` says that something was not counted, so that MACs and FLOPs are lower bounds.
    """

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
    by_class: tuple[PartTime, ...]
    by_stage: tuple[PartTime, ...]
    error: str | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Unexplained:
    """A model that failed: ``error`` in one line, its kind and tail as in a benchmark's row.

    ``latency_s`` is there where the model ran and failed only when it was counted or profiled.
    """

    model: str
    error: str
    error_kind: str
    stderr_tail: tuple[str, ...] = ()
    latency_s: float | None = None
    ci95: tuple[float, float] | None = None


def parts(
    key: int,
    profile: dict[str, Any],
    work: Sequence[dict[str, Any]],
    latency_s: float,
    peaks: Peaks,
    *,
    same_machine: bool = True,
) -> tuple[PartTime, ...]:
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
            PartTime(
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
    at_least: bool = False,
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
        at_least=at_least,
    )
