"""Models at which counters' fused paths, hooks and formulas part: each is explained to the end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gadprof.audit.audit import explain, on_meta
from gadprof.audit.backends import installed_backends, run_backend
from gadprof.audit.observe import observe
from gadprof.counting.count import count


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def frozen_attention() -> nn.Module:
    return SelfAttention().requires_grad_(False)


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)


def frozen_encoder() -> nn.Module:
    return encoder().requires_grad_(False)


def weight_normed() -> nn.Module:
    norms = torch.nn.utils
    return nn.Sequential(
        norms.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.Flatten(),
        norms.parametrizations.weight_norm(nn.Linear(144, 4)),
    )


def transposed() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(3, 3, 3, stride=2, groups=3),
        nn.ConvTranspose2d(3, 6, 3, stride=2, groups=3),
    )


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model[0].register_forward_hook(lambda *given: None)
    model[0].register_forward_pre_hook(lambda *given: None)
    return model


class Segmenter(nn.Module):
    """transformers' SegFormer, which installs hooks when it first runs."""

    def __new__(cls):
        transformers = pytest.importorskip("transformers")
        config = transformers.SegformerConfig(
            depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 32, 64], decoder_hidden_size=32
        )
        return transformers.SegformerForSemanticSegmentation(config)


TOKENS, PICTURE = (2, 6, 32), (1, 3, 8, 8)
CASES = [
    (SelfAttention, TOKENS), (frozen_attention, TOKENS), (encoder, TOKENS),
    (frozen_encoder, TOKENS), (weight_normed, PICTURE), (transposed, PICTURE), (hooked, PICTURE),
    (Segmenter, (1, 3, 64, 64)),
]  # fmt: skip


def rows_of(factory, shape):
    x = torch.randn(shape)
    with torch.device("meta"):
        model = factory().eval()
    trace = count(model, (on_meta(x),))
    seen = observe(model, (on_meta(x),))
    names = installed_backends()
    return [explain(run_backend(name, factory().eval(), (x,)), trace, seen) for name in names]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("factory", "shape"), CASES, ids=lambda item: getattr(item, "__name__", "")
)
def test_every_counter_that_answers_is_explained(factory, shape):
    rows = [row for row in rows_of(factory, shape) if row.error is None]
    assert len(rows) > 1
    assert {row.name: row.residual for row in rows} == {row.name: 0 for row in rows}


@pytest.mark.filterwarnings("ignore")
def test_attention_called_by_itself_is_explained():
    x = torch.randn(TOKENS)
    model = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    trace = count(model, (x, x, x))
    assert trace.macs == 12 * 4 * 32 * 32 + 2 * 2 * 6 * 6 * 32
    seen = observe(model.to("meta"), on_meta((x, x, x)))
    model = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    rows = [explain(run_backend(name, model, (x, x, x)), trace, seen)
            for name in installed_backends()]  # fmt: skip
    assert {row.residual for row in rows if row.error is None} == {0}


@pytest.mark.filterwarnings("ignore")
def test_groups_of_transposed_convolutions_have_causes_of_their_own():
    causes = {row.name: {part.cause for part in row.differences}
              for row in rows_of(transposed, PICTURE)}  # fmt: skip
    if "calflops" in causes:
        assert "groups of a transposed convolution divided twice" in causes["calflops"]
        assert "functional call missed" not in causes["calflops"]
    if "torchprofile" in causes:
        assert "groups of a transposed convolution not divided" in causes["torchprofile"]
    assert causes["gadprof"] == set()
