"""Latency of networks on phones' neural processors, fitted to public measurements.

Read by ``fit_prediction``. The table holds times of Snapdragon devices by precision and runtime;
the networks of ``phone_networks`` are rebuilt, traced and kept in the cache, and those whose
parameters are not what the table states are left out. One form is fitted to all devices together,
to each network's mean log-time once every device's factor of speed is taken out; a device is that
form and its factor. In half precision a Gaussian process over the networks' totals gives a second
estimate; of the networks in eight bits, half as many, it knows too few to be of use. Errors are of
networks that neither the form, the process nor the factors have seen.
"""

from __future__ import annotations

import csv
import pickle
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import phone_networks

from gadprof.prediction.errors import adaptive_summary
from gadprof.prediction.features import CLASSES, ModelFeatures, features_of
from gadprof.prediction.fit import slug
from gadprof.prediction.fitting import Measured, fit_coefficients, folds_of
from gadprof.prediction.gaussian_process import GaussianProcess, fit_process, together
from gadprof.prediction.model import Coefficients, operation_seconds
from gadprof.prediction.novelty import families_by_cell, known_cells, novelty
from gadprof.prediction.phones import Phones
from gadprof.prediction.placement import Placement, kinds_of
from gadprof.prediction.way import Way

RUNTIME = "qnn_dlc"
RUNTIMES = (RUNTIME, "onnx", "tflite")
PRECISIONS = {"float": ("fp16", 2), "w8a8": ("w8a8", 1)}
# what a pass takes beside its operations (s), and how closely the form is held to where it begins:
# that of a compiled card, and for eight bits that of half precision
ONCE_S = {"float": 5e-4, "w8a8": 2e-4}
STIFFNESS = {"float": 4.0, "w8a8": 100.0}
FOLDS = 10
LEAST_SHARE = 0.1  # of a time, that is left to operations
LEAST_NETWORKS = 10  # that a device must have been measured on


@dataclass(frozen=True)
class Line:
    """One network on one device."""

    network: str
    device: str
    seconds: float


def read_lines(path: Path, precision: str) -> list[Line]:
    """The table's single-part networks on the neural processor, and the parameters it states."""
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        parts[row["model"]].add(row["component"])
    return [
        Line(row["model"], row["device"], float(row["ms"]) / 1e3)
        for row in rows
        if row["precision"] == precision
        and row["runtime"] == RUNTIME
        and row["unit"] == "NPU"
        and len(parts[row["model"]]) == 1
        and float(row["ms"]) > 0
    ]


def stated_parameters(path: Path) -> dict[str, float]:
    """Parameters by network, where the table states them."""
    found = {}
    with path.open() as stream:
        for row in csv.DictReader(stream):
            match = re.match(r"([\d.]+)\s*([MK])", row["params"] or "")
            if match:
                found[row["model"]] = float(match[1]) * {"M": 1e6, "K": 1e3}[match[2]]
    return found


def traces(path: Path, cache: Path) -> dict[str, Any]:
    """The operations of every rebuilt network whose parameters are the stated ones."""
    import torch

    from gadprof.counting.count import count

    stated, found = stated_parameters(path), {}
    folder = cache / "phones"
    folder.mkdir(parents=True, exist_ok=True)
    for name in phone_networks.names():
        kept = folder / f"{name}.z"
        if not kept.exists():
            try:
                with torch.device("meta"):
                    module, shape = phone_networks.build(name)
                trace = count(module, (torch.empty(1, *shape, device="meta"),), name=name)
            except Exception:
                module, shape = phone_networks.build(name)
                trace = count(module, (torch.zeros(1, *shape),), name=name)
            plain = {"params": trace.params, "forward": list(trace.forward)}
            kept.write_bytes(zlib.compress(pickle.dumps(plain)))
        plain = pickle.loads(zlib.decompress(kept.read_bytes()))
        given = stated.get(name)
        if given and abs(plain["params"] / given - 1) > phone_networks.SLACK:
            click.echo(
                f"{name}: {plain['params'] / 1e6:.2f} M parameters, stated {given / 1e6:.2f}"
            )
            continue
        found[name] = plain["forward"]
    return found


def factors(lines: Sequence[Line]) -> tuple[dict[str, float], dict[str, float]]:
    """The log-factor of every device and the mean log-time of every network, by medians in turn."""
    by_network: dict[str, dict[str, float]] = defaultdict(dict)
    for line in lines:
        by_network[line.network][line.device] = float(np.log(line.seconds))
    device: dict[str, float] = defaultdict(float)
    network: dict[str, float] = {}
    for _ in range(30):
        network = {
            name: float(np.median([value - device[d] for d, value in times.items()]))
            for name, times in by_network.items()
        }
        rest: dict[str, list[float]] = defaultdict(list)
        for name, times in by_network.items():
            for d, value in times.items():
                rest[d].append(value - network[name])
        device = defaultdict(float, {d: float(np.median(values)) for d, values in rest.items()})
    return dict(device), network


@dataclass(frozen=True)
class Given:
    """The lines of one precision whose network was rebuilt, and the networks' features."""

    lines: Sequence[Line]
    features: Mapping[str, ModelFeatures]

    def without(self, names: Iterable[str]) -> Given:
        """The same without some networks."""
        left = frozenset(names)
        return Given([line for line in self.lines if line.network not in left], self.features)


def given(path: Path, operations: Mapping[str, Any], precision: str) -> Given:
    """What was measured in a precision."""
    way = Way(compiled=True, width=PRECISIONS[precision][1])
    lines = [line for line in read_lines(path, precision) if line.network in operations]
    names = sorted({line.network for line in lines})
    return Given(lines, {name: features_of(operations[name], way) for name in names})


@dataclass(frozen=True)
class Form:
    """What one fit found: by ``device`` its log-factor, by ``network`` its mean log-time."""

    member: Coefficients
    process: GaussianProcess | None
    once: float
    device: Mapping[str, float]
    network: Mapping[str, float]

    def seconds(self, features: ModelFeatures, each: Any) -> float:
        """A network's mean time; ``each`` is what its operations take by the member."""
        total = float(each.sum() + self.once)
        return total if self.process is None else together(total, self.process.seconds(features))


def form_of(some: Given, wider: Given | None, prior: Coefficients) -> Form:
    """The form of what was measured.

    Where few networks were measured in a precision, its form is held near that of a ``wider`` one.
    """
    device, network = factors(some.lines)
    precision = "float" if wider is None else "w8a8"
    once = ONCE_S[precision]
    rows = [
        Measured(name, name, 1, max(seconds - once, LEAST_SHARE * seconds), some.features[name])
        for name, value in sorted(network.items())
        if (seconds := float(np.exp(value)))
    ]
    process = None
    if wider is None:
        process = fit_process(
            [some.features[name] for name in network], np.exp(list(network.values()))
        )
    else:
        prior = form_of(wider, None, prior).member
    member = fit_coefficients(rows, "npu", prior, STIFFNESS[precision])
    return Form(member, process, once, device, network)


def fit_phones(path: Path, cache: Path, precision: str, prior: Coefficients) -> Phones:
    """The form and every device's factor, with the error on networks that were left out.

    Eight bits were measured on few networks; their form is held near that of half precision, and
    that near ``prior``, a card's whose models were compiled.
    """
    dtype, width = PRECISIONS[precision]
    operations = traces(path, cache)
    some = given(path, operations, precision)
    wider = None if precision == "float" else given(path, operations, "float")
    lines, features = some.lines, some.features
    names = sorted(features)
    folds = dict(zip(names, folds_of(names, FOLDS).tolist(), strict=True))
    gaps, groups, novelties, ratios = [], [], [], []
    for fold in range(FOLDS):
        left = [name for name in names if folds[name] == fold]
        form = form_of(some.without(left), None if wider is None else wider.without(left), prior)
        known = known_cells(
            families_by_cell([features[n] for n in form.network], list(form.network))
        )
        for line in lines:
            if folds[line.network] == fold and line.device in form.device:
                seconds = operation_seconds(form.member, features[line.network], 1)
                predicted = form.seconds(features[line.network], seconds)
                predicted *= float(np.exp(form.device[line.device]))
                gaps.append(np.log(predicted / line.seconds))
                groups.append(line.network)
                novelties.append(novelty(features[line.network], seconds, known))
                ratios.append((line.device, predicted, line.seconds))
    summary = adaptive_summary(
        {"network": (np.array(gaps), groups, np.array(novelties))},
        "network",
        f"leave-network-out, {FOLDS} folds",
    )
    ranks = []
    for name in sorted({line.device for line in lines}):
        pairs = np.array([ratio[1:] for ratio in ratios if ratio[0] == name])
        if len(pairs) >= LEAST_NETWORKS:
            order = np.argsort(np.argsort(pairs, axis=0), axis=0)
            ranks.append(float(np.corrcoef(order.T)[0, 1]))
    summary["rank_correlation"] = {
        "median": round(float(np.median(ranks)), 3),
        "least": round(min(ranks), 3),
    }
    form = form_of(some, wider, prior)
    per_device = {name: sum(line.device == name for line in lines) for name in sorted(form.device)}
    return Phones(
        precision=precision,
        dtype=dtype,
        width=width,
        member=form.member,
        once=form.once,
        devices={
            slug(name): (name, round(form.device[name], 4), count)
            for name, count in per_device.items()
            if count >= LEAST_NETWORKS
        },
        seen=tuple(
            sum(bool((one.classes == index).any()) for one in features.values())
            for index in range(len(CLASSES))
        ),
        cells=known_cells(families_by_cell(list(features.values()), list(features))),
        source=f"{path.name}, runtime {RUNTIME}",
        cv=summary,
        placements=placed(path, some, precision),
        process=form.process,
    )


def placed(path: Path, some: Given, precision: str) -> tuple[Placement, ...]:
    """By runtime, what stayed on the processors that compute half precision, and on the others.

    A network stays where, at the median device, all of its layers do.
    """
    elsewhere: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    half, devices = set(), set()
    with path.open() as stream:
        for row in csv.DictReader(stream):
            if row["precision"] == "float":
                half.add(row["device"])
            if row["precision"] == precision and row["model"] in some.features and row["layers"]:
                away = int(row["gpu"] or 0) + int(row["cpu"] or 0)
                elsewhere[row["runtime"], row["device"], row["model"]].append(away)
                devices.add(row["device"])
    kinds = {name: kinds_of(one) for name, one in some.features.items()}
    found = []
    for group in (devices & half, devices - half):
        for runtime in RUNTIMES:
            counts: dict[str, list[int]] = defaultdict(list)
            for (own, device, network), away_of in elsewhere.items():
                if own == runtime and device in group:
                    counts[network] += away_of
            if not counts:
                continue
            whole = {network for network, away_of in counts.items() if np.median(away_of) == 0}
            right = 0
            for network in counts:
                known = frozenset().union(*(kinds[other] for other in whole - {network}))
                right += (kinds[network] <= known) == (network in whole)
            stayed = frozenset().union(*(kinds[network] for network in whole))
            names = frozenset(map(slug, group))
            found.append(Placement(runtime, names, stayed, len(counts), right))
    return tuple(found)


def placements(path: Path) -> list[dict[str, Any]]:
    """By runtime and precision: networks, how many leave the processor, the worst and its share.

    A network leaves it where, at the median device, some of its layers run elsewhere.
    """
    shares: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open() as stream:
        for row in csv.DictReader(stream):
            if row["unit"] == "NPU" and row["precision"] in PRECISIONS and int(row["layers"] or 0):
                elsewhere = int(row["gpu"] or 0) + int(row["cpu"] or 0)
                share = elsewhere / int(row["layers"])
                shares[row["runtime"], row["precision"]][row["model"]].append(share)
    found = []
    for (runtime, precision), networks in sorted(shares.items()):
        medians = {name: float(np.median(values)) for name, values in networks.items()}
        away = {name: value for name, value in medians.items() if value > 0}
        worst = max(away, key=lambda name: away[name]) if away else None
        found.append(
            {
                "runtime": runtime,
                "precision": precision,
                "networks": len(medians),
                "away": sorted(away),
                "worst": worst,
                "share": round(away[worst], 3) if worst else 0.0,
            }
        )
    return found
