"""A small ONNX file with an operator that has no rule, whose totals are lower bounds."""

from __future__ import annotations

from pathlib import Path

import pytest


def write_graph_with_an_unknown_operator(path: Path) -> None:
    """A 1x1 convolution of 3 to 8 channels at 4x4 (384 MACs), then an operator of nobody."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1]),
        helper.make_node("Mystery", ["y"], ["z"], domain="own.ops"),
    ]
    weight = helper.make_tensor("w", floats, [8, 3, 1, 1], [0.0] * 24)
    ends = [
        helper.make_tensor_value_info(name, floats, [1, channels, 4, 4])
        for name, channels in (("x", 3), ("z", 8))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own.ops", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
