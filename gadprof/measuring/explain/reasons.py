"""Why one model is or is not faster than another, in sentences.

Promises: every sentence follows from the two models' figures alone. Refuses nothing.
"""

from __future__ import annotations

from gadprof.measuring.explain.classes import FRAMEWORK
from gadprof.measuring.explain.explained import Explained, PartTime
from gadprof.measuring.explain.roofline import Peaks


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


def _why(
    name: str, before: PartTime | None, after: PartTime, model: Explained, peaks: Peaks
) -> list[str]:
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
