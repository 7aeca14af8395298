"""NAS-Bench-201's cell: a small graph of nodes, each the sum of what its edges make."""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p

# the operation of an edge, as the benchmark names them
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
EDGES = NODES * (NODES - 1) // 2


class Zero(p.Node):
    """Nothing: the input times zero, as the benchmark's own code has it."""

    def forward(self: Any, x: Any) -> Any:
        return x * 0.0


class InferCell(p.Node):
    """Nodes 1 to 3 of a cell, each the sum of an edge from every node before it; the last is given.

    ``edges`` lie by the node that they end in, then by the one that they begin at. As in the
    benchmark's code a sum begins with the number 0 (Dong and Yang, NAS-Bench-201, ICLR 2020).
    """

    edges: tuple[p.Node, ...]

    def forward(self: Any, x: Any) -> Any:
        nodes = [x]
        edges = iter(self.edges)
        while len(nodes) < NODES:
            nodes.append(sum(next(edges)(node) for node in nodes))
        return nodes[-1]


def relu_conv_bn(c_in: p.Number, c_out: p.Number, k: int, stride: int = 1) -> p.Sequence:
    """ReLU, convolution, batch normalisation."""
    items = (p.Activation("relu", inplace=False), p.Conv(c_in, c_out, k, stride))
    return p.Sequence((*items, p.BatchNorm(c_out)), kind="ReLUConvBN")


def edge(operation: str, c: p.Number) -> p.Node:
    """What an operation's name stands for, at ``c`` channels."""
    match operation:
        case "none":
            return Zero()
        case "skip_connect":
            return p.Identity()
        case "nor_conv_1x1":
            return relu_conv_bn(c, c, 1)
        case "nor_conv_3x3":
            return relu_conv_bn(c, c, 3)
        case "avg_pool_3x3":
            return p.AvgPool(3, 1, 1, pads_count=False)
    raise TypeError(f"no edge for {operation}")
