"""One grammar of inputs: names, types, values, nested, scalars, files, what a model carries."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import gadprof
from gadprof.counting.inputs import Input
from gadprof.errors import GadprofError, InputShapeError, ModelFailedError, SourceError
from gadprof.models.inputs import call_of, parse_input, parse_inputs, split_inputs
from gadprof.models.sources import given_inputs, load, resolve

USER = """
import torch
from torch import nn

class Nested(nn.Module):
    '''Takes a dict, a list, a number and a flag.'''
    def __init__(self):
        super().__init__()
        self.conv, self.line = nn.Conv2d(3, 4, 1, bias=False), nn.Linear(4, 2, bias=False)
    def forward(self, batch, boxes, steps=1, flag=False):
        y = self.conv(batch["image"])
        for _ in range(steps):
            y = y + 1
        return y, [self.line(box) for box in boxes] if flag else None

class Points(nn.Module):
    '''Works on a set of points, whose last size is 3.'''
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 8, bias=False)
    def forward(self, x):
        return self.line(x)

class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
    def forward(self, x):
        return self.conv(x)

class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(48, 8, batch_first=True, bias=False)
    def forward(self, x):
        return self.cell(x)[0]

def together():
    return nn.Linear(5, 2, bias=False), torch.ones(7, 5)

def with_keywords():
    return Nested(), (), {"batch": {"image": torch.ones(1, 3, 2, 2)}, "boxes": [torch.ones(6, 4)],
                          "flag": True}

class Stated(nn.Linear):
    example_input_array = torch.ones(2, 9, 5)
    def __init__(self):
        super().__init__(5, 3, bias=False)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "net.py"
    path.write_text(USER)
    return str(path)


def count(name, **given):
    return gadprof.count(name, **given)


# --- the grammar ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ids=7:int64<1000", Input((7,), "int64", "ids", "<1000")),
        ("mask=10:bool=ones", Input((10,), "bool", "mask", "ones")),
        ("7x16:float32=0.5", Input((7, 16), "float32", "", "0.5")),
        ("batch.image=3x8x8", Input((3, 8, 8), "", "batch.image")),
        ("boxes[0]=[100x4]", Input((100, 4), "", "boxes[0]", whole=True)),
        ("[4x3x8x8]", Input((4, 3, 8, 8), whole=True)),
        ("index=[]:int64", Input((), "int64", "index", whole=True)),
        ("steps:=5", Input(name="steps", literal="5")),
        (":=true", Input(literal="true")),
        ('mode:="a=b"', Input(name="mode", literal='"a=b"')),
        ("inputs.npz", Input(file="inputs.npz")),
    ],
)
def test_an_input_is_read_and_written_alike(text, expected):
    assert parse_input(text) == expected
    assert parse_input(expected.text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("64000000x64000000", "more than 1,099,511,627,776"),
        ("9999999999999999999", "over the limit"),
        ("9" * 5000, "over the limit"),
        ("x=" + "9" * 5000 + "x3", "over the limit"),
        ("3x0x8", "not positive"),
        ("scale=0.5", "type scale:=0.5"),
        ("flag=true", "type flag:=true"),
        ("flag=None", "type flag:=null"),
        ("mode:=full", 'type for example mode:="full"'),
        ("ids=7:float32<9", "no bound for integers"),
        ("ids=7:int64<" + "9" * 5000, "no bound for integers"),
        ("ids=7:int64=many", "none of ones, zeros, arange"),
        ("a-b:=5", "names no keyword"),
    ],
)
def test_what_is_no_input_says_what_to_type(text, words):
    with pytest.raises(InputShapeError) as caught:
        parse_input(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_of_inputs_stands_alone():
    with pytest.raises(InputShapeError, match="give it alone"):
        parse_inputs(["inputs.pt", "3x8x8"])


# --- tensors --------------------------------------------------------------------------------------


def made(*texts, batch=2):
    return call_of(parse_inputs(texts), batch, device="cpu")


def test_values_are_what_was_asked_for():
    args, kwargs = made("4:float32=0.5", "mask=3:bool=zeros", "ids=50:int64<7", "at=4:int32=arange")
    assert torch.equal(args[0], torch.full((2, 4), 0.5))
    assert not kwargs["mask"].any()
    assert kwargs["ids"].max() < 7
    assert kwargs["at"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_dicts_lists_scalars_and_whole_shapes_are_built():
    args, kwargs = made("d.x.y=3", "l[0]=[5x4]", "l[1]=[6x4]", "n:=5", "on:=true", ":=null")
    assert args == (None,)
    assert kwargs["d"]["x"]["y"].shape == (2, 3)
    assert [item.shape for item in kwargs["l"]] == [(5, 4), (6, 4)]
    assert (kwargs["n"], kwargs["on"]) == (5, True)


@pytest.mark.parametrize("texts", [("l[1]=3",), ("d=3", "d.x=3"), ("d.x=3", "d[0]=3")])
def test_keys_that_do_not_fit_are_refused(texts):
    with pytest.raises(InputShapeError, match="does not fit"):
        made(*texts)


@pytest.mark.parametrize("suffix", ["pt", "npz", "npy"])
def test_a_file_holds_the_inputs(suffix, tmp_path, file):
    path = tmp_path / f"given.{suffix}"
    if suffix == "pt":
        torch.save({"x": torch.ones(1, 6, 3)}, path)
    elif suffix == "npz":
        np.savez(path, x=np.ones((1, 6, 3), np.float32))
    else:
        np.save(path, np.ones((1, 6, 3), np.float32))
    assert count(f"{file}:Points@{path}").macs == 6 * 3 * 8


def test_a_file_that_would_run_code_is_refused(tmp_path):
    bad = tmp_path / "evil.pt"
    torch.save(nn.Linear(2, 2), bad)
    objects = tmp_path / "evil.npy"
    np.save(objects, np.array([object()], dtype=object), allow_pickle=True)
    for path in (bad, objects, tmp_path / "absent.npz"):
        with pytest.raises(SourceError, match=path.name):
            made(str(path))


# --- models that carry their inputs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "model", "inputs"),
    [
        ("timm:resnet18@3x64x64", "timm:resnet18", [(3, 64, 64)]),
        ("a@b.py:build@x=7@y=8:int64", "a@b.py:build", [(7,), (8,)]),
        ("user@host/net.py:build", "user@host/net.py:build", []),
        ("hrnet32:width=8@256x192", "hrnet32:width=8", [(256, 192)]),
    ],
)
def test_a_model_string_carries_its_inputs(text, model, inputs):
    name, found = split_inputs(text)
    assert (name, [item.shape for item in found]) == (model, inputs)


def test_one_input_per_model(file, run_cli):
    code, out, _ = run_cli(
        "compare", f"{file}:Points@10x3", f"{file}:Picture@3x4x4", "--input", "20x3",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert [row["macs"] for row in json.loads(out)["rows"]] == [10 * 3 * 8, 16 * 3 * 4]


def test_what_a_shape_does_not_say_goes_with_every_model_without_inputs():
    models, shapes = given_inputs(("a.py:f", "b.py:g@3x8x8"), ("ids=7:int64", "n:=2"))
    assert models == ("a.py:f@ids=7:int64@n:=2", "b.py:g@3x8x8")
    assert shapes == ()


# --- two sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "macs"),
    [
        ("Points", "1024x3", 1024 * 3 * 8),
        ("Sequence", "20x48", 20 * 4 * 8 * (48 + 8)),
        ("Picture", "20x48", 20 * 48 * 3 * 4),
    ],
)
def test_two_sizes_are_a_picture_only_of_a_model_that_takes_pictures(name, text, macs, file):
    assert count(f"{file}:{name}", inputs=text).macs == macs
    module = load(f"{file}:{name}", shapes=((3, 8, 8),), device="meta").module
    assert gadprof.count(module, text).macs == macs


@pytest.mark.parametrize("command", ["count", "compare"])
def test_every_command_takes_two_sizes_alike(command, file, run_cli):
    code, out, _ = run_cli(command, f"{file}:Points", "--input", "1024x3", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert (found if command == "count" else found["rows"][0])["macs"] == 1024 * 3 * 8


# --- what a model states --------------------------------------------------------------------------


def test_a_builder_says_what_its_module_is_called_with(file):
    assert count(f"{file}:together").macs == 7 * 5 * 2
    trace = count(f"{file}:with_keywords")
    assert trace.macs == 4 * 3 * 4 + 6 * 4 * 2
    assert "from the builder" in trace.note


def test_nested_inputs_reach_the_model(file, run_cli):
    words = ["batch.image=3x2x2", "boxes[0]=[6x4]", "boxes[1]=[5x4]", "steps:=3", "flag:=true"]
    trace = count(f"{file}:Nested", inputs=words)
    assert trace.macs == 4 * 3 * 4 + 11 * 4 * 2
    assert trace.elementwise()["add"] == 3 * 16
    options = [word for text in words for word in ("--input", text)]
    code, out, _ = run_cli("compare", f"{file}:Nested", *options, "--format", "json")
    assert code == 0
    assert json.loads(out)["rows"][0]["macs"] == trace.macs


def test_a_models_own_example_is_used_and_said(file):
    trace = count(f"{file}:Stated")
    assert trace.macs == 2 * 9 * 5 * 3
    assert trace.note == "called with 2x9x5, from the model's example_input_array"


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("torchvision:inception_v3", (1, 3, 299, 299), "from torchvision's weights"),
        ("timm:xception41", (1, 3, 299, 299), "from timm's configuration"),
        ("transformers:ViTModel", (1, 3, 224, 224), "from transformers' configuration"),
        ("transformers:CLIPModel", (1, 77), "from transformers' configuration"),
        ("transformers:SegformerModel", (1, 3, 224, 224), "from an assumption"),
        ("transformers:Wav2Vec2Model", (1, 16000), "one second of sound"),
    ],
)
def test_packages_say_their_models_inputs(name, shape, words):
    pytest.importorskip(name.partition(":")[0])
    trace = gadprof.count(name)
    assert trace.input_shapes[0] == shape
    assert words in trace.note


def test_a_named_model_is_counted_in_python():
    pytest.importorskip("timm")
    assert gadprof.count("timm:resnet18").macs == 1_814_073_344


@pytest.mark.parametrize(
    ("name", "shape", "way"),
    [
        ("Picture", (2, 5, 5), "try 3x5x5"),
        ("Points", (7, 4), "try 7x3"),
        ("Sequence", (9,), "16x48"),
    ],
)
def test_a_hint_names_an_input_that_works(name, shape, way, file):
    with pytest.raises(ModelFailedError, match=way) as caught:
        count(f"{file}:{name}", inputs=shape)
    text = str(caught.value).rpartition("try ")[2].removeprefix("--input ")
    assert count(f"{file}:{name}", inputs=text).macs > 0


def test_no_hint_is_given_that_would_fail():
    class Never(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            raise ValueError(f"{self.conv(x[:, :3])}")

    with pytest.raises(ModelFailedError) as caught:
        gadprof.count(Never(), (1, 2, 8, 8))
    assert "takes 3 channels" in str(caught.value)
    assert "try" not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("count", "hrnet32", "--input", "64000000x64000000"),
        ("compare", "hrnet32", "--input", "64000000x64000000"),
        ("compare", "hrnet32", "--batch", "9999999999999999999"),
        ("count", "hrnet32@3x64x" + "9" * 5000),
        ("count", "hrnet32", "--input", "9" * 5000),
    ],
)
def test_numbers_beyond_reason_end_in_one_line(words, run_cli):
    code, out, err = run_cli(*words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert len(err) < 700


@pytest.mark.parametrize("words", [("bench",), ("explain",), ("predict", "--device", "rtx3090")])
def test_measuring_and_predicting_take_the_same_inputs(words, run_cli, monkeypatch):
    """The models reach the work with what was typed; nothing is measured here."""
    seen = []

    def refuse(models, *_, **__):
        seen.extend(models)
        raise SourceError("seen")

    monkeypatch.setattr("gadprof.measuring.bench.measure", refuse)
    monkeypatch.setattr("gadprof.measuring.explain.explain.explain", refuse)
    monkeypatch.setattr("gadprof.prediction.api.predict", refuse)
    given = ["--input", "ids=7:int64<9", "--input", "n:=2"]
    code, _, _ = run_cli(words[0], "a.py:f", "b.py:g@3x8x8", *words[1:], *given)
    assert code == 2
    assert seen == ["a.py:f@ids=7:int64<9@n:=2", "b.py:g@3x8x8"]


def test_the_audit_and_a_report_take_the_same_inputs(file, tmp_path, run_cli):
    given = ["--input", "x=20x48"]
    name = f"{file}:Sequence"
    code, out, _ = run_cli("audit", name, *given, "--backends", "gadprof", "--format", "json")
    assert code == 0
    assert json.loads(out)["ours"] == 20 * 4 * 8 * 56
    code, _, err = run_cli("report", name, *given, "-o", str(tmp_path / "page"))
    assert code == 0, err
    assert "35.8" in (tmp_path / "page" / "report.md").read_text()


def test_a_budget_takes_the_same_inputs(file, tmp_path, run_cli):
    config = tmp_path / "gadprof.toml"
    config.write_text(
        f"[budgets.net]\nmodel = '{file}:Sequence'\ninput = 'x=20x48'\nmax_macs = 35840\n"
    )
    assert run_cli("check", "--config", str(config))[0] == 0
    config.write_text(config.read_text().replace("35840", "35839"))
    assert run_cli("check", "--config", str(config))[0] == 1


def test_an_unknown_model_with_inputs_is_said_without_them():
    with pytest.raises(GadprofError, match="unknown model 'hrnte32'"):
        resolve("hrnte32@3x8x8")
