"""The peak that a trace predicts is what torch's CPU allocator really held at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gadprof.counting.count import count
from gadprof.counting.trace.workspaces import channel_block, lies_channels_last
from gadprof.measuring.probes.memory import peak_of, recorded_changes
from gadprof.models.sources import load

needs_blocks = pytest.mark.skipif(
    channel_block() != 16, reason="kernels' buffers were only ever seen on AVX-512"
)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def allocated(module: nn.Module, args: tuple[torch.Tensor, ...]) -> int:
    with torch.inference_mode():
        changes = recorded_changes(lambda: module(*args))
    return peak_of(changes) + sum(item.numel() * item.element_size() for item in args)


class Reuses(nn.Module):
    """Views, in-place steps and a map that is held over others; no kernel needs a buffer."""

    def forward(self, x: Any) -> Any:
        kept = x * 2
        y = kept.transpose(2, 3).relu_().add_(1)
        z = torch.cat([y, y[:, :1]], 1)
        del y
        z = F.gelu(z)
        return z.mean((2, 3)) + kept.flatten(2).sum(2).mean()


def test_in_place_steps_and_views_take_no_memory_and_a_map_dies_when_it_is_let_go() -> None:
    x = torch.randn(2, 3, 20, 30)
    trace = count(Reuses(), [x])
    assert trace.peak_activation_bytes == trace.allocator_peak_bytes
    assert allocated(Reuses(), (x,)) == pytest.approx(trace.allocator_peak_bytes, abs=64)


@needs_blocks
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(64, 64, 3, padding=1), (1, 64, 28, 28)),
        (nn.Conv2d(20, 36, 3, padding=1), (1, 20, 57, 55)),
        (nn.Conv2d(3, 64, 7, stride=2, padding=3), (1, 3, 64, 64)),
        (nn.Conv2d(64, 64, 3, padding=1, groups=64), (1, 64, 28, 28)),
        (nn.Conv2d(64, 64, 3, padding=1, groups=4), (2, 64, 28, 28)),
        (nn.Conv2d(96, 24, 1), (2, 96, 28, 28)),
        (nn.Conv2d(96, 24, 1, stride=2), (1, 96, 28, 28)),
        (nn.Conv2d(16, 16, 3, padding=1), (1, 16, 14, 14)),
        (nn.ConvTranspose2d(256, 64, 4, stride=2, padding=1), (1, 256, 32, 24)),
    ],
)
def test_a_convolution_holds_its_reordered_maps_and_weights(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    module = module.eval()
    x = torch.randn(shape)
    predicted = count(module, [x]).allocator_peak_bytes
    assert allocated(module, (x,)) == pytest.approx(predicted, rel=0.02)


@needs_blocks
@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("hrnet32:blocks=1-1-1-1", (3, 64, 64)),
        ("gadnet32:blocks=1-1-1-1", (3, 64, 64)),
        ("torchvision:resnet18", (3, 96, 96)),
        ("torchvision:mobilenet_v2", (3, 96, 96)),
        ("timm:mixer_s32_224", (3, 224, 224)),
    ],
)
def test_a_model_peaks_where_its_trace_says(model: str, shape: tuple[int, ...]) -> None:
    if not model.startswith(("hrnet", "gadnet")):
        pytest.importorskip(model.partition(":")[0])
    loaded = load(model, shapes=(shape,))
    predicted = count(loaded.module, loaded.args).allocator_peak_bytes
    assert allocated(loaded.module, loaded.args) == pytest.approx(predicted, rel=0.02)


def allocated_in_training(module: nn.Module, x: torch.Tensor) -> int:
    def step() -> torch.Tensor:
        output = module(x)
        output.backward(torch.ones_like(output))
        return output

    return peak_of(recorded_changes(step)) + x.numel() * x.element_size()


@needs_blocks
def test_a_training_step_holds_saved_tensors_and_gradients() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 32 * 32, 10),
    )
    x = torch.randn(2, 3, 32, 32)
    trace = count(module, [x], train=True)
    assert trace.peak_activation_bytes > count(module, [x]).peak_activation_bytes
    assert allocated_in_training(module, x) == pytest.approx(trace.allocator_peak_bytes, rel=0.01)


PLAIN, LAST = torch.contiguous_format, torch.channels_last


@needs_blocks
@pytest.mark.parametrize(
    ("module", "size", "given", "layout"),
    [
        (nn.Conv2d(64, 64, 3, padding=1), 56, True, PLAIN),
        (nn.Conv2d(64, 64, 3, padding=1), 56, True, LAST),
        (nn.Conv2d(64, 128, 3, stride=2, padding=1), 56, True, PLAIN),
        (nn.Conv2d(40, 80, 2, stride=2), 56, True, PLAIN),
        (nn.Conv2d(64, 64, 1), 56, True, PLAIN),  # torch's own kernel: only the gradients
        (nn.Conv2d(20, 40, 3, padding=1), 28, True, PLAIN),  # torch's own: the input unfolded
        (nn.Conv2d(32, 32, 3, padding=1, groups=32), 28, True, PLAIN),
        (nn.Conv2d(32, 32, 3, padding=1, groups=32), 28, True, LAST),
        (nn.Conv2d(40, 40, 7, padding=3, groups=40), 56, True, PLAIN),  # fills no block
        (nn.Conv2d(40, 40, 7, padding=3, groups=40), 56, True, LAST),
        (nn.Conv2d(128, 128, 3, padding=1, groups=32), 28, True, PLAIN),
        (nn.Conv2d(3, 64, 7, stride=2, padding=3), 112, False, PLAIN),  # an image needs none
        (nn.Conv2d(3, 64, 7, stride=2, padding=3), 112, False, LAST),
        (nn.Conv2d(3, 96, 32, stride=32), 224, False, PLAIN),
    ],
)
def test_a_convolutions_gradients_hold_their_reordered_maps_and_weights(
    module: nn.Conv2d, size: int, given: bool, layout: torch.memory_format
) -> None:
    x = torch.randn(1, module.in_channels, size, size).to(memory_format=layout)
    x.requires_grad_(given)
    predicted = count(module, [x], train=True).allocator_peak_bytes
    assert allocated_in_training(module, x) == pytest.approx(predicted, rel=0.01)


class Attends(nn.Module):
    """Attention whose table of scores is far larger than anything else."""

    def forward(self, x: Any) -> Any:
        return F.scaled_dot_product_attention(x, x * 2, x * 3)


def test_training_keeps_no_scores_where_a_cpu_fuses_attention_but_counts_them() -> None:
    x = torch.randn(1, 2, 300, 8, requires_grad=True)
    trace = count(Attends(), [x], train=True)
    scores = 2 * 300 * 300 * 4
    assert trace.peak_activation_bytes > scores
    assert trace.allocator_peak_bytes < scores
    assert allocated_in_training(Attends(), x) < scores  # the kernel's own blocks are not predicted
    assert trace.macs == 3 * count(Attends(), [x]).macs


def test_a_gradient_with_a_kernel_of_its_own_is_one_operation() -> None:
    x = torch.randn(2, 3, 64, 64, requires_grad=True)
    trace = count(nn.SiLU(), [x], train=True)
    (gradient,) = [op for op in trace.backward if op.kind == "activation"]
    assert gradient.name == "aten.silu_backward"
    measured = allocated_in_training(nn.SiLU(), x)
    assert measured == pytest.approx(trace.allocator_peak_bytes, rel=0.01)


@pytest.mark.parametrize("shape", [(2, 8, 5, 7), (1, 8, 5, 5), (3, 1, 4, 4), (2, 4, 1, 1)])
@pytest.mark.parametrize("last", [True, False])
def test_channels_last_is_what_torch_takes_for_it(shape: tuple[int, ...], last: bool) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    tensor = torch.empty(shape).to(memory_format=layout)
    if 1 not in shape[1:]:
        assert lies_channels_last(shape, tensor.stride()) is last
    elif last and shape[1] > 1:
        assert lies_channels_last(shape, tensor.stride())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_forward_pass_peaks_on_cuda_where_its_trace_says() -> None:
    class Maps(nn.Module):
        def forward(self, x: Any) -> Any:
            kept = x * 2
            return (kept.relu() + kept).sum()

    module = Maps().cuda()
    x = torch.randn(8, 64, 128, 128, device="cuda")
    predicted = count(module, [x.to("meta")]).peak_activation_bytes
    with torch.inference_mode():
        module(x)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() - x.numel() * 4
        module(x)
        torch.cuda.synchronize()
    measured = torch.cuda.max_memory_allocated() - before
    assert measured == pytest.approx(predicted, rel=0.02)
