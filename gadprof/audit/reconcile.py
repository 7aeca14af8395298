"""Under which reading a published figure is true of a model.

Searches counting conventions × one or two operations a multiply-add × 10^9 or 2^30 × input sizes ×
which part of the model. Promises exact arithmetic on the printed digits, and says of each reading
whether it rounds to the figure, or only gives it if digits are cut or zeros were added. Finding a
reading is no proof that it is the author's: the simplest comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gadprof.audit.claims import Claim, parse_claim
from gadprof.audit.conventions import CONVENTIONS
from gadprof.audit.scopes import SCOPES, Scope, scope_macs, scope_params

if TYPE_CHECKING:
    from gadprof.audit.observe import Observation
    from gadprof.counting.records import Trace

# inputs that networks of a kind are published at, tried when none is given
_SQUARES = (192, 224, 240, 256, 288, 299, 300, 320, 384, 448, 512)
_POSES = ((256, 192), (384, 288), (256, 256), (512, 512))

_EXACTNESS = {"rounded": 0.0, "padded": 1.0, "cut": 2.0}
_OTHER_INPUT = 1.5
_TWICE = 1.0
_BINARY = 2.0

# how far-fetched it is that a paper used the tool; what is not named here costs 2
_CONVENTION_COST = {"gadprof": 0.0, "hrnet-official": 1.5, "torch": 2.5}

# tools whose printed G is 2^30 whatever one asks: what they add for networks that they were
# written for, and for others
_BINARY_TOOLS = {"hrnet-official": (-1.5, 2.0), "torchstat": (0.0, 1.0)}


@dataclass(frozen=True)
class Reading:
    """One reading of a figure.

    ``amount`` is the exact count in the reading's own unit, ``figure`` the same under the claim's
    prefix with two digits more than were printed. ``exactness`` is ``rounded`` (within the printed
    digits), ``padded`` (rounds to fewer digits, zeros were added), ``cut`` (digits were cut off)
    or, among candidates, ``cut and padded`` or "" (another figure). ``cost`` orders readings: the
    lower, the simpler.
    """

    convention: str
    unit: str
    giga: str
    input_shape: tuple[int, ...]
    scope: str
    amount: int | float
    figure: str
    exactness: str
    explanation: str
    cost: float

    @property
    def within_digits(self) -> bool:
        """Whether the amount rounds to the figure as printed."""
        return self.exactness == "rounded"


@dataclass(frozen=True)
class ParamsReading:
    """One reading of a published number of parameters."""

    scope: str
    amount: int
    figure: str
    exactness: str
    explanation: str


@dataclass(frozen=True)
class Reconciliation:
    """All readings of a claim, best first; ``params`` are those of the parameter figure."""

    model: str
    claimed: str
    bounds: tuple[float, float]
    ours: int
    readings: tuple[Reading, ...]
    params_claimed: str | None
    params: tuple[ParamsReading, ...]
    input: tuple[tuple[int, ...], ...] = ()


def reconcile(
    model: str | tuple[Trace, Observation],
    claimed: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    conventions: Sequence[str] | None = None,
    other_inputs: bool = True,
    limit: int | None = None,
) -> list[Reading]:
    """The readings under which ``claimed`` is true of a model, the simplest first.

    ``model`` is a model string, or what ``observe_model`` returned. ``shapes`` (without batch)
    fixes the input; otherwise the model's own is used and, with ``other_inputs``, usual sizes
    besides (model strings only). Raises SpecError for a claim that is no figure, GadprofError
    where the model cannot be traced.
    """
    from gadprof.audit.audit import observe_model

    claim = parse_claim(claimed, "G")
    trace, observation = observe_model(model, shapes) if isinstance(model, str) else model
    found = list(_readings(claim, trace, observation, conventions, own_input=True))
    if isinstance(model, str) and other_inputs and not shapes:
        found += _elsewhere(claim, model, trace)
    return _ordered(found)[:limit]


def candidates(claim: Claim, trace: Trace, observation: Observation) -> list[Reading]:
    """Every reading of a model, whether it gives the figure or not (``exactness`` is then "")."""
    found = _readings(claim, trace, observation, None, own_input=True, every=True)
    return sorted(_distinct(found), key=lambda item: (item.cost, item.convention))


def reconcile_params(model: str | tuple[Trace, Observation], claimed: str) -> list[ParamsReading]:
    """The readings of a published parameter figure. Raises as ``reconcile`` does."""
    from gadprof.audit.audit import observe_model

    claim = parse_claim(claimed, "M")
    trace, _ = observe_model(model) if isinstance(model, str) else model
    return params_readings(claim, trace)


def params_readings(claim: Claim, trace: Trace) -> list[ParamsReading]:
    """The readings of a parameter figure of a traced model, the best first."""
    found = []
    for scope, amount in scope_params(trace):
        exactness = _exactness(claim, amount, binary=False)
        if exactness is not None:
            figure = claim.figure(amount)
            found.append(
                ParamsReading(
                    scope,
                    amount,
                    figure,
                    exactness,
                    f"{scope}: {amount:,}, {_prints(figure, claim, exactness)}",
                )
            )
    return sorted(found, key=lambda reading: _EXACTNESS[reading.exactness])


def full(
    model: str,
    claimed: str,
    *,
    params: str | None = None,
    shapes: tuple[tuple[int, ...], ...] = (),
    conventions: Sequence[str] | None = None,
    timeout_s: float = 300.0,
    memory_limit_bytes: int | None = None,
) -> Reconciliation:
    """Readings of a claim and, if given, of the parameter figure beside it, of one model string.

    Code of the user's runs in a child process within ``timeout_s`` and ``memory_limit_bytes``.
    Raises as ``reconcile``.
    """
    from gadprof.models.guarded import call_guarded
    from gadprof.models.sources import resolve

    request = {
        "model": model,
        "claimed": claimed,
        "params": params,
        "shapes": shapes,
        "conventions": conventions,
    }
    if resolve(model).runs_user_code:
        call = f"{__name__}:full_request"
        return call_guarded(
            call,
            Reconciliation,
            request,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
        )
    return full_request(request)


def full_request(request: Mapping[str, Any]) -> Reconciliation:
    """The work of ``full``, on a request that can be sent to another process."""
    from gadprof.audit.audit import observe_model

    model, claimed, params = request["model"], request["claimed"], request["params"]
    shapes, conventions = request["shapes"], request["conventions"]
    claim = parse_claim(claimed, "G")
    observed = observe_model(model, shapes)
    readings = reconcile(observed, claimed, conventions=conventions)
    if not shapes:
        readings += _elsewhere(claim, model, observed[0])
    low, high = claim.bounds
    return Reconciliation(
        model,
        claimed,
        (float(low), float(high)),
        observed[0].macs,
        tuple(_ordered(readings)),
        params,
        tuple(reconcile_params(observed, params)) if params is not None else (),
        tuple(tuple(shape[1:]) for shape in observed[0].input_shapes),
    )


def _ordered(readings: Iterable[Reading]) -> list[Reading]:
    return sorted(_distinct(readings), key=lambda item: (item.cost, item.convention))


def _elsewhere(claim: Claim, model: str, trace: Trace) -> list[Reading]:
    """Readings at the other usual input sizes."""
    return [
        reading
        for shape in _other_shapes(trace)
        for reading in _at_another_input(claim, model, shape)
    ]


def _readings(
    claim: Claim,
    trace: Trace,
    observation: Observation | None,
    conventions: Sequence[str] | None,
    *,
    own_input: bool,
    every: bool = False,
) -> Iterator[Reading]:
    wanted = tuple(CONVENTIONS) if conventions is None else tuple(conventions)
    extra = 0.0 if own_input else _OTHER_INPUT
    shape = trace.input_shapes[0][1:] if trace.input_shapes else ()
    if "gadprof" in wanted:
        for scope in SCOPES:
            amount = scope_macs(scope, trace)
            if amount:
                yield from _of_products(claim, scope, amount, shape, extra, every)
    if observation is not None:
        for name, reported in _totals(wanted, trace, observation):
            yield from _of_tool(claim, name, reported, shape, extra, trace, every)


def _of_products(
    claim: Claim,
    scope: Scope,
    amount: int,
    shape: tuple[int, ...],
    extra: float,
    every: bool,
) -> Iterator[Reading]:
    for twice in (False, True):
        for binary in (False, True):
            value = 2 * amount if twice else amount
            cost = extra + scope.cost + twice * _TWICE + binary * _BINARY
            unit = "two operations a multiply-add" if twice else "multiply-adds"
            yield from _reading(
                claim, "gadprof", unit, binary, shape, scope.name, value, scope.words, cost, every
            )


def _of_tool(
    claim: Claim,
    name: str,
    amount: int | float,
    shape: tuple[int, ...],
    extra: float,
    trace: Trace,
    every: bool,
) -> Iterator[Reading]:
    convention = CONVENTIONS[name]
    cost = extra + _CONVENTION_COST.get(name, 2.0)
    unit = {"macs": "multiply-adds", "flops": "operations", "mult-adds": "mult-adds"}
    words = f"as {name} counts: {convention.about}"
    if name in _BINARY_TOOLS:
        home, away = _BINARY_TOOLS[name]
        if name == "hrnet-official":
            words = f"as the official HRNet code counts: {convention.about}"
        cost += home if _is_hrnet(trace) else away
        yield from _reading(
            claim, name, "multiply-adds", True, shape, "whole", amount, words, cost, every
        )
        return
    for binary in (False, True):
        yield from _reading(
            claim,
            name,
            unit[convention.unit],
            binary,
            shape,
            "whole",
            amount,
            words,
            cost + binary * _BINARY,
            every,
        )


def _reading(
    claim: Claim,
    convention: str,
    unit: str,
    binary: bool,
    shape: tuple[int, ...],
    scope: str,
    amount: int | float,
    words: str,
    cost: float,
    every: bool = False,
) -> Iterator[Reading]:
    if binary and not claim.prefix:
        return
    exactness = _exactness(claim, amount, binary=binary) or ""
    if not exactness and every and claim.pads(Fraction(amount), binary=binary, cut=True):
        exactness = "cut and padded"
    if not exactness and not every:
        return
    figure = claim.figure(amount, binary=binary)
    power = {"K": 1, "M": 2, "G": 3, "B": 3, "T": 4}.get(claim.prefix, 0)
    giga = f"2^{10 * power}" if binary else f"10^{3 * power}"
    size = "x".join(map(str, shape))
    explanation = (
        words
        + ("" if unit == "multiply-adds" else f"; {unit}")
        + (f"; {claim.prefix} read as {giga}" if claim.prefix else "")
        + f"; input {size}: {amount:,}, {_prints(figure, claim, exactness)}"
    )
    yield Reading(
        convention,
        unit,
        giga,
        shape,
        scope,
        amount,
        figure,
        exactness,
        explanation,
        cost + _EXACTNESS.get(exactness, 0.0),
    )


def _exactness(claim: Claim, amount: int | float, *, binary: bool) -> str | None:
    value = Fraction(amount)
    if claim.rounds(value, binary=binary):
        return "rounded"
    if claim.pads(value, binary=binary):
        return "padded"
    if claim.prefix and claim.cuts(value, binary=binary):
        return "cut"
    return None


def _prints(figure: str, claim: Claim, exactness: str) -> str:
    match exactness:
        case "rounded":
            return f"{figure}, which rounds to {claim.text}"
        case "padded":
            shorter = str(claim.value).rstrip("0").rstrip(".")
            return (
                f"{figure}, which rounds to {shorter}; the last zero of {claim.text} was added, "
                "its printed digits do not hold"
            )
        case "cut":
            return f"{figure}, which gives {claim.text} only if digits are cut off, not rounded"
        case "cut and padded":
            return f"{figure}, which gives {claim.text} if digits are cut off and a zero is added"
        case "":
            return f"{figure}, which is not {claim.text}"
        case _:
            raise TypeError(f"no words for {exactness}")


def _totals(
    wanted: Iterable[str], trace: Trace, observation: Observation
) -> Iterator[tuple[str, int | float]]:
    """Every other convention's number; one whose view of the model fails is left out."""
    from gadprof.audit.conventions import total

    for name in wanted:
        if name in ("gadprof", "torch-meta"):
            continue  # torch-meta is ours with two operations a multiply-add
        try:
            amount = total(name, observation, trace)
        except Exception:
            continue
        if amount:
            yield name, amount


def _other_shapes(trace: Trace) -> Iterator[tuple[int, ...]]:
    if len(trace.input_shapes) != 1 or len(trace.input_shapes[0]) != 4:
        return
    _, channels, height, width = trace.input_shapes[0]
    sizes: Iterable[tuple[int, int]] = (
        ((side, side) for side in _SQUARES) if height == width else _POSES
    )
    for size in sizes:
        if size != (height, width):
            yield (channels, *size)


def _at_another_input(claim: Claim, model: str, shape: tuple[int, ...]) -> list[Reading]:
    from gadprof.audit.audit import observe_model
    from gadprof.errors import GadprofError

    try:
        trace, observation = observe_model(model, (shape,))
    except GadprofError:
        return []  # the model does not take that size
    official = observation if _is_hrnet(trace) else None  # its rule needs another run of the model
    wanted = ("gadprof", "hrnet-official")
    return [
        reading
        for reading in _readings(claim, trace, official, wanted, own_input=False)
        if reading.within_digits and reading.scope in ("whole", "without classifier")
    ]


def _is_hrnet(trace: Trace) -> bool:
    """Whether the official HRNet code could have counted this network."""
    names = [record.type for record in trace.modules.values()]
    return any("HighResolution" in name or "HRNet" in name for name in names)


def _distinct(readings: Iterable[Reading]) -> Iterator[Reading]:
    """One reading for each convention, unit, G, input and scope, the first of equals."""
    seen = set()
    for reading in readings:
        key = (
            reading.convention,
            reading.unit,
            reading.giga,
            reading.input_shape,
            reading.scope,
        )
        if key not in seen:
            seen.add(key)
            yield reading
