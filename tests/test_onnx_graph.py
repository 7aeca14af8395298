"""ONNX files counted from their graph: equal to torch's count, and honest about bad files."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import gadprof
from gadprof.models.sources import load

onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")
pytest.importorskip("onnxscript", reason="needs gadprof[onnx]")

from gadprof.counting.onnx.graph import count_onnx  # noqa: E402
from gadprof.errors import GadprofError  # noqa: E402

SMALL = [
    ("hrnet32:width=4,modules=1-1-1", (3, 64, 64)),
    ("gadnet32:width=8,modules=1-1-1,blocks=1-1-1-1", (3, 64, 64)),
    ("ghost-se-hrnet32:width=4,modules=1-1-1", (3, 64, 64)),
    ("timm:mobilenetv2_050", (3, 64, 64)),
    ("torchvision:resnet18", (3, 64, 64)),
    ("timm:vit_tiny_patch16_224", (3, 224, 224)),
]


def with_random_weights(module):
    """No two weights alike, as after training: exporters store equal ones once."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def export(module, args, path, *, dynamo=False, fold=False, **more):
    """Write an ONNX file with the exporter asked for."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    modes = torch.onnx.TrainingMode
    choice = (
        {"optimize": fold, "verbose": False}
        if dynamo
        else {"training": modes.EVAL if fold else modes.PRESERVE}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, str(path), dynamo=dynamo, **choice, **more)
    return str(path)


def network(name, shape):
    if name.startswith(("timm", "torchvision")):
        pytest.importorskip(name.partition(":")[0], reason="needs gadprof[zoo]")
    loaded = load(name, shapes=(shape,))
    return with_random_weights(loaded.module), loaded.args


@pytest.mark.parametrize(("name", "shape"), SMALL)
def test_a_file_counts_as_the_network_that_was_exported(name, shape, tmp_path):
    module, args = network(name, shape)
    ours = count_onnx(export(module, args, tmp_path / "model.onnx"))
    theirs = gadprof.count(module, args)
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)
    assert ours.param_bytes == theirs.param_bytes
    assert ours.input_shapes == theirs.input_shapes
    assert ours.output_shapes == theirs.output_shapes
    assert ours.uncovered == {}
    if "vit" not in name:  # attention becomes two products, and queries and keys are scaled
        assert (ours.flops, ours.activations) == (theirs.flops, theirs.activations)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """ResNet-18 with its inputs, and its file by each exporter: exporting takes seconds."""
    module, args = network(*SMALL[4])
    folder = tmp_path_factory.mktemp("resnet")
    paths = {
        dynamo: export(module, args, folder / f"{dynamo}.onnx", dynamo=dynamo)
        for dynamo in (False, True)
    }
    return module, args, paths


def test_the_other_exporter_gives_the_same_count(resnet):
    module, args, paths = resnet
    ours = count_onnx(paths[True])
    theirs = gadprof.count(module, args)
    assert (ours.params, ours.macs, ours.flops) == (theirs.params, theirs.macs, theirs.flops)
    assert ours.uncovered == {}


class Parts(nn.Module):
    """Operators of many kinds, one module each."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.grouped = nn.Conv2d(6, 12, 3, groups=3, bias=False, dilation=2)
        self.norms = nn.Sequential(nn.GroupNorm(3, 12), nn.InstanceNorm2d(12, affine=True))
        self.acts = nn.Sequential(nn.Hardswish(), nn.LeakyReLU(), nn.ELU(), nn.PReLU(12))
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2))
        self.lstm = nn.LSTM(12, 5, bidirectional=True)
        self.last = nn.Linear(10, 3)

    def forward(self, x):
        x = self.acts(self.grouped(self.up(x)))
        x = nn.functional.interpolate(self.pool(x), scale_factor=2.0, mode="bilinear")
        rows = x.flatten(2).permute(2, 0, 1)
        return self.last(self.lstm(rows)[0]).log_softmax(-1)


def test_operators_cost_what_their_torch_namesakes_cost(tmp_path):
    module = with_random_weights(Parts())
    args = (torch.randn(2, 4, 9, 9),)
    ours = count_onnx(export(module, args, tmp_path / "model.onnx"))
    theirs = gadprof.count(module, args)
    assert ours.uncovered == {}
    assert (ours.macs, ours.activations) == (theirs.macs, theirs.activations)
    unused = sum(p.numel() for p in module.norms.parameters())  # never run, so never exported
    assert ours.params == theirs.params - unused


class Attends(nn.Module):
    """Causal self-attention by torch's own function."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96)
        self.out = nn.Linear(32, 32)

    def forward(self, x):
        q, k, v = self.qkv(x).view(2, 10, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("opset", [18, 23])  # products and a softmax; one Attention operator
def test_attention_counts_the_same_whole_or_in_parts(opset, tmp_path):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"this onnx does not know operator set {opset}")
    module = with_random_weights(Attends())
    args = (torch.randn(2, 10, 32),)
    path = export(module, args, tmp_path / "m.onnx", dynamo=True, fold=True, opset_version=opset)
    ours, theirs = count_onnx(path), gadprof.count(module, args)
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)
    if "onnx.Attention" in {op.name for op in ours.operations}:
        assert ours.flops == theirs.flops


@pytest.mark.parametrize(("kind", "factor"), [(3, 1), (10, 2), (22, 0.5)])
def test_quantised_weights_count_as_weights(kind, factor, tmp_path):
    helper = onnx.helper
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    weight = onnx.TensorProto(name="w", data_type=kind, dims=[100, 80], raw_data=bytes(16000))
    if kind == 10:
        nodes[0] = helper.make_node("Cast", ["w"], ["d"], to=1)
    scale = helper.make_tensor("scale", 1, [], [0.5])
    stored = [weight] if kind == 10 else [weight, scale]
    model = small_graph(nodes, [("x", [2, 100])], [("y", None)], stored)
    model.opset_import[0].version = 21
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    trace = count_onnx(str(path))
    assert (trace.params, trace.param_bytes) == (8000, 8000 * factor)
    assert trace.macs == 2 * 100 * 80


@pytest.mark.parametrize(("chosen", "macs"), [(True, 2 * 8 * 8), (False, 0)])
def test_a_branch_that_is_known_is_the_one_counted(chosen, macs, tmp_path):
    helper = onnx.helper
    weight = helper.make_tensor("w", 1, [8, 8], bytes(256), raw=True)
    result = helper.make_tensor_value_info("r", 1, [2, 8])
    product = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["r"])], "a", [], [result])
    other = helper.make_tensor_value_info("s", 1, [2, 8])
    relu = helper.make_graph([helper.make_node("Relu", ["x"], ["s"])], "b", [], [other])
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=product, else_branch=relu)]
    condition = helper.make_tensor("c", 9, [], [chosen])
    known = small_graph(nodes, [("x", [2, 8])], [("y", None)], [weight, condition])
    path = tmp_path / "m.onnx"
    onnx.save(known, path)
    trace = count_onnx(str(path))
    assert (trace.macs, trace.uncovered) == (macs, {})
    assert trace.output_shapes == ((2, 8),)


def test_every_round_of_a_loop_is_counted(tmp_path):
    helper = onnx.helper
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["u"])],
        "body",
        [info("i", 7, []), info("go", 9, []), info("v", 1, [4])],
        [info("on", 9, []), info("u", 1, [4])],
    )
    count = helper.make_tensor("n", 7, [], [5])
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    path = tmp_path / "m.onnx"
    onnx.save(small_graph([node], [("x", [4])], [("y", [4])], [count]), path)
    trace = count_onnx(str(path))
    assert (trace.elementwise(), trace.uncovered) == ({"relu": 5 * 4}, {})


def test_functions_of_the_file_are_opened(tmp_path):
    helper = onnx.helper
    inner = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Relu", ["b"], ["c"])]
    square = helper.make_function(
        "local", "Square", ["a"], ["c"], inner, [helper.make_opsetid("", 17)]
    )
    nodes = [helper.make_node("Square", ["x"], ["y"], domain="local")]
    model = small_graph(nodes, [("x", [3, 5])], [("y", None)], domain="local")
    model.functions.append(square)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    trace = count_onnx(str(path))
    assert (trace.elementwise(), trace.uncovered) == ({"mul": 15, "relu": 15}, {})


def test_a_folded_norm_is_said_and_costs_one_vector(tmp_path):
    module = with_random_weights(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)))
    args = (torch.randn(1, 3, 8, 8),)
    folded = count_onnx(export(module, args, tmp_path / "a.onnx", fold=True))
    kept = count_onnx(export(module, args, tmp_path / "b.onnx"))
    assert kept.params - folded.params == 8
    assert kept.buffers == 16
    assert folded.buffers == 0
    assert "1 convolutions hold a normalisation" in folded.note
    assert kept.note == ""


@pytest.mark.parametrize("dynamo", [False, True])
def test_operations_know_their_module(dynamo, resnet):
    module, args, paths = resnet
    trace = count_onnx(paths[dynamo])
    theirs = gadprof.count(module, args)
    for path in ("layer1", "layer4.1.conv2", "fc"):
        mine = sum(op.macs for op in trace.operations if op.module.startswith(path))
        assert mine == sum(op.macs for op in theirs.operations if op.module.startswith(path)) > 0
    own = {path: record.own_params for path, record in trace.modules.items() if record.own_params}
    known = {path: record.own_params for path, record in theirs.modules.items()}
    assert own.items() <= known.items()


def small_graph(nodes, inputs, outputs, initializers=(), domain=None):
    """A model of a few nodes; shapes are lists of sizes and names."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, 1, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, 1, s) for n, s in outputs],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def convolution(sizes, name="w"):
    weight = onnx.helper.make_tensor(name, 1, [4, 3, 3, 3], bytes(4 * 3 * 3 * 3 * 4), raw=True)
    node = onnx.helper.make_node("Conv", ["x", name], ["y"], pads=[1, 1, 1, 1], name="/conv/Conv")
    return small_graph([node], [("x", sizes)], [("y", None)], [weight])


def test_memory_is_what_lives_at_once(tmp_path):
    node = onnx.helper.make_node
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Flatten", ["b"], ["c"]),
        node("Relu", ["c"], ["d"]),
    ]
    path = tmp_path / "m.onnx"
    onnx.save(small_graph(nodes, [("x", [1, 10])], [("d", None)]), path)
    trace = count_onnx(str(path))
    assert trace.peak_activation_bytes == 3 * 40  # the input stays, a dies, c is b's memory
    assert trace.live_bytes == (80, 80, 80, 80)


def test_open_dimensions_are_bound_by_the_input(tmp_path, run_cli):
    path = tmp_path / "m.onnx"
    onnx.save(convolution(["N", 3, "height", "width"]), path)
    code, out, _ = run_cli(
        "count", str(path), "--input", "3x8x6", "--batch", "2", "--format", "json"
    )
    assert code == 0
    assert json.loads(out)["macs"] == 2 * 8 * 6 * 4 * 27
    code, out, err = run_cli("count", str(path))
    assert (code, out) == (2, "")
    assert "dimension 2 (height) of input 'x' open" in err
    assert "--input 3x224x224" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--input", "3x9x9"), "dimension 2 cannot be 9"),
        (("--batch", "2"), "batch cannot be 2"),
        (("--input", "7"), "give 3 sizes"),
        (("--input", "3x8x8", "--input", "3x8x8"), "takes 1 input"),
        (("--train",), "without --train"),
    ],
)
def test_what_a_fixed_file_cannot_do_is_one_line(options, words, tmp_path, run_cli):
    path = tmp_path / "m.onnx"
    onnx.save(convolution([1, 3, 8, 8]), path)
    code, out, err = run_cli("count", str(path), *options)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_custom_operator_is_listed_and_strict_fails(tmp_path, run_cli):
    node = onnx.helper.make_node
    nodes = [
        node("Gate", ["x"], ["g"], domain="com.example"),
        node("Relu", ["g"], ["y"]),
        node("Relu", ["x"], ["z"]),
    ]
    path = tmp_path / "m.onnx"
    model = small_graph(nodes, [("x", [1, 8])], [("y", None), ("z", None)], domain="com.example")
    onnx.save(model, path)
    code, out, _ = run_cli("count", str(path), "--format", "json")
    listed = json.loads(out)
    assert code == 0
    assert listed["uncovered"] == {"com_example.Gate": 1, "onnx.Relu": 1}  # its shape is unknown
    assert listed["flops"] == 8
    assert run_cli("count", str(path), "--strict")[0] == 1


def test_a_rule_of_the_user_covers_a_custom_operator(tmp_path):
    nodes = [onnx.helper.make_node("Gate", ["x"], ["y"], domain="com.example")]
    path = tmp_path / "m.onnx"
    onnx.save(small_graph(nodes, [("x", [1, 8])], [("y", [1, 8])], domain="com.example"), path)
    gadprof.rule("com_example::Gate", macs=lambda x, out: 3 * out.numel())
    try:
        trace = count_onnx(str(path))
    finally:
        gadprof.counting.rules.registry.forget("com_example::Gate")
    assert (trace.macs, trace.uncovered) == (24, {})


def with_external_data(folder):
    """A model whose weights, the shape of its Reshape among them, are in other files."""
    helper = onnx.helper
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "s"], ["y"]),
    ]
    weight = helper.make_tensor("w", 1, [300, 200], bytes(300 * 200 * 4), raw=True)
    shape = helper.make_tensor("s", 7, [2], bytes([2, *[0] * 7, 100, *[0] * 7]), raw=True)
    model = small_graph(nodes, [("x", [1, 300])], [("y", None)], [weight, shape])
    path = folder / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0,
              all_tensors_to_one_file=False)  # fmt: skip
    return path


def test_weights_that_are_missing_are_not_needed(tmp_path):
    path = with_external_data(tmp_path)
    whole = count_onnx(str(path))
    (tmp_path / "w").unlink()
    without = count_onnx(str(path))
    assert (whole.macs, whole.params) == (without.macs, without.params) == (60000, 60000)
    assert without.output_shapes == ((2, 100),)
    assert "without its external data (w)" in without.note


def test_a_missing_value_that_a_shape_needs_is_named(tmp_path):
    path = with_external_data(tmp_path)
    (tmp_path / "s").unlink()
    with pytest.raises(GadprofError, match=r"depends on 's', whose values are in the missing file"):
        count_onnx(str(path))


def test_gigabytes_that_are_not_there_are_counted_from_their_headers(tmp_path, run_cli):
    weight = onnx.TensorProto(name="w", data_type=1, dims=[32768, 32768], data_location=1)
    weight.external_data.add(key="location", value="model.data")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = tmp_path / "m.onnx"
    path.write_bytes(
        small_graph(nodes, [("x", [1, 32768])], [("y", None)], [weight]).SerializeToString()
    )
    code, out, _ = run_cli("compare", str(path), "hrnet32", "--format", "json")
    row = json.loads(out)["rows"][0]
    assert code == 0
    assert (row["params"], row["macs"], row["weight_bytes"]) == (2**30, 2**30, 2**32)
    assert "without its external data (model.data)" in row["note"]


def test_counting_a_file_imports_no_torch(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(convolution([1, 3, 8, 8]), path)
    code = f"import sys, gadprof\nprint(gadprof.count({str(path)!r}).macs, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(64 * 4 * 27), "False"]


@pytest.mark.parametrize("dynamo", [False, True])
def test_an_export_with_open_sizes_counts_at_any_of_them(dynamo, tmp_path):
    module = with_random_weights(nn.Sequential(nn.Conv2d(3, 4, 3)))
    sample = torch.randn(2, 3, 8, 8)
    size = torch.export.Dim
    open_sizes = {0: size("n"), 2: size("h"), 3: size("w")}
    more = (
        {"dynamic_shapes": (open_sizes,)}
        if dynamo
        else {"input_names": ["x"], "dynamic_axes": {"x": {0: "n", 2: "h", 3: "w"}}}
    )
    path = export(module, (sample,), tmp_path / "m.onnx", dynamo=dynamo, **more)
    for batch, height, width in ((1, 8, 8), (3, 17, 9)):
        ours = count_onnx(path, ((3, height, width),), batch=batch)
        theirs = gadprof.count(module, (batch, 3, height, width))
        assert (ours.macs, ours.flops) == (theirs.macs, theirs.flops)
        assert ours.peak_activation_bytes == theirs.peak_activation_bytes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:-1], "truncated"),
        (lambda whole: b"", "is empty"),
        (lambda whole: b"PK\x03\x04 a zip file, not a model", "not an ONNX file"),
        (lambda whole: b"just some words\n" * 9, "not an ONNX file"),
        (lambda whole: whole[:2], "holds no graph"),
        (lambda whole: b"\x08\x09\x3a\x02\xff\xff", "damaged"),
    ],
)
def test_a_bad_file_is_one_line_and_the_other_rows_stand(content, words, tmp_path, run_cli):
    path = tmp_path / "m.onnx"
    path.write_bytes(content(convolution([1, 3, 8, 8]).SerializeToString()))
    code, out, err = run_cli("compare", "hrnet32", str(path), "--format", "json")
    assert code == 2
    rows = json.loads(out)["rows"]
    assert rows[0]["macs"] == 7645003776
    assert words in rows[1]["error"]
    assert words in err
    assert err.count("\n") == 1


def test_damage_anywhere_is_an_answer_or_one_line(tmp_path):
    model = convolution(["N", 3, "h", "w"])
    model.graph.node.append(onnx.helper.make_node("Reshape", ["y", "s"], ["z"], name="/r"))
    model.graph.initializer.append(onnx.helper.make_tensor("s", 7, [2], [1, -1]))
    whole = model.SerializeToString()
    weights = whole.index(bytes(400))  # flips inside the weights change nothing
    path = tmp_path / "m.onnx"
    generator = random.Random(0)
    places = [at for at in range(len(whole)) if not weights <= at < weights + 400]
    told = []
    for at in generator.choices(places, k=150):
        path.write_bytes(whole[:at] + bytes([generator.randrange(256)]) + whole[at + 1 :])
        try:
            count_onnx(str(path), ((3, 8, 8),))
        except GadprofError as error:
            told.append(str(error))
    assert len(told) > 20
    assert [words for words in told if "\n" in words or str(path) not in words] == []


def test_a_file_cut_between_its_fields_is_not_counted_as_another(tmp_path):
    whole = convolution([1, 3, 8, 8])
    whole.ClearField("opset_import")
    path = tmp_path / "m.onnx"
    path.write_bytes(whole.SerializeToString())
    with pytest.raises(GadprofError, match="states no operator set"):
        count_onnx(str(path))


def test_a_path_that_is_not_there_is_one_line(run_cli):
    code, _, err = run_cli("count", "nowhere/model.onnx")
    assert code == 2
    assert "does not exist" in err


def test_shapes_that_an_operator_cannot_take_are_one_line(tmp_path, run_cli):
    nodes = [onnx.helper.make_node("Add", ["x", "z"], ["y"])]
    path = tmp_path / "m.onnx"
    onnx.save(small_graph(nodes, [("x", ["N", "a"]), ("z", ["N", "b"])], [("y", None)]), path)
    code, _, err = run_cli("count", str(path), "--input", "3", "--input", "4")
    assert code == 1
    assert "Add 'y' cannot take 1x3 and 1x4" in err
    assert err.count("\n") == 1


def test_one_table_holds_every_kind_of_model(resnet, tmp_path, run_cli):
    path = resnet[2][False]
    mine = tmp_path / "my_model.py"
    mine.write_text("import torch\ndef build():\n    return torch.nn.Conv2d(3, 4, 1)\n")
    code, out, _ = run_cli(
        "compare", "hrnet32", "gadnet32", "torchvision:resnet18",
        f"{mine}:build", path, "--input", "3x64x64", "--format", "json",
    )  # fmt: skip
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [row["method"] for row in rows] == ["analytic"] * 2 + ["trace"] * 2 + ["onnx graph"]
    assert rows[4]["macs"] == rows[2]["macs"]
    assert rows[4]["params"] == rows[2]["params"]
