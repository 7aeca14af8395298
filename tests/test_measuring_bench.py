"""Claims about the measuring run, with workers and a clock that a test drives."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from gadprof.errors import SettingError, UnknownNameError
from gadprof.measuring.bench import measure
from gadprof.measuring.probes.noise import (
    Conditions,
    Snapshot,
    between,
    condition_warnings,
    drift_warnings,
    sensor_warnings,
)
from gadprof.measuring.progress import RunProgress
from gadprof.measuring.result import BenchResult
from gadprof.measuring.settings import Setting, check_setting, sweep
from gadprof.render.console import page_console
from gadprof.render.live import draw
from gadprof.render.tables import render
from gadprof.results.plain import to_json
from gadprof.workers.process import WorkerFailedError


class World:
    """A machine whose time passes only when a model runs; ``speed`` may change over time."""

    def __init__(self, latencies: dict[str, float], noise: float = 0.01) -> None:
        self.now_s = 0.0
        self.latencies = latencies
        self.generator = random.Random(0)
        self.noise = noise
        self.slowdown = lambda now: 1.0
        self.log: list[tuple[str, str]] = []
        self.fail: dict[str, tuple[str, int, BaseException]] = {}
        self.shapes: dict[str, list[list[int]]] = {}
        self.closed: list[str] = []
        # how differently two launches of one model run, as the deviation of a log
        self.between_launches = 0.0
        self.launch_s = 0.0
        # how long the first launch warms up, and whether a worker tells how long it loaded
        self.first_warm_up_s = 0.0
        self.warm_up: dict[str, Any] = {}
        self.tells_load_s = False

    def clock(self) -> float:
        return self.now_s

    def spawn(self, name: str, setting: Setting) -> Any:
        return FakeWorker(self, name)


class FakeWorker:
    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.asked: dict[str, int] = {}
        self.luck = math.exp(world.generator.gauss(0, world.between_launches))

    def request(self, operation: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        world = self.world
        world.log.append((self.name, operation))
        self.asked[operation] = self.asked.get(operation, 0) + 1
        if self.name in world.fail:
            wanted, count, error = world.fail[self.name]
            if operation == wanted and self.asked[operation] == count:
                raise error
        latency = world.latencies[self.name]
        if operation == "load":
            world.now_s += world.launch_s
            told = {"load_s": world.launch_s} if world.tells_load_s else {}
            return {"input_shapes": world.shapes.get(self.name, [[3, 8, 8]]), "pid": None} | told
        if operation == "warmup":
            world.now_s += world.first_warm_up_s if fields["known_s"] is None else 0.0
            return {
                "finished": True,
                "runs": 11,
                "seconds": 0.1,
                "settled": True,
                "first_s": latency,
                "last_median_s": latency,
                **world.warm_up,
            }
        if operation == "sample":
            samples = []
            for _ in range(fields["count"]):
                factor = math.exp(world.generator.gauss(0, world.noise))
                taken = latency * self.luck * factor * world.slowdown(world.now_s)
                world.now_s += taken
                samples.append(round(taken * 1e9))
            return {"samples_ns": samples}
        if operation == "memory":
            return {"peak_bytes": 1000, "predicted_peak_bytes": 990}
        if operation == "sensors":
            return {"sensors": None}
        if operation == "energy":
            return {"joules_per_run": None, "reason": "not available: a test"}
        return {"notes": []}

    def close(self) -> None:
        self.world.closed.append(self.name)


def run(world: World, models: list[str], **options: Any) -> BenchResult:
    settings = options.pop("settings", Setting())
    return measure(models, settings, spawn=world.spawn, clock=world.clock, **options)


def test_a_run_on_a_card_says_before_its_numbers_who_else_is_on_it() -> None:
    world = World({"a": 0.1, "b": 0.05})
    asked: list[tuple[str, int]] = []

    def card(device: str) -> dict[str, Any]:
        asked.append((device, len(world.log)))
        return {"driver": "580.1", "others": 1, "words": ["the card is in use by 1 other process"]}

    result = run(world, ["a", "b"], settings=Setting(device="cuda:1"), card=card)
    assert asked == [("cuda:1", 0)]  # before any worker was there
    (group,) = result.groups
    assert group.conditions["card"] == {"driver": "580.1", "others": 1}
    assert group.warnings[0].kind == "card"
    assert "the card is in use by 1 other process" in page_console(result.page())


def test_a_ratio_is_found_and_sampling_ends_at_the_precision() -> None:
    world = World({"a": 0.1, "b": 0.05})
    result = run(world, ["a", "b"], precision=0.02, time_limit_s=1000)
    first, second = result.rows
    assert second.ratio is not None
    assert second.ratio.value == pytest.approx(0.5, rel=0.02)
    assert second.ratio.half_width <= 0.02
    assert second.outcome == "faster"
    assert result.groups[0].stopped_by == "precision"
    assert first.ratio is not None
    assert first.ratio.value == 1.0
    assert result.exit_code == 0


def test_a_tighter_precision_takes_more_blocks() -> None:
    loose = run(World({"a": 0.1, "b": 0.05}, 0.1), ["a", "b"], precision=0.1, time_limit_s=9999)
    tight = run(World({"a": 0.1, "b": 0.05}, 0.1), ["a", "b"], precision=0.02, time_limit_s=9999)
    assert tight.groups[0].blocks > 2 * loose.groups[0].blocks


def test_the_time_limit_ends_what_noise_would_not_let_end() -> None:
    world = World({"a": 0.1, "b": 0.1}, noise=1.0)
    result = run(world, ["a", "b"], precision=0.001, time_limit_s=20)
    assert result.groups[0].stopped_by == "time limit"
    assert 20 <= result.groups[0].seconds < 30
    assert "time limit" in {warning.kind for warning in result.groups[0].warnings}
    assert result.rows[1].ratio is not None
    assert result.rows[1].ratio.half_width > 0.1


def test_a_machine_that_slows_down_moves_latencies_but_not_the_ratio() -> None:
    world = World({"a": 0.1, "b": 0.08})
    world.slowdown = lambda now: 1.0 + now / 50
    result = run(world, ["a", "b"], precision=0.001, time_limit_s=50)
    ratio = result.rows[1].ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(0.8, rel=0.01)
    assert ratio.ci95[0] < 0.8 < ratio.ci95[1]
    drift = [w for w in result.groups[0].warnings if w.kind == "drift"]
    assert drift
    assert "slower" in drift[0].text


def test_the_null_is_the_first_model_in_a_second_process_and_holds_one() -> None:
    world = World({"a": 0.1, "b": 0.05})
    result = run(world, ["a", "b"])
    assert [name for name, operation in world.log if operation == "load"] == ["a", "b", "a"]
    null = result.groups[0].null
    assert null is not None
    assert null.ci95[0] <= 1 <= null.ci95[1]
    assert len(result.rows) == 2


def held_shares(launches: int, runs: int = 20) -> float:
    """In which share of runs the interval of a model against itself holds 1."""
    held = 0
    for number in range(runs):
        world = World({"a": 0.05})
        world.between_launches, world.launch_s = 0.03, 0.3
        world.generator.seed(number)
        row = run(
            world, ["a", "a"], null=False, launches=launches, time_limit_s=40, seed=number
        ).rows[1]
        assert row.ratio is not None
        held += row.ratio.ci95[0] <= 1 <= row.ratio.ci95[1]
    return held / runs


def test_several_launches_keep_the_interval_honest_where_one_does_not() -> None:
    assert held_shares(launches=1) < 0.5
    assert held_shares(launches=12) >= 0.9


def test_models_are_launched_as_often_as_asked_and_no_row_loses_its_samples() -> None:
    world = World({"a": 0.05, "b": 0.1})
    world.launch_s = 0.2
    result = run(world, ["a", "b"], launches=5, precision=0.0001, time_limit_s=60)
    loads = [name for name, operation in world.log if operation == "load"]
    assert loads.count("b") == 5
    assert loads.count("a") == 10
    assert result.groups[0].launches == 5
    ratio = result.rows[1].ratio
    assert ratio is not None
    assert ratio.launches == 5
    assert ratio.blocks == result.groups[0].blocks


def test_launches_take_no_more_than_about_half_of_the_time() -> None:
    world = World({"a": 0.05, "b": 0.05})
    world.launch_s = 1.0
    run(world, ["a", "b"], null=False, launches=1000, precision=0.0001, time_limit_s=60)
    launching = sum(operation == "load" for _, operation in world.log) * world.launch_s
    assert launching <= 0.6 * world.now_s


def test_a_launch_that_is_too_dear_is_made_once() -> None:
    world = World({"a": 0.05, "b": 0.05})
    world.launch_s = 20.0
    group = run(world, ["a", "b"], launches=9, time_limit_s=60).groups[0]
    assert group.launches == 1
    assert "one launch" in {warning.kind for warning in group.warnings}
    asked = run(World({"a": 0.05, "b": 0.05}), ["a", "b"], launches=1, time_limit_s=60).groups[0]
    assert "one launch" not in {warning.kind for warning in asked.warnings}


@pytest.mark.parametrize(
    ("runs", "words"), [(7, "too few to see it settle"), (40, "still getting faster")]
)
def test_a_warm_up_that_ran_out_of_time_is_told_from_one_that_did_not_settle(
    runs: int, words: str
) -> None:
    world = World({"a": 0.05})
    world.warm_up = {"runs": runs, "settled": False}
    warnings = {warning.kind: warning.text for warning in run(world, ["a"]).groups[0].warnings}
    assert words in warnings["not settled"]
    assert f"{runs} warm-up runs" in warnings["not settled"]


def test_a_long_first_warm_up_does_not_count_as_what_another_launch_costs() -> None:
    world = World({"a": 0.05, "b": 0.05})
    world.launch_s, world.first_warm_up_s, world.tells_load_s = 0.2, 10.0, True
    group = run(world, ["a", "b"], null=False, launches=9, time_limit_s=60).groups[0]
    assert group.launches >= 6


def test_no_null_is_measured_when_not_wanted_or_nothing_is_compared() -> None:
    assert run(World({"a": 0.1, "b": 0.1}), ["a", "b"], null=False).groups[0].null is None
    assert run(World({"a": 0.1}), ["a"]).groups[0].null is None


def test_turns_are_interleaved_block_by_block() -> None:
    world = World({"a": 0.1, "b": 0.1})
    run(world, ["a", "b"], null=False)
    turns = [name for name, operation in world.log if operation == "sample"]
    for start in range(0, len(turns) - 1, 2):
        assert set(turns[start : start + 2]) == {"a", "b"}


def test_every_sample_is_kept_and_the_statistics_are_theirs() -> None:
    result = run(World({"a": 0.001, "b": 0.002}), ["a", "b"])
    latency = result.rows[0].latency_s
    assert latency is not None
    assert latency.count == len(latency.samples) == sum(latency.turns)
    ordered = sorted(latency.samples)
    assert ordered[0] <= latency.median <= latency.p90 <= latency.p95 <= latency.p99 <= ordered[-1]
    assert latency.mean == pytest.approx(sum(ordered) / len(ordered))
    assert latency.ci95 is not None
    assert latency.ci95[0] <= latency.median <= latency.ci95[1]


@pytest.mark.parametrize(
    ("operation", "count"), [("load", 1), ("warmup", 1), ("check", 1), ("sample", 5), ("memory", 1)]
)
def test_a_failure_at_any_moment_costs_its_own_row_alone(operation: str, count: int) -> None:
    world = World({"a": 0.1, "b": 0.05, "c": 0.2})
    world.fail["b"] = (operation, count, WorkerFailedError("crash", "killed", ("last words",)))
    result = run(world, ["a", "b", "c"])
    a, b, c = result.rows
    assert (b.error, b.error_kind, b.stderr_tail) == ("killed", "crash", ("last words",))
    assert b.latency_s is None
    assert a.error is None
    assert c.error is None
    assert c.ratio is not None
    assert c.ratio.value == pytest.approx(2.0, rel=0.03)
    assert result.exit_code == 1
    assert sorted(set(world.closed)) == ["a", "b", "c"]


def test_when_the_first_model_fails_the_others_keep_their_latency_without_a_ratio() -> None:
    world = World({"a": 0.1, "b": 0.05})
    world.fail["a"] = ("load", 1, WorkerFailedError("model", "raised"))
    result = run(world, ["a", "b"])
    assert result.rows[1].latency_s is not None
    assert result.rows[1].ratio is None
    assert "failed" in result.rows[1].ratio_absent


def test_an_interrupt_keeps_what_was_measured() -> None:
    world = World({"a": 0.1, "b": 0.05})
    world.fail["b"] = ("sample", 20, KeyboardInterrupt())
    result = run(world, ["a", "b"], precision=0.0001, time_limit_s=1e9)
    assert result.interrupted
    assert result.exit_code == 130
    assert all(row.latency_s is not None for row in result.rows)
    ratio = result.rows[1].ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(0.5, rel=0.05)
    assert "interrupted" in page_console(result.page())


def test_an_interrupt_between_groups_marks_the_rest_as_not_measured() -> None:
    world = World({"a": 0.1, "b": 0.05})
    world.fail["a"] = ("sample", 3, KeyboardInterrupt())
    result = run(world, ["a", "b"], settings=sweep(batches=(1, 8)))
    assert [row.error_kind for row in result.rows[2:]] == ["interrupt", "interrupt"]


def test_rows_of_different_batches_are_not_divided_by_each_other() -> None:
    result = run(World({"a": 0.1, "b": 0.05}), ["a", "b"], settings=sweep(batches=(1, 8)))
    assert len(result.groups) == 2
    assert [row.ratio.to if row.ratio else None for row in result.rows] == ["a"] * 4
    assert result.rows[3].throughput_per_s == pytest.approx(8 / 0.05, rel=0.05)


def test_runtimes_of_one_model_are_divided_by_each_other() -> None:
    world = World({"a": 0.1})
    result = run(world, ["a"], settings=sweep(runtimes=("eager", "torchscript")))
    assert result.rows[1].ratio is not None
    assert result.rows[1].ratio.to == "a (eager)"


def test_models_with_different_inputs_get_no_ratio_and_the_reason() -> None:
    world = World({"a": 0.1, "b": 0.05})
    world.shapes["b"] = [[3, 16, 16]]
    result = run(world, ["a", "b"])
    assert result.rows[1].ratio is None
    assert "input differs" in result.rows[1].ratio_absent
    assert result.rows[1].latency_s is not None


def test_progress_hears_of_samples_and_of_the_narrowing_interval() -> None:
    states: list[RunProgress] = []

    class Listener:
        def update(self, state: RunProgress) -> None:
            states.append(state)

    run(World({"a": 0.1, "b": 0.05}, 0.1), ["a", "b"], progress=Listener(), time_limit_s=60)
    widths = [
        row.ci95[1] - row.ci95[0] for state in states for row in state.rows if row.ci95 is not None
    ]
    assert widths[-1] < widths[0]
    assert states[-1].rows[0].samples > 10
    assert draw(states[-1]).row_count == 2


def test_json_has_the_promised_fields() -> None:
    world = World({"a": 0.1, "b": 0.05})
    world.fail["b"] = ("load", 1, WorkerFailedError("timeout", "no answer within 1 s"))
    document = json.loads(to_json(run(world, ["a", "b"]).page().json()))
    good, bad = document["rows"]
    assert {"model", "latency_s", "ratio", "peak_bytes", "error"} <= set(good)
    assert {"median", "mean", "p90", "p95", "p99", "ci95", "samples"} <= set(good["latency_s"])
    assert set(good["ratio"]) >= {"value", "ci95"}
    assert good["error"] is None
    assert bad["error"] == "no answer within 1 s"
    assert bad["latency_s"] is None
    assert good["peak_bytes"] == 1000


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits(width: int) -> None:
    text = page_console(
        run(World({"a" * 20: 0.1, "b" * 20: 0.05}), ["a" * 20, "b" * 20]).page(), width=width
    )
    assert max(len(line) for line in text.splitlines()) <= width
    assert "faster" in text


@pytest.mark.parametrize("output_format", ["csv", "md", "latex"])
def test_every_format_names_every_model_and_its_verdict(output_format: str) -> None:
    text = render(run(World({"aa": 0.1, "bb": 0.05}), ["aa", "bb"]).page(), output_format)
    assert "aa" in text
    assert "bb" in text
    assert "faster" in text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"device": "tpu"}, "unknown device"),
        ({"runtime": "tvm"}, "unknown runtime"),
        ({"dtype": "fp8"}, "unknown dtype"),
        ({"batch": 0}, "not positive"),
        ({"threads": 0}, "not positive"),
        ({"cuda_graph": True}, "needs --device cuda"),
        ({"flush_l2": True}, "needs --device cuda"),
        ({"amp": True}, "lower precision"),
        ({"runtime": "onnxruntime", "mode": "train"}, "does not train"),
        ({"runtime": "openvino", "dtype": "bf16"}, "fp32"),
        ({"runtime": "tensorrt"}, "needs --device cuda"),
        ({"runtime": "onnxruntime", "channels_last": True}, "own layout"),
    ],
)
def test_a_setting_that_cannot_exist_is_refused_with_a_way_out(
    change: dict[str, Any], word: str
) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=word):
        check_setting(Setting(**change))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"models": []}, "at least one"),
        ({"models": ["a"], "precision": 0}, "precision"),
        ({"models": ["a"], "time_limit_s": 0}, "time limit"),
    ],
)
def test_a_run_without_sense_is_refused(arguments: dict[str, Any], word: str) -> None:
    models = arguments.pop("models")
    with pytest.raises(SettingError, match=word):
        run(World({"a": 0.1}), models, **arguments)


def snap(wall: float, busy: float, own: float, stolen: float = 0.0, **other: Any) -> Snapshot:
    return Snapshot(wall, busy, stolen, own, 2, other.get("clocks", ()), other.get("throttled"))


def test_background_load_is_what_others_used() -> None:
    quiet = between(snap(0, 0, 0), snap(10, 9.9, 9.8))
    loaded = between(snap(0, 0, 0), snap(10, 21, 9.5))
    assert condition_warnings(quiet) == ()
    assert loaded.other_busy_cores == pytest.approx(1.15)
    (warning,) = condition_warnings(loaded)
    assert warning.kind == "background load"
    assert "1.1 of 2 cores" in warning.text


def test_stolen_time_throttling_and_a_falling_clock_are_said() -> None:
    before = snap(0, 0, 0, clocks=(3e9,), throttled=4)
    after = snap(10, 1, 1, stolen=2.0, clocks=(2e9,), throttled=6)
    kinds = [warning.kind for warning in condition_warnings(between(before, after))]
    assert kinds == ["stolen time", "throttling", "throttling"]


def test_a_counter_that_the_machine_lacks_gives_no_warning() -> None:
    assert condition_warnings(Conditions(None, None, None, None, None, 2)) == ()


def test_a_card_that_slows_itself_down_is_said() -> None:
    before = {"sm_clock_hz": 2e9, "slowdowns": []}
    after = {"sm_clock_hz": 1.5e9, "slowdowns": ["hardware thermal slowdown"], "power_w": 300}
    texts = " ".join(warning.text for warning in sensor_warnings(before, after))
    assert "hardware thermal slowdown" in texts
    assert "2000 to 1500 MHz" in texts


def test_steady_medians_give_no_drift_warning() -> None:
    assert drift_warnings([[1.0, 2.0]] * 30) == ()


def test_a_measured_comparison_says_the_verdict_and_what_the_run_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gadprof.comparison.compare import ComparedRow, Comparison, with_latency
    from gadprof.comparison.page import comparison_object, notes
    from gadprof.measuring import bench
    from gadprof.results.plain import Machine

    world = World({"a": 0.1, "b": 0.05})
    world.launch_s = 20.0

    def measured(models: list[str], setting: Setting, **options: Any) -> BenchResult:
        return measure(models, setting, spawn=world.spawn, clock=world.clock, launches=9)

    monkeypatch.setattr(bench, "measure", measured)
    nowhere = Machine("", 0, None, "", "", {})
    rows = tuple(ComparedRow(name, ((3, 8, 8),)) for name in ("a", "b"))
    comparison = with_latency(Comparison(rows, nowhere))
    document = comparison_object(comparison)
    assert document["rows"][1]["verdict"].startswith("faster")
    assert any("launch each model once" in text for text in document["warnings"])
    assert not document["interrupted"]
    said = "\n".join(notes(comparison))
    assert "b: faster: takes 0.5 x the time of a" in said
    assert "warning: there was time to launch each model once" in said
    assert "warnings" not in comparison_object(Comparison(rows, nowhere))
