"""Two counts of a model against each other: totals, and module by module where they differ.

Promises exact integers: every module's own figures (without what lies below it) are compared, so
that the differences of the modules add up to the difference of the totals. Modules are matched by
path and type; where names moved, by type, shapes and figures, then by path, then by type and
shapes. A side that holds totals alone (a stored baseline) says so and has no modules. Pure:
figures come in, a ``Diff`` goes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from gadprof.results.cells import percent_text
from gadprof.results.figures import KEYS, SUMMED, total
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.counting.records import Trace
    from gadprof.results.page import Page

Kind = Literal["changed", "appeared", "went", "moved"]
OWN = ("params", "macs", "flops", "activations")


@dataclass(frozen=True)
class ModuleFigures:
    """One module's own figures, what lies below it left out; shapes of its first call."""

    path: str
    type: str
    calls: int
    params: int
    macs: int
    flops: int
    activations: int
    inputs: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def figures(self) -> tuple[int, ...]:
        """The own figures in the order of ``OWN``."""
        return (self.params, self.macs, self.flops, self.activations)


@dataclass(frozen=True)
class Side:
    """What one side costs: totals by key, its modules (None where only totals were kept), and a
    predicted latency in seconds (value, low, high) by device. ``at_least`` says that something was
    not counted, ``uncovered`` what and how often, where that is known."""

    name: str
    totals: Mapping[str, int]
    modules: tuple[ModuleFigures, ...] | None
    latency: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    at_least: bool = False
    uncovered: Mapping[str, int] = field(default_factory=dict)

    def total(self, key: str) -> int | None:
        """A total, marked where it is a lower bound; None where it is not known."""
        return total(key, self.totals.get(key), self.at_least)


@dataclass(frozen=True)
class ModuleChange:
    """A module that is not the same on both sides; ``before`` or ``after`` is None where it is
    not there. ``difference`` is after minus before of each own figure."""

    kind: Kind
    path: str
    before: ModuleFigures | None
    after: ModuleFigures | None
    difference: Mapping[str, int]


@dataclass(frozen=True)
class Failure:
    """A limit of ``--fail-on`` that does not hold."""

    figure: str
    message: str


@dataclass(frozen=True)
class Diff(Tabular):
    """Both sides, the modules that differ (the largest change of MACs first), and what fails."""

    before: Side
    after: Side
    changes: tuple[ModuleChange, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def difference(self) -> dict[str, int]:
        """After minus before of every total that both sides have."""
        return {
            key: self.after.totals[key] - self.before.totals[key]
            for key in KEYS
            if key in self.before.totals and key in self.after.totals
        }

    def page(self) -> Page:
        """The verdict in a sentence, then totals, modules and latency."""
        from gadprof.gate.diff_page import diff_page

        return diff_page(self)


def side_of(name: str, trace: Trace) -> Side:
    """A side from a trace of the forward pass."""
    own: dict[str, list[int]] = {path: [0, 0, 0] for path in trace.modules}
    for operation in trace.forward:
        figures = own.setdefault(operation.module, [0, 0, 0])
        figures[0] += operation.macs
        figures[1] += operation.flops
        figures[2] += operation.activations
    modules = []
    for path, record in trace.modules.items():
        macs, flops, activations = own[path]
        modules.append(
            ModuleFigures(
                path,
                record.type,
                record.calls,
                record.own_params,
                macs,
                flops,
                activations,
                record.input_shapes[0] if record.input_shapes else (),
                record.output_shapes[0] if record.output_shapes else (),
                tuple((key, str(value)) for key, value in sorted(record.hyper.items())),
            )
        )
    totals = {
        "params": trace.params,
        "macs": trace.macs,
        "flops": trace.flops,
        "activations": trace.activations,
        "peak_activation_bytes": trace.peak_activation_bytes,
        "weight_bytes": trace.param_bytes,
    }
    return Side(
        name, totals, tuple(modules), at_least=trace.at_least, uncovered=dict(trace.uncovered)
    )


def compare_sides(before: Side, after: Side) -> Diff:
    """What differs between two sides."""
    if before.modules is None or after.modules is None:
        return Diff(before, after, ())
    pairs = _matched(before.modules, after.modules)
    changes = [change for pair in pairs if (change := _change(*pair)) is not None]
    changes.sort(key=lambda item: (*(-abs(item.difference[key]) for key in ("macs", "params",
                 "activations", "flops")), item.path))  # fmt: skip
    return Diff(before, after, tuple(changes))


_Pair = tuple[ModuleFigures | None, ModuleFigures | None]


def _matched(before: Sequence[ModuleFigures], after: Sequence[ModuleFigures]) -> list[_Pair]:
    """Every module of both sides once, with its counterpart where it has one."""
    left, right = list(before), list(after)
    pairs: list[_Pair] = []
    for key in (
        lambda m: (m.path, m.type),
        lambda m: (m.type, m.inputs, m.outputs, m.figures),  # it moved
        lambda m: m.path,  # another type took its place
        lambda m: (m.type, m.inputs, m.outputs),
    ):
        waiting: dict[Any, list[ModuleFigures]] = {}
        for module in left:
            waiting.setdefault(key(module), []).append(module)
        alone = []
        for module in right:
            twins = waiting.get(key(module))
            if twins:
                pairs.append((twins.pop(0), module))
            else:
                alone.append(module)
        left, right = [module for twins in waiting.values() for module in twins], alone
    pairs += [(module, None) for module in left]
    pairs += [(None, module) for module in right]
    return pairs


def _change(before: ModuleFigures | None, after: ModuleFigures | None) -> ModuleChange | None:
    if before is not None and after is not None:
        same = (
            before.figures == after.figures
            and (before.type, before.calls) == (after.type, after.calls)
            and all(
                getattr(before, name) == getattr(after, name)
                for name in ("inputs", "outputs", "settings")
                if getattr(before, name) and getattr(after, name)  # a kept side may lack them
            )
        )
        if same and before.path == after.path:
            return None
        kind: Kind = "moved" if same else "changed"
    else:
        kind = "appeared" if before is None else "went"
    known = after or before
    assert known is not None
    if not any((*(before.figures if before else ()), *(after.figures if after else ()))):
        return None  # it only holds others, which are told themselves
    difference = {
        key: (getattr(after, key) if after else 0) - (getattr(before, key) if before else 0)
        for key in OWN
    }
    return ModuleChange(kind, known.path, before, after, difference)


def judged(
    diff: Diff, limits: Mapping[str, Fraction | None], *, unsettled: bool = False
) -> tuple[Failure, ...]:
    """The limits that do not hold: growth of a figure beyond a share; None allows no change.

    ``latency`` is each device's predicted latency; ``any`` is every total and every module. A
    total that lacks an operation settles nothing: its limit fails, unless ``unsettled`` is given.
    """
    found: list[Failure] = []
    if not unsettled:
        found += _unsettled(diff, limits)
    for figure, share in limits.items():
        if figure == "any":
            changed = [key for key, value in diff.difference.items() if value]
            if changed or any(change.kind != "moved" for change in diff.changes):
                words = ", ".join(changed) or f"{len(diff.changes)} modules"
                found.append(Failure("any", f"changed: {words}"))
        elif figure == "latency":
            found += _latency_failures(diff, share or Fraction(0))
        else:
            found += _growth_failures(diff, figure, share or Fraction(0))
    return tuple(found)


def _unsettled(diff: Diff, limits: Mapping[str, Fraction | None]) -> list[Failure]:
    """A failure for each limit on what operations add up, where one of a side was not counted."""
    found = []
    for side in (side for side in (diff.before, diff.after) if side.at_least):
        names = ", ".join(sorted(side.uncovered)) or "some operation"
        for figure in limits:
            if figure in (*SUMMED, "any", "latency"):
                words = f"{figure} of {side.name} is a lower bound, for no rule counts {names}"
                found.append(Failure(figure, f"{words}; add a rule, or type --uncounted warn"))
    return found


def _growth_failures(diff: Diff, figure: str, share: Fraction) -> list[Failure]:
    before, after = diff.before.totals.get(figure), diff.after.totals.get(figure)
    if before is None or after is None:
        return [Failure(figure, f"{figure} is not known on both sides")]
    if after <= before * (1 + share):
        return []
    grown = percent_text(after / before, 2) if before else f"+{after:,}"
    return [
        Failure(
            figure, f"{figure} {before:,} to {after:,} ({grown}, allowed +{100 * float(share):g} %)"
        )
    ]


def _latency_failures(diff: Diff, share: Fraction) -> list[Failure]:
    found = []
    for device, (after, _, _) in diff.after.latency.items():
        if device not in diff.before.latency:
            continue
        ratio = after / diff.before.latency[device][0]
        if ratio > 1 + float(share):
            found.append(
                Failure(
                    "latency",
                    f"predicted latency on {device} {percent_text(ratio)}, "
                    f"allowed +{100 * float(share):g} %",
                )
            )
    return found
