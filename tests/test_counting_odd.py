"""Models off the beaten track count exactly, or say in one line why they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gadprof
from gadprof.errors import ModelFailedError
from gadprof.models.counting import count_guarded


class Calls(nn.Module):
    """A module that applies a function to its input, with a linear layer to use."""

    def __init__(self, function: Any, features: int = 16) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Linear(features, features)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def counted(function: Any, shape: tuple[int, ...] = (1, 4, 16, 16)) -> Any:
    return gadprof.count(Calls(function), (torch.ones(shape),))


@pytest.mark.parametrize(
    ("loss", "an_element"),
    [
        (F.mse_loss, 2),
        (F.smooth_l1_loss, 5),
        (F.huber_loss, 5),
        (F.binary_cross_entropy_with_logits, 9),
    ],
)
def test_a_loss_costs_by_the_elements_that_it_reads(loss: Any, an_element: int) -> None:
    n = 4 * 16 * 16

    def work(reduction: str) -> int:
        return int(counted(lambda self, x: loss(x, x, reduction=reduction)).flops)

    assert work("none") == an_element * n
    assert work("sum") == an_element * n + n - 1
    assert work("mean") == an_element * n + n


def test_weights_of_a_loss_are_multiplied_too() -> None:
    def loss(self: Calls, x: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy(x, x, weight=x, reduction="none")

    assert counted(loss).flops == (6 + 1) * 1024


def test_a_normalised_weight_is_computed_from_its_norm() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 8, 3))
    trace = gadprof.count(layer, (1, 4, 8, 8))
    (norm,) = [op for op in trace.operations if "weight_norm" in op.name]
    assert (norm.adds, norm.multiplies, norm.transcendentals) == (288, 2 * 288 + 8, 8)
    assert trace.uncovered == {}


@pytest.mark.filterwarnings("ignore")
def test_a_value_that_is_quantised_and_back_is_covered() -> None:
    def there_and_back(self: Calls, x: torch.Tensor) -> torch.Tensor:
        return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8).dequantize()

    trace = counted(there_and_back)
    assert trace.uncovered == {}
    assert trace.flops == (5 + 2) * 1024


@pytest.mark.filterwarnings("ignore")
def test_a_nested_tensor_counts_the_rows_that_it_has() -> None:
    def ragged(self: Calls, x: torch.Tensor) -> torch.Tensor:
        parts = [x[0, 0], x[0, 1, :5]]
        return self.layer(torch.nested.nested_tensor(parts, layout=torch.jagged)).values()

    assert counted(ragged).macs == (16 + 5) * 16 * 16


@pytest.mark.filterwarnings("ignore")
def test_a_sparse_product_multiplies_what_the_matrix_holds() -> None:
    module = Calls(lambda self, x: torch.sparse.mm(self.matrix, self.layer(x[0, 0])))
    module.register_buffer("matrix", torch.eye(16).to_sparse())
    trace = gadprof.count(module, (torch.ones(1, 4, 16, 16),))
    assert trace.macs == 16 * 16 * 16 + 16 * 16
    assert not trace.uncovered


def test_of_two_branches_the_one_taken_counts() -> None:
    def branch(self: Calls, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.layer(x), lambda x: x.sin(), (x,))

    trace = counted(branch)
    assert trace.macs == 4 * 16 * 16 * 16
    assert trace.uncovered == {}
    assert trace.note.startswith("ran on the CPU")


def test_a_real_run_makes_its_large_tensors_really() -> None:
    def grid(self: Calls, x: torch.Tensor) -> torch.Tensor:
        places = torch.ones(100_000).cumsum(0)
        kept = places[places > 99_984]  # 16 of them, which only values tell
        return self.layer(kept)

    trace = counted(grid)
    assert trace.note.startswith("ran on the CPU")
    assert trace.macs == 16 * 16


def test_a_model_that_takes_gradients_of_its_own_is_counted() -> None:
    def forces(self: Calls, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            place = x.clone().requires_grad_()
            (force,) = torch.autograd.grad(self.layer(place).square().sum(), place)
        return force

    trace = counted(forces)
    assert trace.device == "meta"
    assert trace.macs == 2 * 4 * 16 * 16 * 16  # the layer, and its gradient by the input


@pytest.mark.filterwarnings("ignore")
def test_torchscript_inside_a_module_is_refused_with_what_to_count_instead() -> None:
    module = nn.Sequential(torch.jit.script(nn.Sequential(nn.Conv2d(4, 8, 3))), nn.ReLU())
    with pytest.raises(ModelFailedError, match=r"TorchScript module.*export it to ONNX"):
        gadprof.count(module, (1, 4, 16, 16))


def test_a_type_error_inside_a_model_gets_no_advice_on_its_arguments() -> None:
    with pytest.raises(ModelFailedError, match=r"raised TypeError: .*not float$"):
        counted(lambda self, x: torch.zeros(float("nan")))


def test_an_error_without_words_leaves_no_colon() -> None:
    def fails(self: Calls, x: torch.Tensor) -> torch.Tensor:
        raise ValueError

    with pytest.raises(ModelFailedError, match=r"raised ValueError$"):
        counted(fails)


BUILDER = """
import torch
from torch import nn
def needs_values():
    layer = nn.Conv2d(3, 4, 1)
    if layer.weight.sum() > 1e9:
        raise ValueError("too large")
    return layer
class KeepsAside(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.anchors = nn.Conv2d(3, 4, 1), [torch.ones(4)]
    def forward(self, x):
        return self.layer(x) * self.anchors[0][self.anchors[0] > 0][:, None, None]
"""


@pytest.mark.parametrize("name", ["needs_values", "KeepsAside"])
def test_a_model_that_needs_values_is_built_on_the_cpu(tmp_path: Any, name: str) -> None:
    (tmp_path / "net.py").write_text(BUILDER)
    trace = count_guarded(f"{tmp_path}/net.py:{name}", shapes=((3, 8, 8),))
    assert trace.macs == 3 * 4 * 8 * 8


@pytest.mark.filterwarnings("ignore")
def test_flexible_attention_is_counted_and_left_as_it_was() -> None:
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    flag = "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"
    if not hasattr(flex, flag):
        pytest.skip("this torch compiles flexible attention always")
    trace = counted(lambda self, x: flex.flex_attention(x, x, self.layer(x)))
    assert trace.macs == 4 * 16 * 16 * 16 + 4 * 16 * 16 * 32
    assert not trace.uncovered
    assert getattr(flex, flag) is False
