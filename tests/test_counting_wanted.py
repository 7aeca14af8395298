"""After a failure the message says what the model seems to want, and only what it states."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gadprof
from gadprof.errors import ModelFailedError
from gadprof.models.sources import load


class Sized(nn.Module):
    """A network that only takes its own image size and says so."""

    image_size = 32

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if x.shape[-1] != 32:
            raise ValueError("wrong height")
        return self.stem(x)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        raise ValueError("no way")


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 1, 8, 9), r"takes 3 channels: try 3x8x9"),
        (nn.Sequential(nn.Conv1d(3, 4, 3)), (1, 8, 8), r"takes 3 channels: try 3x8"),
        (nn.Sequential(nn.Linear(16, 4)), (1, 15), r"first linear layer \(0\) takes 16 features"),
        (nn.Embedding(9, 4), (1, 15), r"looks up integers"),
        (Sized(), (1, 3, 31, 31), r"it seems to want 3x32x32"),
        (nn.LSTM(9, 4), (1, 3, 8, 9), r"takes sequences of 9 features: try --input 8x9:float32"),
        (nn.Conv2d(3, 4, 3).half(), (1, 3, 8, 9), r"are float16: try --input 3x8x9:float16"),
        (nn.Bilinear(3, 3, 2), (1, 3), r"its forward takes input1, input2"),
    ],
)
def test_a_wrong_input_names_what_the_model_takes(module, shape, words):
    with pytest.raises(ModelFailedError, match=words) as caught:
        gadprof.count(module, (torch.empty(shape),))
    assert "\n" not in str(caught.value)


def test_a_fault_that_is_not_the_inputs_gets_no_advice():
    with pytest.raises(ModelFailedError, match=r"raised ValueError: no way$"):
        gadprof.count(Broken(), (1, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("timm:vit_tiny_patch16_224", (3, 200, 200), "it seems to want 3x224x224"),
        ("torchvision:vit_b_16", (3, 200, 200), "it seems to want 3x224x224"),
        ("torchvision:resnet18", (1, 64, 64), "try 3x64x64"),
    ],
)
def test_models_of_the_zoos_say_their_size(name, shape, words):
    pytest.importorskip(name.partition(":")[0], reason="needs gadprof[zoo]")
    loaded = load(name, shapes=(shape,), device="meta")
    with pytest.raises(ModelFailedError, match=words):
        gadprof.count(loaded.module, loaded.args)
