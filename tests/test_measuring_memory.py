"""Claims about recorded allocations, energy counters, runtimes and the worker's wire."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gadprof.errors import ModelFailedError
from gadprof.measuring.probes.energy import RaplCounter, measure_energy, open_counter
from gadprof.measuring.probes.memory import (
    measure_memory,
    peak_of,
    recorded_changes,
    resident_bytes,
)
from gadprof.measuring.runtimes import largest_difference, prepare
from gadprof.measuring.settings import Setting
from gadprof.measuring.worker import wall_samples
from gadprof.workers.child import describe_failure
from gadprof.workers.wire import WireClosedError, read_message, write_message


def test_the_peak_is_the_highest_running_sum() -> None:
    assert peak_of([10, 20, -10, 15, -35]) == 35
    assert peak_of([]) == 0


def test_recorded_allocations_of_known_tensors_are_exact() -> None:
    def run() -> None:
        kept = torch.empty(1 << 20, dtype=torch.uint8)
        torch.empty(1 << 22, dtype=torch.uint8)
        del kept

    changes = recorded_changes(run)
    assert sorted(change for change in changes if change > 0) == [1 << 20, 1 << 22]
    assert sum(changes) == 0
    assert peak_of(changes) == (1 << 20) + (1 << 22)


def test_peak_bytes_are_weights_inputs_and_what_lived_at_once() -> None:
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1024))
            self.tied = self.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1) * self.weight

    module, x = Doubling(), torch.zeros(4, 1024)
    with torch.inference_mode():
        use = measure_memory(lambda: module(x), module, (x,), Setting())
    assert use["resident_bytes"] == 4096 + 16384
    assert use["transient_bytes"] == 2 * 16384
    assert use["peak_bytes"] == use["resident_bytes"] + use["transient_bytes"]
    assert use["process_peak_bytes"] > use["peak_bytes"]


def test_shared_storage_is_resident_once() -> None:
    linear = nn.Linear(8, 8, bias=False)
    x = torch.zeros(8)
    assert resident_bytes(linear, (x, x[:4])) == 256 + 32


def zone(root: Path, name: str, energy: int, limit: int = 1_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(str(energy))
    (folder / "max_energy_range_uj").write_text(str(limit))
    (folder / "name").write_text("package-0\n")
    return folder


def test_rapl_sums_packages_and_survives_a_wrap_around(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", 900_000)
    second = zone(tmp_path, "intel-rapl:1", 0)
    zone(tmp_path, "intel-rapl:0:0", 5)
    counter = RaplCounter(tmp_path)
    (first / "energy_uj").write_text("100000")
    (second / "energy_uj").write_text("300000")
    assert counter.read_j() == pytest.approx(0.2 + 0.3)
    assert counter.name == "RAPL package-0 + package-0"


def test_a_machine_without_rapl_says_not_available_and_why(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no RAPL energy counter"):
        RaplCounter(tmp_path)
    with pytest.raises(LookupError, match="mps"):
        open_counter("mps")

    def opener(device: str) -> Any:
        return RaplCounter(tmp_path)

    reply = measure_energy(lambda: None, wall_samples, "cpu", 0.0, opener=opener)
    assert reply["joules_per_run"] is None
    assert reply["reason"].startswith("not available: no RAPL")


def test_a_counter_that_does_not_move_gives_no_figure() -> None:
    class Stuck:
        name, resolution_j = "stuck", 0.001

        def read_j(self) -> float:
            return 5.0

    ticks = iter(range(1000))
    reply = measure_energy(
        lambda: None,
        lambda run, count: [],
        "cpu",
        1.0,
        opener=lambda device: Stuck(),
        clock=lambda: float(next(ticks)),
    )
    assert reply["joules_per_run"] is None
    assert "did not move" in reply["reason"]


@pytest.mark.parametrize("runtime", ["torchscript", "onnxruntime", "openvino"])
def test_a_runtime_computes_what_eager_computes(runtime: str) -> None:
    if runtime != "torchscript":
        pytest.importorskip(runtime, reason=f"the runtime {runtime} is not installed")
        pytest.importorskip("onnxscript", reason="the ONNX exporter is not installed")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x = torch.randn(1, 3, 8, 8)
    prepared = prepare(module, (x,), {}, Setting(runtime=runtime))
    assert prepared.difference is not None
    assert prepared.difference < 1e-4
    for close in prepared.closers:
        close()


def test_a_runtime_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gadprof.measuring.runtimes import Prepared, torchscript

    monkeypatch.setattr(
        torchscript, "prepare", lambda *_: Prepared(lambda: torch.zeros(1, 2), "broken")
    )
    module, x = nn.Linear(2, 2), torch.ones(1, 2)
    with pytest.raises(ModelFailedError, match="differ from eager"):
        prepare(module, (x,), {}, Setting(runtime="torchscript"))


def test_outputs_of_other_shape_or_nan_are_different() -> None:
    assert largest_difference(torch.ones(2), torch.ones(3)) == float("inf")
    assert not largest_difference(torch.ones(2), torch.tensor([1.0, float("nan")])) <= 1e9
    assert largest_difference([torch.ones(2)], (torch.ones(2) * 1.1,)) == pytest.approx(0.1)


def test_training_steps_leave_no_gradients_behind() -> None:
    module, x = nn.Linear(2, 2), torch.ones(1, 2)
    prepared = prepare(module, (x,), {}, Setting(mode="train"))
    assert float(prepared.run().detach()) >= 0
    assert module.weight.grad is None


def test_messages_arrive_whole_and_a_closed_pipe_is_an_error() -> None:
    read, write = os.pipe()
    write_message(write, {"operation": "ß", "numbers": list(range(500))})
    assert read_message(read) == {"operation": "ß", "numbers": list(range(500))}
    os.close(write)
    with pytest.raises(WireClosedError):
        read_message(read)
    os.close(read)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("shape '[2]' is invalid"), "model"),
        (SystemExit(3), "model"),
        (ModelFailedError("refused"), "model"),
    ],
)
def test_an_exception_of_a_model_gets_a_kind(error: BaseException, kind: str) -> None:
    assert describe_failure(error)["kind"] == kind
