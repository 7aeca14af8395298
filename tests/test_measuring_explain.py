"""Claims about classes, stages, profiles, rooflines and the reasons given in words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from gadprof.counting.count import count
from gadprof.errors import SettingError, UnknownNameError
from gadprof.measuring.block_pairs import measure_pairs
from gadprof.measuring.explain.classes import FRAMEWORK, OUTSIDE, class_of_event, convolution_class
from gadprof.measuring.explain.explain import Explained, assemble, reasons
from gadprof.measuring.explain.profile import MARK, ROOT, profile_run, summarise
from gadprof.measuring.explain.roofline import Peaks, best_rate, peaks_of_sheet, sheets
from gadprof.measuring.explain.stages import stages_of
from gadprof.measuring.explain.work import work_of
from gadprof.measuring.settings import Setting

PEAKS = Peaks("test", 100e9, 10e9, True, "made up")


@pytest.mark.parametrize(
    ("kernel", "groups", "c_in", "word"),
    [
        ((3, 3), 1, 8, "3×3 convolution"),
        ((1, 1), 1, 8, "1×1 convolution"),
        ((3, 3), 8, 8, "depthwise convolution"),
        ((3, 3), 4, 8, "grouped convolution"),
        ((7,), 1, 8, "7 convolution"),
    ],
)
def test_a_convolution_is_classed_by_what_its_speed_depends_on(
    kernel: tuple[int, ...], groups: int, c_in: int, word: str
) -> None:
    assert convolution_class(kernel, groups, c_in) == word


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("aten::relu_", "activation"),
        ("aten::add_", "elementwise"),
        ("aten::batch_norm", "normalization"),
        ("aten::upsample_nearest2d", "resize"),
        ("aten::view", "view"),
        ("aten::some_new_operation", "other"),
    ],
)
def test_an_event_is_classed_by_its_name(name: str, word: str) -> None:
    assert class_of_event(name, (), ()) == word


def test_small_parts_around_the_big_ones_are_stem_and_head() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.layer1 = nn.Sequential(nn.ReLU(), nn.ReLU())
            self.layer2 = nn.Sequential(nn.ReLU())
            self.fc = nn.Linear(4, 2)

    stages = stages_of(Net())
    assert stages.of("conv1") == stages.of("bn1") == "stem"
    assert stages.of("layer1.0") == "layer1"
    assert stages.of("fc") == "head"
    assert stages.of("") == OUTSIDE


def test_a_wrapper_with_one_child_is_looked_through() -> None:
    inner = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU()))
    assert stages_of(nn.Sequential(inner)).of("0.1.0") == "1"


@dataclass
class Event:
    name: str
    cpu_time_total: float
    cpu_parent: Event | None = None
    input_shapes: list[Any] = field(default_factory=list)
    concrete_inputs: list[Any] = field(default_factory=list)
    device_type: str = "DeviceType.CPU"
    device_time_total: float = 0.0


def test_every_profiled_microsecond_is_in_exactly_one_place() -> None:
    root = Event(ROOT, 1000.0)
    stage = Event(MARK + "layer1", 700.0, root)
    conv = Event(
        "aten::conv2d",
        500.0,
        stage,
        [[1, 8, 4, 4], [8, 1, 3, 3]],
        [None, None, None, [1, 1], [1, 1], [1, 1], 8],
    )
    inner = Event("aten::convolution", 490.0, conv)
    events = [
        root,
        stage,
        conv,
        inner,
        Event("aten::relu_", 100.0, stage),
        Event("aten::view", 10.0, stage),
        Event("aten::add", 200.0, root),
        Event("aten::mul", 77.0),
    ]
    profile = summarise(events, 2, on_cuda=False)
    seconds = {(stage, word): value for stage, word, value in profile["seconds"]}
    assert seconds["layer1", "depthwise convolution"] == pytest.approx(250e-6)
    assert seconds["layer1", "activation"] == pytest.approx(50e-6)
    assert seconds[OUTSIDE, "elementwise"] == pytest.approx(100e-6)
    assert profile["profiled_s"] == pytest.approx(500e-6)
    assert sum(seconds.values()) == pytest.approx(500e-6)
    assert profile["kernels"] == 1.5


def test_on_cuda_time_is_the_devices_and_kernels_are_counted() -> None:
    root = Event(ROOT, 1000.0)
    conv = Event("aten::linear", 20.0, root, [[1, 8]], device_time_total=600.0)
    kernel = Event("gemm", 0.0, device_type="DeviceType.CUDA")
    profile = summarise([root, conv, kernel, kernel], 1, on_cuda=True)
    seconds = {word: value for _, word, value in profile["seconds"]}
    assert seconds == {"linear": pytest.approx(600e-6), FRAMEWORK: pytest.approx(400e-6)}
    assert profile["kernels"] == 2


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.depthwise(self.conv(x)))


def test_a_real_profile_and_a_real_count_name_the_same_classes() -> None:
    module, x = Small().eval(), torch.randn(1, 3, 16, 16)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return module(x)

    profile = profile_run(run, module, Setting(), runs=2)
    work = work_of(count(module, (x,)), module)
    profiled = {word for _, word, _ in profile["seconds"]} - {FRAMEWORK}
    assert profiled == {item.operation_class for item in work}
    macs = {item.operation_class: item.macs for item in work}
    assert macs["3×3 convolution"] == 256 * 8 * 27
    assert macs["depthwise convolution"] == 256 * 8 * 9
    assert macs["1×1 convolution"] == 256 * 8 * 4
    assert not module.conv._forward_pre_hooks
    assert not module.conv._forward_hooks


def test_hooks_go_also_when_the_model_raises() -> None:
    module = Small()
    with pytest.raises(ValueError, match="no"):
        profile_run(lambda: (_ for _ in ()).throw(ValueError("no")), module, Setting(), runs=1)
    assert not any(part._forward_pre_hooks for part in module.modules())


def explained(name: str, latency_s: float, rows: list[tuple[str, float, int, int]]) -> Explained:
    total = sum(row[1] for row in rows)
    profile = {
        "seconds": [["s", word, seconds] for word, seconds, _, _ in rows],
        "operations": [["s", word, 10.0] for word, _, _, _ in rows],
        "kernels": 10.0 * len(rows),
        "profiled_s": total,
    }
    work = [
        {
            "stage": "s",
            "operation_class": word,
            "macs": macs,
            "flops": 2 * macs,
            "traffic_bytes": traffic,
        }
        for word, _, macs, traffic in rows
    ]
    return assemble(name, latency_s, None, profile, work, PEAKS)


HEAVY = [("3×3 convolution", 0.2, 10**9, 10**7)]
LIGHT = [("3×3 convolution", 0.1, 4 * 10**8, 10**7), ("depthwise convolution", 0.3, 10**7, 10**8)]


def test_times_add_up_to_the_unprofiled_latency() -> None:
    model = explained("light", 0.25, LIGHT)
    assert sum(part.seconds for part in model.by_class) == pytest.approx(0.25)
    assert sum(part.seconds for part in model.by_stage) == pytest.approx(0.25)
    assert model.macs == 4 * 10**8 + 10**7


def test_each_part_has_its_bound_and_what_makes_it() -> None:
    by_name = {part.name: part for part in explained("light", 0.25, LIGHT).by_class}
    conv, depthwise = by_name["3×3 convolution"], by_name["depthwise convolution"]
    assert conv.bound_s == pytest.approx(8e8 / 100e9)
    assert conv.limit == "arithmetic"
    assert depthwise.bound_s == pytest.approx(1e8 / 10e9)
    assert depthwise.limit == "memory"
    assert depthwise.intensity == pytest.approx(0.2)


def test_the_words_name_what_was_added_and_that_a_mac_costs_more() -> None:
    words = " ".join(
        reasons(explained("heavy", 0.2, HEAVY), explained("light", 0.4, LIGHT), "slower", PEAKS)
    )
    assert "light has 0.41 x the MACs of heavy and takes 2.00 x its time" in words
    assert "Time added: depthwise convolution 300 ms" in words
    assert "Time saved: 3×3 convolution 100 ms" in words
    assert "a MAC costs it more time" in words
    assert "(the other has none)" in words


def test_data_sheets_are_marked_and_have_sources() -> None:
    for name, sheet in sheets().items():
        assert sheet["source"], name
        peaks = peaks_of_sheet(name, "fp32")
        assert not peaks.measured
        assert 1e12 < peaks.flops_per_s < 1e15
        assert 1e11 < peaks.bytes_per_s < 1e13
    assert "paper" in sheets()["rtx3080-12g"]["name"]


def test_every_figure_of_a_sheet_says_against_what_it_was_checked() -> None:
    for name, sheet in sheets().items():
        figures = {*sheet["flops_per_s"], "bytes_per_s", "watts"}
        assert figures == set(sheet["sources"]), name
        assert all(len(text) > 5 for text in sheet["sources"].values()), name


# SMs, boost clock in Hz, memory bus in bits and its rate in bit/s, as the makers print them
GEFORCE = {
    "rtx3080": (68, 1.71e9, 320, 19e9),
    "rtx3080-12g": (70, 1.71e9, 384, 19e9),
    "rtx3090": (82, 1.695e9, 384, 19.5e9),
    "rtx4090": (128, 2.52e9, 384, 21e9),
    "rtx5090": (170, 2.407e9, 512, 28e9),
}


@pytest.mark.parametrize("name", GEFORCE)
def test_a_geforce_sheet_follows_from_its_units_and_clocks(name: str) -> None:
    """128 fp32 lanes an SM; dense fp16 with fp32 accumulation at twice, not four times, that."""
    units, clock, bits, rate = GEFORCE[name]
    sheet = sheets()[name]
    assert sheet["flops_per_s"]["fp32"] == pytest.approx(units * 128 * 2 * clock, rel=2e-3)
    for half in ("fp16", "bf16"):
        assert sheet["flops_per_s"][half] == pytest.approx(units * 512 * clock, rel=4e-3)
    assert sheet["bytes_per_s"] == pytest.approx(bits / 8 * rate, rel=2e-3)


def test_a_data_centre_cards_fp32_bound_is_its_tf32_rate_since_convolutions_use_it() -> None:
    for name in ("a100", "h100", "h200"):
        rates = sheets()[name]["flops_per_s"]
        assert peaks_of_sheet(name, "fp32").flops_per_s == rates["tf32"] == rates["fp16"] / 2
        assert "TF32" in peaks_of_sheet(name, "fp32").source
    assert peaks_of_sheet("v100", "fp32").flops_per_s == sheets()["v100"]["flops_per_s"]["fp32"]


def test_an_unknown_device_or_rate_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="rtx3080"):
        peaks_of_sheet("rtx3081", "fp32")
    with pytest.raises(SettingError, match="no bf16 rate"):
        peaks_of_sheet("v100", "bf16")


def test_the_best_rate_is_the_fastest_repetition() -> None:
    ticks = iter([0.0, 0.0, 2.0, 2.0, 3.0, 3.0, 8.0])
    assert best_rate(lambda: None, 10.0, seconds=5.0, clock=lambda: next(ticks)) == 10.0


class PairWorker:
    """Answers like a worker; the block takes half of the convolution's time and memory."""

    deaths = 0

    def __init__(self) -> None:
        self.block = False

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        from gadprof.workers.process import WorkerFailedError

        if operation == "load":
            arguments = fields["factory"]["arguments"]
            self.block = arguments["block"] != "conv"
            if arguments.get("dies"):
                PairWorker.deaths += 1
                raise WorkerFailedError("crash", "killed by SIGSEGV")
        latency = 0.01 if self.block else 0.02
        return {
            "load": {"input_shapes": [[1]]},
            "warmup": {
                "finished": True,
                "runs": 5,
                "seconds": 0.1,
                "settled": True,
                "first_s": latency,
                "last_median_s": latency,
            },
            "sample": {"samples_ns": [int(latency * 1e9)] * int(fields.get("count", 1))},
            "memory": {"peak_bytes": 50 if self.block else 100},
        }.get(operation, {"notes": []})

    def close(self) -> None:
        pass


def pair(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"function": "f", "arguments": {"block": "ga", **more}},
        {"function": "f", "arguments": {"block": "conv"}},
    )


def test_a_pair_gives_speed_up_and_memory_ratio_and_a_dead_worker_costs_its_point_alone() -> None:
    started: list[PairWorker] = []

    def spawn() -> PairWorker:
        started.append(PairWorker())
        return started[-1]

    clock = iter(range(10**6))
    points = list(
        measure_pairs(
            [pair(), pair(dies=True), pair()],
            Setting(),
            point_limit_s=50,
            spawn=spawn,
            clock=lambda: float(next(clock)),
        )
    )
    assert [point.error for point in points] == [None, "killed by SIGSEGV", None]
    for point in (points[0], points[2]):
        assert point.speed_up == pytest.approx(2.0)
        assert point.memory_ratio == 2.0
    assert len(started) == 3


def test_formula_measure_prints_a_speed_up_beside_rs(capsys: pytest.CaptureFixture[str]) -> None:
    from gadprof.cli import run

    arguments = ["--cin", "16", "--hw", "8x8", "--measure", "--point-limit", "500ms"]
    assert run(["formula", *arguments, "--format", "json"]) == 0
    point = json.loads(capsys.readouterr().out)
    assert point["Rs"] > 1
    assert point["measured"]["speed_up"] > 0
    low, high = point["measured"]["ci95"]
    assert low <= point["measured"]["speed_up"] <= high
    assert point["measured"]["memory_ratio"] > 0


def test_a_sheet_of_another_machine_gives_bounds_and_no_shares_of_them() -> None:
    card = peaks_of_sheet("rtx3080", "fp32")
    work = [
        {
            "stage": "s",
            "operation_class": "linear",
            "macs": 10**9,
            "flops": 2 * 10**9,
            "traffic_bytes": 10**6,
        }
    ]
    profile = {
        "seconds": [["s", "linear", 0.1]],
        "operations": [["s", "linear", 1.0]],
        "kernels": 1.0,
        "profiled_s": 0.1,
    }
    models = [
        assemble(name, latency, None, profile, work, card, same_machine=False)
        for name, latency in (("a", 0.1), ("b", 0.2))
    ]
    assert all(part.efficiency is None and part.bound_s > 0 for part in models[0].by_class)
    words = " ".join(reasons(models[0], models[1], "slower", card))
    assert "% of its arithmetic bound" not in words
    assert "this machine" not in words
    assert "roofline of NVIDIA GeForce RTX 3080" in words


def bench_of(monkeypatch: pytest.MonkeyPatch, **latencies: float | None) -> None:
    """Has ``explain`` find these latencies (s; None: the model crashed) and profiles of LIGHT."""
    from gadprof.measuring import bench
    from gadprof.measuring.explain import explain
    from gadprof.measuring.result import BenchResult, BenchRow, Latency
    from gadprof.results.plain import Machine
    from gadprof.workers.process import WorkerFailedError

    def row(name: str, time: float | None) -> BenchRow:
        if time is None:
            tail = ("\x1b[31mits last words",)
            return BenchRow(name, Setting(), error="killed", error_kind="crash", stderr_tail=tail)
        ends = (0.9 * time, 1.1 * time)
        figures = Latency(time, time, time, time, time, 0.0, ends, 1, (time,), (1,))
        return BenchRow(name, Setting(), latency_s=figures)

    rows = tuple(row(name, time) for name, time in latencies.items())
    nowhere = Machine("", 1, None, "", "", {})
    result = BenchResult(rows, (), 0.02, 1.0, False, nowhere)

    def observe(model: str, *_: Any) -> Any:
        if model.startswith("uncountable"):
            raise WorkerFailedError("model", "measured, but could not be counted: why not")
        profile = {
            "seconds": [["s", word, seconds] for word, seconds, _, _ in LIGHT],
            "operations": [],
            "kernels": 10.0,
            "profiled_s": 0.4,
        }
        return profile, {"work": [], "at_least": False}

    monkeypatch.setattr(bench, "measure", lambda *_, **__: result)
    monkeypatch.setattr(explain, "_observe", observe)
    monkeypatch.setattr(explain, "measured_peaks", lambda *_, **__: PEAKS)


def test_a_failing_model_costs_its_own_part_of_an_explanation_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gadprof.measuring.explain.explain import explain
    from gadprof.render.tables import render

    bench_of(monkeypatch, bad=None, a=0.1, b=0.2, uncountable=0.3)
    found = explain(["bad", "a", "b", "uncountable"], Setting())
    assert [model.model for model in found.explained] == ["a", "b"]
    assert found.exit_code == 1
    (sentence, *_) = found.words
    assert sentence.startswith("b has")
    assert "the MACs of a and takes 2.00 x its time" in sentence
    models = json.loads(render(found.page(), "json"))["models"]
    assert [model["error"] is None for model in models] == [False, True, True, False]
    assert models[0]["latency_s"] is None
    assert models[3]["latency_s"] == 0.3
    text = render(found.page(), "table")
    assert "bad: FAILED, killed\n| <U+001B>[31mits last words" in text
    assert "uncountable: FAILED, measured, but could not be counted" in text
    assert "b by operation class" in text
    assert "bad by operation class" not in text
    assert "\x1b" not in text + render(found.page(), "md")
    assert "bad: FAILED" in found._repr_html_()


@pytest.mark.parametrize(("time", "told"), [(0.115, False), (0.2, True)])
def test_without_its_ratio_a_difference_is_told_where_the_intervals_do_not_meet(
    time: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gadprof.measuring.explain.explain import explain

    bench_of(monkeypatch, bad=None, a=0.1, b=time)
    words = " ".join(explain(["bad", "a", "b"], Setting()).words)
    assert ("within what this run can tell" in words) is not told


def test_where_every_model_fails_the_failures_are_shown_without_a_roofline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gadprof.measuring.explain.explain import explain
    from gadprof.render.tables import render

    bench_of(monkeypatch, bad=None, worse=None)
    found = explain(["bad", "worse"], Setting())
    assert found.exit_code == 1
    assert found.peaks is None
    assert found.words == ()
    text = render(found.page(), "table")
    assert "worse: FAILED, killed" in text
    assert "Roofline" not in text


def test_explain_with_a_crashing_model_explains_the_other_and_exits_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pathlib import Path

    from gadprof.cli import run

    faults = str(Path(__file__).with_name("fault_models.py"))
    models = [f"{faults}:Good", f"{faults}:Crash"]
    options = ["--roofline", "h100", "--time-limit", "1s", "--format", "json", "--store", "off"]
    assert run(["explain", *models, *options]) == 1
    captured = capsys.readouterr()
    good, crashed = json.loads(captured.out)["models"]
    assert good["error"] is None
    assert good["by_class"]
    assert "SIGABRT" in crashed["error"]
    assert "SIGABRT" in captured.err
