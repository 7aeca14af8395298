"""Claims about predicted CUDA memory: the allocator's rules, a step's lifetimes, what fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from gadprof.cli import app
from gadprof.errors import SpecError, UnknownNameError
from gadprof.memory.allocator import MIB, Allocator, CardFullError
from gadprof.memory.cards import CARDS_MIB, memory_of
from gadprof.memory.largest import largest_batch
from gadprof.memory.peaks import COPIES, OPTIMIZERS, STATES, coefficients, predict_peaks, run_steps
from gadprof.memory.step import (
    BIRTH,
    DEATH,
    PROBE_BATCH,
    Convolution,
    Step,
    answer,
    observe,
    step_of,
)
from gadprof.memory.workspaces import workspace

SMALL = Path(__file__).with_name("small_models.py")


@pytest.mark.parametrize(
    ("asked", "allocated", "reserved"),
    [
        (0, 512, 2 * MIB),
        (1, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),  # the rest is more than 1 MiB: split off
        (63 * MIB, 64 * MIB, 64 * MIB),  # a rest of 1 MiB is not
    ],
)
def test_a_request_takes_the_segment_of_its_size(asked: int, allocated: int, reserved: int) -> None:
    memory = Allocator()
    memory.allocate(asked)
    assert (memory.allocated, memory.reserved) == (allocated, reserved)


def test_a_segments_rest_serves_the_next_request() -> None:
    memory = Allocator()
    for size in (3 * MIB, 5 * MIB, 12 * MIB):
        memory.allocate(size)
    assert memory.reserved == 20 * MIB  # 3 + 5 + 12
    memory.allocate(2 * MIB)
    assert memory.reserved == 40 * MIB


def test_the_smallest_block_that_is_large_enough_is_taken() -> None:
    memory = Allocator()
    blocks = [memory.allocate(size * MIB) for size in (32, 16, 24)]
    for block in blocks:
        memory.release(block)
    taken = memory.allocate(15 * MIB)
    assert (taken.size, memory.reserved) == (16 * MIB, 72 * MIB)  # not split: 1 MiB is left


def test_freed_neighbours_become_one_block_and_segments_never_do() -> None:
    memory = Allocator()
    inside = [memory.allocate(6 * MIB) for _ in range(3)]
    for block in (inside[0], inside[2], inside[1]):
        memory.release(block)
    memory.allocate(9 * MIB)
    assert memory.reserved == 20 * MIB
    other = Allocator()
    for block in [other.allocate(10 * MIB), other.allocate(10 * MIB)]:
        other.release(block)
    other.allocate(20 * MIB)
    assert other.reserved == 40 * MIB


def test_an_emptied_cache_gives_back_whole_segments_alone() -> None:
    memory = Allocator()
    kept, gone = memory.allocate(2 * MIB), memory.allocate(40 * MIB)
    memory.release(gone)
    memory.empty_cache()
    assert memory.reserved == 20 * MIB
    memory.release(kept)
    memory.empty_cache()
    assert (memory.reserved, memory.reserved_peak) == (0, 60 * MIB)


def test_a_full_card_empties_its_cache_before_it_refuses() -> None:
    memory = Allocator(capacity=64 * MIB)
    memory.release(memory.allocate(40 * MIB))
    memory.allocate(60 * MIB)
    assert memory.reserved == 60 * MIB
    with pytest.raises(CardFullError, match=str(20 * MIB)):
        memory.allocate(5 * MIB)


class Perceptron(nn.Module):
    """Two linear layers around a ReLU that keeps its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(256, 512, bias=False)
        self.second = nn.Linear(512, 128, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def observed(module: nn.Module, *shape: int, train: bool = True, dtype: Any = "fp32") -> Step:
    """The step of a module that is called with one input of a shape without the batch."""
    picture = torch.empty((PROBE_BATCH, *shape), device="meta")
    return observe(module, (picture,), {}, train=train, dtype=dtype, name="model")


def level_peak(step: Step, batch: int) -> int:
    """The most bytes alive at once, the input apart, without any rounding."""
    level = peak = 0
    for kind, _, fixed, sample in step.events[1:]:
        if kind == BIRTH:
            level += fixed + sample * batch
        elif kind == DEATH:
            level -= fixed + sample * batch
        peak = max(peak, level)
    return peak


def test_a_steps_level_is_that_of_torchs_own_allocator() -> None:
    from gadprof.measuring.probes.memory import peak_of, recorded_changes

    torch.manual_seed(0)
    module, batch = Perceptron(), 32
    x = torch.randn(batch, 256)

    def run() -> Any:
        output = module(x)
        output.backward(torch.ones_like(output))
        return [p.grad for p in module.parameters()], output

    assert level_peak(observed(module, 256), batch) == peak_of(recorded_changes(run))


def test_what_grows_with_the_batch_grows_by_the_same_bytes_for_each_sample() -> None:
    step = observed(Perceptron(), 256)
    hidden, out = 512 * 4, 128 * 4
    # forward: the hidden map before and after ReLU, of which ReLU frees the first; the output
    growing = [sample for kind, _, _, sample in step.events if kind == BIRTH and sample]
    assert growing[:4] == [256 * 4, hidden, hidden, out]
    # backward: the gradients of the output and of both hidden maps
    assert sorted(growing[4:]) == [out, hidden, hidden]
    fixed = [size for kind, _, size, _ in step.events if kind == BIRTH and size]
    assert sorted(fixed) == sorted(step.weights) == sorted([256 * 512 * 4, 512 * 128 * 4])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimiser_keeps_its_states_and_an_update_its_copies(optimizer: Any) -> None:
    layers = [nn.Linear(2048, 2048, bias=False) for _ in range(4)]
    step = observed(nn.Sequential(*layers), 2048)
    peaks = predict_peaks(step, 1, optimizer)
    weights = 4 * 2048 * 2048 * 4
    assert peaks.weight_bytes == peaks.gradient_bytes == weights
    assert peaks.optimizer_bytes == STATES[optimizer] * weights
    # at batch 1 the maps are nothing: the highest is the update, or the end of the backward pass
    whole = (2 + STATES[optimizer] + COPIES[optimizer]) * weights
    assert whole <= peaks.tensor_peak_bytes < whole + MIB


def test_the_peaks_stand_one_above_the_other() -> None:
    peaks = predict_peaks(observed(Perceptron(), 256), 4096)
    assert peaks.tensor_peak_bytes <= peaks.allocator_peak_bytes < peaks.process_peak_bytes
    parts = peaks.weight_bytes + peaks.optimizer_bytes + peaks.transient_bytes
    assert peaks.tensor_peak_bytes == parts
    above = peaks.loader_bytes + peaks.context_bytes
    assert peaks.process_peak_bytes == peaks.allocator_peak_bytes + above
    assert peaks.interval95[0] < peaks.process_peak_bytes < peaks.interval95[1]


def test_a_forward_pass_keeps_no_gradient_and_no_state() -> None:
    peaks = predict_peaks(observed(Perceptron(), 256, train=False), 4096, "adam")
    assert (peaks.gradient_bytes, peaks.optimizer_bytes, peaks.optimizer) == (0, 0, "")
    # the input and the two hidden maps at ReLU
    assert peaks.transient_bytes == 4096 * (256 + 512 + 512) * 4


def test_frozen_weights_have_neither_gradient_nor_state() -> None:
    module = Perceptron()
    module.first.weight.requires_grad_(False)
    peaks = predict_peaks(observed(module, 256), 8)
    assert peaks.gradient_bytes == peaks.optimizer_bytes == 512 * 128 * 4


class Attention(nn.Module):
    """Self-attention of heads that a last axis of the input gives, in four or five dimensions."""

    def __init__(self, axes: int, width: int = 8) -> None:
        super().__init__()
        self.inner = (1,) * (axes - 4)
        self.width = width
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x * self.weight).reshape(x.shape[0], *self.inner, 2, x.shape[1], self.width)
        return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize(("axes", "width", "fused"), [(4, 8, True), (5, 8, False), (4, 6, False)])
def test_attention_makes_its_table_of_scores_only_where_no_kernel_takes_it(
    axes: int, width: int, fused: bool
) -> None:
    queries = 64
    step = observed(Attention(axes, width), queries, 2 * width)
    scores = 2 * queries * queries * 4
    made = [sample for kind, _, _, sample in step.events if kind == BIRTH]
    assert (scores in made) is not fused


def test_mixed_precision_halves_maps_and_keeps_weights_and_bf16_halves_both() -> None:
    def module() -> nn.Module:
        return nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 1))

    plain = predict_peaks(observed(module(), 64, 32, 32), 64)
    mixed = predict_peaks(observed(module(), 64, 32, 32, dtype="amp"), 64)
    assert mixed.weight_bytes == plain.weight_bytes
    made = [
        sample
        for kind, _, _, sample in observed(module(), 64, 32, 32, dtype="amp").events
        if kind == BIRTH and sample
    ]
    whole = 64 * 32 * 32 * 4
    assert made[0] == whole  # the input is given in single precision
    assert made[1] == whole // 2  # and cast for the convolution
    assert made.count(whole) == 1
    request = {"model": f"{SMALL}:Plain", "inputs": (), "train": True}
    half, full = (answer({**request, "dtype": dtype}) for dtype in ("bf16", "fp32"))
    assert [2 * size for size in half.weights] == list(full.weights)
    assert 2 * half.input_bytes == full.input_bytes
    assert 2 * level_peak(half, 8) == pytest.approx(level_peak(full, 8), rel=0.02)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "sort"),
    [
        ((3, 3), (1, 1), 1, "dense"),
        ((3, 3), (2, 2), 1, "strided"),
        ((3, 3), (1, 1), 4, "grouped"),
        ((1, 1), (2, 2), 1, "pointwise"),
        ((3, 3), (1, 1), 64, None),
    ],
)
def test_a_workspace_is_a_multiple_of_what_the_weights_gradient_reads(
    kernel: Any, stride: Any, groups: int, sort: str | None
) -> None:
    multiples = {"dense": 2.0, "strided": 3.0, "grouped": 5.0, "pointwise": 7.0}
    found = Convolution(True, kernel, stride, groups, 64, sample_bytes=1000)
    assert workspace(found, 10, multiples) == (10_000 * multiples[sort] if sort else 0)
    forward = Convolution(False, kernel, stride, groups, 64, sample_bytes=1000)
    assert workspace(forward, 10, multiples) == 0


@pytest.fixture(scope="module")
def network() -> Step:
    """A training step of a few convolutions."""
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, 64), (64, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
    return observed(nn.Sequential(*layers), 3, 64, 64)


def test_the_largest_batch_fits_and_one_more_does_not(network: Step) -> None:
    step = network
    capacity = 6 << 30
    found = largest_batch(step, capacity)
    assert predict_peaks(step, found.batch).process_peak_bytes <= capacity
    assert predict_peaks(step, found.batch + 1).process_peak_bytes > capacity
    assert 0 < found.sure_batch <= found.batch < found.impossible_batch
    assert predict_peaks(step, found.impossible_batch).least_bytes > capacity


def test_a_step_that_fits_by_prediction_fits_a_card_of_that_size(network: Step) -> None:
    step = network
    fitted = coefficients()
    peaks = predict_peaks(step, 16)
    run_steps(step, 16, "sgd-momentum", fitted.multiples, Allocator(peaks.allocator_peak_bytes))
    with pytest.raises(CardFullError):
        run_steps(
            step, 16, "sgd-momentum", fitted.multiples, Allocator(peaks.tensor_peak_bytes // 2)
        )


@pytest.mark.parametrize(
    ("device", "size"),
    [
        ("rtx3090", 24576 * MIB),
        ("24GiB", 24 << 30),
        ("RTX 4090", 24564 * MIB),
        ("16gb", 16 * 10**9),
    ],
)
def test_a_card_is_named_or_sized(device: str, size: int) -> None:
    assert memory_of(device) == size


@pytest.mark.parametrize("device", ["rtx3099", "24", "0GiB", "-3GiB", ""])
def test_an_unknown_card_is_refused_with_a_way_out(device: str) -> None:
    with pytest.raises(UnknownNameError, match="for example 24GiB"):
        memory_of(device)


def test_every_card_with_a_data_sheet_has_its_memory() -> None:
    from gadprof.measuring.explain.roofline import sheets

    assert set(CARDS_MIB) == set(sheets())


def test_the_carried_coefficients_say_how_far_off_they_were() -> None:
    found = coefficients()
    assert found.ratio["2.5"] < 1 < found.ratio["97.5"]
    assert found.cv["median_absolute_error"] <= 0.05
    assert found.cv["within_12_percent"] >= 0.9
    assert 0 < found.least_ratio <= 1


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, standalone_mode=False)


def test_count_tells_the_three_peaks_apart() -> None:
    name = f"{SMALL}:Plain"
    done = run("count", name, "--memory", "cuda", "--train", "--batch", "4", "--format", "json")
    assert done.return_value == 0
    plain = json.loads(done.stdout)
    peaks = plain["cuda_memory"]
    assert plain["schema_version"] == 1
    assert peaks["tensor_peak_bytes"] <= peaks["allocator_peak_bytes"]
    assert peaks["allocator_peak_bytes"] < peaks["process_peak_bytes"]
    assert (peaks["optimizer"], peaks["dtype"], peaks["batch"]) == ("sgd-momentum", "fp32", 4)
    table = run("count", name, "--memory", "cuda").stdout
    assert "max_memory_allocated" in table
    assert "optimiser" not in table


def test_fit_finds_the_batch_and_says_what_a_model_without_room_needs() -> None:
    name = f"{SMALL}:Plain"
    done = run("fit", name, "--device", "rtx3090", "--train", "--format", "json")
    assert done.return_value == 0
    row = json.loads(done.stdout)["rows"][0]
    assert row["capacity_bytes"] == 24576 * MIB
    assert row["peaks"]["batch"] == row["batch"] > 1
    small = run("fit", name, "--device", "1GiB", "--train")
    assert small.return_value == 1
    assert "batch 1 cannot fit: it needs about" in small.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "hrnet32", "--device", "24GiB", "--optimizer", "adam"), "add --train"),
        (("count", "hrnet32", "--memory", "cuda", "--optimizer", "adam"), "add --train"),
        (("count", "hrnet32", "--dtype", "amp"), "add --memory cuda"),
        (("fit", "hrnet32", "--device", "gtx1"), "no card"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments: Any, words: str) -> None:
    error = run(*arguments).exception
    assert error is not None
    assert words in str(error) + getattr(error, "message", "")


def test_an_onnx_file_has_no_allocations_of_torch() -> None:
    with pytest.raises(SpecError, match=r"net\.onnx"):
        step_of("net.onnx")


def test_fit_says_of_a_batch_whether_it_can_fit() -> None:
    name = f"{SMALL}:Plain"
    refused = run("fit", name, "--device", "2GiB", "--train", "--batch", "65000")
    assert refused.return_value == 1
    assert "batch 65000 cannot fit: it needs about" in refused.stderr
    assert "the largest that fits is" in refused.stderr
    assert run("fit", name, "--device", "2GiB", "--train", "--batch", "1").return_value == 0


def test_compare_marks_what_is_predicted_for_a_card_that_is_not_here() -> None:
    done = run("compare", "gadnet32", "--device", "rtx3090", "--batch", "256", "--format", "json")
    assert done.return_value == 0
    plain = json.loads(done.stdout)
    assert plain["device"] == "rtx3090"
    row = plain["rows"][0]
    told = row["predicted"]
    assert told["latency_ratio"] == 1
    assert told["latency_ci95"][0] < told["latency_s"] < told["latency_ci95"][1]
    assert told["peak_ci95"][0] < told["peak_bytes"] < told["peak_ci95"][1]
    assert told["fits"] is True
    assert "latency_s" not in row  # nothing was measured


def test_compare_without_a_card_predicts_memory_alone_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    table = run("compare", "gadnet32", "--device", "cuda").stdout
    assert "predicted memory" in table
    assert "predicted latency" not in table
    assert "no card is here" in table


def test_compare_says_why_a_latency_is_not_predicted_and_what_has_no_room() -> None:
    table = run("compare", "pose_resnet50", "--device", "rtx3090", "--batch", "64").stdout
    assert "pose_resnet50: latency: operations that fewer than 3" in table
    crowded = run("compare", "gadnet32", "--device", "t4", "--batch", "4000", "--format", "json")
    told = json.loads(crowded.stdout)["rows"][0]["predicted"]
    assert told["fits"] is False
    assert "more than t4 has" in told["notes"][-1]
