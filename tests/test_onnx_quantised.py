"""Quantised and optimised ONNX files: what ONNX Runtime writes counts as the network it was."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")
runtime = pytest.importorskip("onnxruntime", reason="needs gadprof[onnx]")

from gadprof.counting.onnx.graph import count_onnx  # noqa: E402
from gadprof.counting.precision import macs_by_dtype  # noqa: E402

helper = onnx.helper
node = helper.make_node
FLOAT, BYTE, SIGNED = 1, 2, 3


def info(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def stored(name, *shape, kind=FLOAT):
    generator = np.random.default_rng(len(name) + sum(shape))
    values = generator.standard_normal(shape) if kind == FLOAT else generator.integers(0, 9, shape)
    return helper.make_tensor(name, kind, shape, values.ravel().tolist())


def write(path, nodes, inputs, outputs, weights, domain=""):
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


# --- a small convolutional network, and what the runtime makes of it ------------------------------

MACS = 16 * 27 * 64 + 16 * 9 * 64 + 16 * 10
PARAMS = 16 * 27 + 16 + 16 * 9 + 16 + 16 * 10 + 10


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A convolution, a depthwise one, an addition, a pooling, and a linear layer."""
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1], name="one"),
        node("Relu", ["a"], ["r"], name="relu"),
        node("Conv", ["r", "w2", "b2"], ["c"], pads=[1, 1, 1, 1], group=16, name="two"),
        node("Add", ["r", "c"], ["s"], name="add"),
        node("GlobalAveragePool", ["s"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flat"),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1, name="fc"),
    ]
    weights = [stored("w1", 16, 3, 3, 3), stored("b1", 16), stored("w2", 16, 1, 3, 3),
               stored("b2", 16), stored("w3", 10, 16), stored("b3", 10)]  # fmt: skip
    return write(path, nodes, [info("x", [1, 3, 8, 8])], [info("y", [1, 10])], weights)


def test_the_network_as_it_was_drawn(network):
    trace = count_onnx(network)
    assert (trace.macs, trace.params, trace.uncovered) == (MACS, PARAMS, {})


class Pictures:
    """Two random pictures, as the quantiser asks for them."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.left = [{"x": generator.random((1, 3, 8, 8), np.float32)} for _ in range(2)]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_statically_quantised_network_has_its_products(form, network, tmp_path):
    from onnxruntime.quantization import QuantFormat, quantize_static

    path = str(tmp_path / "q.onnx")
    quantize_static(network, path, Pictures(), quant_format=QuantFormat[form])
    trace = count_onnx(path)
    assert (trace.macs, trace.params, trace.uncovered) == (MACS, PARAMS, {})
    assert trace.param_bytes < 4 * PARAMS


def test_a_dynamically_quantised_network_has_its_products(network, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = str(tmp_path / "q.onnx")
    quantize_dynamic(network, path, weight_type=QuantType.QUInt8)
    trace = count_onnx(path)
    assert (trace.macs, trace.uncovered) == (MACS, {})


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "ALL"])
def test_what_the_optimiser_writes_has_its_products(level, network, tmp_path):
    options = runtime.SessionOptions()
    wanted = getattr(runtime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.graph_optimization_level = wanted
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    trace = count_onnx(options.optimized_model_filepath)
    assert (trace.macs, trace.params, trace.uncovered) == (MACS, PARAMS, {})


def test_a_quantised_network_optimised_has_its_products(network, tmp_path):
    from onnxruntime.quantization import QuantFormat, quantize_static

    quantised = str(tmp_path / "q.onnx")
    quantize_static(network, quantised, Pictures(), quant_format=QuantFormat.QDQ)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    trace = count_onnx(options.optimized_model_filepath)
    assert (trace.macs, trace.uncovered) == (MACS, {})


# --- operators one by one: shapes as the runtime finds them, costs by hand ------------------------

Q = ["s", "z"]
SCALES = [helper.make_tensor("s", FLOAT, [], [0.5]), helper.make_tensor("z", BYTE, [], [0])]


def one(tmp_path, op, inputs, given, weights, domain="com.microsoft", outputs=("y",), **attributes):
    """A file of one operator."""
    made = node(op, inputs, list(outputs), domain=domain, **attributes)
    used = {name for name in inputs if name}
    weights = [item for item in (*weights, *SCALES) if item.name in used]
    shown = [info(name, None, 0) for name in outputs]
    for item in shown:
        item.ClearField("type")
    return write(tmp_path / "m.onnx", [made], given, shown, weights, domain)


CASES = {
    "QLinearAdd": (["x", *Q, "o", *Q, *Q], {"x": ([2, 8], BYTE), "o": ([2, 8], BYTE)}, [], {},
                   0, {"add": 16}),
    "QLinearMul": (["x", *Q, "o", *Q, *Q], {"x": ([2, 8], BYTE), "o": ([1, 8], BYTE)}, [], {},
                   0, {"mul": 16}),
    "QLinearSigmoid": (["x", *Q, *Q], {"x": ([2, 8], BYTE)}, [], {}, 0, {"sigmoid": 16}),
    "QLinearGlobalAveragePool": (["x", *Q, *Q], {"x": ([1, 4, 6, 6], BYTE)}, [], {}, 0, {}),
    "QLinearAveragePool": (["x", *Q, *Q], {"x": ([1, 4, 6, 6], BYTE)}, [],
                           {"kernel_shape": [2, 2], "strides": [2, 2]}, 0, {}),
    "QLinearConcat": ([*Q, "x", *Q, "o", *Q], {"x": ([1, 4, 6], BYTE), "o": ([1, 2, 6], BYTE)}, [],
                      {"axis": 1}, 0, {}),
    "QGemm": (["x", *Q, "w", *Q, "", *Q], {"x": ([5, 8], BYTE)}, [stored("w", 8, 6, kind=BYTE)],
              {}, 5 * 8 * 6, {}),
    "DynamicQuantizeMatMul": (["x", "w", "s", "z"], {"x": ([5, 8], FLOAT)},
                              [stored("w", 8, 6, kind=BYTE)], {}, 5 * 8 * 6, {}),
    "MatMulIntegerToFloat": (["x", "w", "s", "s", "z", "z"], {"x": ([5, 8], BYTE)},
                             [stored("w", 8, 6, kind=BYTE)], {}, 5 * 8 * 6, {}),
    "MatMulNBits": (["x", "w", "f"], {"x": ([3, 5, 32], FLOAT)},
                    [stored("w", 6, 1, 16, kind=BYTE), stored("f", 6)],
                    {"K": 32, "N": 6, "bits": 4, "block_size": 32}, 15 * 32 * 6, {}),
    "FusedConv": (["x", "w"], {"x": ([1, 3, 8, 8], FLOAT)}, [stored("w", 4, 3, 3, 3)],
                  {"activation": "Relu", "pads": [1, 1, 1, 1]}, 64 * 4 * 27, {}),
    "FusedMatMul": (["x", "o"], {"x": ([2, 8, 5], FLOAT), "o": ([2, 6, 8], FLOAT)}, [],
                    {"transA": 1, "transB": 1}, 2 * 5 * 8 * 6, {}),
    "FusedGemm": (["x", "w", "b"], {"x": ([5, 8], FLOAT)}, [stored("w", 8, 6), stored("b", 6)],
                  {"activation": "Relu"}, 5 * 8 * 6, {}),
    "BiasGelu": (["x", "b"], {"x": ([5, 8], FLOAT)}, [stored("b", 8)], {}, 0, {"gelu": 40}),
    "Gelu": (["x"], {"x": ([5, 8], FLOAT)}, [], {}, 0, {"gelu": 40}),
    "SkipLayerNormalization": (["x", "o", "g", "b"],
                               {"x": ([1, 5, 8], FLOAT), "o": ([1, 5, 8], FLOAT)},
                               [stored("g", 8), stored("b", 8)], {}, 0, {}),
    "Attention": (["x", "w", "b"], {"x": ([2, 5, 8], FLOAT)}, [stored("w", 8, 24), stored("b", 24)],
                  {"num_heads": 2}, 2 * 5 * 8 * 24 + 2 * 2 * 5 * 5 * 8, {}),
    "MultiHeadAttention": (["x", "k", "v"], {"x": ([2, 5, 8], FLOAT), "k": ([2, 7, 8], FLOAT),
                                             "v": ([2, 7, 8], FLOAT)}, [], {"num_heads": 2},
                           2 * 2 * 5 * 7 * 8, {}),
}  # fmt: skip


@pytest.mark.parametrize("op", list(CASES))
def test_an_operator_of_the_runtime_has_its_shape_and_its_products(op, tmp_path):
    inputs, given, weights, attributes, macs, elementwise = CASES[op]
    shown = [info(name, shape, kind) for name, (shape, kind) in given.items()]
    path = one(tmp_path, op, inputs, shown, weights, **attributes)
    trace = count_onnx(path)
    assert (trace.macs, trace.uncovered) == (macs, {})
    if elementwise:
        assert trace.elementwise() == elementwise
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {FLOAT: np.float32, BYTE: np.uint8}
    fed = {name: np.ones(shape, kinds[kind]) for name, (shape, kind) in given.items()}
    found = session.run(None, fed)
    assert trace.output_shapes == tuple(item.shape for item in found)


def test_weights_of_four_bits_count_as_the_matrix_that_they_are(tmp_path):
    inputs, given, weights, attributes, *_ = CASES["MatMulNBits"]
    shown = [info(name, shape, kind) for name, (shape, kind) in given.items()]
    trace = count_onnx(one(tmp_path, "MatMulNBits", inputs, shown, weights, **attributes))
    assert (trace.params, trace.param_bytes) == (32 * 6, 32 * 6 // 2)


def test_a_fused_activation_and_sum_are_counted(tmp_path):
    weights = [stored("w", 4, 3, 1, 1), stored("b", 4)]
    given = [info("x", [1, 3, 2, 2]), info("o", [1, 4, 2, 2])]
    path = one(tmp_path, "FusedConv", ["x", "w", "b", "o"], given, weights, activation="Relu")
    trace = count_onnx(path)
    assert trace.flops == 2 * 4 * 4 * 3 + 16 + 16 + 16  # products, bias, sum, comparison


def test_an_unknown_operator_of_the_domain_is_listed(tmp_path):
    path = one(tmp_path, "Inverse", ["x"], [info("x", [3, 3])], [])
    assert count_onnx(path).uncovered == {"com_microsoft.Inverse": 1}


def test_products_between_quantise_pairs_are_in_integers_and_others_are_not(tmp_path):
    """A convolution of dequantised operands beside one whose weights alone are in eight bits."""
    kinds = {"s": FLOAT, "z": BYTE, "zw": SIGNED}
    scale = [helper.make_tensor(name, kind, [], [1]) for name, kind in kinds.items()]
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w1", "s", "zw"], ["dw1"]),
        node("Conv", ["d", "dw1"], ["a"], pads=[1, 1, 1, 1]),
        node("DequantizeLinear", ["w2", "s", "zw"], ["dw2"]),
        node("Conv", ["a", "dw2"], ["y"], pads=[1, 1, 1, 1]),
    ]
    weights = [*scale, stored("w1", 4, 3, 3, 3, kind=SIGNED)]
    weights.append(stored("w2", 2, 4, 3, 3, kind=SIGNED))
    ends = [info("x", [1, 3, 8, 8])], [info("y", [1, 2, 8, 8])]
    path = write(tmp_path / "q.onnx", nodes, *ends, weights)
    trace = count_onnx(path)
    assert macs_by_dtype(trace) == {"float32": 2 * 36 * 64, "int8": 4 * 27 * 64}
