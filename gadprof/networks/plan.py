"""Plans: what a network is, as a tree of frozen nodes, before anybody builds or costs it.

Here are the nodes that join others: sequences, sums, concatenations. ``layers`` has what computes,
``blocks`` the blocks of papers, ``families`` the networks. ``node`` says how a node is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from gadprof.networks.layers import (
    Activation,
    AdaptivePool,
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Upsample,
)
from gadprof.networks.maps import cat
from gadprof.networks.node import Node, Number, ceil_div

__all__ = [
    "RELU",
    "RELU6",
    "SIGMOID",
    "Activation",
    "AdaptivePool",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Flatten",
    "Gate",
    "GlobalPool",
    "Identity",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "Node",
    "Number",
    "PathSum",
    "Residual",
    "Sequence",
    "Transition",
    "Upsample",
    "ceil_div",
]  # fmt: skip

RELU = Activation("relu")
RELU6 = Activation("relu6")
SIGMOID = Activation("sigmoid", inplace=False)


class Sequence(Node):
    """Children one after another; ``kind`` names the class, ``names`` the children (else 0, 1, …).

    Children may map one tensor to one, or a list to a list.
    """

    items: tuple[Node, ...]
    kind: str = "Sequential"
    names: tuple[str, ...] = ()
    base: ClassVar[Literal["Sequential"]] = "Sequential"

    def children(self) -> Mapping[str, Any]:
        names = self.names or map(str, range(len(self.items)))
        return dict(zip(names, self.items, strict=True))

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, x: Any) -> Any:
        for item in self:
            x = item(x)
        return x


class Residual(Node):
    """activation(body(x) + shortcut(x)); without a shortcut node, x itself is added.

    ``kind`` names the class.
    """

    body: Node
    shortcut: Node | None = None
    activation: Activation | None = None
    kind: str = "Residual"

    def forward(self: Any, x: Any) -> Any:
        y = self.body(x)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        z = y + shortcut
        return z if self.activation is None else self.activation(z)


class Concat(Node):
    """The channel concatenation of several paths over one input."""

    paths: tuple[Node, ...]

    def forward(self: Any, x: Any) -> Any:
        return cat([path(x) for path in self.paths])


class PathSum(Node):
    """The sum of several paths over one input."""

    paths: tuple[Node, ...]

    def forward(self: Any, x: Any) -> Any:
        y = x
        for index, path in enumerate(self.paths):
            y = path(x) if index == 0 else y + path(x)
        return y


class Gate(Node):
    """x · body(x), where the body gives a weight a channel, a position or an element."""

    body: Node

    def forward(self: Any, x: Any) -> Any:
        return x * self.body(x)


class Transition(Node):
    """A list of n maps to a list of len(items): item i maps input i, new ones the last input."""

    items: tuple[Node, ...]
    base: ClassVar[Literal["ModuleList"]] = "ModuleList"
    several: ClassVar[bool] = True

    def children(self) -> Mapping[str, Any]:
        return {str(index): item for index, item in enumerate(self.items)}

    def settings(self) -> Mapping[str, Any]:
        return {}

    def forward(self: Any, maps: list[Any]) -> list[Any]:
        made: list[Any] = []
        for index, layer in enumerate(self):
            made.append(layer(maps[min(index, len(maps) - 1)]))
        return made
