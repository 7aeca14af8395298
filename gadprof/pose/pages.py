"""Accuracy, redundancy and the ablation as pages; -1, COCO's mark for "no such persons", is a gap.

Promises that an accuracy is a share of 1 in every exact form and per cent wherever a person reads.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from gadprof.results.page import Page, Section, page_of
from gadprof.results.sentences import counted, fewer, fewer_than
from gadprof.results.table import Column, Table

if TYPE_CHECKING:
    from gadprof.pose.ablation import Variant
    from gadprof.pose.accuracy import Accuracy
    from gadprof.pose.evaluate import Scores
    from gadprof.pose.redundancy import Redundancy

SCORES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "apm": "APM",
    "apl": "APL",
    "ar": "AR",
    "ar50": "AR50",
    "ar75": "AR75",
    "arm": "ARM",
    "arl": "ARL",
}


@dataclasses.dataclass(frozen=True)
class DeployedScores:
    """What a network scores as the file of a ``runtime`` in a ``precision``, or why it does not.

    ``joints_within_cell`` is the share of heat maps whose maximum lay at most one cell from the
    module's.
    """

    runtime: str
    precision: str
    version: str = ""
    scores: Scores | None = None
    joints_within_cell: float | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """The runtime and its precision, as they are typed."""
        return f"{self.runtime}:{self.precision}"


def score_page(
    accuracy: Accuracy, scores: Scores, machine: Any, deployed: Sequence[DeployedScores] = ()
) -> Page:
    """One measured accuracy with all ten figures, and a row for each file it was deployed as."""
    names = [field.name for field in dataclasses.fields(scores)]
    values = [getattr(scores, name) for name in names]
    height, width = accuracy.input
    flip = "flip test" if accuracy.flip_test else "no flip test"
    note = (
        f"{accuracy.data}: {counted(accuracy.pictures, 'picture')}, "
        f"{counted(accuracy.persons, 'box', 'boxes')} ({accuracy.boxes}), {height}x{width}, "
        f"{accuracy.decoding} decoding, {flip}; "
        "a gap means that no annotated person is of that size."
    )
    columns = (
        Column("model", "model", rank=0),
        *(Column(name, SCORES[name], "share", rank=0 if name == "ap" else 1) for name in names),
    )
    row = (accuracy.model, *(None if value < 0 else value for value in values))
    document = {"accuracy": accuracy, "scores": scores, "machine": machine}
    table = Table("accuracy", "", columns, (row,), notes=(note,))
    if deployed:
        document["deployed"] = deployed
        table = _deployed_table(table, deployed)
    words = (
        f"{accuracy.model} reaches AP {100 * accuracy.ap:.1f} % on "
        f"{counted(accuracy.persons, 'box', 'boxes')} of "
        f"{counted(accuracy.pictures, 'picture')}."
        if accuracy.ap >= 0
        else f"{accuracy.model} has no AP: no annotated person is there."
    )
    words += "".join(f" {_deployed_words(item, scores)}" for item in deployed)
    return page_of(table, document=document, name="accuracy", words=words)


def _deployed_table(table: Table, deployed: Sequence[DeployedScores]) -> Table:
    """The same with a row a file, and why a file has none."""
    own, *figures = table.columns
    columns = (
        own,
        Column("file", "as", rank=0),
        *figures,
        Column("joints_within_cell", "joints kept", "share", rank=0),
    )
    rows = [(table.rows[0][0], "module", *table.rows[0][1:], None)]
    for item in deployed:
        if item.scores is not None:
            values = dataclasses.astuple(item.scores)
            rows.append(
                (
                    table.rows[0][0],
                    item.name,
                    *(None if value < 0 else value for value in values),
                    item.joints_within_cell,
                )
            )
    failed = tuple(f"{item.name}: {item.error}" for item in deployed if item.error)
    return dataclasses.replace(
        table, columns=columns, rows=tuple(rows), notes=(*table.notes, *failed)
    )


def _deployed_words(item: DeployedScores, module: Scores) -> str:
    if item.scores is None:
        return f"As {item.name} it was not scored."
    told = []
    if min(item.scores.ap, module.ap) >= 0:
        told.append(f"{100 * (item.scores.ap - module.ap):+.1f} points".replace("-", "−"))
    if item.joints_within_cell is not None:
        told.append(f"{100 * item.joints_within_cell:.1f} % of joints within a cell")
    return f"As {item.name} AP is {100 * item.scores.ap:.1f} % ({', '.join(told)})."


def redundancy_page(
    figures: Sequence[Redundancy], document: Mapping[str, Any], *, trained: bool
) -> Page:
    """A row a model and place."""
    columns = (
        Column("model", "model", rank=0),
        Column("place", "place", rank=0),
        Column("maps", "maps", "count", rank=2),
        Column("size", "size", rank=3),
        Column("constant", "constant", "count", rank=3),
        Column("mean_abs_correlation", "|r|", "ratio", digits=3, rank=0),
        Column("effective_rank", "eff. rank", "ratio", digits=1, rank=1),
        Column("effective_rank_share", "rank/maps", "ratio", digits=2, rank=1),
        Column("neighbour_cka", "CKA", "ratio", digits=3, rank=1),
        Column("near_duplicate_share", "dup.", "ratio", digits=2, rank=1),
    )
    rows = tuple(
        (item.model, item.place, item.maps, f"{item.height}x{item.width}", item.constant,
         *(getattr(item, column.key) for column in columns[5:]))
        for item in figures
    )  # fmt: skip
    table = Table(
        "redundancy", "", columns, rows,
        notes=_redundancy_notes(trained, document["near_duplicate_correlation"]),
    )  # fmt: skip
    return page_of(table, document=document, name="redundancy", words=_alike(figures))


def _alike(figures: Sequence[Redundancy]) -> str:
    """At which place each model's maps are most alike."""
    parts = []
    for model in dict.fromkeys(item.model for item in figures):
        known = [
            item for item in figures
            if item.model == model and not math.isnan(item.mean_abs_correlation)
        ]  # fmt: skip
        if not known:
            parts.append(f"{model} has no place with two maps that vary")
            continue
        most = max(known, key=lambda item: item.mean_abs_correlation)
        parts.append(
            f"{model}'s maps are most alike at {most.place}: a mean |r| of "
            f"{most.mean_abs_correlation:.2f}, {100 * most.near_duplicate_share:.0f} % near "
            "duplicates"
        )
    return "; ".join(parts) + "."


def _redundancy_notes(trained: bool, duplicate: float) -> tuple[str, ...]:
    notes = (
        "|r|: mean absolute correlation of all pairs of maps; eff. rank: exp of the entropy of the "
        "singular values; CKA: linear, between neighbouring maps; dup.: share of maps that another "
        f"follows with |r| >= {duplicate}. Constant maps are left out of all four.",
    )
    if trained:
        return notes
    untrained = (
        "Random weights, batch normalisation calibrated on the picture: these figures tell of the "
        "architecture, not of training."
    )
    return (untrained, *notes)


def ablation_page(
    variants: Sequence[Variant],
    budget: Mapping[str, Any],
    machine: Any,
    name: str = "ablation",
    shape: Sequence[int] = (),
) -> Page:
    """Costs, latency and accuracy of the variants, and what they cannot tell apart."""
    from gadprof.pose.ablation import VARIANTS

    shared = shared_knobs([item.model for item in variants])
    trained = any(item.runs for item in variants)
    names = [item.model.removesuffix(f":{shared}") for item in variants]
    more = [name for name in names if name.partition(":")[0] not in VARIANTS]
    data = f" on {budget['data'].partition(' (')[0]}" if budget.get("data") else ""
    words = [apart(variants, len(shared))] if trained else []
    words.append(_costs(variants, shared))
    words.append(
        "HRNet, its BasicBlocks replaced by GhostBlocks, by GhostBlocks followed by SE, and GADNet "
        "(GaBlocks and GdBlocks)"
        + (f"; and beside them {', '.join(more)}" if more else "")
        + ". Parameters and MACs are exact; the rest was measured as stated."
        + (f" Each with {shared}." if shared else "")
    )
    if trained:
        told = ", ".join(f"{key} {value}" for key, value in budget.items())
        words.append(
            f"One budget for all, else the paper's: {told}. A short run on a small set ranks how "
            "fast the variants learn under that budget; it says nothing about their accuracy on "
            "COCO."
        )
    if trained or any(item.latency_s for item in variants):
        words.append(f"Measured on {machine.cpu}, {machine.cores} cores, {machine.system}.")
    document = {"variants": variants, "budget": budget, "input": shape, "machine": machine}
    return Page(
        name,
        f"Ablation{data}: the four variants of the paper's table 5",
        (Section("variants", "The variants", tuple(words), (_variants(variants, shared),)),),
        document,
    )


def _costs(variants: Sequence[Variant], shared: str) -> str:
    """Which variant needs the fewest MACs, against the first."""
    first, least = variants[0], min(variants, key=lambda item: item.macs)
    name, other = (
        item.model.removesuffix(f":{shared}") if shared else item.model for item in (least, first)
    )
    if least is first:
        return f"{name} needs the fewest MACs."
    macs = fewer_than(least.macs / first.macs, "MACs", other)
    return f"{name} needs {macs}, with {fewer(least.params / first.params, 'parameters')}."


def _variants(variants: Sequence[Variant], shared: str) -> Table:
    columns = (
        Column("variant", "variant", rank=0),
        Column("params", "params", "count"),
        Column("params_to_hrnet", "to HRNet", "change"),
        Column("macs", "MACs", "count"),
        Column("macs_to_hrnet", "to HRNet", "change"),
        Column("latency_s", "median latency", "seconds"),
        Column("ratio", "ratio to HRNet", "ratio", digits=3),
        Column("ratio_ci95", "its 95 %", "interval", place="shown"),
        Column("ap", "AP (mean)", "share"),
        Column("ap_half_width", "± (95 %)", "share"),
        Column("ap_each", "AP of each seed", place="shown"),
    )
    rows = []
    for item in variants:
        ratio, ap = item.ratio or {}, item.ap or (None, None)
        rows.append(
            (
                item.model.removesuffix(f":{shared}") if shared else item.model,
                item.params,
                1 + item.params_change_percent / 100,
                item.macs,
                1 + item.macs_change_percent / 100,
                item.latency_s["median"] if item.latency_s else None,
                ratio.get("value"),
                ratio.get("ci95"),
                *ap,
                ", ".join(f"{100 * run.scores.ap:.1f} %" for run in item.runs) or None,
            )
        )
    return Table("variants", "", columns, tuple(rows))


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
