"""What is counted by type, bits, zeros and active experts; and that every rule says its formula."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import gadprof
from gadprof.cli import run
from gadprof.counting.page import count_page
from gadprof.counting.precision import (
    active_params,
    bits_of,
    bops,
    bytes_by_dtype,
    macs_by_dtype,
    sparsity,
)
from gadprof.counting.rules.catalogue import entries
from gadprof.counting.rules.registry import BUILT_IN
from gadprof.render.tables import render


@pytest.mark.parametrize(
    ("dtype", "bits"), [(torch.float32, 32), (torch.bfloat16, 16), (torch.float64, 64)]
)
def test_a_mac_is_as_many_bit_operations_as_its_factors_have_bits(dtype, bits):
    model = nn.Linear(4, 8).to(dtype)
    trace = gadprof.count(model, (torch.zeros(3, 4, dtype=dtype),))
    assert macs_by_dtype(trace) == {str(dtype)[6:]: 96}
    assert bops(trace) == 96 * bits * bits
    assert trace.weight_bytes_by_dtype == {str(dtype)[6:]: 40 * bits // 8}
    assert bytes_by_dtype(trace) == {str(dtype)[6:]: (12 + 40 + 24) * bits // 8}


@pytest.mark.parametrize(("dtype", "bits"), [("qint8", 8), ("float8_e4m3fn", 8), ("bool", 1)])
def test_bits_of_small_types(dtype, bits):
    assert bits_of(dtype) == bits


@pytest.mark.filterwarnings("ignore")
def test_a_partly_quantised_model_is_told_by_type():
    from torch.ao.quantization import quantize_dynamic

    plain = nn.Sequential(nn.Conv1d(4, 4, 1), nn.Flatten(), nn.Linear(32, 8)).eval()
    model = quantize_dynamic(plain, {nn.Linear}, torch.qint8)
    trace = gadprof.count(model, (torch.zeros(1, 4, 8),))
    assert macs_by_dtype(trace) == {"int8": 256, "float32": 128}
    assert bops(trace) == 256 * 64 + 128 * 1024
    assert trace.weight_bytes_by_dtype == {"float32": 4 * 20 + 4 * 8, "int8": 256}
    assert "MACs by type: int8 256, float32 128" in render(count_page(trace), "table")


def test_zeros_of_weights_save_their_multiply_adds():
    model = nn.Sequential(nn.Linear(8, 4), nn.Conv2d(2, 4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 0, 2, 0] * 2).expand(4, 8))
        model[1].weight.fill_(1.0)
        model[1].weight[0, 0] = 0
    trace = gadprof.count(model[:1], (torch.zeros(3, 8),))
    found = sparsity(trace, model[:1])
    assert (found.macs, found.effective_macs) == (96, 48)
    assert found.patterns == {"0.weight": "2:4, 50.0 % kept"}
    trace = gadprof.count(model[1], (torch.zeros(1, 2, 3, 3),))
    found = sparsity(trace, model[1])
    assert (found.macs, found.effective_macs) == (72, 63)
    assert found.patterns == {"weight": "87.5 % kept"}


class Experts(nn.Module):
    """Two of eight experts work on each token."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 16, 8, dtype=torch.bfloat16))
        self.gate = nn.Linear(16, 8, dtype=torch.bfloat16)

    def forward(self, x):
        rows = x.repeat_interleave(2, 0)
        ends = torch.arange(1, 9, dtype=torch.int32) * (rows.shape[0] // 8)
        return torch._grouped_mm(rows, self.weight, offs=ends)


def test_of_experts_those_count_as_active_that_a_token_is_sent_to():
    trace = gadprof.count(Experts(), (torch.zeros(12, 16, dtype=torch.bfloat16),))
    assert trace.macs == 24 * 16 * 8
    assert trace.params == 8 * 128 + 16 * 8 + 8
    assert active_params(trace) == 2 * 128 + 16 * 8 + 8
    assert "are active for one token" in render(count_page(trace), "table")


def test_a_total_with_something_uncounted_says_at_least():
    class Tangents(nn.Module):
        def forward(self, z):
            return z.tan() @ z

    trace = gadprof.count(Tangents(), (torch.zeros(2, 2, dtype=torch.complex64),))
    assert trace.at_least
    text = render(count_page(trace), "table")
    assert "at least 32 MACs" in text
    assert "totals are lower bounds" in text
    assert not gadprof.count(nn.Linear(2, 2), (torch.zeros(1, 2),)).at_least


def test_every_rule_has_a_formula_and_a_source():
    found = {entry.name: entry for entry in entries()}
    assert found.keys() >= BUILT_IN.keys()
    assert [name for name, entry in found.items() if not (entry.formula and entry.source)] == []


def test_the_command_lists_rules_by_words(tmp_path):
    target = tmp_path / "rules.json"
    assert run(["rules", "linalg", "qr", "-o", str(target)]) == 0
    (entry,) = json.loads(target.read_text())["rules"]
    assert entry["name"] == "aten.linalg_qr"
    assert "k^3/3" in entry["formula"]
    assert "LAPACK" in entry["source"]


def test_an_operation_without_a_rule_is_named_with_a_way_out(capsys):
    assert run(["rules", "frobnicate"]) == 2
    assert "gadprof.rule adds" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamic", [False, True])
def test_weights_of_torchao_are_told_apart_from_what_they_multiply(dynamic):
    quantization = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(64, 32)).to(torch.bfloat16).eval()
    config = "Int8DynamicActivationInt8WeightConfig" if dynamic else "Int8WeightOnlyConfig"
    quantization.quantize_(model, getattr(quantization, config)())
    trace = gadprof.count(model, (torch.zeros(4, 64, dtype=torch.bfloat16),))
    assert trace.macs == 4 * 64 * 32
    assert macs_by_dtype(trace) == {"int8" if dynamic else "bfloat16": 4 * 64 * 32}
    assert bops(trace) == trace.macs * 8 * (8 if dynamic else 16)
    assert trace.weight_bytes_by_dtype["int8"] >= 64 * 32


@pytest.fixture
def sparse_file(tmp_path):
    """A builder of two layers, the second with half its weights zero in a checkpoint (2:4)."""
    code = """
from torch import nn
from torch.nn.utils import prune
def plain():
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(288, 4))
def masked():
    model = plain()
    prune.random_structured(model[0], "weight", amount=2, dim=0)
    return model
"""
    (tmp_path / "sparse_net.py").write_text(code)
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(288, 4)).eval()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[2].weight.fill_(1.0).view(-1, 4)[:, 1:3] = 0
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return tmp_path, model


def counted(capsys, *words):
    assert run(["count", *map(str, words), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_count_shows_what_a_checkpoint_leaves_to_multiply(sparse_file, capsys):
    folder, _ = sparse_file
    words = (f"{folder}/sparse_net.py:plain", "--input", "4x8x8")
    found = counted(capsys, *words, "--weights", folder / "weights.pt")
    assert (found["macs"], found["effective_macs"]) == (11520, 11520 - 288 * 4 // 2)
    assert found["sparse_weights"] == {"2.weight": "2:4, 50.0 % kept"}
    assert counted(capsys, *words)["effective_macs"] is None


def test_masked_weights_count_as_what_the_product_reads(sparse_file, capsys):
    folder, _ = sparse_file
    found = counted(capsys, f"{folder}/sparse_net.py:masked", "--input", "4x8x8", "--sparsity")
    assert found["sparse_weights"] == {"0.weight": "75.0 % kept"}
    assert found["effective_macs"] == 11520 - 36 * 36 * 8 * 2 // 8


class LowRank(nn.Module):
    """8x8 of which half is zero, beside a dense product of rank 2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 8))
        self.a, self.b = nn.Parameter(torch.ones(2, 8)), nn.Parameter(torch.ones(8, 2))
        with torch.no_grad():
            self.weight[:, ::2] = 0

    def forward(self, x):
        whole = nn.functional.linear(x, self.weight)
        return whole + nn.functional.linear(nn.functional.linear(x, self.a), self.b)


class Recurrent(nn.LSTM):
    """An LSTM without the half of its weights that reads the input."""

    def __init__(self) -> None:
        super().__init__(8, 8, batch_first=True)
        with torch.no_grad():
            self.weight_ih_l0.zero_()


@pytest.mark.parametrize(
    ("build", "shape", "macs", "effective"),
    [
        (LowRank, (1, 8), 64 + 16 + 16, 32 + 16 + 16),
        (Recurrent, (1, 3, 8), 3 * 2 * 4 * 8 * 8, 3 * 4 * 8 * 8),
    ],
)
def test_each_product_has_the_zeros_of_its_own_weights(build, shape, macs, effective):
    module = build().eval()
    found = sparsity(gadprof.count(module, shape), module)
    assert (found.macs, found.effective_macs) == (macs, effective)


def test_reading_zeros_leaves_a_spectral_norm_as_it_was():
    module = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)).train()
    trace = gadprof.count(module, (1, 8))
    before = {name: value.clone() for name, value in module.named_buffers()}
    sparsity(trace, module)
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.named_buffers())


@pytest.mark.filterwarnings("ignore")
def test_zeros_of_an_onnx_file_are_those_of_its_module(sparse_file, capsys):
    pytest.importorskip("onnx")
    folder, model = sparse_file
    path = folder / "m.onnx"
    torch.onnx.export(model, (torch.zeros(1, 4, 8, 8),), str(path), dynamo=False)
    found = counted(capsys, path, "--sparsity")
    assert (found["macs"], found["effective_macs"]) == (11520, 10944)
    assert found["sparse_weights"] == {"2.weight": "2:4, 50.0 % kept"}


def test_two_of_four_along_the_channels_of_a_kernel_is_the_pattern_of_hardware():
    model = nn.Conv2d(4, 1, 3)
    with torch.no_grad():
        model.weight.fill_(1.0)[:, 2:] = 0
    found = sparsity(gadprof.count(model, (torch.zeros(1, 4, 3, 3),)), model)
    assert (found.macs, found.effective_macs) == (36, 18)
    assert found.patterns == {"weight": "2:4, 50.0 % kept"}


def _quantised(folder: Path, op: str) -> tuple[Path, int, int]:
    """A product of 4 inputs and 2 outputs of which 3 of 8 weights are their zero point."""
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    from onnx import TensorProto, helper, numpy_helper

    by_output = numpy.array([[128, 5, 9, 128], [7, 7, 128, 0]], numpy.uint8)
    zero, scale = numpy.array(128, numpy.uint8), numpy.array(0.5, numpy.float32)
    stored = {"scale": scale, "zero": zero, "weight": by_output.T}
    floats, shape, macs, settings = TensorProto.FLOAT, [3, 4], 24, {}
    match op:
        case "DequantizeLinear":
            nodes = [
                helper.make_node(op, ["weight", "scale", "zero"], ["w"]),
                helper.make_node("MatMul", ["x", "w"], ["y"]),
            ]
        case "QLinearMatMul":
            # each output has a zero point of its own: 128 and 7 leave 2 and 2 of 4
            stored |= {"zeros": numpy.array([128, 7], numpy.uint8)}
            stored |= {"scales": numpy.array([0.5, 0.5], numpy.float32)}
            nodes = [
                helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
                helper.make_node(
                    op,
                    ["q", "scale", "zero", "weight", "scales", "zeros", "scale", "zero"],
                    ["p"],
                ),
                helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
            ]
        case "ConvInteger":
            shape, stored["weight"] = [1, 4, 3, 1], by_output[:, :, None, None]
            nodes = [
                helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
                helper.make_node(op, ["q", "weight", "zero", "zero"], ["p"]),
                helper.make_node("Cast", ["p"], ["y"], to=floats),
            ]
        case "MatMulNBits":
            # two outputs, blocks of 16 inputs, 4 bits: 8 is zero, and here 3 of each 16 are
            packed = numpy.full((2, 1, 8), 0x77, numpy.uint8)
            packed[:, 0, :2] = [0x88, 0x78]
            stored = {"weight": packed, "scale": numpy.ones((2, 1), numpy.float32)}
            shape, macs = [3, 16], 96
            settings = {"K": 16, "N": 2, "bits": 4, "block_size": 16, "domain": "com.microsoft"}
            nodes = [helper.make_node(op, ["x", "weight", "scale"], ["y"], **settings)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, shape)],
        [helper.make_tensor_value_info("y", floats, None)],
        [numpy_helper.from_array(numpy.ascontiguousarray(v), k) for k, v in stored.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = folder / f"{op}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    kept = {"QLinearMatMul": (4, 8), "MatMulNBits": (13, 16)}.get(op, (5, 8))
    return path, macs, macs * kept[0] // kept[1]


@pytest.mark.parametrize("op", ["DequantizeLinear", "QLinearMatMul", "ConvInteger", "MatMulNBits"])
def test_a_quantised_weight_is_zero_where_it_is_its_zero_point(op, tmp_path, capsys):
    path, macs, effective = _quantised(tmp_path, op)
    found = counted(capsys, path, "--sparsity")
    assert (found["macs"], found["effective_macs"]) == (macs, effective)
