"""The ablation as a markdown page: costs, latency and accuracy, and what they cannot tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from gadprof.render.tables import to_markdown

if TYPE_CHECKING:
    from gadprof.pose.ablation import Variant


def ablation_page(variants: Sequence[Variant], budget: Mapping[str, Any], machine: Any) -> str:
    """The page; columns of what was not measured or trained are left out."""
    measured = any(item.latency_s for item in variants)
    trained = any(item.runs for item in variants)
    shared = shared_knobs([item.model for item in variants])
    headers = ["variant", "params", "to HRNet", "MACs", "to HRNet"]
    headers += ["median latency (ms)", "ratio to HRNet"] if measured else []
    headers += ["AP (mean)", "± (95 %)", "AP of each seed"] if trained else []
    rows = []
    for item in variants:
        row: list[Any] = [
            item.model.removesuffix(f":{shared}") if shared else item.model,
            item.params, f"{item.params_change_percent:+.1f} %",
            item.macs, f"{item.macs_change_percent:+.1f} %",
        ]  # fmt: skip
        row += _latency_cells(item) if measured else []
        row += _accuracy_cells(item) if trained else []
        rows.append(row)
    data = f" on {budget['data'].partition(' (')[0]}" if budget.get("data") else ""
    lines = [
        f"# Ablation{data}: the four variants of the paper's table 5",
        "",
        "HRNet, its BasicBlocks replaced by GhostBlocks, by GhostBlocks followed by SE, and GADNet "
        "(GaBlocks and GdBlocks). Parameters and MACs are exact; the rest was measured as stated."
        + (f" Each with `{shared}`." if shared else ""),
        "",
        to_markdown(headers, rows).rstrip(),
        "",
    ]
    if trained:
        told = ", ".join(f"{key} {value}" for key, value in budget.items())
        lines += [
            apart(variants, len(shared)),
            "",
            f"One budget for all, else the paper's: {told}. A short run on a small set ranks how "
            "fast the variants learn under that budget; it says nothing about their accuracy on "
            "COCO.",
            "",
        ]
    if measured or trained:
        lines += [f"Measured on {machine.cpu}, {machine.cores} cores, {machine.system}.", ""]
    return "\n".join(lines)


def shared_knobs(models: Sequence[str]) -> str:
    """What follows the colon in every model string, where it is the same; else nothing."""
    tails = {model.partition(":")[2] for model in models}
    return tails.pop() if len(tails) == 1 else ""


def apart(variants: Sequence[Variant], tail: int = 0) -> str:
    """Which variants' accuracies the seeds tell apart: those whose intervals do not meet.

    ``tail`` is the length of the shared knobs, left out of the names.
    """
    known = [(item.model[: -tail - 1] if tail else item.model, item.ap) for item in variants]
    intervals = [
        (name, ap[0] - ap[1], ap[0] + ap[1]) for name, ap in known if ap and ap[1] is not None
    ]
    if len(intervals) < 2:
        return "A single seed has no interval: the differences in AP may be chance."
    pairs = []
    for one, two in combinations(intervals, 2):
        higher, lower = (one, two) if one[1] > two[1] else (two, one)
        if higher[1] > lower[2]:
            pairs.append(f"{higher[0]} above {lower[0]}")
    if not pairs:
        return (
            "All intervals of AP overlap: under this budget these seeds do not tell the variants' "
            "accuracies apart."
        )
    return f"Intervals of AP that do not overlap: {'; '.join(pairs)}. The others do."


def _latency_cells(item: Variant) -> list[str | None]:
    median = item.latency_s["median"] if item.latency_s else None
    ratio = item.ratio
    interval = ratio["ci95"] if ratio and ratio.get("ci95") else None
    shown = (
        f"{ratio['value']:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
        if ratio and interval
        else None
    )
    return [None if median is None else f"{1e3 * median:.2f}", shown]


def _accuracy_cells(item: Variant) -> list[str | None]:
    ap = item.ap
    if ap is None:
        return [None, None, None]
    each = ", ".join(f"{run.scores.ap:.3f}" for run in item.runs)
    return [f"{ap[0]:.3f}", None if ap[1] is None else f"{ap[1]:.3f}", each]
