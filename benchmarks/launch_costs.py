"""What launching an operation costs at batch 1, on two public spaces of networks.

At batch 1 these networks are bound by the host: their time is a sum over operations of what it
takes to enqueue each. ``launch_errors`` fits the sum on a hundred networks of a space and predicts
the rest of it, and the other space, as it stands and scaled by the time of one of its networks.
What a space cannot tell (FBNet's designs have few sums and one pooling) is held near the costs from
which the fit of all machines begins, as closely as there. ``runs`` says how the cards compare
within each space: hosts that are the same in both would compare alike.
Operations are counted from the papers: NAS-Bench-201 (Dong and Yang 2020: five cells in each of
three stages, two residual blocks between) and FBNet (Wu et al. 2019, table 1: 22 layers).
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from fit_cards import COSTS, HELD, ONCE_S
from scipy.optimize import least_squares

CARDS = {
    "1080ti": "GTX 1080 Ti",
    "2080ti": "RTX 2080 Ti",
    "titan_rtx": "Titan RTX",
    "titanx": "Titan X",
    "titanxp": "Titan Xp",
}
SAMPLE = 100
KINDS = ("network", "convolution", "norm", "activation", "pooling", "sum")
_CONVOLUTION, _NORM, _, _POINTWISE, _POOLING, *_ = COSTS
# where a fit begins (ms), by kind, and the scatter of a network's time about its sum
START = 1e3 * np.array([ONCE_S, _CONVOLUTION, _NORM, _POINTWISE, _POOLING, _POINTWISE])
SCATTER = 0.03

CELLS = 15
FBNET_CHANNELS = (16, *[24] * 4, *[32] * 4, *[64] * 4, *[112] * 4, *[184] * 4, 352)
FBNET_STRIDES = (1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
FBNET_SKIP = 8  # the last of the nine choices of a layer


def count_nasbench201(arch: str) -> list[int]:
    """How many operations of each kind a NAS-Bench-201 network runs."""
    convolutions = pools = sums = 0
    for node in arch.split("+"):
        edges = [edge.split("~")[0] for edge in node.strip("|").split("|")]
        convolutions += sum(edge.startswith("nor_conv") for edge in edges)
        pools += sum(edge.startswith("avg_pool") for edge in edges)
        sums += len(edges) + sum(edge == "none" for edge in edges)  # a zeroed map is a product
    # around the cells: stem, two residual blocks with a pooled shortcut, norm, ReLU, mean
    return [
        1,
        CELLS * convolutions + 7,
        CELLS * convolutions + 6,
        CELLS * convolutions + 5,
        CELLS * pools + 3,
        CELLS * sums + 2,
    ]


def count_fbnet(arch: str) -> list[int]:
    """How many operations of each kind an FBNet design runs."""
    convolutions = norms = activations = 2  # stem and last
    sums = 0
    before = 16
    for choice, channels, stride in zip(
        json.loads(arch), FBNET_CHANNELS, FBNET_STRIDES, strict=True
    ):
        same = stride == 1 and before == channels
        if choice != FBNET_SKIP:
            convolutions, norms, activations = convolutions + 3, norms + 3, activations + 2
            sums += same
        elif not same:
            convolutions, norms, activations = convolutions + 1, norms + 1, activations + 1
        before = channels
    return [1, convolutions, norms, activations, 1, sums]


def read_space(folder: Path, name: str, count: Any) -> tuple[Any, dict[str, Any]]:
    """Operations of every network, (n, kinds), and milliseconds at batch 1 by card, (n,)."""
    with gzip.open(folder / f"{name}_latency.csv.gz", "rt") as stream:
        rows = list(csv.DictReader(stream))
    counts = np.array([count(row["arch"]) for row in rows], dtype=float)
    return counts, {card: np.array([float(row[f"{card}_1"]) for row in rows]) for card in CARDS}


def costs_of(counts: Any, times: Any) -> Any:
    """The cost of an operation of each kind (ms): those at the start, times one free factor."""

    def costs(moves: Any) -> Any:
        return START * np.exp(moves[0] + moves[1:])

    def gaps(moves: Any) -> Any:
        logs = np.log(counts @ costs(moves) / times)
        return np.concatenate([logs / SCATTER, moves[1:] / HELD["cost"]])

    return costs(least_squares(gaps, np.zeros(1 + len(KINDS))).x)


def error(predicted: Any, measured: Any) -> float:
    """The mean absolute relative error."""
    return round(float(np.abs(predicted / measured - 1).mean()), 4)


def read_spaces(folder: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Both spaces by title, as ``read_space`` gives them."""
    return {
        "NAS-Bench-201": read_space(folder, "nasbench201", count_nasbench201),
        "FBNet": read_space(folder, "fbnet", count_fbnet),
    }


def runs(folder: Path) -> list[dict[str, Any]]:
    """By card, its time over the first card's in each space: the quartiles over its networks."""
    spaces, first = read_spaces(folder), next(iter(CARDS))
    return [
        {
            "card": title,
            "over_first": {
                name: np.quantile(times[card] / times[first], [0.25, 0.5, 0.75]).round(3).tolist()
                for name, (_, times) in spaces.items()
            },
        }
        for card, title in CARDS.items()
    ]


def launch_errors(folder: Path) -> list[dict[str, Any]]:
    """A line a card and a direction."""
    spaces = read_spaces(folder)
    lines = []
    for card, title in CARDS.items():
        for name, (counts, times) in spaces.items():
            other = next(key for key in spaces if key != name)
            chosen = np.zeros(len(counts), dtype=bool)
            chosen[np.random.default_rng(0).permutation(len(counts))[:SAMPLE]] = True
            costs = costs_of(counts[chosen], times[card][chosen])
            there, measured = spaces[other][0] @ costs, spaces[other][1][card]
            scaled = [
                error(there * measured[index] / there[index], measured)
                for index in np.random.default_rng(1).permutation(len(measured))[:SAMPLE]
            ]
            lines.append(
                {
                    "card": title,
                    "fitted_on": name,
                    "same_space": error(counts[~chosen] @ costs, times[card][~chosen]),
                    "other_space": error(there, measured),
                    "other_bias": round(float((there / measured - 1).mean()), 4),
                    "other_space_one_timed": round(float(np.mean(scaled)), 4),
                    "convolution_us": round(1e3 * float(costs[1] + costs[2]), 1),
                }
            )
    return lines
