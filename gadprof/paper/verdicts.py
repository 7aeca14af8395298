"""What becomes of every number that the text states: a verdict, its arithmetic, what would hold it.

Verdicts: ``reproduced`` within a tolerance that is told (for the two reductions a fit: the
reconstruction was chosen with them in view), ``restatement`` of another claim, ``not
reproducible``, ``built as stated``, ``taken as setting``, ``quantified`` (a size named in words)
and ``not tested here`` (accuracies and data that nobody measured here). Counts are exact; nothing
is typed in but the claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gadprof.networks.cost import breakdown
from gadprof.networks.shapes import feature_maps
from gadprof.networks.spec import parse_spec, plan_of
from gadprof.paper.claims import CLAIMS, PaperClaim, value_of
from gadprof.paper.ghosts import claimed_ratios, variant
from gadprof.paper.search import DEFAULT, INPUT, REFERENCE, WITHIN_POINTS
from gadprof.paper.systems import ABLATION, PUBLISHED, exact
from gadprof.pose.keypoints import COUNT
from gadprof.pose.settings import TrainSettings

Word = Literal[
    "reproduced", "restatement", "not reproducible", "built as stated", "taken as setting",
    "quantified", "not tested here",
]  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A claim beside what is found, in the claim's unit (None: nothing to measure here).

    ``difference`` is found minus claimed; ``tolerance`` bounds it where the word is
    ``reproduced``. ``arithmetic`` says how the figure comes about, ``would_hold`` what would have
    to be true for it to hold.
    """

    key: str
    where: str
    says: str
    claimed: float | None
    unit: str
    found: float | None
    difference: float | None
    word: Word
    tolerance: float | None
    arithmetic: str
    would_hold: str


def judge_all() -> tuple[Verdict, ...]:
    """A verdict for every claim, in the text's order of importance."""
    rules: dict[str, Callable[[PaperClaim], Verdict]] = {
        "efficiency": _efficiency,
        "inverse": _inverse,
        "ghost": _ghost,
        "accuracy": _accuracy,
        "structure": _structure,
        "setting": _setting,
        "words": _words,
    }
    return tuple(rules[item.kind](item) for item in CLAIMS)


def _verdict(
    item: PaperClaim,
    word: Word,
    found: float | None = None,
    *,
    tolerance: float | None = None,
    arithmetic: str = "",
    would_hold: str = "",
) -> Verdict:
    difference = None
    if found is not None and item.value is not None:
        difference = round(found - item.value, 4)
    shown = round(found, 4) if found is not None else None
    return Verdict(
        item.key, item.where, item.says, item.value, item.unit, shown, difference, word,
        tolerance, arithmetic, would_hold,
    )  # fmt: skip


def _pair(key: str) -> tuple[int, int, str]:
    """GADNet32's and HRNet32's count behind a claim, and its word."""
    quantity = "params" if key.startswith("params") else "macs"
    small, large = getattr(exact(DEFAULT), quantity), getattr(exact(REFERENCE), quantity)
    return int(small), int(large), "parameters" if quantity == "params" else "MACs"


def _efficiency(item: PaperClaim) -> Verdict:
    small, large, what = _pair(item.key)
    found = 100 * (1 - small / large)
    good = abs(found - value_of(item.key)) <= WITHIN_POINTS
    return _verdict(
        item,
        "reproduced" if good else "not reproducible",
        found,
        tolerance=WITHIN_POINTS if good else None,
        arithmetic=f"1 - {small:,} / {large:,} {what}; a fit, the default was chosen with this "
        "claim in view",
        would_hold="" if good else f"GADNet32 with {(1 - value_of(item.key) / 100) * large:,.0f}",
    )


def _inverse(item: PaperClaim) -> Verdict:
    """ "Reduced by 154 %": no reduction passes 100 %, so the other way round."""
    origin = "params" if item.key.startswith("params") else "macs"
    claimed = value_of(origin)
    low, high = (100 / (1 - (claimed + half) / 100) - 100 for half in (-0.05, 0.05))
    value = value_of(item.key)
    agrees = low < value + 0.5 and high >= value - 0.5
    small, large, _ = _pair(item.key)
    return _verdict(
        item,
        "restatement" if agrees else "not reproducible",
        100 * (large / small - 1),
        arithmetic=f"1 / (1 - {claimed / 100:.3f}) - 1 = {100 / (1 - claimed / 100) - 100:.1f} %, "
        f"the abstract's {claimed} % read as HRNet32's excess over GADNet32",
        would_hold="as a reduction it cannot hold: none passes 100 %",
    )


def _ghost(item: PaperClaim) -> Verdict:
    params = item.key == "ghost-136"
    quantity = "params" if params else "macs"
    claimed = claimed_ratios()[0 if params else 1]
    plain = variant("ghost-hrnet32")
    found = 100 * ((plain.params_ratio if params else plain.macs_ratio) - 1)
    origin = value_of(quantity)
    large = int(getattr(exact(REFERENCE), quantity))
    branch = _branch_share(quantity)
    of_hrnet = 100 * (1 - origin / 100) * claimed
    saved = 100 * (1 - getattr(plain, quantity) / large)
    return _verdict(
        item,
        "not reproducible",
        found,
        arithmetic=f"ghost-hrnet32 {getattr(plain, quantity):,} / {DEFAULT} "
        f"{getattr(exact(DEFAULT), quantity):,} - 1; as a reduction it cannot hold, read as an "
        f"increase it makes the Ghost variant {claimed:.2f} times GADNet32",
        would_hold=f"with the abstract's {origin} % the Ghost variant would save "
        f"{100 - of_hrnet:.1f} % of HRNet32's {large:,}; the exchange of its BasicBlocks, which "
        f"hold {100 * branch:.1f} %, saves {saved:.1f} %, so something else would have to differ",
    )


def _branch_share(quantity: str) -> float:
    """The share of HRNet32's parameters or MACs in the blocks of its branches."""
    rows = breakdown(plan_of(parse_spec(REFERENCE)), INPUT)
    held = sum(
        value
        for row in rows
        if row.leaf and ".branches." in row.path
        for key, value in row.counts.items()
        if key.startswith(quantity + ".")
    )
    return float(held / getattr(exact(REFERENCE), quantity))


def _accuracy(item: PaperClaim) -> Verdict:
    text = f"both networks, trained alike, differ by {item.value} points in 'gadprof evaluate'"
    if item.key == "ap50":
        known = {row.system: row.ap50 for row in PUBLISHED if row.ap50 is not None}
        best = max(known, key=lambda name: known[name])
        text += (
            f"; from HRNet-W32's published {known['HRNet-W32']} that is "
            f"{known['HRNet-W32'] + value_of('ap50'):.1f}, above {best}'s {known[best]}, the "
            "highest published of table 4's systems"
        )
    return _verdict(
        item,
        "not tested here",
        arithmetic=f"needs {TrainSettings(DEFAULT).epochs} epochs on COCO for each network; "
        "no weights are known to be public",
        would_hold=text,
    )


def _structure(item: PaperClaim) -> Verdict:
    """Read off the plan that is built, not off the claim."""
    spec = parse_spec(DEFAULT)
    maps = feature_maps(spec, INPUT)
    last = [row for row in maps if row.stage == "stage4" and row.part == "branch"]
    widths = {row.branch: row.channels for row in last}
    growth = {
        widths[b + 1] / widths[b] for b in sorted(w for w in widths if w) if b and b + 1 in widths
    }
    stem = [row for row in maps if row.stage == "stem"]
    found: dict[str, float] = {
        "width-32": spec.width,
        "width-48": parse_spec("gadnet48").width,
        "branches": len(widths),
        "doubling": growth.pop() if len(growth) == 1 else float("nan"),
        "blocks-1": spec.blocks[1] / spec.blocks[0],
        "blocks-2": spec.blocks[2] / spec.blocks[1],
        "blocks-3": spec.blocks[3] / spec.blocks[2],
        "reduction": spec.r,
        "stem": len(stem),
        "quarter": stem[-1].height / INPUT[1],
        "bottlenecks": spec.bottlenecks,
        "keypoints": maps[-1].channels,
    }
    value = found[item.key]
    good = value == item.value
    return _verdict(
        item,
        "built as stated" if good else "not reproducible",
        value,
        arithmetic=f"read off {DEFAULT}'s plan"
        + (f"; COCO names {COUNT}" if item.key == "keypoints" else ""),
    )


def _setting(item: PaperClaim) -> Verdict:
    settings = TrainSettings(DEFAULT)
    first, last, step = (value_of(f"oks-{name}") for name in ("first", "last", "step"))
    taken: dict[str, float] = {
        "height": settings.height,
        "width": settings.width,
        "lr": settings.lr,
        "lr-late": settings.lr * settings.gamma,
        "decay-epoch": settings.milestones[0],
        "epochs": settings.epochs,
        "batch": settings.batch,
    }
    if item.key in taken:
        good = abs(taken[item.key] - value_of(item.key)) < 1e-12
        return _verdict(
            item,
            "taken as setting" if good else "not reproducible",
            taken[item.key],
            arithmetic="default of 'gadprof train'",
        )
    if item.key == "thresholds":
        number = round((last - first) / step) + 1
        good = number == item.value
        return _verdict(
            item,
            "restatement" if good else "not reproducible",
            number,
            arithmetic=f"({last} - {first}) / {step} + 1",
        )
    if item.key in ("oks-first", "oks-last", "oks-step", "ap75"):
        return _verdict(
            item, "taken as setting", arithmetic="COCO's; 'gadprof evaluate' takes pycocotools' own"
        )
    if item.key == "test-images":
        return _verdict(
            item,
            "not tested here",
            arithmetic="no test image is used here; COCO's own site names about 41 thousand",
            would_hold="another test set is meant than COCO's of 2017",
        )
    return _verdict(item, "not tested here", arithmetic="nothing here depends on it")


def _words(item: PaperClaim) -> Verdict:
    model = DEFAULT if item.key == "attention" else REFERENCE
    shares = {quantity: 100 * _share(model, quantity, item.key) for quantity in ("params", "macs")}
    if item.key == "attention":
        text = (
            f"{shares['params']:.2f} % of {model}'s parameters, {shares['macs']:.4f} % of its MACs"
        )
    else:
        text = (
            f"{shares['params']:.1f} % of {model}'s parameters are in strided convolutions between "
            f"branches and stages ({shares['macs']:.1f} % of its MACs)"
        )
    return _verdict(item, "quantified", shares["params"], arithmetic=text)


def _share(model: str, quantity: str, key: str) -> float:
    """The share of a model's parameters or MACs in attention, or in down-sampling."""
    rows = breakdown(plan_of(parse_spec(model)), INPUT)
    held = 0
    for row in rows:
        if not row.leaf:
            continue
        if key == "attention":
            chosen = row.kind == "Linear"
        else:
            between = ".fuse_layers." in row.path or row.path.startswith("transition")
            halves = len(row.inputs[0]) == 3 and row.outputs[0][1] < row.inputs[0][1]
            chosen = between and halves
        if chosen:
            held += sum(v for k, v in row.counts.items() if k.startswith(quantity + "."))
    return float(held / getattr(exact(model), quantity))


def every_ratio() -> tuple[tuple[str, str, float, float], ...]:
    """HRNet32 over each lighter one and so on, for every pair of the ablation: (larger, smaller,
    parameters, MACs) as ratios. 2.36 and 1.84 would have to be among them."""
    names = tuple(ABLATION)
    rows = []
    for i, larger in enumerate(names):
        for smaller in names[i + 1 :]:
            a, b = exact(larger), exact(smaller)
            rows.append((larger, smaller, a.params / b.params, a.macs / b.macs))
    return tuple(rows)
