"""Files that hold a model, and strings with constructor arguments: one network, one number."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from torch import nn

import gadprof
from gadprof.errors import GadprofError, SourceError
from gadprof.models.sources import load, resolve

USER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8, bias=False):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, bias=bias)
        self.norm, self.act = nn.BatchNorm2d(width), nn.ReLU()
        self.head = nn.Linear(width, 5, bias=False)
    def forward(self, x):
        return self.head(self.act(self.norm(self.stem(x))).mean((2, 3)))

def compiled():
    return torch.compile(Net())

def partly():
    net = Net()
    net.stem = torch.compile(net.stem)
    return net
"""
MACS = 8 * 27 * 14 * 14 + 8 * 5
PARAMS = 8 * 27 + 2 * 8 + 8 * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One small network in every form that torch writes."""
    path = tmp_path_factory.mktemp("forms")
    (path / "net.py").write_text(USER)
    module = load(f"{path}/net.py:Net", shapes=((3, 16, 16),)).module
    x = torch.zeros(1, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, x).save(str(path / "traced.pt"))
        torch.jit.script(module).save(str(path / "scripted.pt"))
        torch.export.save(torch.export.export(module, (x,)), path / "net.pt2")
    torch.save(module.state_dict(), path / "weights.pt")
    torch.save(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False)), path / "whole.pt")
    torch.save({"ema": nn.Conv2d(3, 8, 3, bias=False).half(), "epoch": 3}, path / "checkpoint.pt")
    (path / "text.pt").write_text("no model")
    return path


@pytest.mark.parametrize(
    "name",
    ["net.py:Net@3x16x16", "net.py:compiled@3x16x16", "net.py:partly@3x16x16", "net.pt2",
     "traced.pt@3x16x16", "scripted.pt@3x16x16"],
)  # fmt: skip
def test_one_network_is_one_number_in_every_form(name, folder):
    trace = gadprof.count(f"{folder}/{name}")
    assert (trace.macs, trace.params) == (MACS, PARAMS)
    assert trace.uncovered == {}


def test_an_exported_program_brings_its_inputs(folder):
    trace = gadprof.count(f"{folder}/net.pt2")
    assert trace.note == "called with 1x3x16x16, from the file's example inputs"


@pytest.mark.parametrize("command", ["count", "compare"])
def test_commands_read_model_files_in_a_process_of_their_own(command, folder, run_cli):
    code, out, _ = run_cli(command, f"{folder}/net.pt2", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert (found if command == "count" else found["rows"][0])["macs"] == MACS


def test_the_shell_trusts_a_file_where_it_is_told_to(folder, run_cli):
    words = ["compare", f"{folder}/whole.pt@3x16x16", "hrnet32:width=8", "--format", "json"]
    code, out, _ = run_cli(*words)
    assert code == 2
    assert "--trust" in json.loads(out)["rows"][0]["error"]
    code, out, _ = run_cli(*words, "--trust")
    assert code == 0
    assert json.loads(out)["rows"][0]["macs"] == 8 * 27 * 14 * 14


@pytest.mark.parametrize("name", ["whole.pt", "checkpoint.pt"])
def test_a_pickled_module_is_loaded_only_where_it_is_trusted(name, folder):
    with pytest.raises(SourceError, match=r"runs whatever code it names.*--trust"):
        gadprof.count(f"{folder}/{name}@3x16x16")
    assert gadprof.count(f"trust:{folder}/{name}@3x16x16").macs == 8 * 27 * 14 * 14


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weights.pt", "holds 7 tensors, no model; name the code that builds it"),
        ("text.pt", "is no model file of torch"),
        ("absent.pt", "does not exist"),
        ("trust:weights.pt", "holds 7 tensors, no module"),
    ],
)
def test_a_file_without_a_model_says_what_it_holds(name, words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(SourceError, match=words) as caught:
        gadprof.count(name)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_an_exported_file_cannot_smuggle_a_pickle(folder, tmp_path):
    """Weights that ask to be unpickled are loaded as tensors alone."""
    import pickle
    import zipfile

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    target = tmp_path / "evil.pt2"
    with zipfile.ZipFile(folder / "net.pt2") as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            elif "/weights/weight_" in item.filename or "sample_inputs" in item.filename:
                content = pickle.dumps(Evil())
            new.writestr(item.filename, content)
    with pytest.raises(GadprofError):
        gadprof.count(str(target))
    assert not (tmp_path / "ran").exists()


# --- constructor arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target", "arguments"),
    [
        ("timm:resnet50,num_classes=10", "resnet50", {"num_classes": 10}),
        ("timm:a,out_indices=(1,2),features_only=true", "a",
         {"out_indices": (1, 2), "features_only": True}),
        ("net.py:Net,width=4,kind=wide,none=none", "net.py",
         {"width": 4, "kind": "wide", "none": None}),
        ("transformers:ViTModel,hidden_size=12", "ViTModel", {"hidden_size": 12}),
        ("net,v2.py:build", "net,v2.py", {}),
    ],
)  # fmt: skip
def test_arguments_follow_after_commas(text, target, arguments):
    source = resolve(text)
    assert (source.target, dict(source.arguments)) == (target, arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timm:resnet18,pretrained=true", "weights are never fetched"),
        ("timm:resnet18,a=1,a=2", "given twice"),
        ("timm:resnet18,a=", "has no value"),
        ("model.onnx,width=4", "no constructor"),
        ("trust:timm:resnet18", "no file that could hold code"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(text, words):
    with pytest.raises(SourceError, match=words):
        gadprof.count(text)


def test_arguments_reach_the_constructor(folder):
    name = f"{folder}/net.py:Net,width=4,bias=true@3x16x16"
    assert gadprof.count(name).params == 4 * 27 + 4 + 8 + 20


def test_features_only_leaves_the_head_away():
    pytest.importorskip("timm")
    whole, features = (
        gadprof.count(f"timm:resnet18{more}") for more in ("", ",features_only=true")
    )
    assert whole.macs - features.macs == 512 * 1000
    assert whole.params - features.params == 512 * 1000 + 1000


def test_ultralytics_models_come_from_their_configuration(monkeypatch, tmp_path):
    pytest.importorskip("ultralytics", reason="needs gadprof[ultralytics]")
    monkeypatch.setenv("HOME", str(tmp_path))
    trace = gadprof.count("ultralytics:yolov8n")
    assert trace.input_shapes == ((1, 3, 640, 640),)
    assert trace.params == 3_157_200  # as its authors print it
    assert not list(tmp_path.rglob("settings.json"))
