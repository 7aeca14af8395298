"""Cards of several makers and their hosts, fitted together to public measurements.

Read by ``fit_prediction``. Two spaces of networks at batch 1 to 256 on five cards, and those of
torchvision at batch 12 on more, in single and half precision. A pass is two queues (``launch``):
the card's times have one form for all cards, moved by what each reaches of its sheet's peaks; the
host's costs are one vector, times the machine's factor, and each machine has a time of its own a
pass (pictures copied, the end awaited). Form and costs are fitted in turn. Errors are of families
of networks that were left out (each space counts as one), and of cards that were left out.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import least_squares

import gadprof.prediction
from gadprof.networks.families.search_spaces import CHOICES
from gadprof.prediction.cards import Cards, Machine
from gadprof.prediction.errors import adaptive_summary, error_summary, sizes
from gadprof.prediction.features import CLASSES, ModelFeatures, features_of
from gadprof.prediction.fit import Fit
from gadprof.prediction.fitting import (
    Measured,
    each_seconds,
    family_weights,
    fit_prepared,
    folds_of,
    predicted_logs,
    prepare,
    subset,
    vector,
    with_counts,
)
from gadprof.prediction.launch import KINDS, Host, kinds_in_order, timeline
from gadprof.prediction.model import Coefficients
from gadprof.prediction.novelty import families_by_cell, known_cells, novelty
from gadprof.prediction.sheets import card_sheets
from gadprof.prediction.tracing import trace_of
from gadprof.prediction.way import Way

Result = TypeVar("Result")
# the table's name of a machine: the card; a run that another name repeats is left out
SPACE_CARDS = {
    "1080ti": "gtx1080ti",
    "2080ti": "rtx2080ti",
    "titan_rtx": "titan-rtx",
    "titanx": "titan-x",
    "titanxp": "titan-xp",
}
BATCH12_CARDS = {
    "AMD Radeon 680M": "radeon-680m",
    "AMD Radeon 780M": "radeon-780m",
    "AMD Radeon RX 5700": "rx5700",
    "AMD Radeon RX 6800": "rx6800",
    "AMD Radeon RX 7700S": "rx7700s",
    "AMD Radeon RX 7800 XT": "rx7800xt",
    "GeForce GTX 1080 TI": "gtx1080ti",
    "GeForce RTX 2060 MaxQ": "rtx2060-maxq",
    "GeForce RTX 2080 TI": "rtx2080ti",
    "GeForce RTX 2080 Ti": "rtx2080ti",
    "GeForce RTX 3090": "rtx3090",
    "TITAN RTX": "titan-rtx",
    "TITAN V": "titan-v",
    "TITAN XP": "titan-xp",
}
CARDS = {**SPACE_CARDS, **BATCH12_CARDS}
SPACES = {"nasbench201": (1, 32, 256), "fbnet": (1, 32, 64)}
SAMPLE = 12  # networks of a space: they differ little
PRECISIONS = {"fp32": ("float", 4), "fp16": ("half", 2)}
# where the fit of the hosts begins (s), and how far a logarithm is held from there
COSTS = (60e-6, 50e-6, 40e-6, 15e-6, 20e-6, 20e-6, 4e-6)
ONCE_S = 5e-4
HELD = {"cost": 0.3, "host": 0.7, "once": 1.5, "reached": 0.3}
NOISE, BEND = 0.05, 0.08
ROUNDS, HOST_STEPS = 4, 4
FOLDS = {"network": 6, "card": 7}


@dataclass(frozen=True)
class Line:
    """One network on one machine."""

    machine: str
    card: str
    network: str
    family: str
    batch: int
    seconds: float
    features: ModelFeatures

    @property
    def measured(self) -> Measured:
        """As ``fitting`` takes it."""
        return Measured(self.network, self.family, self.batch, self.seconds, self.features)


@dataclass(frozen=True)
class Reached:
    """Of a machine: logarithms of what its card reaches of its sheet, and its host's factor."""

    rate: float
    bandwidth: float
    host: float
    once: float


@dataclass(frozen=True)
class Found:
    """A fit of all machines; ``dtype`` says which of a sheet's rates counts."""

    dtype: str
    member: Coefficients
    costs: Any
    machines: Mapping[str, Reached]

    def host(self, at: Reached) -> Host:
        """A machine's host."""
        return Host(tuple(self.costs * np.exp(at.host)), at.once)

    def each(self, lines: Sequence[Line], data: Any, at: Sequence[Reached]) -> list[Any]:
        """What one occurrence of each row of each line takes on machines that reach this."""
        every = each_seconds(self.member, self.at_peaks(lines, data, at))
        ends = np.cumsum([len(line.features.classes) for line in lines])
        return np.split(every, ends[:-1])

    def at_peaks(self, lines: Sequence[Line], data: Any, at: Sequence[Reached]) -> Any:
        """Prepared lines with work and bytes in seconds at the peaks that are reached."""
        pairs = zip(lines, at, strict=True)
        peaks = np.array(
            [
                log_peaks(line.card, self.dtype) + np.array([each.rate, each.bandwidth])
                for line, each in pairs
            ]
        )
        return replace(
            data,
            log_work=data.log_work - peaks[data.owner, 0],
            log_bytes=data.log_bytes - peaks[data.owner, 1],
        )

    def of(self, lines: Sequence[Line]) -> list[Reached]:
        """What each line's machine reaches; the average of its maker's where it was not seen."""
        sheets = card_sheets()
        known = {line.machine: self.machines.get(line.machine) for line in lines}
        makers = {line.machine: sheets[line.card].maker for line in lines}
        found = {name: at or typical(self, makers[name]) for name, at in known.items()}
        return [found[line.machine] for line in lines]


def log_peaks(card: str, dtype: str) -> Any:
    """Logarithms of a card's operations and bytes a second."""
    sheet = card_sheets()[card]
    return np.log([sheet.rate(dtype), sheet.bytes_per_s])


# --- the tables -----------------------------------------------------------------------------------


def architecture(space: str, text: str) -> str:
    """The model string of a network of a space."""
    if space == "nasbench201":
        return f"nasbench201:arch={text}"
    return "fbnet-cifar:arch=" + "-".join(CHOICES[index] for index in json.loads(text))


def family_of_network(name: str) -> str:
    """The letters that a torchvision network's name begins with; wide ResNets stand apart."""
    found = re.match(r"[a-z]+", name)
    assert found is not None
    return found[0]


def read_lines(folder: Path, dtype: str, cache: Path) -> list[Line]:
    """Every network on every machine in one number format."""
    precision, width = PRECISIONS[dtype]
    way = Way(gpu=True, fused_attention=False, width=width)
    code = stamp_of("classes", "features", "flow", "hidden", "per_sample", "rows").hexdigest()[:8]
    stored = cache / f"cards-{dtype}-{code}-features"
    known: dict[str, ModelFeatures] = pickle.loads(stored.read_bytes()) if stored.exists() else {}

    def features(model: str) -> ModelFeatures:
        if model not in known:
            traced = trace_of(model)
            known[model] = features_of(traced.trace.forward, way, traced.batch)
        return known[model]

    lines = []
    if dtype == "fp32":
        for space, batches in SPACES.items():
            with gzip.open(folder / f"{space}_latency.csv.gz", "rt") as stream:
                rows = list(csv.DictReader(stream))
            for index in np.random.default_rng(0).permutation(len(rows))[:SAMPLE].tolist():
                model = architecture(space, rows[index]["arch"])
                for column, card in SPACE_CARDS.items():
                    for batch in batches:
                        seconds = float(rows[index][f"{column}_{batch}"]) / 1e3
                        lines.append(
                            Line(column, card, model, space, batch, seconds, features(model))
                        )
    runs: dict[tuple[str, str], list[float]] = {}
    with (folder / "torchvision_batch12.csv").open() as stream:
        for row in csv.DictReader(stream):
            given = (row["precision"], row["mode"]) == (precision, "inference")
            if given and row["gpu"] in BATCH12_CARDS:
                runs.setdefault((row["gpu"], row["model"]), []).append(float(row["median_ms"]))
    for (machine, name), times in runs.items():
        seconds = float(np.median(times)) / 1e3
        found = features(f"torchvision:{name}")
        family = family_of_network(name)
        lines.append(Line(machine, BATCH12_CARDS[machine], name, family, 12, seconds, found))
    keep(stored, known)
    return lines


def stamp_of(*modules: str) -> Any:
    """A digest that begins with the text of modules of the prediction."""
    folder = Path(gadprof.prediction.__file__).parent
    return hashlib.sha1(b"".join((folder / f"{name}.py").read_bytes() for name in modules))


def fit_stamp(lines: Sequence[Line], prior: Coefficients) -> str:
    """What a fit follows from, in twelve digits: the lines, the prior and the code that fits."""
    found = stamp_of("fitting", "launch", "model")
    found.update(repr((COSTS, HELD, ROUNDS, HOST_STEPS, FOLDS)).encode())
    found.update(vector(prior).tobytes())
    for line in lines:
        found.update(repr((line.machine, line.network, line.batch, line.seconds)).encode())
        for part in (line.features.classes, line.features.columns, line.features.order):
            found.update(part.tobytes())
    return str(found.hexdigest()[:12])


# --- the fit --------------------------------------------------------------------------------------


def fit_lines(lines: Sequence[Line], dtype: str, prior: Coefficients) -> Found:
    """Form, costs and machines, in turn; ``prior`` is a form whose bases are shares of peaks."""
    machines = {line.machine: Reached(0.0, 0.0, 0.0, ONCE_S) for line in lines}
    found = Found(dtype, prior, np.array(COSTS), machines)
    data = prepare([line.measured for line in lines])
    for _ in range(ROUNDS):
        found = with_hosts(found, lines, data)
        found = with_form(found, lines, data, prior)
    return with_hosts(found, lines, data)


def with_hosts(found: Found, lines: Sequence[Line], data: Any) -> Found:
    """The same with the hosts' costs, factors and times a pass fitted, the cards' times given."""
    names = list(found.machines)
    n, kinds = len(names), len(KINDS)
    each = found.each(lines, data, found.of(lines))
    place = np.array([names.index(line.machine) for line in lines])
    order = [kinds_in_order(line.features) for line in lines]
    wanted = np.log([line.seconds for line in lines])
    weights = family_weights([line.family for line in lines])
    values = np.concatenate(
        [
            np.log(found.costs),
            [found.machines[name].host for name in names],
            np.log([found.machines[name].once for name in names]),
        ]
    )
    mean = np.concatenate([np.log(COSTS), np.zeros(n), np.full(n, np.log(ONCE_S))])
    spread = np.repeat([HELD["cost"], HELD["host"], HELD["once"]], [kinds, n, n])
    held = (NOISE / spread) ** 2
    for _ in range(HOST_STEPS):
        gaps, slopes = np.zeros(len(lines)), np.zeros((len(lines), len(values)))
        for row, line in enumerate(lines):
            costs = np.exp(values[:kinds] + values[kinds + place[row]])
            once = float(np.exp(values[kinds + n + place[row]]))
            run = timeline(line.features, each[row], Host(tuple(costs), once))
            gaps[row] = np.log(run.total_s) - wanted[row]
            calls = np.bincount(order[row][: run.waited], minlength=kinds)
            waited = calls * costs / run.total_s
            slopes[row, :kinds] = waited
            slopes[row, kinds + place[row]] = waited.sum()
            slopes[row, kinds + n + place[row]] = once / run.total_s
        trust = weights * np.minimum(1, BEND / np.maximum(np.abs(gaps), 1e-9))
        normal = (slopes * trust[:, None]).T @ slopes + np.diag(held)
        step = -np.linalg.solve(normal, (slopes * trust[:, None]).T @ gaps + held * (values - mean))
        values = values + np.clip(step, -0.7, 0.7)
        if np.abs(step).max() < 0.01:
            break
    machines = {
        name: replace(
            found.machines[name],
            host=float(values[kinds + index]),
            once=float(np.exp(values[kinds + n + index])),
        )
        for index, name in enumerate(names)
    }
    return replace(found, costs=np.exp(values[:kinds]), machines=machines)


def with_form(found: Found, lines: Sequence[Line], data: Any, prior: Coefficients) -> Found:
    """The same with the cards' form and what each reaches fitted, where the card sets the pace."""
    host_s, counts, on_card = [], [], []
    at_of = found.of(lines)
    for line, at, each in zip(lines, at_of, found.each(lines, data, at_of), strict=True):
        run = timeline(line.features, each, found.host(at))
        host_s.append(run.host_s)
        counts.append(run.counts)
        on_card.append(float((each * run.counts).sum()))
    rest = np.array([line.seconds for line in lines]) - host_s
    use = (np.array(on_card) > host_s) & (rest > 0.2 * np.array([line.seconds for line in lines]))
    busy = found.at_peaks(lines, with_counts(data, counts), at_of)
    families = [line.family for line in lines]
    member = fit_prepared(
        subset(busy, use),
        np.log(rest[use]),
        [family for family, used in zip(families, use, strict=True) if used],
        "gpu",
        prior,
        found.member,
    )
    machines = dict(found.machines)
    names = np.array([line.machine for line in lines])
    for name, at in machines.items():
        own = use & (names == name)
        if own.sum() < 3:
            continue
        rows, wanted = subset(busy, own), np.log(rest[own])

        def gap(move: Any, rows: Any = rows, wanted: Any = wanted, at: Reached = at) -> Any:
            moved = replace(
                rows, log_work=rows.log_work - move[0], log_bytes=rows.log_bytes - move[1]
            )
            away = (np.array([at.rate, at.bandwidth]) + move) * NOISE / HELD["reached"]
            return np.concatenate([predicted_logs(member, moved) - wanted, away])

        move = least_squares(gap, np.zeros(2), loss="soft_l1", f_scale=0.1, max_nfev=15).x
        machines[name] = replace(
            at, rate=at.rate + float(move[0]), bandwidth=at.bandwidth + float(move[1])
        )
    return replace(found, member=member, machines=machines)


# --- errors ---------------------------------------------------------------------------------------


def typical(found: Found, maker: str) -> Reached:
    """What a maker's cards reach on average, with the average host."""
    sheets = card_sheets()
    every = list(found.machines.values())
    own = [at for name, at in found.machines.items() if sheets[CARDS[name]].maker == maker]
    own = own or every
    return Reached(
        float(np.mean([at.rate for at in own])),
        float(np.mean([at.bandwidth for at in own])),
        float(np.mean([at.host for at in every])),
        float(np.exp(np.mean([np.log(at.once) for at in every]))),
    )


def keep(path: Path, found: Any) -> None:
    """Write a file that is whole or not there."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(pickle.dumps(found))
    part.replace(path)


def kept(path: Path, make: Callable[[], Result]) -> Result:
    """What is kept in a file once it is made, so that a run that was stopped goes on."""
    if not path.exists():
        keep(path, make())
    found: Result = pickle.loads(path.read_bytes())
    return found


def left_out(
    lines: Sequence[Line], groups: Sequence[str], folds: int, run: Callable[..., Found]
) -> tuple[Any, Any]:
    """Log-errors and novelties of lines whose group the fit did not see, (n,) each.

    ``run`` takes the lines to fit to and the number of the fold.
    """
    fold = folds_of(groups, folds)
    gaps, novel = np.zeros(len(lines)), np.zeros(len(lines))
    for index in range(int(fold.max()) + 1):
        inside = [line for line, place in zip(lines, fold, strict=True) if place != index]
        found = run(inside, index)
        known = known_cells(
            families_by_cell([line.features for line in inside], [line.family for line in inside])
        )
        places = np.flatnonzero(fold == index).tolist()
        outside = [lines[place] for place in places]
        at_of = found.of(outside)
        each = found.each(outside, prepare([line.measured for line in outside]), at_of)
        for place, line, at, one in zip(places, outside, at_of, each, strict=True):
            took = timeline(line.features, one, found.host(at)).total_s
            gaps[place] = np.log(took / line.seconds)
            novel[place] = novelty(line.features, one * line.features.counts, known)
    return gaps, novel


def fit_cards(folder: Path, cache: Path, dtype: str, prior: Fit) -> tuple[Cards, dict[str, Any]]:
    """All machines in a number format, and their errors in detail for the page."""
    lines = read_lines(folder, dtype, cache)
    away = np.array([*log_peaks(prior.device, "fp16"), 0.0])
    start = replace(prior.members[0], base=prior.members[0].base - away)
    stamp = fit_stamp(lines, start)

    def run(way_out: str) -> Callable[[Sequence[Line], int], Found]:
        def fold(inside: Sequence[Line], index: int) -> Found:
            path = cache / f"cards-{dtype}-{stamp}-{way_out}-{index}"
            return kept(path, lambda: fit_lines(inside, dtype, start))

        return fold

    found = run("whole")(lines, 0)
    gaps, novel = left_out(lines, [line.family for line in lines], FOLDS["network"], run("network"))
    of_cards, _ = left_out(lines, [line.card for line in lines], FOLDS["card"], run("card"))
    families = [line.family for line in lines]
    machines = []
    for name, at in found.machines.items():
        own = [line for line in lines if line.machine == name]
        peaks = log_peaks(CARDS[name], dtype)
        batches = [line.batch for line in own]
        machines.append(
            Machine(
                CARDS[name],
                "torchvision_batch12.csv" if name in BATCH12_CARDS else "two spaces of networks",
                float(peaks[0]) + at.rate,
                float(peaks[1]) + at.bandwidth,
                at.host,
                at.once,
                min(batches),
                max(batches),
                len({line.network for line in own}),
            )
        )
    reached = {}
    for maker in ("nvidia", "amd"):
        mean = typical(found, maker)
        reached[maker] = (round(mean.rate, 4), round(mean.bandwidth, 4))
    hosts = np.array([at.host for at in found.machines.values()])
    cv = adaptive_summary(
        {"network": (gaps, families, novel)},
        "network",
        f"leave-family-out, {FOLDS['network']} folds, each space of networks one family",
    )
    cv_sheet = sheet_errors(lines, of_cards)
    cells = known_cells(families_by_cell([line.features for line in lines], families))
    own_seen = [
        len({line.family for line in lines if (line.features.classes == index).any()})
        for index in range(len(CLASSES))
    ]
    cards = Cards(
        dtype=dtype,
        width=PRECISIONS[dtype][1],
        member=found.member,
        costs=tuple(float(cost) for cost in found.costs),
        machines=tuple(machines),
        reached=reached,
        other_host=Host(
            tuple(float(cost) for cost in found.costs * np.exp(hosts.mean())),
            min(at.once for at in found.machines.values()),
            round(float(1.96 * hosts.std(ddof=1)), 4),
        ),
        seen=tuple(max(pair) for pair in zip(own_seen, prior.seen, strict=True)),
        cells=cells,
        families=len(set(families)),
        cv=cv,
        cv_sheet=cv_sheet,
    )
    return cards, details(lines, gaps, of_cards)


def sheet_errors(lines: Sequence[Line], gaps: Any) -> dict[str, Any]:
    """How well cards that were left out are predicted, all together and by maker."""
    after, sheets = timed(lines, gaps), card_sheets()
    makers = np.array([sheets[line.card].maker for line in lines])

    def summary(own: Any, whose: str) -> dict[str, Any]:
        cards = [line.card for line, kept in zip(lines, own, strict=True) if kept]
        text = f"{whose} left out, {FOLDS['card']} folds"
        found = dict(error_summary(gaps[own], cards, text))
        found["timed_log_error_95"] = round(float(np.quantile(np.abs(after[own]), 0.95)), 4)
        return found

    every = summary(np.full(len(lines), True), "cards")
    titles = {"nvidia": "cards of NVIDIA", "amd": "cards of AMD"}
    by_maker = {maker: summary(makers == maker, title) for maker, title in titles.items()}
    return every | {"by_maker": by_maker}


def timed(lines: Sequence[Line], gaps: Any) -> Any:
    """The log-errors once one network of each machine and batch is timed: the first one's."""
    found = np.array(gaps)
    for key in {(line.machine, line.batch) for line in lines}:
        own = np.flatnonzero([(line.machine, line.batch) == key for line in lines])
        found[own] -= gaps[own[0]]
    return found


def details(lines: Sequence[Line], gaps: Any, of_cards: Any) -> dict[str, Any]:
    """Errors by machine: networks left out, the spaces at batch 1 left out, the card left out."""
    found, after = {}, timed(lines, of_cards)
    for name in dict.fromkeys(line.machine for line in lines):
        own = np.array([line.machine == name for line in lines])
        one = own & np.array([line.batch == 1 for line in lines])
        families = [line.family for line in lines if line.machine == name]
        found[name] = {
            "network": sizes(gaps[own], families),
            "batch_1": {
                space: round(float(np.abs(np.expm1(gaps[chosen])).mean()), 4)
                for space in SPACES
                if (chosen := one & np.array([line.family == space for line in lines])).any()
            },
            "card": sizes(of_cards[own], families),
            "card_one_timed": sizes(after[own], families),
        }
    return found
