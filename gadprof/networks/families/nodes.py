"""Plan nodes of the pose networks that are not made of sequences and sums alone.

Like all nodes they hold channels and children, no shapes and no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from gadprof.networks.plan import Node, Residual


@dataclass(frozen=True, slots=True, eq=False)
class Hourglass(Residual):
    """Features at this size, plus those made at half of it and enlarged again by ``body``."""


@dataclass(frozen=True, slots=True, eq=False)
class LiteExchange(Node):
    """Layers over a list of maps, then Lite-HRNet's exchange as its official code runs it.

    Output i = relu(rows[i][0](map 0) + sum over j of rows[i][j](map j)): the first term runs and
    counts twice, and after output 0 its sum takes the place of map 0 for the rows below.
    """

    layers: Node
    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class IterativeHead(Node):
    """From the last map to the first: project_i(map + enlarged result of the one before)."""

    projects: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LiteHighResolutionNet(Node):
    """A stem, pairs of transition and stage over a growing list of maps, and a heatmap head."""

    stem: Node
    transitions: tuple[Node, ...]
    stages: tuple[Node, ...]
    head_layer: IterativeHead
    final_layer: Node


@dataclass(frozen=True, slots=True, eq=False)
class StackedHourglass(Node):
    """A list of heatmaps, one a stack; what follows stack i reads
    x + from_features[i](features) + from_heatmaps[i](heatmaps)."""

    stem: Node
    hourglasses: tuple[Node, ...]
    features: tuple[Node, ...]
    heads: tuple[Node, ...]
    from_features: tuple[Node, ...]
    from_heatmaps: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CascadedPyramid(Node):
    """A list of heatmaps: GlobalNet's, from the smallest map up, and RefineNet's.

    Level i of GlobalNet is laterals[i](map) + merges[i-1](level i-1); ``refines`` read its levels
    from the largest down, and ``answer`` their concatenation.
    """

    stem: Node
    layers: tuple[Node, ...]
    laterals: tuple[Node, ...]
    merges: tuple[Node, ...]
    heads: tuple[Node, ...]
    refines: tuple[Node, ...]
    answer: Node
