"""An ONNX file is measured as it is, by the runtimes that read ONNX, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from gadprof.errors import InputShapeError, SourceError  # noqa: E402
from gadprof.measuring.bench import measure  # noqa: E402
from gadprof.measuring.runtimes import prepare  # noqa: E402
from gadprof.measuring.runtimes.onnx_graph import load_graph  # noqa: E402
from gadprof.measuring.settings import Setting, sweep  # noqa: E402

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


@pytest.fixture
def graph(tmp_path: Path) -> str:
    """y = x[:, index] with an open batch and a fixed width of five."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Gather", ["x", "index"], ["y"], axis=1)
    made = onnx.helper.make_graph(
        [node],
        "gather",
        [value("x", FLOAT, ["batch", 5]), value("index", INT64, [2])],
        [value("y", FLOAT, ["batch", 2])],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "gather.onnx"
    onnx.save(model, str(path))
    return str(path)


def test_a_graph_runs_on_inputs_of_its_own_shapes_and_types(graph: str) -> None:
    setting = Setting(runtime="onnxruntime", batch=1)
    module, inputs, shapes = load_graph(graph, setting)
    assert shapes == ((5,), ())
    assert inputs["index"].dtype == torch.int64
    assert inputs["x"].shape == (1, 5)
    prepared = prepare(module, (), inputs, setting)
    (output,) = prepared.run()
    expected = inputs["x"][:, inputs["index"]]
    assert torch.equal(torch.as_tensor(output), expected)
    assert any("no eager model" in note for note in prepared.notes)
    for close in prepared.closers:
        close()
    assert Path(graph).is_file()


def test_a_runtime_that_reads_no_onnx_says_what_to_type(graph: str) -> None:
    with pytest.raises(SourceError, match="--runtime onnxruntime"):
        load_graph(graph, Setting(runtime="eager"))


def test_a_size_that_the_file_fixes_is_not_changed(graph: str) -> None:
    with pytest.raises(InputShapeError, match="fixed at"):
        load_graph(graph, Setting(runtime="onnxruntime", input_shapes=((6,),)))


def test_a_run_measures_a_file_and_a_refused_row_costs_it_nothing(graph: str) -> None:
    settings = [Setting(runtime="onnxruntime"), Setting(runtime="eager")]
    result = measure([graph], settings, time_limit_s=1.0, memory=False, energy=False)
    good, refused = result.rows
    assert good.error is None
    assert good.latency_s is not None
    assert good.latency_s.median > 0
    assert refused.error is not None
    assert "onnxruntime" in refused.error


CRASHING = """
import os
import torch
from torch import nn

class Crashing(nn.Module):
    def forward(self, x):
        if torch.jit.is_tracing():
            os._exit(3)
        return x

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())

def crashing():
    return Crashing()
"""


def test_a_converter_that_crashes_costs_its_own_row_and_a_kept_file_is_used_again(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxscript", reason="the ONNX exporter is not installed")
    source = tmp_path / "models.py"
    source.write_text(CRASHING)
    kept = tmp_path / "kept"
    settings = sweep(runtimes=("onnxruntime",), input_shapes=((3, 8, 8),))
    options = {"time_limit_s": 0.5, "memory": False, "energy": False, "null": False}
    models = [f"{source}:build", f"{source}:crashing"]
    good, bad = measure(models, settings, keep=str(kept), **options).rows  # type: ignore[arg-type]
    assert good.error is None
    assert good.deployed is not None
    assert good.deployed["samples"] == 1
    assert bad.error_kind == "crash"
    assert bad.error is not None
    assert "code 3" in bad.error
    (file,) = kept.glob("*/model.onnx")
    written = file.stat().st_mtime_ns
    (again,) = measure(models[:1], settings, keep=str(kept), **options).rows  # type: ignore[arg-type]
    assert again.deployed is not None
    assert again.deployed["convert_s"] == good.deployed["convert_s"]
    assert file.stat().st_mtime_ns == written
