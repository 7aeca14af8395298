"""Claims about the run on a card: every part's code, on the CPU and on a recorded CUDA device."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gadprof.measuring import worker
from gadprof.measuring.settings import Setting
from gadprof.prediction.measurements import read_csv

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import on_gpu  # noqa: E402
import on_gpu_page  # noqa: E402
import on_gpu_parts as parts  # noqa: E402


class WallEvent:
    """A CUDA event that reads the wall clock."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.at_s = 0.0

    def record(self, stream: Any) -> None:
        self.at_s = time.perf_counter()

    def elapsed_time(self, end: WallEvent) -> float:
        return max(end.at_s - self.at_s, 1e-6) * 1e3


class WallCuda:
    """A stand-in of ``torch.cuda``: its events tick, its allocator answers what is recorded."""

    Event = WallEvent

    def __init__(self, real: Any) -> None:
        self.replays = 0
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_device_name(self, device: str) -> str:
        return "NVIDIA GeForce RTX 3090"

    def synchronize(self) -> None: ...
    def empty_cache(self) -> None: ...
    def reset_peak_memory_stats(self) -> None: ...
    def wait_stream(self, other: Any) -> None: ...

    def Stream(self) -> WallCuda:  # noqa: N802
        return self

    def current_stream(self) -> WallCuda:
        return self

    def CUDAGraph(self) -> WallCuda:  # noqa: N802
        return self

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        yield

    def replay(self) -> None:
        self.replays += 1
        until = time.perf_counter() + 2e-4
        while time.perf_counter() < until:
            pass

    def memory_allocated(self) -> int:
        return 100 << 20

    def max_memory_allocated(self) -> int:
        return 350 << 20

    def max_memory_reserved(self) -> int:
        return 512 << 20


def hold(model: str, setting: Setting, factory: Any = None) -> worker.Held:
    """A model that is built on the CPU and timed as on the recorded card."""
    plain = replace(setting, device="cpu", cuda_graph=False, dtype="fp32", amp=False)
    request = {"operation": "load", "model": model, "factory": factory}
    held, _ = worker.serve({**request, "setting": vars(plain).copy()}, None)
    assert held is not None
    held.setting, held.plain_run = setting, held.run
    held.run, held.sample, held.apart_bytes = worker._timer(held.plain_run, setting)
    return held


class InProcess:
    """A worker in this process."""

    def __init__(self) -> None:
        self.held: worker.Held | None = None

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        if operation == "load":
            self.held = hold(fields["model"], Setting(**fields["setting"]), fields["factory"])
            return {"input_shapes": [], "runtime_version": "recorded", "notes": [], "load_s": 0.1}
        self.held, reply = worker.serve({"operation": operation, **fields}, self.held)
        return reply

    def close(self) -> None: ...


class Recorded(parts.Run):
    """A run on the recorded card."""

    def hold(self, model: str, setting: Setting) -> worker.Held:
        return hold(model, setting)

    def build(self, model: str) -> tuple[Any, tuple[int, ...]]:
        held = hold(model, Setting())
        return held.module, tuple(held.args[0].shape[1:])


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[parts.Run, WallCuda]]:
    import torch

    world = WallCuda(torch.cuda)
    monkeypatch.setattr(torch, "cuda", world)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield (
        Recorded("cuda:0", parts.Workers(InProcess), parts.SMALL, time.perf_counter() + 120),
        world,
    )
    torch.set_num_threads(threads)


def test_the_grid_shows_rs_beside_speed_up_and_memory_with_a_graph(recorded: Any) -> None:
    run, world = recorded
    found = parts.theory(run)
    assert found["planned"] == 3
    assert [bool(row.get("cuda_graph")) for row in found["rows"]] == [False, False, True]
    for row in found["rows"]:
        assert row["rs_macs"] > 1
        low, high = row["speed_up_ci95"]
        assert low <= row["speed_up"] <= high
        assert row["memory_ratio"] == 1  # the recorded card answers the same of both
    assert world.replays > 0


def test_every_way_of_running_is_a_group_with_ratios_to_the_first_network(recorded: Any) -> None:
    run, _ = recorded
    found = parts.networks(run)
    assert [group["way"] for group in found["groups"]] == [
        "eager",
        "CUDA graph",
        "fp16, channels last",
        "fp16",
        "bf16",
        "channels last",
    ]
    for group in found["groups"]:
        second = group["rows"][1]
        assert second["error"] is None
        assert second["ratio"] > 0
        assert second["reserved_bytes"] == 512 << 20
    assert "not available" in found["groups"][0]["rows"][0]["energy_absent"]


def test_equals_are_compared_and_timers_stand_side_by_side(recorded: Any) -> None:
    run, _ = recorded
    found = parts.agreement(run)
    assert len(found["a_a"]) == parts.SMALL.repetitions
    timers = found["timers"][0]
    assert timers["gadprof_s"] > 0 < timers["torch_s"]
    assert "triton_absent" in timers


def test_memory_is_predicted_before_it_is_read(recorded: Any) -> None:
    run, _ = recorded
    rows = parts.memory(run)["rows"]
    assert [row["mode"] for row in rows] == ["infer", "train"]
    for row in rows:
        assert row["allocated_bytes"] == 350 << 20
        assert 0 < row["predicted_tensor_bytes"] <= row["predicted_allocator_bytes"]
        assert list(row).index("predicted_tensor_bytes") < list(row).index("allocated_bytes")
    assert rows[0]["predicted_tensor_bytes"] < rows[1]["predicted_tensor_bytes"]


@pytest.mark.filterwarnings("ignore:CUDA is not available")  # autocast, of the stand-in
def test_latencies_are_predicted_for_the_card_and_read_by_calibrate(
    recorded: Any, tmp_path: Path
) -> None:
    run, _ = recorded
    found = parts.latency(run)
    assert (found["card"], found["dtype"]) == ("rtx3090", "amp")
    assert [(row["layout"], row["batch"]) for row in found["rows"]] == [
        ("nchw", 1),
        ("nchw", 2),
        ("nhwc", 1),
        ("nhwc", 2),
    ]
    for row in found["rows"]:
        assert row["predicted_s"] > 0
        assert row["refused"] is None
    files = parts.calibration_files(found)
    path = tmp_path / "rows.csv"
    path.write_text(files["nhwc"])
    lines = read_csv(str(path))
    assert [(line.model, line.batch) for line in lines] == [
        ("timm:lcnet_035", 1),
        ("timm:lcnet_035", 2),
    ]
    assert lines[0].seconds == pytest.approx(found["rows"][2]["latency_s"], rel=1e-5)


def test_the_whole_run_on_the_cpu_keeps_every_part_and_its_page_is_made_of_the_data(
    tmp_path: Path,
) -> None:
    data, page = tmp_path / "on_gpu.json", tmp_path / "cuda.md"
    options = ["--device", "cpu", "--small", "--minutes", "6", "-o", str(data)]
    done = CliRunner().invoke(on_gpu.main, options)
    assert done.exit_code == 0, done.output
    plain = json.loads(data.read_text())
    assert list(plain["parts"]) == [part.name for part in on_gpu.PARTS]
    for name, part in plain["parts"].items():
        assert "failed" not in part, (name, part)
    assert plain["parts"]["tests"]["failures"] == {}
    rebuilt = CliRunner().invoke(on_gpu.main, ["--rebuild", str(data), "--page", str(page)])
    assert rebuilt.exit_code == 0
    text = page.read_text()
    for title in on_gpu_page.TITLES.values():
        assert f"## {title}" in text
    assert "by operation class" in text


def test_a_part_whose_time_is_gone_is_skipped_with_a_word() -> None:
    kept: list[dict[str, Any]] = []
    run = parts.Run("cpu", parts.Workers(InProcess), parts.SMALL)
    on_gpu.run_parts(run, 1.0, lambda found: kept.append(dict(found)))
    assert [list(found) for found in kept][-1] == [part.name for part in on_gpu.PARTS]
    assert all("its time was gone" in part["skipped"] for part in kept[-1].values())


def test_a_part_that_fails_leaves_the_others_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: parts.Run) -> dict[str, Any]:
        raise RuntimeError("no kernel image is available")

    chosen = (
        on_gpu.Part("first", 0.5, "", fails),
        on_gpu.Part("second", 0.5, "", lambda run: {"rows": []}),
    )
    monkeypatch.setattr(on_gpu, "PARTS", chosen)
    kept: list[dict[str, Any]] = []
    run = parts.Run("cpu", parts.Workers(InProcess), parts.SMALL)
    on_gpu.run_parts(run, 60.0, lambda found: kept.append(dict(found)))
    assert kept[0]["first"]["failed"] == "RuntimeError: no kernel image is available"
    assert kept[1]["second"]["rows"] == []


def test_the_shares_leave_every_part_time_and_are_one() -> None:
    assert sum(part.share for part in on_gpu.PARTS) == pytest.approx(1)
    assert parts.WHOLE.points >= 96
    assert len(parts.MODELS) == len(set(parts.MODELS)) == 80


def test_a_test_report_is_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><skipped/></testcase>'
        '<testcase name="c"><failure message="off by 2"/></testcase></testsuite></testsuites>'
    )
    found = parts.read_report(report)
    assert found == {"ran": 2, "skipped_tests": 1, "failures": {"c": "off by 2"}}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("Tesla T4", "t4"),
        ("NVIDIA RTX A6000", ""),
    ],
)
def test_a_card_is_known_by_its_own_name(name: str, key: str) -> None:
    assert parts.known_card(name, ["rtx3080", "rtx3090", "t4", "a100", "h100"]) == key


def test_a_model_without_room_says_what_it_would_need() -> None:
    row = {"predicted_allocator_bytes": 30 << 30}
    line = parts.no_room("CUDA out of memory. Tried to allocate 2 GiB", row)
    assert line.startswith("no room: needs about 30.0 GiB by its trace")
    assert parts.no_room("some\n other error", row) == "some other error"


def test_a_page_of_the_cpu_is_refused_and_a_dry_run_lists_the_parts(tmp_path: Path) -> None:
    refused = CliRunner().invoke(on_gpu.main, ["--device", "cpu", "--page", str(tmp_path / "p.md")])
    assert refused.exit_code == 1
    assert "leave out --page" in refused.output
    dry = CliRunner().invoke(on_gpu.main, ["--device", "cpu", "--dry-run"])
    assert [line.split()[0] for line in dry.output.splitlines()] == [p.name for p in on_gpu.PARTS]
