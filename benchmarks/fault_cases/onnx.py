"""ONNX and TensorFlow Lite files: damaged, contradictory, endless, too deep, too large."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fault_cases.case import Case, Outcome
from benchmarks.fault_cases.made import RUNS, sparse_terabyte

FLOAT, INT = 1, 7
COUNT = ("count", "m.onnx", "--format=json", "--timeout=60s", "--memory-limit=2GiB")


def _onnx() -> Any:
    import onnx

    return onnx


def _weight(shape: tuple[int, ...], kind: int = FLOAT) -> Any:
    """A weight whose bytes are left out."""
    tensor = _onnx().TensorProto(name="w", data_type=kind)
    tensor.dims.extend(shape)
    elements = abs(math.prod(shape))
    if kind == FLOAT and 0 < elements <= 4096:  # small enough to be read
        tensor.raw_data = bytes(4 * elements)
    return tensor


def _graph(
    nodes: list[Any],
    stored: Sequence[Any] = (),
    size: tuple[Any, ...] = (1, 3, 8, 8),
    opset: int = 17,
    kind: int = FLOAT,
) -> bytes:
    helper = _onnx().helper
    x = helper.make_tensor_value_info("x", kind, size)
    y = helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], initializer=list(stored))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return bytes(model.SerializeToString())


def _node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return _onnx().helper.make_node(op, inputs, outputs, **attributes)


def _conv(weight: tuple[int, ...] = (4, 3, 3, 3), size: tuple[Any, ...] = (1, 3, 8, 8),
          **attributes: Any) -> bytes:  # fmt: skip
    return _graph([_node("Conv", ["x", "w"], ["y"], **attributes)], [_weight(weight)], size)


def _loop(rounds: int, body: int = 1, depth: int = 1) -> bytes:
    """A loop of so many rounds over so many nodes, within so many others."""
    helper, np = _onnx().helper, __import__("numpy")

    def scalar(name: str, value: int) -> Any:
        return _onnx().numpy_helper.from_array(np.array(value, np.int64), name)

    def inner(level: int) -> Any:
        names = [f"v{level}_{n}" for n in range(body + 1)]
        nodes = [_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
        if level > 1:
            nodes.append(_node("Loop", ["n", "", names[-1]], [f"o{level}"], body=inner(level - 1)))
        else:
            nodes.append(_node("Identity", [names[-1]], [f"o{level}"]))
        nodes.append(_node("Identity", [f"c{level}"], [f"d{level}"]))
        return helper.make_graph(nodes, f"b{level}", [
            helper.make_tensor_value_info(f"i{level}", INT, ()),
            helper.make_tensor_value_info(f"c{level}", 9, ()),
            helper.make_tensor_value_info(names[0], FLOAT, None)],
            [helper.make_tensor_value_info(f"d{level}", 9, ()),
             helper.make_tensor_value_info(f"o{level}", FLOAT, None)])  # fmt: skip

    return _graph([_node("Loop", ["n", "", "x"], ["y"], body=inner(depth))], [scalar("n", rounds)])


def _scan(length: int) -> bytes:
    helper = _onnx().helper
    body = helper.make_graph([_node("Relu", ["s"], ["t"])], "b",
                             [helper.make_tensor_value_info("s", FLOAT, None)],
                             [helper.make_tensor_value_info("t", FLOAT, None)])  # fmt: skip
    return _graph([_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)], size=(length, 4))


def _nested_ifs(depth: int) -> bytes:
    helper = _onnx().helper
    graph = helper.make_graph([_node("Identity", ["x"], ["o"])], "g",
                              [], [helper.make_tensor_value_info("o", FLOAT, None)])  # fmt: skip
    for level in range(depth):
        node = _node("If", ["c"], [f"o{level}"], then_branch=graph, else_branch=graph) \
            if level < 12 else _node("If", ["c"], [f"o{level}"], then_branch=graph)  # fmt: skip
        graph = helper.make_graph([node], "g", [], [
            helper.make_tensor_value_info(f"o{level}", FLOAT, None)])  # fmt: skip
    condition = _node("ReduceMax", ["x"], ["m"], keepdims=0)
    truth = _node("Cast", ["m"], ["c"], to=9)
    last = _node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
    return _graph([condition, truth, last])


def _functions(depth: int) -> bytes:
    helper = _onnx().helper
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def called(level: int) -> Any:
        op = f"f{level + 1}" if level + 1 < depth else "Relu"
        domain = "own" if level + 1 < depth else ""
        nodes = [helper.make_node(op, ["a"], ["b"], domain=domain),
                 helper.make_node(op, ["b"], ["c"], domain=domain)]  # fmt: skip
        return helper.make_function("own", f"f{level}", ["a"], ["c"], nodes, opsets)

    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="own")], "g",
                              [helper.make_tensor_value_info("x", FLOAT, (1, 3))],
                              [helper.make_tensor_value_info("y", FLOAT, None)])  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=opsets, functions=[called(n) for n in range(depth)]
    )
    return bytes(model.SerializeToString())


def _named(name: str) -> bytes:
    model = _onnx().ModelProto.FromString(_conv())
    model.graph.node[0].name = model.graph.name = model.producer_name = name
    model.graph.node[0].op_type = "Nothing" + name
    model.graph.node[0].domain = "own" + name
    return bytes(model.SerializeToString())


def _external(place: str, offset: str = "0", length: str = "8") -> bytes:
    """A shape that lies in a file of its own."""
    tensor = _onnx().TensorProto(name="w", data_type=INT, data_location=1)
    tensor.dims.extend([2])
    for key, value in (("location", place), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return _graph([_node("Reshape", ["x", "w"], ["y"])], [tensor])


def _const(values: list[int]) -> Any:
    np = __import__("numpy")
    return _onnx().numpy_helper.from_array(np.array(values, np.int64), "w")


# a graph that ONNX Runtime refuses too, or that nobody can run
WRONG: dict[str, Callable[[], bytes]] = {
    "an input too small for its kernel": lambda: _conv(size=(1, 3, 2, 2)),
    "an input of size 0": lambda: _conv(size=(1, 3, 0, 8)),
    "negative strides": lambda: _conv(strides=[-1, -1]), "strides of 0": lambda: _conv(strides=[0, 0]),
    "negative dilations": lambda: _conv(dilations=[-1, -1]), "dilations of 0": lambda: _conv(dilations=[0, 0]),
    "pads below the map": lambda: _conv(pads=[-9, -9, -9, -9]), "three pads": lambda: _conv(pads=[1, 1, 1]),
    "a kernel_shape of another": lambda: _conv(kernel_shape=[5, 5]), "a kernel_shape of 0": lambda: _conv(kernel_shape=[0, 0]),
    "group 0": lambda: _conv(group=0), "group -1": lambda: _conv(group=-1), "group 7": lambda: _conv(group=7),
    "group 2^62": lambda: _conv(group=2**62), "negative weights": lambda: _conv((4, -3, 3, 3)),
    "weights of 0": lambda: _conv((4, 3, 0, 3)),
    "weights of five dimensions": lambda: _conv((4, 3, 3, 3, 3)), "weights of other channels": lambda: _conv((4, 5, 3, 3)),
    "pads of 2^62": lambda: _conv(pads=[2**62] * 4),
    "auto_pad of a word": lambda: _conv(auto_pad="NOTHING"),
    "a loop of 2^62 rounds": lambda: _loop(2**62), "a loop of 10^6 rounds": lambda: _loop(10**6),
    "loops within loops": lambda: _loop(1000, 1, 3), "a loop over a thousand nodes": lambda: _loop(1000, 1000),
    "a scan of 10^9 slices": lambda: _scan(10**9), "functions of 2^25 nodes": lambda: _functions(25),
    "functions of 2^60 nodes": lambda: _functions(60),
    "a matrix product that does not fit": lambda: _graph([_node("MatMul", ["x", "w"], ["y"])], [_weight((5, 5))]),
    "a reshape to negative sizes": lambda: _graph([_node("Reshape", ["x", "w"], ["y"])], [_const([-5, 3])]),
    "a reshape to two open sizes": lambda: _graph([_node("Reshape", ["x", "w"], ["y"])], [_const([-1, -1])]),
    "a reshape to 2^62": lambda: _graph([_node("Reshape", ["x", "w"], ["y"])], [_const([2**62, 2])]),
    "an expansion to 2^62": lambda: _graph([_node("Expand", ["x", "w"], ["y"])], [_const([2**62, 3, 8, 8])]),
    "a concatenation on axis 9": lambda: _graph([_node("Concat", ["x", "x"], ["y"], axis=9)]),
    "a split into 2^40 parts": lambda: _graph([_node("Split", ["x"], ["y"], axis=0)], opset=11, size=(0,)),
    "an einsum of words": lambda: _graph([_node("Einsum", ["x"], ["y"], equation="nothing->")]),
    "a transposition of others": lambda: _graph([_node("Transpose", ["x"], ["y"], perm=[9, 9, 9, 9])]),
    "a cycle": lambda: _graph([_node("Relu", ["y"], ["z"]), _node("Relu", ["z"], ["y"])]),
    "a tensor made twice": lambda: _graph([_node("Relu", ["x"], ["y"]), _node("Relu", ["x"], ["y"])]),
    "an input that nobody makes": lambda: _graph([_node("Relu", ["nothing"], ["y"])]),
    "operator set 0": lambda: _graph([_node("Relu", ["x"], ["y"])], opset=0),
    "operator set -1": lambda: _graph([_node("Relu", ["x"], ["y"])], opset=-1),
    "operator set 9999": lambda: _graph([_node("Relu", ["x"], ["y"])], opset=9999),
    "an open batch and open sides": lambda: _conv(size=("n", 3, "h", "w")),
    "sides of -1": lambda: _conv(size=(1, 3, -1, -1)), "sides of 2^62": lambda: _conv(size=(1, 3, 2**62, 2**62)),
    "a missing file of weights": lambda: _external("nothing.bin"),
    "weights above the folder": lambda: _external("../neighbour"),
    "weights at a root": lambda: _external("/etc/passwd"), "weights of zeros": lambda: _external("/dev/zero"),
    "weights of a folder": lambda: _external("."), "weights at 2^62": lambda: _external("m.onnx", str(2**62)),
    "weights at -1": lambda: _external("m.onnx", "-1"), "weights at words": lambda: _external("m.onnx", "x", "y"),
    "weights of a null byte": lambda: _external("a\x00b"), "weights of escapes": lambda: _external("\x1b[2J"),
    "an attribute of another kind": lambda: _conv(strides="words"), "a pad of floats": lambda: _conv(pads=[0.5] * 4),
    "an Einsum of a long equation": lambda: _graph([_node("Einsum", ["x"], ["y"], equation="a" * 100_000)]),
    "a sequence": lambda: _graph([_node("SequenceConstruct", ["x"], ["y"])]),
    "an If without a branch": lambda: _graph([_node("If", ["x"], ["y"])]),
    "a Loop without a body": lambda: _graph([_node("Loop", ["x", "", "x"], ["y"])]),
    "a Scan without a body": lambda: _graph([_node("Scan", ["x"], ["y"])]),
    "a Scan of -1 inputs": lambda: _graph([_node("Scan", ["x"], ["y"], num_scan_inputs=-1)]),
    "nodes without inputs": lambda: _graph([_node(op, [], ["y"]) for op in ("Conv", "MatMul", "Gemm")]),
    "a Conv of one input": lambda: _graph([_node("Conv", ["x"], ["y"])]),
    "an attention of contradictions": lambda: _graph([_node("Attention", ["x", "x", "x"], ["y"], q_num_heads=0)], size=(1, 8, 8), opset=23),
    "a quantisation of NaN": lambda: _nan(),
    "a Resize to 2^40": lambda: _graph([_node("Resize", ["x", "", "", "w"], ["y"])], [_const([1, 3, 2**40, 2**40])]),
    "a Range of 2^62": lambda: _graph([_node("Range", ["w", "w", "w"], ["y"])], [_const([2**62])]),
    "a Tile of 2^40": lambda: _graph([_node("Tile", ["x", "w"], ["y"])], [_const([2**40] * 4)]),
    "a ConstantOfShape of 2^50": lambda: _graph([_node("ConstantOfShape", ["w"], ["y"])], [_const([2**50])]),
    "a OneHot of 2^50": lambda: _graph([_node("OneHot", ["x", "w", "w"], ["y"])], [_const([2**50])]),
    "a Pad of -2^40": lambda: _graph([_node("Pad", ["x", "w"], ["y"])], [_const([-(2**40)] * 8)]),
    "a Slice of 2^62 steps": lambda: _graph([_node("Slice", ["x", "w", "w", "w", "w"], ["y"])], [_const([2**62])]),
    "a DepthToSpace of 0": lambda: _graph([_node("DepthToSpace", ["x"], ["y"], blocksize=0)]),
    "a pooling of 0": lambda: _graph([_node("MaxPool", ["x"], ["y"], kernel_shape=[0, 0])]),
    "a pooling of 2^62": lambda: _graph([_node("MaxPool", ["x"], ["y"], kernel_shape=[2**62] * 2)]),
    "an LSTM of -1": lambda: _graph([_node("LSTM", ["x", "w", "w"], ["y"], hidden_size=-1)], [_weight((1, 4, 4))], (2, 2, 4)),
    "a ConvTranspose below the map": lambda: _graph([_node("ConvTranspose", ["x", "w"], ["y"], pads=[9] * 4)], [_weight((3, 4, 3, 3))]),
}  # fmt: skip
# what is right, and what it has to count: MACs
RIGHT: dict[str, tuple[Callable[[], bytes], int]] = {
    "a stride of 2^62": (lambda: _conv(strides=[2**62, 2**62]), 4 * 3 * 9),
    "2^62 filters": (lambda: _conv((2**62, 3, 3, 3)), 2**62 * 3 * 9 * 36),
    "a convolution": (lambda: _conv(), 4 * 3 * 9 * 36),
    "a convolution in groups": (lambda: _conv((6, 1, 3, 3), group=3), 6 * 9 * 36),
    "a loop of ten rounds": (lambda: _loop(10), 0),
    "a loop of none": (lambda: _loop(0), 0), "a loop of -5": (lambda: _loop(-5), 0),
    "a scan of four": (lambda: _scan(4), 0), "functions of 2^5": (lambda: _functions(5), 0),
}  # fmt: skip
RAW: dict[str, bytes] = {
    "empty": b"", "words": b"words", "noise": bytes(range(256)) * 40, "zeros": bytes(10_000),
    "JSON": b"{}", "HTML": b"<html></html>", "a pickle": RUNS,
    "a zip": b"PK\x03\x04" + bytes(100), "an endless varint": b"\xff" * 1000,
    "a pointer to Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a length of 2^62": b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x3f", "deep messages": b"\x3a\x7f" * 5000,
}  # fmt: skip


def _nan() -> bytes:
    np = __import__("numpy")
    tensor = _onnx().numpy_helper.from_array(np.array(float("nan"), np.float32), "w")
    return _graph([_node("QuantizeLinear", ["x", "w"], ["y"])], [tensor])


PLACES: dict[str, Callable[[Path], object]] = {
    "a folder": lambda w: (w / "m.onnx").mkdir(), "a pipe": lambda w: os.mkfifo(w / "m.onnx"),
    "a link to itself": lambda w: (w / "m.onnx").symlink_to("m.onnx"),
    "a link to zeros": lambda w: (w / "m.onnx").symlink_to("/dev/zero"),
    "a sparse terabyte": lambda w: sparse_terabyte(w / "m.onnx"), "nothing": lambda w: None,
}  # fmt: skip


def _counts(macs: int) -> Callable[[Outcome], str]:
    def check(outcome: Outcome) -> str:
        import json

        found = json.loads(outcome.out)["macs"] if outcome.exit == 0 else macs
        return "" if found == macs else f"counted {found} MACs, not {macs}"

    return check


def _listed(outcome: Outcome) -> str:
    """What is not refused is a lower bound that lists what it lacks, or has nothing to count."""
    import json

    if outcome.exit != 0:
        return ""
    found = json.loads(outcome.out)
    return f"counted {found['macs']} MACs" if found["macs"] and not found.get("uncovered") else ""


def cases() -> Iterator[Case]:
    """Each file before ``count``, the raw ones before other commands too."""
    for name, make in WRONG.items():
        try:
            content = make()
        except Exception as error:  # the installed onnx cannot even write it
            content = str(error).encode()
        yield Case(f"wrong: {name}", COUNT, files={"m.onnx": content}, exits=(0, 1, 2),
                   check=_listed, lines=2, limit_s=90)  # fmt: skip
    for name, (make, macs) in RIGHT.items():
        yield Case(f"right: {name}", COUNT, files={"m.onnx": make()}, exits=(0,),
                   check=_counts(macs))  # fmt: skip
    for name, content in RAW.items():
        yield Case(f"raw: {name}", COUNT, files={"m.onnx": content})
        yield Case(f"raw tflite: {name}", ("count", "m.tflite", "--timeout=60s"),
                   files={"m.tflite": content})  # fmt: skip
    for name, place in PLACES.items():
        yield Case(f"at {name}", COUNT, make=place, limit_s=90)
    for name in ("\x1b[2J", "\x1b]0;t\x07", "\x9b2J", "\u202e", "a\nb\nc", "x" * 100_000, "<script>",
                 "|a|b|", "`$(id)`", "{0}", "%s", "\u0000"):  # fmt: skip
        shown = name.encode("unicode_escape").decode()[:20]
        for form in ("table", "json", "md"):
            yield Case(f"a node named {shown} as {form}", ("count", "m.onnx", "--by=op",
                       f"--format={form}"), files={"m.onnx": _named(name)}, exits=(0, 1, 2),
                       lines=3)  # fmt: skip
    whole, draw = _conv(), random.Random(0)
    for number in range(25):
        cut = draw.randrange(1, len(whole))
        yield Case(f"cut at {number}: {cut}", COUNT, files={"m.onnx": whole[:cut]}, exits=(0, 1, 2),
                   lines=2, check=_listed if cut < len(whole) - 8 else None)  # fmt: skip
        damaged = bytearray(whole)
        for _ in range(1 + number % 4):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        yield Case(f"damaged {number}", COUNT, files={"m.onnx": bytes(damaged)}, exits=(0, 1, 2),
                   lines=2)  # fmt: skip
