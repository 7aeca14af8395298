"""Claims about the CUDA path: its order of calls, by a stand-in; and about a real card."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gadprof.errors import ModelFailedError, SettingError
from gadprof.measuring.probes import cuda
from gadprof.measuring.probes.energy import NvmlCounter, measure_energy
from gadprof.measuring.probes.nvml import card_state, open_device, read_sensors
from gadprof.measuring.runtimes.onnx_runtime import check_used, providers
from gadprof.measuring.settings import Setting, check_device


class RecordedCuda:
    """A stand-in of ``torch.cuda`` that writes down every call; events tick 1.5 ms apart."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.time_ms = 0.0
        self.Event = lambda enable_timing: RecordedEvent(self, enable_timing)
        self.CUDAGraph = lambda: RecordedGraph(self)
        self.Stream = lambda: RecordedStream(self, "side")

    def current_stream(self) -> RecordedStream:
        return RecordedStream(self, "current")

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")

    def reset_peak_memory_stats(self) -> None:
        self.calls.append("reset_peak_memory_stats")

    def memory_allocated(self) -> int:
        return 100

    def max_memory_allocated(self) -> int:
        self.calls.append("max_memory_allocated")
        return 350

    def max_memory_reserved(self) -> int:
        self.calls.append("max_memory_reserved")
        return 512

    @contextlib.contextmanager
    def stream(self, stream: RecordedStream) -> Iterator[None]:
        self.calls.append(f"enter {stream.name}")
        yield
        self.calls.append(f"leave {stream.name}")

    @contextlib.contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        self.calls.append("capture begins")
        yield
        self.calls.append("capture ends")


class RecordedEvent:
    def __init__(self, world: RecordedCuda, enable_timing: bool) -> None:
        assert enable_timing
        self.world = world
        self.at_ms = -1.0

    def record(self, stream: RecordedStream) -> None:
        self.world.calls.append(f"record on {stream.name}")
        self.at_ms = self.world.time_ms

    def elapsed_time(self, end: RecordedEvent) -> float:
        assert self.world.calls[-1] == "synchronize"
        return end.at_ms - self.at_ms


class RecordedStream:
    def __init__(self, world: RecordedCuda, name: str) -> None:
        self.world, self.name = world, name

    def wait_stream(self, other: RecordedStream) -> None:
        self.world.calls.append(f"{self.name} waits for {other.name}")


class RecordedGraph:
    def __init__(self, world: RecordedCuda) -> None:
        self.world = world

    def replay(self) -> None:
        self.world.calls.append("replay")
        self.world.time_ms += 10.0


def runner(world: RecordedCuda, milliseconds: float = 1.5) -> Any:
    def run() -> str:
        world.calls.append("run")
        world.time_ms += milliseconds
        return "outputs"

    return run


def test_a_turn_synchronises_once_before_and_once_after_its_samples() -> None:
    world = RecordedCuda()
    samples = cuda.EventTimer(world).sample(runner(world), 3)
    one = ["record on current", "run", "record on current"]
    assert world.calls == ["synchronize", *one * 3, "synchronize"]
    assert samples == [1_500_000] * 3


def test_the_l2_flush_lies_outside_the_events() -> None:
    world = RecordedCuda()

    def flush() -> None:
        world.calls.append("flush")
        world.time_ms += 100

    samples = cuda.EventTimer(world, flush).sample(runner(world), 2)
    one = ["flush", "record on current", "run", "record on current"]
    assert world.calls == ["synchronize", *one * 2, "synchronize"]
    assert samples == [1_500_000] * 2


def test_a_graph_is_captured_after_warm_up_on_a_side_stream_and_then_replayed() -> None:
    world = RecordedCuda()
    replay = cuda.capture_graph(world, runner(world))
    assert world.calls == [
        "side waits for current",
        "enter side",
        *["run"] * cuda.GRAPH_WARMUP_RUNS,
        "leave side",
        "current waits for side",
        "capture begins",
        "run",
        "capture ends",
    ]
    world.calls.clear()
    assert replay() == "outputs"
    assert world.calls == ["replay"]


def test_peak_memory_is_of_one_run_alone() -> None:
    world = RecordedCuda()
    assert cuda.peak_memory(world, runner(world)) == (350, 512, 100)
    assert world.calls[:4] == ["synchronize", "empty_cache", "reset_peak_memory_stats", "run"]
    assert world.calls[4] == "synchronize"


def test_the_flush_buffer_is_not_counted_as_the_models_memory() -> None:
    world = RecordedCuda()
    assert cuda.peak_memory(world, runner(world), apart_bytes=60) == (290, 452, 40)


class RecordedTorch:
    """As much of torch as the worker's timer needs, on top of the recorded ``torch.cuda``."""

    int8 = "int8"

    def __init__(self) -> None:
        self.cuda = RecordedCuda()
        self.sizes: list[int] = []

    def empty(self, size: int, **where: Any) -> Any:
        assert where == {"dtype": "int8", "device": "cuda:0"}
        self.sizes.append(size)
        return type("Buffer", (), {"zero_": lambda _: self.cuda.calls.append("flush")})()


@pytest.mark.parametrize("cache", [50, 0])
def test_the_l2_flush_overwrites_twice_the_cache_and_waits_for_nothing(cache: int) -> None:
    world = RecordedTorch()
    properties = type("Properties", (), {"L2_cache_size": cache})()
    world.cuda.get_device_properties = lambda device: properties  # type: ignore[attr-defined]
    flush = cuda.L2Flusher(world, "cuda:0")
    assert world.sizes == [flush.nbytes] == [2 * (cache or 64 * 2**20)]
    flush()
    assert world.cuda.calls == ["flush"]


def test_a_whole_turn_of_the_worker_warms_up_outside_the_samples_and_synchronises_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Load, warm-up, turn and memory as the worker makes them, on the recorded device."""
    import torch

    from gadprof.measuring import worker

    world = RecordedCuda()
    properties = type("Properties", (), {"L2_cache_size": 50})()
    world.get_device_properties = lambda device: properties  # type: ignore[attr-defined]
    monkeypatch.setattr(torch, "cuda", world)
    monkeypatch.setattr(
        torch,
        "empty",
        lambda *_, **__: type("B", (), {"zero_": lambda _: world.calls.append("f")})(),
    )
    setting = Setting(device="cuda:0", cuda_graph=True, flush_l2=True)
    plain = runner(world)
    run, sample, apart = worker._timer(plain, setting)
    assert apart == 100
    assert world.calls[-3:] == ["capture begins", "run", "capture ends"]
    held = worker.Held(setting, None, (), {}, run, sample, (), plain, apart)
    warm = worker.warm_up(held, slice_s=60.0, limit_s=10.0)
    assert warm["finished"]
    assert world.calls.count("replay") == warm["runs"] >= 11
    world.calls.clear()
    turn = worker.take_turn(held, count=3, refresh=1)
    one = ["f", "record on current", "replay", "record on current"]
    assert world.calls == ["replay", "synchronize", *one * 3, "synchronize"]
    assert turn["samples_ns"] == [10_000_000] * 3
    # with the garbage collector as it was, and the run itself kept for the memory
    assert gc.isenabled()
    assert held.plain_run is plain


class RecordedNvml:
    """The few calls of nvidia-ml-py that are used; energy grows by 2 J a reading."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self) -> None:
        self.millijoules = 1_000_000

    def nvmlDeviceGetClockInfo(self, handle: Any, kind: int) -> int:  # noqa: N802
        return {1: 1710, 2: 9501}[kind]

    def nvmlDeviceGetTemperature(self, handle: Any, kind: int) -> int:  # noqa: N802
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int:  # noqa: N802
        return 298_500

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any) -> int:  # noqa: N802
        return 0x0004 | 0x0020 | 0x0001

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:  # noqa: N802
        self.millijoules += 2000
        return self.millijoules


def test_sensors_are_in_base_units_and_idle_is_no_slowdown() -> None:
    sensors = read_sensors("cuda:0", lambda device: (RecordedNvml(), "handle"))
    assert sensors == {
        "sm_clock_hz": 1.71e9,
        "memory_clock_hz": 9.501e9,
        "temperature_c": 61.0,
        "power_w": 298.5,
        "slowdowns": ["software power cap", "software thermal slowdown"],
    }


def test_a_card_without_a_sensor_or_library_says_so() -> None:
    def missing(device: str) -> Any:
        raise ImportError("No module named 'pynvml'")

    assert read_sensors("cpu") is None
    sensors = read_sensors("cuda", missing)
    assert sensors is not None
    assert "pynvml" in sensors["unavailable"]
    with pytest.raises(LookupError, match="nvidia-ml-py"):
        NvmlCounter("cuda", missing)


class SharedCard(RecordedNvml):
    """A card of 80 GiB on which two processes run, one of them this one, split or not."""

    def __init__(self, *, mig: bool, others: int = 1) -> None:
        super().__init__()
        self.mig, self.others = mig, others

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:  # noqa: N802
        return types.SimpleNamespace(total=80 << 30, free=70 << 30)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> Any:  # noqa: N802
        own = types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=2 << 30)
        other = types.SimpleNamespace(pid=-1, usedGpuMemory=4 << 30)
        return [own, *[other] * self.others]

    def nvmlDeviceGetMigMode(self, handle: Any) -> Any:  # noqa: N802
        return [int(self.mig), int(self.mig)]

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.1"


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (0, ()),
        (1, ("in use by 1 other process, which holds 4.0 of 80.0 GiB",)),
        (2, ("in use by 2 other processes, which hold 8.0 of 80.0 GiB",)),
    ],
)
def test_a_card_that_others_use_says_so_and_how_much(others: int, words: tuple[str, ...]) -> None:
    found = card_state("cuda", lambda device: (SharedCard(mig=False, others=others), "handle"))
    assert (found["driver"], found["total_bytes"], found["others"]) == ("580.1", 80 << 30, others)
    assert found["others_bytes"] == others * (4 << 30)
    assert len(found["words"]) == len(words)
    assert all(word in said for word, said in zip(words, found["words"], strict=True))


def test_a_slice_of_a_card_says_that_its_sensors_are_the_whole_cards() -> None:
    found = card_state("cuda", lambda device: (SharedCard(mig=True, others=0), "handle"))
    assert found["mig"]
    assert "MIG" in found["words"][0]


def test_a_card_without_sensors_has_one_word() -> None:
    def missing(device: str) -> Any:
        raise ImportError("No module named 'pynvml'")

    assert card_state("cuda", missing)["words"] == [
        "the card's sensors are out of reach (ImportError: No module named 'pynvml'): who else "
        "uses it, its clock and its temperature are not known"
    ]


@pytest.mark.parametrize(
    ("visible", "device", "asked"),
    [
        (None, "cuda:1", ("index", 1)),
        ("2,3", "cuda:1", ("index", 3)),
        ("GPU-aa,MIG-bb", "cuda:1", ("uuid", "MIG-bb")),
        ("GPU-aa", "cuda", ("uuid", "GPU-aa")),
    ],
)
def test_a_card_is_found_without_making_a_context_on_it(
    visible: str | None, device: str, asked: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: ("index", index),
        nvmlDeviceGetHandleByUUID=lambda uuid: ("uuid", uuid),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert open_device(device) == (library, asked)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Found no NVIDIA driver on your system. Please check that", "no NVIDIA driver"),
        (
            "The NVIDIA driver on your system is too old (found version 11040). Please update",
            r"too old \(found version 11040\)\)",
        ),
    ],
)
def test_a_driver_that_is_missing_or_too_old_is_named(
    said: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def init() -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(SettingError, match=words):
        check_device("cuda")


def test_a_model_that_finds_no_room_says_what_it_would_need() -> None:
    from gadprof.measuring.conclusions import _told
    from gadprof.measuring.entry import Entry
    from gadprof.workers.process import WorkerFailedError

    model = f"{Path(__file__).with_name('small_models.py')}:Plain"
    entry = Entry("0", model, Setting(device="cuda", batch=64))
    entry.failure = WorkerFailedError("memory", "it ran out of memory: CUDA out of memory", ())
    assert _told(entry).startswith(
        "it ran out of memory: CUDA out of memory; by its trace it needs"
    )
    assert "at batch 64" in _told(entry)


def test_energy_of_a_card_is_the_counters_difference_over_the_runs() -> None:
    ticks = iter(range(100))
    reply = measure_energy(
        lambda: None,
        lambda run, count: [0] * count,
        "cuda:0",
        3.0,
        opener=lambda device: NvmlCounter(device, lambda name: (RecordedNvml(), "handle")),
        clock=lambda: float(next(ticks)),
    )
    assert reply["runs"] == 3
    assert reply["joules_per_run"] == pytest.approx(2.0 / 3)
    assert reply["resolution_j"] == 1e-3
    assert reply["reason"] == ""


def test_tensorrt_is_asked_for_first_and_refused_where_it_is_not() -> None:
    setting = Setting(device="cuda:1", runtime="tensorrt")
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    wanted = providers(setting, available)
    assert wanted[0] == ("TensorrtExecutionProvider", {"device_id": 1})
    with pytest.raises(SettingError, match="onnxruntime-gpu"):
        providers(setting, ["CPUExecutionProvider"])


def test_a_session_that_falls_back_to_a_slower_provider_is_no_measurement() -> None:
    wanted = [("TensorrtExecutionProvider", {}), "CPUExecutionProvider"]
    check_used(wanted, ["TensorrtExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(ModelFailedError, match="fell back to CPUExecutionProvider"):
        check_used(wanted, ["CPUExecutionProvider"])


def test_a_device_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        with pytest.raises(SettingError, match="numbered from 0"):
            check_device(f"cuda:{torch.cuda.device_count()}")
    else:
        with pytest.raises(SettingError, match="CUDA is not available"):
            check_device("cuda")


@pytest.fixture
def card() -> str:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return "cuda:0"


@pytest.mark.cuda
def test_a_real_card_gives_latency_memory_and_sensors(card: str) -> None:
    from gadprof.measuring.bench import measure

    result = measure(["hrnet32", "gadnet32"], Setting(device=card), time_limit_s=10)
    for row in result.rows:
        assert row.error is None
        assert row.latency_s is not None
        assert row.peak_bytes is not None
        assert row.memory is not None
        assert row.memory["reserved_bytes"] >= row.peak_bytes
        assert row.sensors is not None


@pytest.mark.cuda
def test_a_real_card_replays_a_graph_of_the_same_model_and_flushes_its_l2(card: str) -> None:
    from gadprof.measuring.bench import measure

    result = measure(
        ["hrnet32"],
        [Setting(device=card), Setting(device=card, cuda_graph=True)],
        time_limit_s=10,
    )
    assert [row.error for row in result.rows] == [None, None]
    flushed = measure(["hrnet32"], Setting(device=card, flush_l2=True), time_limit_s=5)
    assert flushed.rows[0].error is None


@pytest.mark.cuda
def test_a_real_cards_peak_is_near_the_predicted_one(card: str) -> None:
    from gadprof.measuring.bench import measure

    row = measure(["hrnet32"], Setting(device=card), time_limit_s=5).rows[0]
    assert row.peak_bytes is not None
    assert row.predicted_peak_bytes is not None
    assert row.peak_bytes > 0.8 * row.predicted_peak_bytes
