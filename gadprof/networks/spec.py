"""Model specs: what a built-in network is made of, as one frozen record, and the spec grammar.

``parse_spec("gadnet32:s=4,blocks=3-3-6-6")`` gives a ``ModelSpec``: a family, and a value for each
of its knobs. Nothing here imports torch or numpy. A wrong name, value or combination is refused
here, before anything is built, with a message that says what to type.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from gadprof.errors import InputShapeError, SpecError, UnknownNameError, nearest

KnobKind = Literal["int", "count", "ints", "choice", "words", "flag"]

MOST = 1 << 20  # of any knob, and of a side of the input
# knobs that repeat a part of the network, and how often they may repeat it together
REPEATS = (
    "blocks", "modules", "stacks", "depth", "residuals", "deconvs", "bottlenecks", "layers",
    "levels", "radix",
)  # fmt: skip
MOST_PARTS = 50_000


@dataclass(frozen=True)
class Knob:
    """One parameter of a family.

    ``kind``: ``int`` (>= 1), ``count`` (>= 0), ``ints`` (a tuple of ``length`` integers >= 1),
    ``choice`` (one of ``choices``), ``words`` (a tuple of ``length`` of them) or ``flag``.
    ``default`` is the family's value before a preset changes it; ``help`` is one line, and
    ``notes`` one for each choice, where they need it.
    """

    name: str
    kind: KnobKind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    length: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A name, what it changes in its family's defaults, and where the network comes from."""

    name: str
    summary: str
    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """An architecture: its knobs, its presets and the module that plans it.

    ``planner`` is ``module:function``, a pure function from a ModelSpec to a plan; ``check`` is
    ``module:function`` or empty, a function from a ModelSpec that raises SpecError on a combination
    that cannot be built. ``multiple`` is what both sides of the input must divide by and
    ``smallest`` the least side, each a number or ``module:function`` that says it of a ModelSpec.
    """

    name: str
    knobs: tuple[Knob, ...]
    presets: tuple[Preset, ...]
    planner: str
    multiple: int | str
    default_input: tuple[int, int, int] = (3, 256, 192)
    check: str = ""
    smallest: int | str = 1


@dataclass(frozen=True)
class ModelSpec:
    """A family with a value for every knob; hashable and immutable.

    ``name`` is how the user called it. Knobs read as attributes: ``spec.width``.
    """

    family: str
    name: str
    items: tuple[tuple[str, Any], ...]

    def __getattr__(self, knob: str) -> Any:
        if not knob.startswith("_"):
            for name, value in object.__getattribute__(self, "items"):
                if name == knob:
                    return value
        raise AttributeError(f"{type(self).__name__} has no attribute {knob!r}")

    @property
    def values(self) -> Mapping[str, Any]:
        """Every knob with its value, in the family's order."""
        return MappingProxyType(dict(self.items))

    @property
    def default_input(self) -> tuple[int, int, int]:
        """The input shape (channels, height, width) used when none is given."""
        return find_family(self.family).default_input

    def replace(self, **changes: Any) -> ModelSpec:
        """The same design with some knobs changed; raises SpecError like parse_spec."""
        return make_spec(self.family, {**dict(self.items), **changes}, name="")

    def check_input(self, shape: tuple[int, ...]) -> None:
        """Refuse an input shape (channels, height, width) that the network cannot take.

        Raises InputShapeError.
        """
        if len(shape) != 3:
            raise InputShapeError(
                f"input {'x'.join(map(str, shape))} has {len(shape)} sizes; {self.name} takes "
                "channels x height x width; try 3x256x192"
            )
        if shape[0] != 3:
            raise InputShapeError(
                f"input has {shape[0]} channels; {self.name} takes 3; try 3x{shape[1]}x{shape[2]}"
            )
        family = find_family(self.family)
        multiple = family.multiple
        if isinstance(multiple, str):
            multiple = int(load_function(multiple)(self))
        smallest = family.smallest
        if isinstance(smallest, str):
            smallest = int(load_function(smallest)(self))
        for word, size in (("height", shape[1]), ("width", shape[2])):
            if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
                raise InputShapeError(f"{word} {size} is not a positive integer; try 256")
            if size > MOST:
                raise InputShapeError(f"{word} {size} is above {MOST:,}; try 256")
            if size < smallest:
                raise InputShapeError(
                    f"{word} {size} leaves {self.name} no map to pool; try {smallest} or more"
                )
            if size % multiple:
                below, above = size - size % multiple, size + multiple - size % multiple
                better = above if below == 0 or above - size <= size - below else below
                raise InputShapeError(
                    f"{word} {size} is not a multiple of {multiple}; try {better}"
                )


# where each family is described; a family's module holds ``FAMILY`` or ``FAMILIES``
FAMILY_MODULES: tuple[str, ...] = (
    "gadprof.networks.families.hrnet",
    "gadprof.networks.families.pose_resnet",
    "gadprof.networks.families.pose_plain",
    "gadprof.networks.families.pose_light",
    "gadprof.networks.families.hourglass",
    "gadprof.networks.families.lite_hrnet",
    "gadprof.networks.families.cpn",
    "gadprof.networks.families.hourglass_residual",
    "gadprof.networks.families.search_spaces",
)


def _described() -> Iterator[Family]:
    """Every family; a module is imported only when those before it have been read."""
    for module_name in FAMILY_MODULES:
        yield from importlib.import_module(module_name).FAMILIES


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """Every family by name."""
    return MappingProxyType({family.name: family for family in _described()})


@lru_cache(maxsize=64)
def find_family(name: str) -> Family:
    """A family by its name, without reading those behind it. Raises UnknownNameError."""
    for family in _described():
        if family.name == name:
            return family
    raise UnknownNameError(
        f"unknown family {name!r}" + (nearest(name, families()) or f"; try {', '.join(families())}")
    )


@lru_cache(maxsize=64)
def find_preset(name: str) -> tuple[Family, Preset] | None:
    """A preset by its name with its family, without reading the families behind it."""
    for family in _described():
        for preset in family.presets:
            if preset.name == name:
                return family, preset
    return None


@lru_cache(maxsize=1)
def presets() -> Mapping[str, tuple[Family, Preset]]:
    """Every preset by name, with its family."""
    return MappingProxyType(
        {
            preset.name: (family, preset)
            for family in families().values()
            for preset in family.presets
        }
    )


def known_presets() -> tuple[str, ...]:
    """The names of every preset."""
    return tuple(presets())


def is_builtin(name: str) -> bool:
    """Whether a name is a preset of ours."""
    return find_preset(name) is not None


def parse_spec(text: str) -> ModelSpec:
    """Read ``preset`` or ``preset:knob=value,knob=value``.

    Raises UnknownNameError for an unknown preset or knob (with the nearest names), SpecError for a
    value that breaks a rule.
    """
    name, colon, rest = text.strip().partition(":")
    found = find_preset(name)
    if found is None:
        raise UnknownNameError(
            f"unknown model {name!r}"
            + (nearest(name, presets()) or "; 'gadprof models' lists what can be named")
        )
    family, preset = found
    changes: dict[str, Any] = {}
    if colon and not rest.strip():
        first = family.knobs[0].name
        raise SpecError(f"{text!r} ends in a colon; type for example {name}:{first}=…")
    for part in filter(None, re.split(r"[,\s]+", rest)):
        key, equals, typed = part.partition("=")
        knob = _knob(family, key)
        if not equals or not typed:
            raise SpecError(f"{part!r} has no value; type {key}=…")
        if key in changes:
            raise SpecError(f"{key!r} is given twice in {text!r}; keep one")
        changes[key] = read_value(knob, typed)
    return make_spec(family.name, {**preset.values, **changes}, name=text.strip())


def make_spec(family_name: str, values: Mapping[str, Any], *, name: str = "") -> ModelSpec:
    """A checked spec of a family from knob values; knobs left out take the family's default.

    Raises UnknownNameError or SpecError.
    """
    family = find_family(family_name)
    for key in values:
        _knob(family, key)
    items = tuple(
        (knob.name, check_value(knob, values.get(knob.name, knob.default))) for knob in family.knobs
    )
    _bound_parts(dict(items))
    spec = ModelSpec(family.name, name or _default_name(family, dict(items)), items)
    if family.check:
        load_function(family.check)(spec)
    return spec


def _bound_parts(values: Mapping[str, Any]) -> None:
    """Refuse a design that would repeat its parts without end, before its plan is built."""
    parts = 1
    for name in REPEATS:
        value = values.get(name, 1)
        parts *= max(1, *(value if isinstance(value, tuple) else (value,)))
    if parts > MOST_PARTS:
        shown = "x".join(n for n in REPEATS if n in values)
        raise SpecError(
            f"{shown} repeat parts of the network up to {parts:,} times; keep to {MOST_PARTS:,}"
        )


def load_function(reference: str) -> Callable[..., Any]:
    """The function that ``module:function`` names."""
    module_name, _, attribute = reference.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module_name), attribute)
    return function


def plan_of(spec: ModelSpec) -> Any:
    """The plan of a spec: its family's planner applied to it."""
    return load_function(find_family(spec.family).planner)(spec)


def read_value(knob: Knob, text: str) -> Any:
    """Read a knob's value as typed on the command line. Raises SpecError."""
    match knob.kind:
        case "int" | "count":
            if not re.fullmatch(r"[+-]?\d{1,18}", text):
                raise SpecError(f"{knob.name}={text[:40]} is not an integer; {_rule(knob)}")
            return check_value(knob, int(text))
        case "ints":
            parts = re.split(r"[-x/]", text)
            if not all(re.fullmatch(r"\d{1,18}", part) for part in parts):
                raise SpecError(f"{knob.name}={text[:80]} is not a list of integers; {_rule(knob)}")
            return check_value(knob, tuple(int(part) for part in parts))
        case "flag":
            words = {"yes": True, "on": True, "true": True, "1": True}
            words |= {"no": False, "off": False, "false": False, "0": False}
            if text.lower() not in words:
                raise SpecError(f"{knob.name}={text} is not yes or no; {_rule(knob)}")
            return words[text.lower()]
        case "choice":
            return check_value(knob, text)
        case "words":
            return check_value(knob, _words(knob, text))
    raise TypeError(f"no reader for knob kind {knob.kind}")


def check_value(knob: Knob, value: Any) -> Any:
    """Refuse a value that the knob cannot take; returns it in its plain form. Raises SpecError."""
    match knob.kind:
        case "int" | "count":
            low = 1 if knob.kind == "int" else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise SpecError(f"{knob.name}={value} is not allowed; {_rule(knob)}")
            if value > MOST:
                raise SpecError(f"{knob.name}={value:,} is above {MOST:,}; {_rule(knob)}")
            return value
        case "ints":
            values = (value,) if isinstance(value, int) else tuple(value)
            if len(values) == 1:
                values = values * knob.length
            good = all(isinstance(item, int) and 1 <= item <= MOST for item in values)
            if len(values) != knob.length or not good:
                shown = "-".join(map(str, values))
                raise SpecError(f"{knob.name}={shown} is not allowed; {_rule(knob)}")
            return values
        case "flag":
            if not isinstance(value, bool):
                raise SpecError(f"{knob.name}={value} is not allowed; {_rule(knob)}")
            return value
        case "choice":
            if value not in knob.choices:
                raise SpecError(
                    f"{knob.name}={value} is not allowed; {_rule(knob)}"
                    + nearest(str(value), knob.choices)
                )
            return value
        case "words":
            words = (value,) if isinstance(value, str) else tuple(value)
            if len(words) == 1:
                words = words * knob.length
            wrong = next((str(word) for word in words if word not in knob.choices), "")
            if wrong or len(words) != knob.length:
                shown = wrong or f"{len(words)} words"
                raise SpecError(
                    f"{knob.name}={shown[:80]} is not allowed; {_rule(knob)}"
                    + (nearest(wrong, knob.choices) if wrong else "")
                )
            return words
    raise TypeError(f"no check for knob kind {knob.kind}")


def _words(knob: Knob, text: str) -> tuple[str, ...]:
    """Words parted by ``-``, or by ``|`` and ``+`` with the node that each reads, as in
    ``|a~0|+|a~0|b~1|``."""
    parts = [part for part in re.split(r"[-|+]", text) if part]
    if "~" not in text:
        return tuple(parts)
    read = [part.partition("~")[2] for part in parts]
    nodes = [str(node) for count in range(1, len(parts) + 1) for node in range(count)]
    if read != nodes[: len(read)]:
        raise SpecError(
            f"{knob.name}={text[:80]} reads its nodes in another order than 0, 0 1, 0 1 2; "
            f"{_rule(knob)}"
        )
    return tuple(part.partition("~")[0] for part in parts)


def _rule(knob: Knob) -> str:
    match knob.kind:
        case "int":
            return f"type a positive integer, for example {knob.name}={knob.default}"
        case "count":
            return f"type an integer of at least 0, for example {knob.name}={knob.default}"
        case "ints":
            example = "-".join(map(str, knob.default))
            return (
                f"type {knob.length} positive integers up to {MOST:,}, "
                f"for example {knob.name}={example}"
            )
        case "flag":
            return f"type {knob.name}=yes or {knob.name}=no"
        case "choice":
            return f"it is one of {', '.join(knob.choices)}"
        case "words":
            return f"it is {knob.length} of {', '.join(knob.choices)}, with - between"
    raise TypeError(f"no rule for knob kind {knob.kind}")


def _knob(family: Family, key: str) -> Knob:
    for knob in family.knobs:
        if knob.name == key:
            return knob
    names = [knob.name for knob in family.knobs]
    raise UnknownNameError(
        f"{family.name} has no knob {key!r}"
        + (nearest(key, names) or f"; it has {', '.join(names)}")
    )


def _default_name(family: Family, values: Mapping[str, Any]) -> str:
    """The shortest model string that names these values: the nearest preset and what differs."""
    best: list[str] | None = None
    best_name = ""
    defaults = {knob.name: knob.default for knob in family.knobs}
    for preset in family.presets:
        base = {**defaults, **preset.values}
        changes = [
            f"{key}={format_value(value)}" for key, value in values.items() if base[key] != value
        ]
        if best is None or len(changes) < len(best):
            best, best_name = changes, preset.name
    return best_name + (":" + ",".join(best) if best else "")


def format_value(value: Any) -> str:
    """A knob's value as it is typed on the command line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return str(value)


def parse_shape(text: str) -> tuple[int, ...]:
    """Read ``3x256x192`` or ``256x192`` (three channels understood) without the batch.

    Raises InputShapeError.
    """
    parts = re.split("[x×,]", text.strip().lower())
    if not all(re.fullmatch(r"\d{1,12}", part) for part in parts):
        raise InputShapeError(f"input {text[:80]!r} is not a shape; type for example 3x256x192")
    shape = tuple(int(part) for part in parts)
    if any(size <= 0 for size in shape):
        raise InputShapeError(f"input {text!r} has a size that is not positive; try 3x256x192")
    return (3, *shape) if len(shape) == 2 else shape
