"""Published tables explained: which way of counting turns our exact count into each figure.

One table was counted by one tool. So every reading of every figure of a source is tried (see
``reconcile``), and a figure gets the reading that explains the most figures of its source; one that
no other figure of its source shares is marked as alone, since a search over many readings meets two
or three digits by chance. Beside a source's main reading another one needs figures that the main
one does not give, and may not miss another figure of the same network at the same input. A figure
may be another one of its source scaled by the input's area, or one that another source explains.
What is left is named with the nearest value of its source's main reading.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib import resources
from typing import TYPE_CHECKING, Literal

from gadprof.audit.claims import Claim, parse_claim
from gadprof.networks.spec import known_presets, parse_shape

if TYPE_CHECKING:
    from gadprof.audit.observe import Observation
    from gadprof.audit.reconcile import ParamsReading, Reading
    from gadprof.counting.records import Trace

Status = Literal["explained", "scaled", "alone", "not explained", "no figure", "no builder"]
Signature = tuple[str, str, str, str]
Figure = tuple[tuple[str, ...], tuple[int, ...], str]  # networks, input, the printed value

# tried where a row does not say its input
INPUTS = ((3, 256, 192), (3, 384, 288), (3, 256, 256))

# how much of a figure a reading gives
_WEIGHT = {"rounded": 1.0, "padded": 0.75, "cut": 0.5, "cut and padded": 0.4}


@dataclass(frozen=True)
class Row:
    """One published row: figures as printed, ``""`` where there is none, and where it stands.

    ``input`` is (channels, height, width), empty where the source does not say. ``models`` are the
    model strings that may be the row's network, the likeliest first, none where none is built in.
    ``ap``, ``ap50``, ``ap75`` and ``ar`` are per cent on ``data``.
    """

    system: str
    variant: str
    input: tuple[int, ...]
    params: str
    complexity: str
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None
    data: str
    paper: str
    where: str
    url: str
    models: tuple[str, ...]

    @property
    def name(self) -> str:
        """System and variant, without saying one thing twice."""
        if not self.variant or self.system in self.variant:
            return self.variant or self.system
        return f"{self.system}, {self.variant}"


@dataclass(frozen=True)
class PublishedReading:
    """A row beside our exact count of ``model`` at ``input``, and how its figure comes about.

    ``shared`` is how many figures of its source (or of the one that is ``quoted``) speak for the
    reading, of ``figures``; ``scaled_from`` is the printed figure that was scaled, ``nearest`` what
    the source's main reading gives where nothing fits, and ``deviation`` how far that is off, as a
    share of the figure.
    """

    row: Row
    status: Status
    model: str = ""
    input: tuple[int, ...] = ()
    params: int | None = None
    macs: int | None = None
    reading: Reading | None = None
    shared: int = 0
    figures: int = 0
    quoted: str = ""
    scaled_from: str = ""
    nearest: Reading | None = None
    deviation: float | None = None
    params_reading: ParamsReading | None = None


@dataclass(frozen=True)
class _Candidates:
    """What one model at one input gives under every reading of one claim."""

    model: str
    trace: Trace
    candidates: tuple[Reading, ...]


@dataclass
class _Counts:
    """Traces of models at inputs, each taken once."""

    seen: dict[tuple[str, tuple[int, ...]], tuple[Trace, Observation]] = field(default_factory=dict)

    def observe(self, model: str, shape: tuple[int, ...]) -> tuple[Trace, Observation]:
        from gadprof.audit.audit import observe_model

        key = (model, shape)
        if key not in self.seen:
            self.seen[key] = observe_model(model, (shape,))
        return self.seen[key]


def rows() -> tuple[Row, ...]:
    """Every published row that gadprof holds, in the order of its sources."""
    text = resources.files("gadprof.data").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_row(record) for record in csv.DictReader(text.splitlines()))


def _row(record: Mapping[str, str]) -> Row:
    def number(key: str) -> float | None:
        return float(record[key]) if record[key] else None

    known = set(known_presets())
    return Row(
        system=record["system"],
        variant=record["variant"],
        input=parse_shape(record["input"]) if record["input"] else (),
        params=record["params"],
        complexity=record["complexity"],
        ap=number("ap"),
        ap50=number("ap50"),
        ap75=number("ap75"),
        ar=number("ar"),
        data=record["data"],
        paper=record["paper"],
        where=record["where"],
        url=record["url"],
        models=tuple(name for name in record["model"].split() if name.partition(":")[0] in known),
    )


def explain_rows(
    chosen: Sequence[Row], *, progress: Callable[[str], None] = lambda text: None
) -> tuple[PublishedReading, ...]:
    """Every row with our count and its reading; rows of one source support each other."""
    counts = _Counts()
    observed: dict[int, tuple[_Candidates, ...]] = {}
    for index, row in enumerate(chosen):
        if row.models and (row.complexity or row.params):
            progress(f"{index + 1} of {len(chosen)}: {row.name}, {row.paper}")
            observed[index] = tuple(_candidates(row, counts))
    support = _support(chosen, observed)
    found = [
        _explained(row, chosen, observed.get(index, ()), support)
        for index, row in enumerate(chosen)
    ]
    for index, item in enumerate(found):
        if item.status in ("alone", "not explained"):
            found[index] = _quotes(index, found, observed[index])
    return tuple(found)


def _candidates(row: Row, counts: _Counts) -> Iterable[_Candidates]:
    from gadprof.audit.reconcile import candidates
    from gadprof.errors import InputShapeError

    claim = parse_claim(row.complexity, "G") if row.complexity else None
    for model in row.models:
        for shape in (row.input,) if row.input else INPUTS:
            try:
                trace, observation = counts.observe(model, shape)
            except InputShapeError:
                continue
            found = candidates(claim, trace, observation) if claim else ()
            yield _Candidates(model, trace, tuple(found))


def signature(reading: Reading) -> Signature:
    """What makes two readings the same way of counting, whatever the model and the prefix."""
    binary = "binary" if reading.giga.startswith("2") else "decimal"
    return (reading.convention, reading.unit, binary, reading.scope)


@dataclass
class _Source:
    """One source: its figures, and for each way of counting the figures that it gives."""

    figures: set[Figure] = field(default_factory=set)
    ways: dict[Signature, dict[Figure, float]] = field(default_factory=dict)

    @property
    def main(self) -> Signature | None:
        """The way that gives the most figures, the better the more exactly."""
        return max(self.ways, key=lambda way: sum(self.ways[way].values()), default=None)

    def shared(self, way: Signature) -> Mapping[Figure, float]:
        """The figures that speak for a way: all that the main one gives, else those it does not."""
        given = self.ways.get(way, {})
        if self.main is None or way == self.main:
            return given
        taken = self.ways[self.main]
        return {
            figure: weight
            for figure, weight in given.items()
            if figure not in taken and self.agrees(way, figure)
        }

    def agrees(self, way: Signature, figure: Figure) -> bool:
        """Whether a way is the main one, or gives every figure of that network at that input."""
        given = self.ways.get(way, {})
        return way == self.main or all(
            other in given for other in self.figures if other[:2] == figure[:2]
        )


def _key(row: Row) -> Figure:
    return (row.models, row.input, str(parse_claim(row.complexity, "G").value))


def _support(
    chosen: Sequence[Row], observed: Mapping[int, Sequence[_Candidates]]
) -> dict[str, _Source]:
    """For each source: which ways of counting give which of its distinct figures, and how well."""
    found: dict[str, _Source] = {}
    for index, models in observed.items():
        row = chosen[index]
        if not row.complexity:
            continue
        source = found.setdefault(row.paper, _Source())
        figure = _key(row)
        source.figures.add(figure)
        for item in models:
            for reading in item.candidates:
                if reading.exactness in _WEIGHT:
                    given = source.ways.setdefault(signature(reading), {})
                    weight = _WEIGHT[reading.exactness]
                    given[figure] = max(weight, given.get(figure, 0.0))
    return found


def _explained(
    row: Row,
    chosen: Sequence[Row],
    observed: Sequence[_Candidates],
    support: Mapping[str, _Source],
) -> PublishedReading:
    if not row.models:
        return PublishedReading(row, "no builder")
    if not observed:
        return _counted(row)
    first = observed[0]
    plain = PublishedReading(
        row,
        "no figure",
        first.model,
        tuple(first.trace.input_shapes[0][1:]),
        first.trace.params,
        first.trace.macs,
    )
    if not row.complexity:
        return _with_params(plain, first)
    source = support[row.paper]
    fitting = [
        (item, reading)
        for item in observed
        for reading in item.candidates
        if reading.exactness in _WEIGHT and source.agrees(signature(reading), _key(row))
    ]

    def rank(pair: tuple[_Candidates, Reading]) -> tuple[float, float, float, int]:
        item, reading = pair
        shared = sum(source.shared(signature(reading)).values())
        return (-shared, -_WEIGHT[reading.exactness], reading.cost, observed.index(item))

    item, reading = min(fitting, key=rank) if fitting else (first, None)
    shared = len(source.shared(signature(reading))) if reading else 0
    base = replace(
        plain,
        model=item.model,
        input=tuple(item.trace.input_shapes[0][1:]),
        params=item.trace.params,
        macs=item.trace.macs,
        figures=len(source.figures),
    )
    scaled, within = _scaled(row, chosen)
    if reading is not None and shared > 1 and not (within and reading.exactness != "rounded"):
        made = replace(base, status="explained", reading=reading, shared=shared)
        return _with_params(made, item)
    if scaled:
        return _with_params(replace(base, status="scaled", scaled_from=scaled), item)
    if reading is not None:
        return _with_params(replace(base, status="alone", reading=reading, shared=1), item)
    return _with_params(_nearest(base, row, observed, source.main), item)


def _quotes(
    index: int, found: Sequence[PublishedReading], observed: Sequence[_Candidates]
) -> PublishedReading:
    """A figure that another source explains, where its reading is one of this row's too."""
    own = found[index]
    for other in found:
        same = other.status == "explained" and not other.quoted and other.reading is not None
        if not same or _key(other.row) != _key(own.row) or other.row.paper == own.row.paper:
            continue
        assert other.reading is not None
        for item in observed:
            for reading in item.candidates:
                fits = reading.exactness in _WEIGHT and item.model == other.model
                if fits and signature(reading) == signature(other.reading):
                    made = replace(
                        own,
                        status="explained",
                        model=item.model,
                        params=item.trace.params,
                        macs=item.trace.macs,
                        reading=reading,
                        shared=other.shared,
                        figures=other.figures,
                        quoted=other.row.paper,
                        nearest=None,
                        deviation=None,
                    )
                    return _with_params(made, item)
    return own


def _counted(row: Row) -> PublishedReading:
    """A row of accuracies alone beside the exact cost of its network."""
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import parse_spec, plan_of

    shape = row.input or INPUTS[0]
    cost = cost_of(plan_of(parse_spec(row.models[0])), shape, name=row.models[0])
    return PublishedReading(row, "no figure", row.models[0], shape, cost.params, cost.macs)


def _scaled(row: Row, chosen: Sequence[Row]) -> tuple[str, bool]:
    """A figure of the same network at a smaller input that the areas' ratio turns into this one,
    and whether it is within the printed digits."""
    claim = parse_claim(row.complexity, "G")
    for other in chosen:
        same = other.paper == row.paper and other.models and _plain(other) == _plain(row)
        if not same or not other.complexity or not other.input or not row.input:
            continue
        if other.input == row.input or _area(other) > _area(row):
            continue
        ratio = Fraction(_area(row), _area(other))
        before = parse_claim(other.complexity, "G")
        value = Fraction(before.value) * before.scale(False) * ratio
        if before.prefix == claim.prefix and (claim.rounds(value) or claim.cuts(value)):
            size = "x".join(map(str, other.input[1:]))
            return f"{other.complexity} at {size} x {ratio}", claim.rounds(value)
    return "", False


def _plain(row: Row) -> tuple[str, ...]:
    """The row's networks, whatever their joints."""
    return tuple(name.removesuffix(":joints=16") for name in row.models)


def _area(row: Row) -> int:
    return row.input[1] * row.input[2]


def _nearest(
    base: PublishedReading,
    row: Row,
    observed: Sequence[_Candidates],
    main: Signature | None,
) -> PublishedReading:
    """What the source's main reading gives, or where it has none the closest of all readings."""
    claim = parse_claim(row.complexity, "G")
    every = [reading for item in observed for reading in item.candidates]
    if not every:
        return replace(base, status="not explained")
    in_main = [reading for reading in every if signature(reading) == main]
    nearest = min(in_main or every, key=lambda reading: abs(_deviation(claim, reading)))
    return replace(
        base, status="not explained", nearest=nearest, deviation=_deviation(claim, nearest)
    )


def _deviation(claim: Claim, reading: Reading) -> float:
    value = Fraction(reading.amount) / claim.scale(reading.giga.startswith("2"))
    return float(value / Fraction(claim.value) - 1)


def _with_params(made: PublishedReading, item: _Candidates) -> PublishedReading:
    from gadprof.audit.reconcile import params_readings

    if not made.row.params:
        return made
    found = params_readings(parse_claim(made.row.params, "M"), item.trace)
    return replace(made, params_reading=found[0] if found else None)
