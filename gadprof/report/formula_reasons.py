"""Why a block's measured speed-up stays below theory, in words that the measured grid supports.

Promises: every sentence is computed from the points of the grid (times at two map sizes, at two
kernels of the cheap operation, by each input) and from the measured peaks of the machine; where
the grid lacks what a sentence needs, the sentence is not there. Refuses to explain what was not
measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gadprof.results.cells import seconds_text

if TYPE_CHECKING:
    from gadprof.formulas.formula import Formula
    from gadprof.measuring.block_pairs import MeasuredPair
    from gadprof.measuring.explain.roofline import Peaks

# how far apart the medians by an input's values must lie to be worth a sentence
TELLING = 1.25
# the share of the growth in MACs that a time must grow by to be said to follow them
FOLLOWS = 0.25
BYTES = 4


class Point:
    """A measured point: inputs, MACs and seconds of the block (``t``) and of the convolution."""

    def __init__(self, form: Formula, pair: MeasuredPair) -> None:
        self.form = form
        self.pair = pair
        self.inputs: dict[str, int] = {name: int(value) for name, value in form.inputs.items()}
        self.map = self.inputs["h"] * self.inputs["w"]
        self.macs = float(form.GG)
        self.conv_macs = self.macs * form.Rs_macs
        self.t = float(pair.latency_s or 0.0)
        self.conv_t = float(pair.reference_latency_s or 0.0)
        self.share = float(pair.speed_up or 0.0) / form.Rs_macs


def reasons(
    points: Sequence[Formula], measured: Sequence[MeasuredPair], peaks: Peaks | None = None
) -> list[str]:
    """A paragraph for every block of the grid that has measured points."""
    found: dict[str, list[Point]] = {}
    for form, pair in zip(points, measured, strict=True):
        if pair.speed_up is not None and pair.latency_s and pair.reference_latency_s:
            found.setdefault(form.block, []).append(Point(form, pair))
    paragraphs = []
    for block, own in found.items():
        sentences = [
            *_by_input(own),
            *_fixed_costs(own),
            *_cheap_rate(own, peaks),
            *_memory(own),
        ]
        if sentences:
            paragraphs.append(f"{block}: " + " ".join(sentences))
    return paragraphs


def _by_input(points: Sequence[Point]) -> list[str]:
    """On which inputs the reached share of theory depends, strongest first."""
    effects = []
    for name in ("map", "k", "d", "s", "c_in", "c_out", "stride"):
        values: dict[int, list[float]] = {}
        for point in points:
            value = point.map if name == "map" else point.inputs.get(name)
            if value is not None:
                values.setdefault(value, []).append(point.share)
        medians = {value: statistics.median(shares) for value, shares in sorted(values.items())}
        if len(medians) > 1:
            effect = max(medians.values()) / min(medians.values())
            if effect >= TELLING:
                effects.append((effect, name, medians))
    if not effects:
        return []
    shown = []
    for _, name, medians in sorted(effects, reverse=True, key=lambda item: item[0])[:3]:
        word = "map size" if name == "map" else name
        listed = ", ".join(
            f"{share:.2f} x at {value}{' positions' if name == 'map' else ''}"
            for value, share in medians.items()
        )
        shown.append(f"{word} ({listed})")
    return ["The share of the theoretical ratio that is reached depends on " + _and(shown) + "."]


def _twins(
    points: Sequence[Point], key: Callable[[Point], int], names: Sequence[str]
) -> list[tuple[Point, Point]]:
    """Pairs of points that differ in ``names`` alone, smallest and largest by ``key``."""
    groups: dict[tuple[tuple[str, int], ...], list[Point]] = {}
    for point in points:
        rest = tuple((name, v) for name, v in sorted(point.inputs.items()) if name not in names)
        groups.setdefault(rest, []).append(point)
    pairs = [(min(group, key=key), max(group, key=key)) for group in groups.values()]
    return [(low, high) for low, high in pairs if key(low) < key(high)]


def _fixed_costs(points: Sequence[Point]) -> list[str]:
    """What a call costs before any work: the line through two map sizes, extended to none."""
    pairs = _twins(points, lambda point: point.map, ("h", "w"))
    if not pairs:
        return []

    def fixed(low: Point, high: Point, first_s: float, second_s: float) -> float:
        return max(0.0, (first_s * high.map - second_s * low.map) / (high.map - low.map))

    own_s = [fixed(low, high, low.t, high.t) for low, high in pairs]
    own = statistics.median(own_s)
    conv = statistics.median(fixed(low, high, low.conv_t, high.conv_t) for low, high in pairs)
    share = statistics.median(
        min(1.0, spent / low.t) for spent, (low, _) in zip(own_s, pairs, strict=True)
    )
    smallest = min(low.map for low, _ in pairs)
    layers, conv_layers = layers_of(points[0].form)
    sentence = (
        f"Before any work a call takes it {seconds_text(own)} and the convolution "
        f"{seconds_text(conv)} (medians of the line through two map sizes): {layers} layers are "
        f"launched against {conv_layers}"
    )
    if own > conv:
        sentence += (
            f", and on maps of {smallest} positions that is {100 * share:.0f} % of the block's time"
        )
    return [sentence + "."]


def layers_of(form: Formula) -> tuple[int, int]:
    """How many layers without parts of their own the block has, and the convolution."""
    import torch

    from gadprof.audit.verify import block_module
    from gadprof.formulas.formula import DEFAULTS, formula

    plain = {name: int(value) for name, value in form.inputs.items() if name in DEFAULTS}
    counts = []
    with torch.device("meta"):
        for wanted in (form, formula("conv", **plain)):
            module, _ = block_module(wanted)
            counts.append(sum(1 for part in module.modules() if not list(part.children())))
    return counts[0], counts[1]


def _cheap_rate(points: Sequence[Point], peaks: Peaks | None) -> list[str]:
    """How fast the cheap operation's MACs run, from two of its kernels; and what bounds them."""
    largest = max(point.map for point in points)
    own = [point for point in points if point.map == largest]
    pairs = _twins(own, lambda point: point.inputs.get("d", 0), ("d",))
    conv_rate = statistics.median(point.conv_macs / point.conv_t for point in own)
    if not pairs:
        return []
    low_d, high_d = pairs[0][0].inputs["d"], pairs[0][1].inputs["d"]
    growth = statistics.median(high.t / low.t for low, high in pairs)
    more = statistics.median(high.macs / low.macs for low, high in pairs)
    sentence = (
        f"From d = {low_d} to {high_d}, on maps of {largest} positions, its MACs grow "
        f"{more:.2f} x and its time {growth:.2f} x"
    )
    slower = [(low, high) for low, high in pairs if high.t > low.t]
    if growth - 1 >= FOLLOWS * (more - 1) and len(slower) > len(pairs) / 2:
        rate = statistics.median((high.macs - low.macs) / (high.t - low.t) for low, high in slower)
        sentence += (
            f": the added MACs, all depthwise, run at {rate / 1e9:.1f} GMAC/s, where the "
            f"convolution that they replace runs at {conv_rate / 1e9:.1f}."
        )
        if rate * TELLING < conv_rate:
            sentence += (
                " The bytes moved are the same at both kernels, so that this time is the "
                "depthwise kernel's arithmetic and not memory bandwidth."
            )
    else:
        sentence += (
            ": the time hardly follows the arithmetic, and the bytes moved are the same at both, "
            "so that bandwidth and launches set it."
        )
    return [sentence, *_roofline(low_d, own, peaks)]


def _roofline(d: int, points: Sequence[Point], peaks: Peaks | None) -> list[str]:
    """The bound of a depthwise convolution and of the convolutions on this machine."""
    if peaks is None:
        return []
    # an element of a map is read once and written once, and takes d x d multiply-adds
    cheap = 2 * d * d / (2 * BYTES)
    plain = statistics.median(_conv_intensity(point.inputs, point.conv_macs) for point in points)
    reachable = min(peaks.flops_per_s, cheap * peaks.bytes_per_s)
    words = "memory" if cheap < peaks.ridge else "arithmetic"
    return [
        f"Out of the caches a depthwise {d}×{d} convolution does {cheap:.2f} FLOPs a byte (the "
        f"ordinary one {plain:.0f} at the median) where this machine's {words} bounds it: "
        f"{reachable / 1e9:.0f} of {peaks.flops_per_s / 1e9:.0f} GFLOP/s at "
        f"{peaks.bytes_per_s / 1e9:.1f} GB/s, both measured."
    ]


def _conv_intensity(inputs: Mapping[str, int], macs: float) -> float:
    positions = inputs["h"] * inputs["w"]
    read = inputs["c_in"] * positions * inputs["stride"] ** 2
    weights = inputs["c_in"] * inputs["c_out"] * inputs["k"] ** 2
    return 2 * macs / (BYTES * (read + inputs["c_out"] * positions + weights))


def _memory(points: Sequence[Point]) -> list[str]:
    """Why the ratio of peak memory is not the ratio of weights."""
    known = [
        point for point in points if point.pair.memory_ratio and point.pair.reference_peak_bytes
    ]
    if not known:
        return []
    ratio = statistics.median(float(point.pair.memory_ratio or 0) for point in known)
    theory = statistics.median(point.form.Rs for point in known)
    share = statistics.median(
        BYTES * point.form.GP * point.form.Rs / float(point.pair.reference_peak_bytes or 1)
        for point in known
    )
    return [
        f"It needs {ratio:.2f} x less memory at the median, for {theory:.2f} x fewer weights: they "
        f"are {100 * share:.0f} % of the convolution's peak, the rest are maps."
    ]


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
