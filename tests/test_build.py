"""Modules: official names, trainable, traceable, exportable, safe in channels-last."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
import warnings

import pytest
import torch
from torch import nn

import gadprof
from gadprof.errors import SourceError
from gadprof.networks.spec import parse_spec

# with each part of a whole network once or twice, as a test below holds
FEW = "modules=1-1-2,blocks=1,bottlenecks=2"
NARROW = [
    f"hrnet32:width=8,{FEW}",
    f"ghost-hrnet32:width=8,{FEW}",
    f"ghost-se-hrnet32:width=8,{FEW}",
    f"gadnet32:width=8,{FEW}",
    f"gadnet32:width=9,s=4,shortcut=yes,{FEW}",
    "hrnet32:width=8,up=no,modules=1-1-2,blocks=1,bottlenecks=0",
]
FAMILIES = ("hrnet", "ghost-hrnet", "ghost-se-hrnet", "gadnet")
PRESETS = [f"{family}{width}" for family in FAMILIES for width in (32, 48)]


@pytest.mark.data
@pytest.mark.parametrize("width", [32, 48])
def test_hrnets_state_has_the_official_names_and_shapes_in_order(width, data_folder):
    path = data_folder / "official-hrnet" / f"hrnet{width}_state_dict_names.json"
    with torch.device("meta"):
        state = gadprof.build(f"hrnet{width}").state_dict()
    ours = [[name, list(value.shape)] for name, value in state.items()]
    assert ours == json.loads(path.read_text())


def test_hrnets_state_has_the_names_that_official_checkpoints_have():
    with torch.device("meta"):
        names = set(gadprof.build("hrnet32").state_dict())
    assert len(names) == 1754
    for name in (
        "conv1.weight",
        "layer1.0.downsample.1.running_var",
        "transition1.1.0.0.weight",
        "stage2.0.branches.1.3.bn2.bias",
        "stage3.2.fuse_layers.2.0.1.0.weight",
        "transition3.3.0.1.num_batches_tracked",
        "stage4.2.fuse_layers.0.3.1.weight",
        "final_layer.bias",
    ):
        assert name in names


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("gadnet32", {"GADNet", "ADModule", "GaBlock", "GdBlock", "GDModule", "SEBlock"}),
        ("hrnet32", {"PoseHighResolutionNet", "HighResolutionModule", "BasicBlock"}),
        ("ghost-se-hrnet32", {"GhostBlock", "GhostModule", "SEBlock"}),
    ],
)
def test_modules_carry_the_papers_class_names(name, classes):
    with torch.device("meta"):
        module = gadprof.build(name)
    assert classes <= {type(part).__name__ for part in module.modules()}


def parts(name: str) -> set[str]:
    """What a network is made of: each layer with its sizes, and the classes that hold them."""
    with torch.device("meta"):
        module = gadprof.build(name)
    return {
        type(part).__name__ if any(part.children()) else repr(part) for part in module.modules()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_network_of_few_modules_has_every_part_of_the_whole_one(name):
    whole = parts(name)
    assert len(whole) > 30
    assert parts(f"{name}:{FEW}") == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_widths_of_a_network_differ_in_channels_alone(family):
    def without_channels(part: str) -> str:
        part = re.sub(r"(groups|in_features|out_features)=\d+", r"\1", part)
        return re.sub(r"^(\w+\()\d+(, \d+)?", r"\1", part)

    narrow, wide = parts(f"{family}32"), parts(f"{family}48")
    assert narrow != wide
    assert {without_channels(part) for part in narrow} == {without_channels(part) for part in wide}


@pytest.mark.parametrize("name", NARROW)
def test_every_parameter_of_a_network_gets_a_gradient(name):
    torch.manual_seed(0)
    module = gadprof.build(name).train()
    heatmaps = module(torch.randn(2, 3, 64, 64))
    assert heatmaps.shape == (2, 17, 16, 16)
    heatmaps.square().sum().backward()
    missing = [key for key, value in module.named_parameters() if value.grad is None]
    assert missing == []


@pytest.mark.parametrize("name", NARROW)
def test_a_traced_network_gives_the_same_heatmaps(name):
    torch.manual_seed(0)
    module = gadprof.build(name).eval()
    sample = torch.randn(1, 3, 64, 64)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # the comparison below is the check
        traced = torch.jit.trace(module, (sample,), check_trace=False)
        torch.testing.assert_close(traced(sample), module(sample))


@pytest.mark.parametrize("name", NARROW)
def test_an_exported_network_gives_the_same_heatmaps(name):
    torch.manual_seed(0)
    module = gadprof.build(name).eval()
    sample = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(module, (sample,)).module()
        torch.testing.assert_close(exported(sample), module(sample))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_network_exports_to_onnx(family, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs gadprof[onnx]")
    pytest.importorskip("onnxscript", reason="needs gadprof[onnx]")
    module = gadprof.build(f"{family}32:{FEW}").eval()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(1, 3, 64, 64),), str(path), dynamo=True, verbose=False
        )
    graph = onnx.load(str(path), load_external_data=False).graph
    assert any(node.op_type == "Conv" for node in graph.node)


@pytest.mark.parametrize("name", NARROW)
def test_channels_last_gives_the_same_heatmaps(name):
    torch.manual_seed(0)
    module = gadprof.build(name).eval()
    sample = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = module(sample)
        last = module.to(memory_format=torch.channels_last)
        got = last(sample.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-6)


def test_a_gablock_keeps_its_intrinsic_maps_and_adds_ghosts_of_the_attended_ones():
    from gadprof.networks.blocks.gadnet import ga_block
    from gadprof.networks.blocks.knobs import BlockKnobs
    from gadprof.networks.build import build

    torch.manual_seed(0)
    block = build(ga_block(8, 10, BlockKnobs(s=3))).eval()
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        out, intrinsic = block(x), block.primary(x)
        ghosts = block.cheap(block.attention(intrinsic))
    assert intrinsic.shape[1] == 4
    assert ghosts.shape[1] == 6
    torch.testing.assert_close(out, torch.cat([intrinsic, ghosts], 1))


def test_a_gdblock_halves_the_size_and_attends_its_ghosts_alone():
    from gadprof.networks.blocks.gadnet import gd_block
    from gadprof.networks.blocks.knobs import BlockKnobs
    from gadprof.networks.build import build

    torch.manual_seed(0)
    block = build(gd_block(8, 16, BlockKnobs())).eval()
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        out = block(x)
        expected = torch.cat([block.primary(x), block.attention(block.cheap(x))], 1)
    assert out.shape == (1, 16, 3, 3)
    torch.testing.assert_close(out, expected)


def save(state: object, path) -> str:
    torch.save(state, path)
    return str(path)


def test_a_checkpoint_of_the_same_network_loads_strictly(tmp_path):
    module = gadprof.build("hrnet32:width=4")
    path = save({"state_dict": module.state_dict()}, tmp_path / "w.pth")
    loaded = gadprof.build("hrnet32:width=4", weights=path).state_dict()
    for key, value in module.state_dict().items():
        torch.testing.assert_close(loaded[key], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("conv1.weight"), "1 missing keys, the first is 'conv1.weight'"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 unexpected keys"),
        (lambda state: state.update({"conv1.weight": torch.zeros(1)}), "has shape"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_key(change, words, tmp_path):
    state = gadprof.build("hrnet32:width=4").state_dict()
    change(state)
    path = save(state, tmp_path / "w.pth")
    with pytest.raises(SourceError, match=words):
        gadprof.build("hrnet32:width=4", weights=path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(SourceError, match="cannot be read"):
        gadprof.build("hrnet32:width=4", weights=str(path))
    with pytest.raises(SourceError, match="does not exist"):
        gadprof.build("hrnet32:width=4", weights=str(tmp_path / "none.pth"))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (print, ("ran",))

    path = save({"state_dict": Payload()}, tmp_path / "w.pth")
    with pytest.raises(SourceError, match="cannot be read"):
        gadprof.build("hrnet32:width=4", weights=path)


def test_weights_that_torch_has_a_word_for_are_refused_in_one(tmp_path):
    path = str(tmp_path / "w.pth")
    torch.save({"x": torch.eye(2).to_sparse()}, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of sparse tensors
        with pytest.raises(SourceError, match="does not fit the model"):
            gadprof.build("hrnet32:width=4", weights=path)


def test_the_same_seed_gives_the_same_weights():
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return gadprof.build("gadnet32:width=4").conv1.weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_a_state_written_in_memory_is_read_into_another_network_value_by_value():
    torch.manual_seed(0)
    module: nn.Module = gadprof.build(parse_spec("gadnet32:width=4"))
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    stream.seek(0)
    other = gadprof.build("gadnet32:width=4")
    assert not torch.equal(other.conv1.weight, module.conv1.weight)
    other.load_state_dict(torch.load(stream, weights_only=True))
    read = other.state_dict()
    assert list(read) == list(module.state_dict())
    for key, value in module.state_dict().items():
        assert torch.equal(read[key], value), key


def test_a_network_survives_a_copy_and_a_pickle():
    torch.manual_seed(0)
    module = gadprof.build("gadnet32:width=4").eval()
    sample = torch.randn(1, 3, 64, 64)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(twin) is type(module)
        assert twin is not module
        assert torch.equal(twin(sample), module(sample))
