"""A count by stand-ins is the very trace that the dispatcher records, or it is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gadprof.counting.count import count
from gadprof.counting.records import Trace
from gadprof.counting.trace import by_stand_in, locked_layers
from gadprof.counting.trace.stand_in import RefusedError
from gadprof.models.sources import load


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What came of each attempt to count by stand-ins: "" or why it was refused."""
    seen: list[str] = []
    attempt = by_stand_in.forward

    def watched(*args: Any) -> Any:
        try:
            output = attempt(*args)
        except Exception as error:
            seen.append(f"{type(error).__name__}: {error}")
            raise
        seen.append("")
        return output

    monkeypatch.setattr(by_stand_in, "forward", watched)
    monkeypatch.setattr(by_stand_in, "KNOWN_PACKAGES", by_stand_in.KNOWN_PACKAGES | {__name__})
    return seen


def both(module: nn.Module, *inputs: Any) -> Trace:
    """The fast trace, held to be equal to the plain one in every field."""
    fast = count(module, inputs)
    plain = count(module, inputs, fast=False)
    assert fast == plain
    assert fast.macs == sum(operation.macs for operation in plain.operations)
    assert fast.flops == sum(operation.flops for operation in plain.operations)
    assert fast.activations == sum(operation.activations for operation in plain.operations)
    return fast


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("hrnet32:blocks=1-1-1-1", (3, 64, 64)),
        ("gadnet32:blocks=1-1-1-1", (3, 64, 64)),
        ("ghost-se-hrnet32:blocks=1-1-1-1", (3, 64, 64)),
        ("torchvision:resnet18", (3, 64, 64)),
        ("torchvision:alexnet", (3, 96, 96)),
        ("torchvision:shufflenet_v2_x0_5", (3, 64, 64)),
        ("timm:ghostnet_050", (3, 64, 64)),
        ("timm:mixer_s32_224", (3, 224, 224)),
        ("timm:resmlp_12_224", (3, 224, 224)),
    ],
)
def test_known_models_are_counted_by_stand_ins_record_for_record(
    model: str, shape: tuple[int, ...], outcomes: list[str]
) -> None:
    pytest.importorskip(model.partition(":")[0]) if model.startswith("t") else None
    loaded = load(model, shapes=(shape,), device="meta")
    trace = both(loaded.module, *loaded.args)
    assert outcomes == [""]
    assert trace.operations


class Calls(nn.Module):
    """A module with one of every sort of layer at hand, that calls one function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.register_buffer("places", torch.zeros(2, dtype=torch.long))
        self.rnn = nn.LSTM(6, 5, batch_first=True)
        self.drop = nn.Dropout()
        self.act = nn.GELU()

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


SIZE = (2, 4, 8, 6)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.norm(m.conv(x)) + x,
        lambda m, x: F.relu_(x.clone()) * m.gain,
        lambda m, x: m.gain * x - 2,
        lambda m, x: torch.cat([x, x[:, :2], x[:, 2:]], 1),
        lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear").mean((2, 3)).flatten(1),
        lambda m, x: sum(part.transpose(-1, -2).contiguous().sum() for part in x.chunk(2, 1)),
        lambda m, x: m.rnn(x.flatten(1, 2))[0].softmax(-1),
        lambda m, x: m.drop(m.act(x)).permute(0, 2, 3, 1).reshape(2, -1),
        lambda m, x: F.scaled_dot_product_attention(x, x, x),
        lambda m, x: [part.view(-1) for part in x],
        lambda m, x: m.conv(x.to(memory_format=torch.channels_last)).relu(),
        lambda m, x: x.add_(1).unsqueeze(1).expand(2, 3, 4, 8, 6).sum(1),
        lambda m, x: {"a": x.pow(2), "b": (x, x.shape[1])},
        lambda m, x: x if isinstance(x, torch.Tensor) and x.dim() == 4 else None,
        lambda m, x: x * torch.ones(8, 6, device=x.device),
        lambda m, x: x + m.gain.sum(),
        lambda m, x: torch.cat([m.gain.expand(4, 8, 6)[None].repeat(2, 1, 1, 1), x], 1),
        lambda m, x: x * m.gain.view(1, -1, 1, 1) + m.gain[m.places].reshape(2, 1, 1, 1),
        lambda m, x: F.linear(x, m.conv.weight.view(-1, 6)).mul(2 * m.gain),
        lambda m, x: m.conv(m.gain.expand(4, 8, 8)[None]) if x.dim() else x,
    ],
)
def test_functions_of_stand_ins_leave_the_records_of_real_ones(
    function: Any, outcomes: list[str]
) -> None:
    with torch.device("meta"):
        module = Calls(function).eval()
    trace = both(module, torch.empty(SIZE, device="meta"))
    assert outcomes == [""]
    assert trace.device == "meta"


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.conv(x) if x.data is not None else x,
        lambda m, x: x + m.gain.sum().cos().tan(),
        lambda m, x: x * torch.ones(8, 6),
        lambda m, x: nn.ReLU()(x),
        lambda m, x: x.unsqueeze_(0).sum(),
        lambda m, x: x.requires_grad_().detach(),
    ],
)
def test_what_a_stand_in_cannot_answer_is_left_to_the_dispatcher(
    function: Any, outcomes: list[str]
) -> None:
    with torch.device("meta"):
        module = Calls(function).eval()
    both(module, torch.empty(SIZE, device="meta"))
    assert len(outcomes) == 1
    assert outcomes[0].startswith(RefusedError.__name__)


def test_a_refusal_that_the_model_swallows_is_still_one(outcomes: list[str]) -> None:
    def careless(module: Any, x: Any) -> Any:
        try:
            module.got = x.data
        except Exception:
            return x
        return module.conv(x)

    with torch.device("meta"):
        module = Calls(careless).eval()
    assert both(module, torch.empty(SIZE, device="meta")).macs > 0
    assert outcomes != [""]


def _hooked(module: nn.Module) -> None:
    module.conv.register_forward_hook(lambda *_: None)


def _patched(module: nn.Module) -> None:
    module.conv.forward = lambda x: x  # type: ignore[method-assign]


@pytest.mark.parametrize("change", [_hooked, _patched])
def test_hooks_and_patched_methods_are_left_to_the_dispatcher(
    change: Any, outcomes: list[str]
) -> None:
    with torch.device("meta"):
        module = Calls(lambda m, x: m.conv(x)).eval()
    change(module)
    both(module, torch.empty(SIZE, device="meta"))
    assert outcomes != [""]


def test_code_that_is_not_known_is_left_to_the_dispatcher(
    outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_stand_in, "KNOWN_PACKAGES", frozenset())
    with torch.device("meta"):
        module = Calls(lambda m, x: m.conv(x) if type(x) is torch.Tensor else x).eval()
    assert both(module, torch.empty(SIZE, device="meta")).macs > 0
    assert outcomes != [""]


def test_a_cache_that_a_module_fills_is_empty_again(outcomes: list[str]) -> None:
    def caching(module: Any, x: Any) -> Any:
        module.cache["x"] = x
        module.seen.append(x)
        return module.conv(x)

    module = Calls(caching).eval()
    module.cache, module.seen = {}, [1]
    both(module, torch.empty(SIZE))
    assert module.cache == {}
    assert module.seen == [1]
    assert outcomes == [""]


def _sets_a_number(conv: Any) -> None:
    conv.stride = (2, 2)


def _deletes_a_name(conv: Any) -> None:
    del conv.padding_mode


def _registers_a_buffer(conv: Any) -> None:
    conv.register_buffer("seen", None)


def _drops_the_bias(conv: Any) -> None:
    conv.register_parameter("bias", None)


def _trains(conv: Any) -> None:
    conv.train()


@pytest.mark.parametrize(
    "change",
    [_sets_a_number, _deletes_a_name, _registers_a_buffer, _drops_the_bias, _trains],
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_layer_that_the_model_changes_while_it_runs_is_as_before(
    change: Any, device: str, outcomes: list[str]
) -> None:
    def sly(module: Any, x: Any) -> Any:
        y = module.conv(x)
        change(module.conv)
        return y

    with torch.device(device):
        module = Calls(sly).train()
    state = dict(module.conv.__dict__)
    inner = {name: dict(state[name]) for name in ("_parameters", "_buffers", "_modules")}
    doors = [getattr(nn.Module, name) for name in locked_layers.DOORS]
    assert count(module, (torch.empty(SIZE, device=device),)).macs > 0
    assert "while it runs" in outcomes[0]
    assert module.conv.__dict__.keys() == state.keys()
    assert all(module.conv.__dict__[name] is value for name, value in state.items())
    for name, values in inner.items():
        assert module.conv.__dict__[name].keys() == values.keys()
        assert all(module.conv.__dict__[name][key] is value for key, value in values.items())
    assert all(module.training for module in module.modules())
    assert doors == [getattr(nn.Module, name) for name in locked_layers.DOORS]


def test_a_trace_survives_pickling_before_its_records_are_read() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    trace = count(module, [torch.empty(1, 3, 8, 8)])
    copy = pickle.loads(pickle.dumps(trace))
    assert copy == trace
    assert copy.macs == trace.macs == 4 * 36 * 27
