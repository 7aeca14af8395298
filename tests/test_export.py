"""Claims about exports: a file is the model's, counted and checked, or there is no file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from gadprof.commands.export import check_path  # noqa: E402
from gadprof.errors import OutputError  # noqa: E402
from gadprof.measuring.export import Change, Export, file_layers  # noqa: E402
from gadprof.output import write_together  # noqa: E402

MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()).eval()

class Stopping(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x) if x.shape[0] == 1 else x

def stopping():
    return Stopping()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def test_an_onnx_file_holds_the_models_products_and_its_norm_folded(source, run_cli, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="exporting to ONNX is not installed")
    target = tmp_path / "model.onnx"
    code, out, err = run_cli(
        "export", f"{source}:build", "--input", "3x8x8", "--to", "onnx", "-o", str(target),
        "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    # 8 outputs of 27 products on 6 x 6 places
    assert told["model_macs"] == told["file_macs"] == 8 * 27 * 36
    assert told["file_bytes"] == target.stat().st_size
    rows = {row["kind"]: row for row in told["changes"]}
    assert (rows["normalization"]["model"], rows["normalization"]["file"]) == (1, 0)
    assert rows["convolution"]["model"] == rows["convolution"]["file"] == 1
    assert told["difference"] < 1e-5
    assert told["deployed"]["file_bytes"] == told["file_bytes"]


def test_an_operation_that_the_converter_refuses_leaves_no_file(source, run_cli, tmp_path):
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    pytest.importorskip("pnnx", reason="pnnx is not installed")
    target = tmp_path / "model.param"
    code, _, err = run_cli(
        "export", f"{source}:stopping", "--input", "3x8x8", "--to", "ncnn", "-o", str(target)
    )
    assert code == 1
    assert "pnnx refused it" in err
    assert "svd" in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".param", ".bin")] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "onnx"), "-o model.onnx"),
        (("--to", "litert", "-o", "model.onnx"), "ends in .tflite"),
        (("--to", "onnx", "-o", "none/model.onnx"), "does not exist"),
        (("--to", "ncnn", "-o", "model.param", "--precision", "int8"), "ncnn has no int8 here"),
        (("--to", "onnx", "-o", "m.onnx", "--calibrate", "none"), "does not exist"),
    ],
)
def test_bad_use_is_one_line_before_anything_is_built(words, told, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli("export", "gadnet32", *words)
    assert code == 2
    assert out == ""
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_was_never_run_is_refused_without_its_package(source, run_cli, tmp_path):
    if __import__("importlib.util").util.find_spec("tensorrt"):
        pytest.skip("tensorrt is installed")
    code, _, err = run_cli(
        "export", f"{source}:build", "--to", "tensorrt", "-o", str(tmp_path / "model.engine")
    )
    assert code == 2
    assert "needs tensorrt" in err


def test_of_two_files_both_are_new_or_both_are_as_they_were(tmp_path):
    weights, lost = tmp_path / "model.bin", tmp_path / "gone" / "model.param"
    weights.write_bytes(b"old")
    for name, left in ((weights, b"old"), (tmp_path / "new.bin", None)):
        with pytest.raises(OutputError):
            write_together({str(name): b"new", str(lost): b"new"})
        assert (name.read_bytes() if name.exists() else None) == left


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("./model.v2", "-o ./model.onnx"),
        ("a.b/model", "-o a.b/model.onnx"),
        (".onnx", "-o model.onnx"),
    ],
)
def test_another_suffix_is_refused_with_the_path_to_type(path, told):
    with pytest.raises(OutputError, match=re.escape(told) + "$"):
        check_path(path, "onnx", ".onnx")


def test_layers_of_a_text_format_are_counted_by_name(tmp_path):
    path = tmp_path / "model.param"
    path.write_text("7767517\n3 3\nInput in0 0 1 in0\nConvolution a 1 1 in0 1\nReLU b 1 1 1 2\n")
    assert file_layers(str(path), "ncnn") == {"Input": 1, "Convolution": 1, "ReLU": 1}
    assert file_layers(str(path), "mnn") == {}


@pytest.mark.parametrize(
    ("model", "file", "word"),
    [(3, 3, ""), (2, 0, "fused or folded away"), (1, 2, "added or split")],
)
def test_a_change_says_what_the_exporter_did(model, file, word):
    assert Change("convolution", model, file, 0, 0).word == word


@pytest.mark.parametrize(
    ("to", "told"), [("mnn", "not from this format"), ("onnx", "could not be counted")]
)
def test_a_file_without_a_count_is_told_by_whether_its_format_has_one(to, told):
    made = Export("m", to, "fp32", "", None, None, 5, None, {}, (), {}, (), {})
    (table,) = made.page().sections[0].tables
    assert [note for note in table.notes if told in note] == list(table.notes)
    assert table.notes
