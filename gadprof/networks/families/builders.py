"""Builders of the zoo's nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from gadprof.networks import plan as p
from gadprof.networks.build import build
from gadprof.networks.families import modules as m
from gadprof.networks.families import nodes as z


def _all(nodes: Iterable[p.Node]) -> list[nn.Module]:
    return [build(node) for node in nodes]


def _hourglass(node: z.Hourglass) -> m.Hourglass:
    shortcut = None if node.shortcut is None else build(node.shortcut)
    return m.Hourglass(build(node.body), shortcut, None)


BUILDERS: dict[type[p.Node], Callable[[Any], nn.Module]] = {
    z.CascadedPyramid: lambda n: m.CascadedPyramid(
        build(n.stem), _all(n.layers), _all(n.laterals), _all(n.merges), _all(n.heads),
        _all(n.refines), build(n.answer),
    ),
    z.Hourglass: _hourglass,
    z.LiteExchange: lambda n: m.LiteExchange(build(n.layers), [_all(row) for row in n.rows]),
    z.IterativeHead: lambda n: m.IterativeHead(_all(n.projects)),
    z.LiteHighResolutionNet: lambda n: m.LiteHighResolutionNet(
        build(n.stem), _all(n.transitions), _all(n.stages), build(n.head_layer),
        build(n.final_layer),
    ),
    z.StackedHourglass: lambda n: m.StackedHourglass(
        build(n.stem), _all(n.hourglasses), _all(n.features), _all(n.heads),
        _all(n.from_features), _all(n.from_heatmaps),
    ),
}  # fmt: skip
