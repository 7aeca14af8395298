"""A design space: a family, a list of values for each knob, and a number for each design.

Designs are numbered 0 … size - 1 in a fixed order (mixed radix over the axes, the last axis runs
fastest), so that a sweep can be cut into chunks, sampled and resumed. Refuses an empty space and
knobs or values that the family refuses.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, overload

from gadprof.errors import SpecError, UnknownNameError, nearest
from gadprof.networks.blocks.knobs import BlockKnobs
from gadprof.networks.blocks.names import MODULE_BLOCKS, check_branch
from gadprof.networks.spec import (
    Family,
    Knob,
    ModelSpec,
    check_value,
    families,
    format_value,
    make_spec,
    parse_shape,
    presets,
    read_value,
)

# axes from slowest to fastest: first what a table must be made anew for, last what runs in arrays
DISCRETE = ("input", "block", "down", "transition", "s", "se_bias", "shortcut", "groups", "t",
            "layers", "q", "stage1")  # fmt: skip
STRUCTURE = ("joints", "bottlenecks", "modules", "blocks", "up")
ARRAYS = ("width", "k", "d", "r")

LARGEST_AXIS = 1_000_000

SKELETON_PLANNER = "gadprof.networks.families.hrnet:plan"  # whose designs are costed by tables


class Places(Sequence[tuple[int, ...]]):
    """Every tuple with a value of each place, the last place fastest; holds the places alone."""

    def __init__(self, places: Sequence[Sequence[int]]) -> None:
        self.places = tuple(tuple(dict.fromkeys(place)) for place in places)

    def __len__(self) -> int:
        return prod(len(place) for place in self.places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and self.places == other.places

    def __hash__(self) -> int:
        return hash(self.places)

    @overload
    def __getitem__(self, index: int) -> tuple[int, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[int, ...], ...]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        found = []
        for place in reversed(self.places):
            index, position = divmod(index, len(place))
            found.append(place[position])
        return tuple(reversed(found))


@dataclass(frozen=True)
class Axis:
    """One knob and the values it takes, in order."""

    name: str
    values: Sequence[Any]

    def describe(self) -> list[Any]:
        """The values as they are typed; of a product of places, the places."""
        if isinstance(self.values, Places):
            return [list(place) for place in self.values.places]
        return [format_axis_value(value) for value in self.values]


@dataclass(frozen=True)
class Space:
    """Every combination of the axes' values; ``base`` fills in the knobs without an axis.

    Axes hold a value list for every knob of the family and for ``input``.
    """

    family: str
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """The number of designs."""
        return prod(len(axis.values) for axis in self.axes)

    @property
    def varying(self) -> tuple[Axis, ...]:
        """The axes with more than one value."""
        return tuple(axis for axis in self.axes if len(axis.values) > 1)

    def axis(self, name: str) -> Axis:
        """The axis of a knob; raises KeyError."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(name)

    def values_at(self, index: int) -> dict[str, Any]:
        """Every knob's value of one design, ``input`` included."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        found: dict[str, Any] = {}
        for axis in reversed(self.axes):
            index, position = divmod(index, len(axis.values))
            found[axis.name] = axis.values[position]
        return {axis.name: found[axis.name] for axis in self.axes}

    def spec_at(self, index: int) -> tuple[ModelSpec, tuple[int, int, int]]:
        """One design as a spec and its input shape."""
        values = self.values_at(index)
        shape = values.pop("input")
        return make_spec(self.family, values), shape

    def describe(self) -> dict[str, Any]:
        """The space as plain values, for files and for the fingerprint."""
        return {
            "family": self.family,
            "axes": {axis.name: axis.describe() for axis in self.axes},
            "designs": self.size,
        }

    def fingerprint(self) -> str:
        """A short hash that two equal spaces share."""
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def format_axis_value(value: Any) -> str:
    """A knob value or an input shape as it is typed."""
    if isinstance(value, tuple) and len(value) == 3 and value[0] == 3 and value[1] >= 32:
        return "x".join(map(str, value))
    return format_value(value)


def make_space(name: str, texts: Mapping[str, str], inputs: str = "") -> Space:
    """Read a space from a family or preset name and a text for each knob to vary.

    A text is a list (``2,3,4``), a range with its end (``16:64:2``), for lists of integers one
    design after another (``3-3-6-6,4-4-4-4``) or ranges place by place (``1:4-1:4-2:8-2:8``).
    Raises UnknownNameError or SpecError.
    """
    family, base = _family_and_base(name)
    knobs = {knob.name: knob for knob in family.knobs}
    for key in texts:
        if key not in knobs:
            known = nearest(key, knobs) or f"; it has {', '.join(knobs)}"
            raise UnknownNameError(f"{family.name} has no knob {key!r}{known}")
    lists: dict[str, Sequence[Any]] = {
        knob.name: read_values(knob, texts[knob.name]) if knob.name in texts else (base[knob.name],)
        for knob in family.knobs
    }
    shapes = tuple(parse_shape(part) for part in inputs.split(",") if part.strip())
    lists["input"] = shapes or (family.default_input,)
    order = [key for key in (*DISCRETE, *STRUCTURE, *ARRAYS) if key in lists]
    order = [key for key in lists if key not in order] + order
    space = Space(family.name, tuple(Axis(key, lists[key]) for key in order))
    _check(space)
    return space


def _family_and_base(name: str) -> tuple[Family, dict[str, Any]]:
    if name in families():
        family = families()[name]
        return family, {knob.name: knob.default for knob in family.knobs}
    if name in presets():
        family, preset = presets()[name]
        defaults = {knob.name: knob.default for knob in family.knobs}
        return family, {**defaults, **preset.values}
    known = (*families(), *presets())
    raise UnknownNameError(
        f"unknown family {name!r}" + (nearest(name, known) or f"; try {', '.join(families())}")
    )


def read_values(knob: Knob, text: str) -> Sequence[Any]:
    """The values that a text gives a knob, without repeats. Raises SpecError."""
    values: list[Any] = []
    parts = [piece.strip() for piece in text.split(",") if piece.strip()]
    if knob.kind == "ints" and len(parts) == 1 and "-" in parts[0]:
        return _places(knob, parts[0])
    for part in parts:
        if knob.kind in ("int", "count"):
            values.extend(_range(knob, part))
        elif knob.kind == "ints":
            values.extend(_places(knob, part))
        else:
            values.append(read_value(knob, part))
    unique = tuple(dict.fromkeys(check_value(knob, value) for value in values))
    if not unique:
        raise SpecError(f"--{knob.name} {text!r} gives no value, so the space has no design")
    return unique


def _range(knob: Knob, text: str) -> list[int]:
    match = re.fullmatch(r"(\d+)(?::(\d+)(?::(\d+))?)?", text)
    if match is None:
        raise SpecError(f"--{knob.name} {text!r} is not an integer or a range; type 16 or 16:64:2")
    start, stop, step = match.groups()
    if stop is None:
        return [int(start)]
    if step == "0":
        raise SpecError(f"--{knob.name} {text!r} has a step of 0; type {start}:{stop}:1")
    made = range(int(start), int(stop) + 1, int(step or 1))
    if not made:
        raise SpecError(f"--{knob.name} {text!r} is an empty range; type {stop}:{start}")
    count = (made[-1] - made[0]) // made.step + 1  # len() refuses what 64 bits cannot hold
    if count > LARGEST_AXIS:
        raise SpecError(
            f"--{knob.name} {text!r} has {count:,} values, and a knob takes at most "
            f"{LARGEST_AXIS:,}; type a step, as in {start}:{stop}:{-(-count // LARGEST_AXIS)}"
        )
    return list(made)


def _places(knob: Knob, text: str) -> Sequence[tuple[int, ...]]:
    places = [_range(knob, place) for place in text.split("-")]
    if len(places) == 1:
        return [(value,) * knob.length for value in places[0]]
    if len(places) != knob.length:
        raise SpecError(
            f"--{knob.name} {text!r} has {len(places)} places; {knob.name} has {knob.length}"
        )
    made = Places(places)
    for corner in (made[0], made[-1]):
        check_value(knob, corner)
    return made


def _check(space: Space) -> None:
    """Refuse a space with a value that the family refuses, and shapes that do not divide."""
    base = {axis.name: axis.values[0] for axis in space.axes}
    _check_blocks(space, base)
    shapes = space.axis("input").values
    base.pop("input")
    first = make_spec(space.family, base)
    for shape in shapes:
        first.check_input(shape)
    for axis in space.axes:
        if axis.name != "input":
            values = axis.values
            chosen = (values[0], values[-1]) if isinstance(values, Places) else values
            for value in chosen:
                make_spec(space.family, {**base, axis.name: value})


def _check_blocks(space: Space, base: Mapping[str, Any]) -> None:
    """Refuse a width that any block of the space cannot have, and a block of whole modules."""
    if families()[space.family].planner != SKELETON_PLANNER:
        return
    for block in space.axis("block").values:
        if block in MODULE_BLOCKS:
            raise SpecError(
                f"block={block} joins the branches of a module, which the part tables of a sweep "
                "cannot hold; cost its designs with gadprof compare"
            )
        for groups in space.axis("groups").values:
            for width in space.axis("width").values:
                check_branch(block, width, BlockKnobs(groups=groups))
