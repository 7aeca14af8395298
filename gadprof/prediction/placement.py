"""Which operations of a network leave a phone's neural processor, by runtime.

Promises kinds of operations that no network had which stayed on the processor whole: those are said
to leave, the others to stay. It rests on public counts of layers placed on each processor, which
name no operations, and on networks rebuilt from their papers; ``right`` of ``networks`` were told
right, each by the others alone. How long what leaves takes elsewhere is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gadprof.prediction.features import CLASSES, ModelFeatures


@dataclass(frozen=True)
class Placement:
    """One runtime on some devices (short names): the kinds of operations that ``stayed`` there."""

    runtime: str
    devices: frozenset[str]
    stayed: frozenset[str]
    networks: int
    right: int


def kinds_of(features: ModelFeatures) -> frozenset[str]:
    """The kinds of operations that a model has, those outside the latency model's classes too."""
    known = features.classes[~features.unmeasured].tolist()
    return frozenset(CLASSES[index] for index in known) | frozenset(features.unknown)


def leaving(features: ModelFeatures, placements: Iterable[Placement]) -> dict[str, tuple[str, ...]]:
    """By runtime, the kinds of a model's operations that leave the neural processor."""
    kinds = kinds_of(features)
    return {one.runtime: tuple(sorted(kinds - one.stayed)) for one in placements}


def read_placement(plain: Mapping[str, Any]) -> Placement:
    """A placement from its JSON object. Raises KeyError, TypeError or ValueError."""
    values = dict(plain)
    values["devices"] = frozenset(values["devices"])
    values["stayed"] = frozenset(values["stayed"])
    return Placement(**values)


def plain_placement(placement: Placement) -> dict[str, Any]:
    """Its JSON object, as ``read_placement`` takes it."""
    plain = asdict(placement)
    return plain | {name: sorted(plain[name]) for name in ("devices", "stayed")}
