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
from typing import Any, ClassVar, Literal

# an int, or an int64 array in a sweep
Number = Any


def ceil_div(numerator: Number, denominator: Number) -> Number:
    """The smallest integer not below numerator / denominator, for ints and int64 arrays."""
    return -(-numerator // denominator)


class Node:
    """Base of all nodes. They compare by identity, which makes reading a repeated block cheap.

    The same node object may stand at many places: each place becomes a module of its own.
    ``base`` is the container of torch.nn that the module is; a node that is ``several`` takes a
    list of maps; one that is ``inner`` is a module of its own, but no row of a breakdown.
    """

    __slots__ = ()
    base: ClassVar[Literal["Module", "Sequential", "ModuleList"]] = "Module"
    several: ClassVar[bool] = False
    inner: ClassVar[bool] = False

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


def _fields(node: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(node, name)) for name in node.__dataclass_fields__ if name != "kind"]


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
