"""ONNX graphs within graphs, open sizes, shapes that only a run tells, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")

from gadprof.counting.onnx.file import MOST_NODES  # noqa: E402
from gadprof.counting.onnx.graph import count_onnx  # noqa: E402
from gadprof.counting.onnx.shapes import GraphWalk  # noqa: E402
from gadprof.errors import GadprofError, ModelFailedError, SourceError  # noqa: E402
from gadprof.models.counting import trace_model  # noqa: E402

helper = onnx.helper
node = helper.make_node
FLOAT, INT, TRUTH = 1, 7, 9


def info(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def zeros(name, *shape):
    return helper.make_tensor(name, FLOAT, shape, [0.0] * int(np.prod(shape)))


def scalar(name, value, kind=INT):
    return helper.make_tensor(name, kind, [], [value])


def saved(tmp_path, nodes, inputs, outputs, stored=(), opset=17, functions=(), domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(stored))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    return str(path)


# --- open sizes -----------------------------------------------------------------------------------


def convolution(tmp_path, sizes, *, weight=(4, 3, 3, 3), **attributes):
    nodes = [node("Conv", ["x", "w"], ["y"], name="conv", **attributes)]
    return saved(tmp_path, nodes, [info("x", sizes)], [info("y", None)], [zeros("w", *weight)])


@pytest.mark.parametrize("batch", [-1, 0])
def test_a_batch_of_minus_one_or_zero_is_open(batch, tmp_path):
    path = convolution(tmp_path, [batch, 3, 8, 8], pads=[1, 1, 1, 1])
    assert count_onnx(path).macs == 64 * 4 * 27
    assert count_onnx(path, batch=5).macs == 5 * 64 * 4 * 27


@pytest.mark.parametrize("sides", [(-1, -1), (0, 0), ("H", "W")])
def test_open_sides_take_the_input(sides, tmp_path):
    path = convolution(tmp_path, [-1, 3, *sides], pads=[1, 1, 1, 1])
    assert count_onnx(path, ((3, 8, 6),)).macs == 48 * 4 * 27
    assert count_onnx(path, ((8, 6),)).macs == 48 * 4 * 27
    with pytest.raises(GadprofError, match=r"open .*give its size: --input 3x224x224"):
        count_onnx(path)


def test_stated_sizes_below_zero_are_no_sizes(tmp_path):
    nodes = [node("Conv", ["x", "w"], ["m"], pads=[1, 1, 1, 1]), node("Relu", ["m"], ["y"])]
    path = saved(tmp_path, nodes, [info("x", [1, 3, 8, 8])], [info("y", [-1, -1, -1, -1])],
                 [zeros("w", 4, 3, 3, 3)])  # fmt: skip
    trace = count_onnx(path)
    assert (trace.macs, trace.elementwise()) == (64 * 4 * 27, {"relu": 256})


@pytest.mark.parametrize(
    ("sizes", "given", "words"),
    [
        ([1, 3, 2, 2], {}, "nothing would be left"),
        ([1, 3, 8, 8], {"kernel_shape": [5, 5]}, "states the kernel 5x5, its weight has 3x3"),
        ([1, 3, 8, 8], {"group": 0}, "in 0 groups"),
        ([1, 21, 8, 8], {"group": 7}, "in 7 groups"),
        ([1, 5, 8, 8], {}, "cannot take 5 channels"),
        ([1, 3, 8, 8], {"auto_pad": "SAME"}, "auto_pad 'SAME', which no operator knows"),
    ],
)
def test_a_convolution_that_no_runtime_takes_is_refused(sizes, given, words, tmp_path):
    path = convolution(tmp_path, sizes, **given)
    with pytest.raises(GadprofError, match=words) as caught:
        count_onnx(path)
    assert path in str(caught.value)


def test_weights_of_negative_size_are_refused(tmp_path):
    path = convolution(tmp_path, [1, 3, 8, 8])
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [-4, 3, 3, 3]
    onnx.save(model, path)
    with pytest.raises(SourceError, match="has the sizes -4x3x3x3"):
        count_onnx(path)


def test_a_scale_that_is_no_number_is_refused(tmp_path):
    nodes = [node("QuantizeLinear", ["x", "s"], ["y"])]
    scale = helper.make_tensor("s", FLOAT, [], [float("nan")])
    path = saved(tmp_path, nodes, [info("x", [4])], [info("y", [4], 2)], [scale])
    with pytest.raises(SourceError, match="scale that is no number"):
        count_onnx(path)


# --- If, Loop, Scan -------------------------------------------------------------------------------


def branch(size, name):
    """A product with a matrix of 8 x size, and one back."""
    nodes = [node("MatMul", ["x", f"a{name}"], [f"m{name}"]),
             node("MatMul", [f"m{name}", f"b{name}"], [f"r{name}"])]  # fmt: skip
    weights = [zeros(f"a{name}", 8, size), zeros(f"b{name}", size, 8)]
    return helper.make_graph(nodes, name, [], [info(f"r{name}", [2, 8])], weights)


@pytest.mark.parametrize("sizes", [(16, 4), (4, 16)])
def test_a_branch_that_depends_on_data_is_counted_as_the_costlier(sizes, tmp_path):
    taken = node("If", ["c"], ["y"], then_branch=branch(sizes[0], "t"),
                 else_branch=branch(sizes[1], "e"))  # fmt: skip
    given = [info("x", [2, 8]), info("c", [], TRUTH)]
    path = saved(tmp_path, [taken], given, [info("y", [2, 8])])
    trace = count_onnx(path)
    assert trace.macs == 2 * 2 * 8 * 16
    assert trace.params == 2 * 8 * 16
    assert trace.uncovered == {}
    assert "takes its costlier branch" in trace.note


def growing_loop(tmp_path, limit, condition="", stored=(), extra=()):
    """Each round multiplies by an 8 x 8 matrix and gives its map."""
    body = helper.make_graph(
        [
            node("MatMul", ["v", "w"], ["u"], name="/blk/MatMul"),
            node("Identity", ["go"], ["on"]),
            node("Relu", ["u"], ["s"]),
        ],
        "body",
        [info("i", [], INT), info("go", [], TRUTH), info("v", [2, 8])],
        [info("on", [], TRUTH), info("u", [2, 8]), info("s", [2, 8])],
        [zeros("w", 8, 8)],
    )
    loop = node("Loop", ["n", condition, "x"], ["last", "all"], body=body)
    outputs = [info("last", [2, 8]), info("all", None)]
    inputs = [info("x", [2, 8]), *extra]
    return saved(tmp_path, [loop], inputs, outputs, [scalar("n", limit), *stored])


@pytest.mark.parametrize("rounds", [0, 1, 7])
def test_a_loop_counts_every_round_and_its_weights_once(rounds, tmp_path):
    trace = count_onnx(growing_loop(tmp_path, rounds))
    assert trace.macs == rounds * 2 * 8 * 8
    assert trace.elementwise().get("relu", 0) == rounds * 16
    assert trace.params == (64 if rounds else 0)
    assert trace.uncovered == {}
    if rounds:
        assert trace.output_shapes == ((2, 8), (rounds, 2, 8))


def test_a_known_condition_lets_the_loop_run(tmp_path):
    path = growing_loop(tmp_path, 5, "c", [helper.make_tensor("c", TRUTH, [], [True])])
    assert count_onnx(path).macs == 5 * 128


def test_a_loop_whose_end_depends_on_data_runs_to_its_limit(tmp_path):
    trace = count_onnx(growing_loop(tmp_path, 9, "c", extra=[info("c", [], TRUTH)]))
    assert trace.macs == 9 * 128
    assert "runs to its limit" in trace.note


def test_a_loop_without_an_end_is_listed(tmp_path):
    path = growing_loop(tmp_path, 2**63 - 1, "c", extra=[info("c", [], TRUTH)])
    assert count_onnx(path).uncovered == {"onnx.Loop": 1}


def test_a_loop_that_runs_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("gadprof.counting.onnx.shapes.MOST_STEPS", 2_000)
    with pytest.raises(SourceError, match="runs more than 2,000 nodes"):
        count_onnx(growing_loop(tmp_path, 2**62))


def empty_loop(tmp_path, rounds):
    """Each round hands on what it was given, without a node."""
    body = helper.make_graph(
        [], "body", [info("i", [], INT), info("go", [], TRUTH), info("v", [2, 8])],
        [info("go", [], TRUTH), info("v", [2, 8])],
    )  # fmt: skip
    loop = node("Loop", ["n", "", "x"], ["last"], body=body)
    return saved(tmp_path, [loop], [info("x", [2, 8])], [info("last", None)], [scalar("n", rounds)])


@pytest.mark.parametrize("condition", ["", "c"])
@pytest.mark.parametrize("make", [growing_loop, empty_loop])
def test_a_loop_of_two_to_the_62_rounds_is_refused_before_it_is_walked(
    make, condition, tmp_path, monkeypatch
):
    given = {"condition": "c", "stored": [helper.make_tensor("c", TRUTH, [], [True])]}
    path = make(tmp_path, 2**62, **(given if condition and make is growing_loop else {}))
    steps = []
    monkeypatch.setattr(GraphWalk, "_step", lambda self, node: steps.append(node))
    with pytest.raises(SourceError, match=r"has 4,611,686,018,427,387,904 rounds"):
        count_onnx(path)
    assert not steps


def test_loops_within_loops_are_refused_after_a_round(tmp_path, monkeypatch):
    """400 rounds of 400 rounds: either fits alone, and one round of the outer tells the whole."""
    monkeypatch.setattr("gadprof.counting.onnx.shapes.MOST_STEPS", 2_000)
    inner = helper.make_graph(
        [node("Relu", ["v"], ["u"])], "inner",
        [info("i", [], INT), info("g", [], TRUTH), info("v", [2, 8])],
        [info("g", [], TRUTH), info("u", [2, 8])],
    )  # fmt: skip
    outer = helper.make_graph(
        [node("Loop", ["n", "", "a"], ["b"], body=inner)], "outer",
        [info("j", [], INT), info("t", [], TRUTH), info("a", [2, 8])],
        [info("t", [], TRUTH), info("b", [2, 8])],
    )  # fmt: skip
    path = saved(
        tmp_path, [node("Loop", ["n", "", "x"], ["y"], body=outer)], [info("x", [2, 8])],
        [info("y", None)], [scalar("n", 400)],
    )  # fmt: skip
    with pytest.raises(SourceError, match="has 399 rounds of 401"):
        count_onnx(path)


def test_loops_within_loops_multiply(tmp_path):
    inner = helper.make_graph(
        [node("MatMul", ["v", "w"], ["u"]), node("Identity", ["g"], ["h"])],
        "inner",
        [info("i", [], INT), info("g", [], TRUTH), info("v", [2, 8])],
        [info("h", [], TRUTH), info("u", [2, 8])],
        [zeros("w", 8, 8)],
    )
    outer = helper.make_graph(
        [node("Loop", ["k", "", "p"], ["q"], body=inner), node("Identity", ["g2"], ["h2"])],
        "outer",
        [info("j", [], INT), info("g2", [], TRUTH), info("p", [2, 8])],
        [info("h2", [], TRUTH), info("q", [2, 8])],
    )
    loop = node("Loop", ["n", "", "x"], ["y"], body=outer)
    stored = [scalar("n", 3), scalar("k", 4)]
    path = saved(tmp_path, [loop], [info("x", [2, 8])], [info("y", [2, 8])], stored)
    trace = count_onnx(path)
    assert (trace.macs, trace.params, trace.uncovered) == (3 * 4 * 128, 64, {})


@pytest.mark.parametrize("axis", [0, 1])
def test_a_scan_counts_every_slice(axis, tmp_path):
    body = helper.make_graph(
        [node("MatMul", ["slice", "w"], ["m"]), node("Add", ["m", "state"], ["sum"]),
         node("Identity", ["sum"], ["out"])],
        "body",
        [info("state", [2, 4]), info("slice", [2, 8])],
        [info("sum", [2, 4]), info("out", [2, 4])],
        [zeros("w", 8, 4)],
    )  # fmt: skip
    shape = [6, 2, 8] if axis == 0 else [2, 6, 8]
    scan = node("Scan", ["s", "x"], ["end", "all"], body=body, num_scan_inputs=1,
                scan_input_axes=[axis])  # fmt: skip
    outputs = [info("end", [2, 4]), info("all", None)]
    path = saved(tmp_path, [scan], [info("s", [2, 4]), info("x", shape)], outputs)
    trace = count_onnx(path)
    assert trace.macs == 6 * 2 * 8 * 4
    assert trace.elementwise() == {"add": 6 * 8}
    assert (trace.params, trace.uncovered) == (32, {})
    assert trace.output_shapes == ((2, 4), (6, 2, 4))


# --- functions ------------------------------------------------------------------------------------


def doubling(depth):
    """Functions of which each calls the one below twice."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    made = [helper.make_function("local", "F0", ["a"], ["b"], [node("Relu", ["a"], ["b"])], opset)]
    for level in range(1, depth + 1):
        calls = [node(f"F{level - 1}", ["a"], ["m"], domain="local"),
                 node(f"F{level - 1}", ["m"], ["b"], domain="local")]  # fmt: skip
        made.append(helper.make_function("local", f"F{level}", ["a"], ["b"], calls, opset))
    return made


@pytest.mark.parametrize("depth", [3, 25])
def test_functions_are_opened_within_bounds(depth, tmp_path):
    call = [node(f"F{depth}", ["x"], ["y"], domain="local")]
    path = saved(tmp_path, call, [info("x", [5])], [info("y", [5])], functions=doubling(depth),
                 domains=["local"])  # fmt: skip
    if 2**depth <= MOST_NODES:
        assert count_onnx(path).elementwise() == {"relu": 5 * 2**depth}
    else:
        with pytest.raises(SourceError, match="33,554,432 nodes"):
            count_onnx(path)


def test_a_function_that_calls_itself_is_refused(tmp_path):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    calls = [node("F", ["a"], ["b"], domain="local")]
    endless = helper.make_function("local", "F", ["a"], ["b"], calls, opset)
    path = saved(tmp_path, [node("F", ["x"], ["y"], domain="local")], [info("x", [5])],
                 [info("y", [5])], functions=[endless], domains=["local"])  # fmt: skip
    with pytest.raises(SourceError, match="calls itself"):
        count_onnx(path)


# --- shapes that only a run tells -----------------------------------------------------------------


def selecting(tmp_path):
    """Rows that a mask of ones chooses (all but the first), times a matrix."""
    nodes = [
        node("NonZero", ["mask"], ["at"]),
        node("Squeeze", ["at", "zero"], ["rows"]),
        node("Gather", ["x", "rows"], ["chosen"]),
        node("MatMul", ["chosen", "w"], ["y"]),
    ]
    mask = helper.make_tensor("big", FLOAT, [5000], [0.0] + [1.0] * 4999)
    nodes.insert(0, node("Mul", ["big", "one"], ["mask"]))
    stored = [mask, zeros("w", 8, 3), helper.make_tensor("zero", INT, [1], [0]),
              helper.make_tensor("one", FLOAT, [1], [1.0])]  # fmt: skip
    return saved(tmp_path, nodes, [info("x", [5000, 8])], [info("y", None)], stored)


def test_without_a_run_unknown_shapes_are_listed(tmp_path):
    trace = count_onnx(selecting(tmp_path))
    assert trace.macs == 0
    assert trace.uncovered == {"onnx.MatMul": 1}


def test_shapes_that_depend_on_data_are_found_by_a_run(tmp_path):
    pytest.importorskip("onnxruntime")
    path = selecting(tmp_path)
    trace = count_onnx(path, run=True)
    assert (trace.macs, trace.uncovered) == (4999 * 8 * 3, {})
    assert "found by running it" in trace.note
    apart = trace_model(path)
    assert (apart.macs, apart.note) == (trace.macs, trace.note)


def test_a_run_that_fails_leaves_the_listing(tmp_path):
    pytest.importorskip("onnxruntime")
    nodes = [node("Mystery", ["x"], ["m"], domain="com.example"), node("Relu", ["m"], ["y"])]
    path = saved(tmp_path, nodes, [info("x", [4])], [info("y", None)], domains=["com.example"])
    trace = trace_model(path)
    assert trace.uncovered == {"com_example.Mystery": 1, "onnx.Relu": 1}
    assert "running it for the shapes that are not known failed" in trace.note
    with pytest.raises(ModelFailedError, match="ONNX Runtime refuses"):
        count_onnx(path, run=True)
