"""The benchmark of forms: one small network gives one number in each, and a difference is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from script_modules import module_at

import gadprof

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "one_network.py"

USER = """
import torch
from torch import nn

class Net(nn.Module):
    example_input_shapes = ((3, 16, 16),)
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.mix, self.head = nn.Linear(8, 24), nn.Linear(8, 5)
    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))[:, :, ::2, ::2].flatten(2).transpose(1, 2)
        query, key, value = self.mix(x).chunk(3, -1)
        x = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.head(x.mean(1))
"""


@pytest.fixture(scope="module")
def bench():
    return module_at(PATH)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "forms"), [
    ("net.py:Net", ("compiled", "exported", "script", "onnx")),
    ("hrnet32:width=4,blocks=1,modules=1@3x32x32", ("plan", "script")),
])  # fmt: skip
def test_a_network_is_one_number_in_every_form(name, forms, bench, tmp_path, monkeypatch):
    if "onnx" in forms:
        pytest.importorskip("onnx", reason="needs gadprof[onnx]")
    (tmp_path / "net.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    row = bench.counted(name, forms, {})
    assert row["forms"] == dict.fromkeys(forms, row["module"])
    assert row["ledger"] == {}
    text, good = bench.table([row])
    assert good
    assert f"{len(forms)} equal to the module" in text


def test_another_number_is_told_by_kind_and_without_a_reason_it_fails(bench):
    import torch

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.ReLU())
    whole = gadprof.count(module, (1, 3, 2, 2))
    first = whole.operations[0]
    less = replace(whole, operations=(replace(first, macs=first.macs - 8), *whole.operations[1:]))
    ledger = bench._ledger("script", whole, less)
    assert ledger["macs"] == {"convolution": -8}
    row = {"network": "x", "module": 48, "forms": {"script": 40}, "ledger": {"script": ledger}}
    text, good = bench.table([row])
    assert not good
    assert "script: -8" in text


def test_what_a_network_does_twice_is_found(bench):
    import torch

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 1, bias=False)

        def forward(self, x):
            return self.conv(x) + self.conv(x) + self.conv(x * 2)

    assert bench.repeated(gadprof.count(Twice(), (1, 3, 2, 2))) == 4 * 3 * 4
