"""Models of transformers, named by class or configuration, built on meta and counted."""

from __future__ import annotations

import json

import pytest
import torch

import gadprof
from gadprof.errors import SourceError
from gadprof.models.sources import load, resolve

transformers = pytest.importorskip("transformers", reason="needs gadprof[transformers]")

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTModel"],
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
T5 = {
    "model_type": "t5",
    "architectures": ["T5Model"],
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "vocab_size": 50,
}


def configured(tmp_path, config):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return f"transformers:{path}"


@pytest.mark.parametrize("tokens", [5, 128])
def test_a_configuration_counts_as_its_closed_form(tokens, tmp_path):
    loaded = load(configured(tmp_path, LLAMA), shapes=((tokens,),), batch=2, device="meta")
    trace = gadprof.count(loaded.module, loaded.args, loaded.kwargs)
    products = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 48) + 32 * 100
    assert trace.params == products + 32 * 100 + 5 * 32
    rows = 2 * tokens
    attention = 2 * 2 * 4 * tokens * tokens * 8 * 2
    assert trace.macs == rows * products + attention
    assert trace.device == "meta"
    assert trace.uncovered == {}


@pytest.mark.parametrize(
    ("config", "names"),
    [(LLAMA, {"input_ids"}), (VIT, {"pixel_values"}), (T5, {"input_ids", "decoder_input_ids"})],
)
def test_a_model_is_called_as_its_configuration_says(config, names, tmp_path):
    loaded = load(configured(tmp_path, config), device="meta")
    assert set(loaded.kwargs) == names
    trace = gadprof.count(loaded.module, loaded.args, loaded.kwargs)
    assert trace.macs > 0
    assert trace.device == "meta"


def test_the_weights_are_never_in_memory(tmp_path):
    loaded = load(configured(tmp_path, LLAMA), device="meta")
    assert all(parameter.is_meta for parameter in loaded.module.parameters())
    assert loaded.kwargs["input_ids"].dtype is torch.int64


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LlamaForCausalML", "did you mean .*LlamaForCausalLM"),
        ("nowhere/config.json", "does not exist"),
        ("AutoModel", "a configuration of its own"),
    ],
)
def test_what_cannot_be_named_is_one_line(name, words):
    with pytest.raises(SourceError, match=words) as caught:
        load(resolve(f"transformers:{name}"), device="meta")
    assert "\n" not in str(caught.value)


def test_a_damaged_configuration_is_one_line(tmp_path, run_cli):
    path = tmp_path / "config.json"
    path.write_text("{")
    code, _, err = run_cli("count", f"transformers:{path}")
    assert code in (1, 2)
    assert str(path) in err
    assert err.count("\n") == 1
