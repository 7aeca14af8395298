"""What a model is called with: several inputs, keywords and types, from the shell and in Python."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gadprof
from gadprof.errors import InputShapeError
from gadprof.models.counting import trace_of
from gadprof.models.inputs import Input, parse_input, parse_inputs
from gadprof.models.sources import load

USER = """
import torch
class Masked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(50, 16)
        self.linear = torch.nn.Linear(16, 16)
    def forward(self, x, *, tokens, mask=None, scale=None):
        y = self.linear(x) + self.words(tokens)
        if mask is not None:
            y = torch.where(mask.unsqueeze(-1), y, 0.0)
        return y if scale is None else y * scale[:, None, None]
def build():
    return Masked()
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3x256x192", Input((3, 256, 192))),
        ("256x192", Input((256, 192))),
        ("128:int64", Input((128,), "int64")),
        ("y=7x16", Input((7, 16), "", "y")),
        ("7x16:float32", Input((7, 16), "float32")),
        ("x=3x8x8", Input((3, 8, 8), "", "x")),
        ("mask=128:bool", Input((128,), "bool", "mask")),
        ("time=", Input((), "", "time")),
        (":int64", Input((), "int64")),
    ],
)
def test_an_input_is_a_shape_with_a_name_and_a_type(text, expected):
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["mask=8:int46"], "unknown type 'int46'; did you mean 'int64'"),
        (["2nd=8"], "names no keyword"),
        (["=8"], "names no keyword"),
        (["a=b=8"], "type for example"),
        (["3x0x4"], "not positive"),
        (["nan"], "not a shape"),
        ([""], "not a shape"),
        (["x=8", "x=9"], "more than once"),
    ],
)
def test_what_is_no_input_is_said_with_a_way_out(texts, words):
    with pytest.raises(InputShapeError, match=words):
        parse_inputs(texts)


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER)
    return f"{path}:build"


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_keywords_and_types_reach_the_model(device, user_file):
    given = parse_inputs(["7x16:float32", "tokens=7:int64", "mask=7:bool", "scale="])
    loaded = load(user_file, inputs=given, batch=2, device=device)
    assert [tuple(item.shape) for item in loaded.args] == [(2, 7, 16)]
    assert {name: (tuple(t.shape), t.dtype) for name, t in loaded.kwargs.items()} == {
        "tokens": ((2, 7), torch.int64),
        "mask": ((2, 7), torch.bool),
        "scale": ((2,), torch.float32),
    }
    trace = gadprof.count(loaded.module, loaded.args, loaded.kwargs)
    elements = 2 * 7 * 16
    assert trace.macs == elements * 16
    assert trace.elementwise() == {"add": elements, "where": elements, "mul": elements}
    assert trace.input_dtypes == ("float32", "int64", "bool", "float32")


def test_the_guarded_count_takes_the_same_inputs(user_file):
    request = {"model": user_file, "shapes": (), "batch": 1, "train": False}
    request |= {"weights": None, "sparsity": False}
    trace = trace_of({**request, "inputs": parse_inputs(["x=7x16", "tokens=7:int64"])})
    assert trace.macs == 7 * 16 * 16
    assert trace.input_dtypes == ("float32", "int64")


def test_the_shell_passes_keywords(user_file, run_cli):
    code, out, _ = run_cli(
        "count", user_file, "--input", "x=7x16", "--input", "tokens=7:int64", "--format", "json"
    )
    assert code == 0
    assert json.loads(out)["macs"] == 7 * 16 * 16


def test_a_preset_takes_its_input_by_keyword(run_cli):
    named = run_cli("count", "hrnet32:width=8", "--input", "x=3x64x64", "--format", "json")
    plain = run_cli("count", "hrnet32:width=8", "--input", "64x64", "--format", "json")
    assert named[0] == 0
    assert json.loads(named[1])["macs"] == json.loads(plain[1])["macs"]
    code, _, err = run_cli("count", "hrnet32:width=8", "--input", "x=3x60x64")
    assert code == 2
    assert "60" in err


def test_keywords_alone_are_enough_in_python():
    class Keyword(nn.Module):
        def forward(self, *, x, y):
            return x @ y

    pair = {"x": torch.empty(3, 4), "y": torch.empty(4, 5)}
    assert gadprof.count(Keyword(), (), pair).macs == 60
