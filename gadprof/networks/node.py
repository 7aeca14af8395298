"""What a plan's nodes are, and how one description of a block is read in three ways.

A node is frozen data: channels, kernels, strides, children; no shapes, no weights, no torch. It
is a *layer* (``layers``), which says of itself what it holds and does, or it is a *block*, which is
three things in one class:

- its fields,
- ``children``: what its module registers under which name, in torch's order,
- ``forward``: what happens to a map, written once.

``forward`` is never called on a node. Its ``self`` is what the node has become: a torch module
(``build``), a part that emits the events of a trace (``plan_trace``) or one that adds up integers
or int64 arrays (``cost``). In all three the children are attributes that can be called, the
settings are attributes that can be read, and a map takes the same operators and methods
(``maps``). How long a map's memory lives follows from the method itself: until the last name that
refers to it goes, as in Python. A block's further methods are there beside ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[type], type]:
        """What tells a type checker that a class reads like a dataclass."""
        return lambda kind: kind


# an int, or an int64 array in a sweep
Number = Any


def ceil_div(numerator: Number, denominator: Number) -> Number:
    """The smallest integer not below numerator / denominator, for ints and int64 arrays."""
    return -(-numerator // denominator)


class Fields(type):
    """Makes a class's annotations its slots, and remembers their order and defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **_: Any) -> Fields:
        told = space.get("__annotations__", {})
        own = [field for field, kind in told.items() if not str(kind).startswith("ClassVar")]
        defaults = {field: space.pop(field) for field in own if field in space}
        names = tuple(field for base in bases for field in getattr(base, "_names", ()))
        added = tuple(field for field in own if field not in names)
        for base in reversed(bases):
            defaults = {**getattr(base, "_defaults", {}), **defaults}
        space |= {"__slots__": added, "_names": (*names, *added), "_defaults": defaults}
        # each class has its own, or a subclass would take its parent's defaults
        return super().__new__(cls, name, bases, {"__init__": _first, **space})


def _first(self: Any, *given: Any, **named: Any) -> None:
    """The __init__ of a class that has no instance yet: compiles the one that it keeps."""
    kind: Any = type(self)
    kind.__init__ = _initialiser(kind)
    kind.__init__(self, *given, **named)


@dataclass_transform(eq_default=False, frozen_default=True)
class Node(metaclass=Fields):
    """Base of all nodes: frozen data, whose annotations are its fields as in a dataclass.

    (``dataclass`` itself compiles four methods for each class when it is imported, which the short
    commands would feel; here one is compiled when a class is first used.) Nodes compare by
    identity, which makes reading a repeated block cheap. The same node object may stand at many
    places: each becomes a module of its own.
    ``base`` is the container of torch.nn that the module is; a node that is ``several`` takes a
    list of maps; one that is ``inner`` is a module of its own, but no row of a breakdown.
    """

    base: ClassVar[Literal["Module", "Sequential", "ModuleList"]] = "Module"
    several: ClassVar[bool] = False
    inner: ClassVar[bool] = False

    _names: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[Mapping[str, Any]]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen, {name} stays as it is")

    def children(self) -> Mapping[str, Any]:
        """Name -> node, None (registered and absent) or a tuple of these (a ModuleList)."""
        return {name: value for name, value in _fields(self) if _is_child(value)}

    def settings(self) -> Mapping[str, Any]:
        """What the module holds beside its children, as plain attributes."""
        return {name: value for name, value in _fields(self) if not _is_child(value)}

    def started(self, module: Any) -> None:
        """Give the built module starting weights of its own; most blocks leave torch's."""


class Descriptions:
    """Children and settings of the nodes of one reading, each asked for once."""

    def __init__(self) -> None:
        # an id is unique only while its node lives, so the node is kept
        self._known: dict[int, tuple[Node, Mapping[str, Any], Mapping[str, Any]]] = {}

    def of(self, node: Node) -> tuple[Node, Mapping[str, Any], Mapping[str, Any]]:
        """The node, its children and its settings."""
        found = self._known.get(id(node))
        if found is None:
            found = self._known[id(node)] = (node, node.children(), node.settings())
        return found


def kind_of(node: Node) -> str:
    """The class name of the module that a node becomes."""
    return str(getattr(node, "kind", "") or type(node).__name__)


def _initialiser(kind: type[Node]) -> Callable[..., None]:
    """An __init__ that takes the fields in order, as a dataclass has."""
    taken = [
        f"{name}=defaults[{name!r}]" if name in kind._defaults else name for name in kind._names
    ]
    lines = [f"  set_{name}(self, {name})" for name in kind._names] or ["  pass"]
    source = f"def __init__(self, {', '.join(taken)}):\n" + "\n".join(lines)
    known = {f"set_{name}": getattr(kind, name).__set__ for name in kind._names}
    made: dict[str, Any] = {}
    exec(source, {"defaults": kind._defaults, **known}, made)  # names of fields alone
    function: Callable[..., None] = made["__init__"]
    return function


def _fields(node: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(node, name)) for name in node._names if name != "kind"]


def _is_child(value: Any) -> bool:
    if value is None or isinstance(value, Node):
        return True
    return isinstance(value, tuple) and all(isinstance(item, Node) for item in value)


_OF_NODES = frozenset(vars(Node))


@cache
def methods_of(kind: Any) -> Mapping[str, Callable[..., Any]]:
    """A block's forward and the methods beside it, for the class of what its nodes become."""
    found: dict[str, Callable[..., Any]] = {}
    for ancestor in reversed(kind.__mro__[:-2]):  # neither Node nor object
        found |= {
            name: value
            for name, value in vars(ancestor).items()
            if isinstance(value, FunctionType)
            and not name.startswith("__")
            and name not in _OF_NODES
        }
    return found
