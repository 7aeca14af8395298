"""What a count promises: exact integers, every operation, and a module left as it was."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gadprof
from gadprof.counting.count import count
from gadprof.counting.records import Trace
from gadprof.errors import ModelFailedError


def counted(module: nn.Module, *shapes: tuple[int, ...], **options: Any) -> Trace:
    return count(module, [torch.empty(shape, device="meta") for shape in shapes], **options)


class Calls(nn.Module):
    """A module that calls one function on its inputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv1d(4, 6, 5), (2, 4, 20), 2 * 6 * 16 * 4 * 5),
        (nn.Conv2d(8, 16, 3, padding=1), (1, 8, 10, 12), 16 * 120 * 8 * 9),
        (nn.Conv2d(8, 16, 3, stride=2, groups=4), (1, 8, 11, 11), 16 * 25 * 2 * 9),
        (nn.Conv2d(8, 8, 3, groups=8, padding=2, dilation=2), (3, 8, 9, 9), 3 * 8 * 81 * 9),
        (nn.Conv2d(3, 4, (1, 5), padding="same"), (1, 3, 6, 6), 4 * 36 * 3 * 5),
        (nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7), 4 * 3 * 4 * 5 * 2 * 27),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1), (1, 6, 8, 8), 6 * 64 * 4 * 16),
        (nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2), (1, 6, 8, 8), 6 * 64 * 2 * 9),
        (nn.Linear(12, 5), (7, 12), 7 * 12 * 5),
        (nn.Linear(12, 5), (2, 3, 12), 6 * 12 * 5),
        (nn.LSTM(10, 20, num_layers=2), (7, 3, 10), 21 * 80 * ((10 + 20) + (20 + 20))),
        (nn.GRU(10, 20, bidirectional=True), (7, 3, 10), 2 * 21 * 60 * (10 + 20)),
        (nn.LSTM(10, 20, proj_size=5), (7, 3, 10), 21 * (80 * (10 + 5) + 20 * 5)),
        (nn.RNN(10, 20, nonlinearity="relu", batch_first=True), (3, 7, 10), 21 * 20 * 30),
        (nn.Bilinear(3, 4, 5), None, 6 * 5 * 3 * 4),
    ],
)
def test_modules_cost_what_the_textbook_says(module: nn.Module, shape: Any, macs: int) -> None:
    shapes = [shape] if shape else [(6, 3), (6, 4)]
    trace = counted(module, *shapes)
    assert trace.macs == macs
    assert trace.device == "meta"
    assert not trace.uncovered


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (torch.matmul, [(2, 3, 4, 5), (5, 6)], 2 * 3 * 4 * 5 * 6),
        (torch.matmul, [(5,), (5,)], 5),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (torch.addmm, [(3, 5), (3, 4), (4, 5)], 3 * 4 * 5),
        (lambda a, b: torch.einsum("bij,bkj->bik", a, b), [(2, 3, 4), (2, 5, 4)], 2 * 3 * 5 * 4),
        (lambda a, b: torch.tensordot(a, b, dims=2), [(2, 3, 4), (3, 4, 5)], 2 * 5 * 12),
        (F.scaled_dot_product_attention, [(2, 4, 6, 8), (2, 4, 7, 8), (2, 4, 7, 10)],
         2 * 4 * 6 * 7 * (8 + 10)),
        (lambda x, w: F.conv2d(x, w), [(1, 2, 5, 5), (3, 2, 3, 3)], 3 * 9 * 2 * 9),
        (lambda x, w: F.linear(x, w), [(4, 6), (5, 6)], 4 * 5 * 6),
    ],
)  # fmt: skip
def test_functions_count_like_modules(function: Any, shapes: Any, macs: int) -> None:
    assert counted(Calls(function), *shapes).macs == macs


def test_a_bias_is_an_addition_not_a_mac() -> None:
    with_bias = counted(nn.Conv2d(3, 8, 3), (1, 3, 8, 8))
    without = counted(nn.Conv2d(3, 8, 3, bias=False), (1, 3, 8, 8))
    assert with_bias.macs == without.macs
    assert with_bias.flops - without.flops == 8 * 36


def test_flops_are_twice_the_macs_and_every_elementwise_operation() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    trace = counted(module, (1, 3, 4, 4))
    assert trace.flops == 2 * trace.macs + 2 * 128 + 128
    assert trace.elementwise() == {"batch_norm": 128, "relu": 128}


def test_doubling_the_width_quadruples_the_macs() -> None:
    narrow = counted(nn.Conv2d(16, 16, 3), (1, 16, 8, 8))
    wide = counted(nn.Conv2d(32, 32, 3), (1, 32, 8, 8))
    assert wide.macs == 4 * narrow.macs


@pytest.mark.parametrize("module_type", [nn.MultiheadAttention, nn.TransformerEncoderLayer])
def test_attention_modules_count_the_same_on_every_path(module_type: Any) -> None:
    def build() -> tuple[nn.Module, Any]:
        if module_type is nn.MultiheadAttention:
            core = nn.MultiheadAttention(16, 4, batch_first=True)
            return Calls(lambda x: core(x, x, x, need_weights=False)), core
        return nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), None

    expected = 2 * 10 * 16 * 16 * 4 + 2 * 2 * 10 * 10 * 16
    if module_type is nn.TransformerEncoderLayer:
        expected += 2 * 2 * 10 * 16 * 32
    module, core = build()
    if core is not None:
        module.core = core
    for device in ("meta", "cpu"):
        trace = count(module.eval(), [torch.zeros(2, 10, 16)], device=device)  # type: ignore[arg-type]
        assert trace.macs == expected, device


def test_shared_modules_count_once_a_call_and_shared_weights_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.again = self.layer
            self.tied = nn.Linear(8, 8, bias=False)
            self.tied.weight = self.layer.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.tied(self.again(self.layer(x)))

    trace = counted(Twice(), (1, 8))
    assert trace.params == 8 * 8 + 8
    assert trace.macs == 3 * 64
    assert trace.modules["layer"].calls == 2
    assert trace.modules["layer"].aliases == ("again",)
    assert [operation.call for operation in trace.operations][:2] == [0, 1]


def test_operations_know_their_module_type_and_parameters() -> None:
    trace = counted(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), (1, 3, 4, 4))
    first, second = trace.operations
    assert (first.module, first.module_type, first.name) == ("0", "Conv2d", "aten.convolution")
    assert first.params == ("0.weight", "0.bias")
    assert (second.module, second.kind) == ("1", "activation")
    assert first.outputs[0].storage == second.inputs[0].storage
    assert first.bytes_read == 4 * (48 + 12 + 4)
    assert first.bytes_written == 4 * 64


def test_a_real_module_is_left_exactly_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    seen: list[int] = []
    module[0].register_forward_hook(lambda *_: seen.append(1))
    module[0].weight.requires_grad_(False)
    module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    weights = [id(parameter) for parameter in module.parameters()]
    attributes = [dict(item.__dict__) for item in module.modules()]
    state, python_state = torch.get_rng_state(), random.getstate()
    call = nn.Module.__call__
    for train in (False, True):
        count(module, [torch.zeros(2, 3, 8, 8)], train=train)
    assert nn.Module.__call__ is call
    assert [id(parameter) for parameter in module.parameters()] == weights
    assert all(parameter.grad is None for parameter in module.parameters())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    for item, old in zip(module.modules(), attributes, strict=True):
        assert item.__dict__ == old
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    assert len(seen) == 2


def test_a_module_that_raises_is_left_as_it_was_and_named() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.cache = self.norm(x)
            torch.rand(3)
            raise ValueError("no luck")

    module = Bad().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    call, state = nn.Module.__call__, torch.get_rng_state()
    with pytest.raises(ModelFailedError, match="Bad raised ValueError: no luck"):
        count(module, [torch.zeros(2, 3)])
    assert nn.Module.__call__ is call
    assert module.training
    assert not hasattr(module, "cache")
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_control_flow_on_values_falls_back_to_a_real_run_and_says_so() -> None:
    class Chooses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 1e9:
                return x
            return self.layer(x)

    module = Chooses()
    weight = module.layer.weight.clone()
    trace = count(module, [torch.zeros(2, 4)])
    assert trace.device == "cpu"
    assert "ran on the CPU" in trace.note
    assert trace.macs == 32
    assert torch.equal(module.layer.weight, weight)


def test_an_unknown_operation_is_listed_not_counted_as_zero() -> None:
    library = torch.library.Library("gadprof_test", "DEF")
    library.define("mystery(Tensor x) -> Tensor")
    library.impl("mystery", lambda x: x.clone(), "CompositeExplicitAutograd")
    trace = counted(Calls(lambda x: torch.ops.gadprof_test.mystery(x)), (2, 3))
    assert trace.uncovered == {"gadprof_test.mystery": 1}


def test_training_is_counted_from_a_real_backward() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 5)
    )
    forward = counted(module, (2, 3, 8, 8))
    trained = counted(module, (2, 3, 8, 8), train=True)
    first = 2 * 8 * 64 * 27
    last = 2 * 512 * 5
    assert forward.macs == first + last
    # the first convolution needs no gradient of its input: two, not three, products
    assert trained.macs == 2 * first + 3 * last
    assert sum(operation.macs for operation in trained.forward) == forward.macs
    backward = [operation for operation in trained.backward if operation.macs]
    assert {operation.module for operation in backward} == {"0", "3"}


def test_no_parameters_is_a_model_too() -> None:
    trace = counted(nn.ReLU(), (2, 3))
    assert (trace.params, trace.macs, trace.flops) == (0, 0, 6)


def test_deterministic_algorithms_change_no_count_and_stay_as_they_were():
    class Resize(nn.Module):
        def forward(self, x):
            return F.interpolate(x, scale_factor=2, mode="bilinear")

    sample = torch.empty(1, 3, 4, 4, device="meta")
    plain = count(Resize(), (sample,))
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        strict = count(Resize(), (sample,))
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert strict.elementwise() == plain.elementwise()
    assert list(strict.elementwise()) == ["upsample"]


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_on_again_after_a_count_if_it_was(on: bool) -> None:
    seen = []

    class Raising(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(gc.isenabled())
            raise ValueError("no further")

    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        gadprof.count(gadprof.build("gadnet32:width=8"), (1, 3, 32, 32)).total("macs")
        assert gc.isenabled() is on
        with pytest.raises(ModelFailedError):
            gadprof.count(Raising(), (1, 3, 8, 8))
        assert gc.isenabled() is on
        assert set(seen) == {on}  # foreign code runs with it as it was
    finally:
        (gc.enable if was else gc.disable)()


FIRST = """
import gc, torch, gadprof
gc.disable() if {off} else None
with torch.device("meta"):
    module = gadprof.build("ghost-hrnet32:width=8").eval()
x = torch.empty(1, 3, 64, 64, device="meta")
first, second = gadprof.count(module, x), gadprof.count(module, x)
print(first.live_bytes == second.live_bytes, first.operations == second.operations)
"""


@pytest.mark.parametrize("off", [False, True])
def test_the_first_count_of_a_process_is_as_any_other(off: bool) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FIRST.format(off=off)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
