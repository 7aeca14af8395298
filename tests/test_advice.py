"""Advice names only changes that were measured and are faster, the cheapest in parameters first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gadprof.errors import ModelFailedError, SourceError
from gadprof.measuring import designs
from gadprof.measuring.result import BenchResult, BenchRow, Latency, Ratio
from gadprof.measuring.settings import Setting
from gadprof.networks.cost import cost_of
from gadprof.networks.plan_trace import count_plan
from gadprof.networks.spec import families, parse_spec, plan_of
from gadprof.prediction.advice import Advice, advise, shortlist, steps_of, values_near
from gadprof.results.plain import describe_machine

MODEL = "hrnet32:width=8,modules=1-1-1,blocks=1-1-2-2,bottlenecks=2,stage1=16"


def seconds_of(model: str) -> float:
    """A made-up processor: 10 GMAC a second and 20 µs an operation."""
    trace = count_plan(parse_spec(model), (3, 64, 64))
    assert trace is not None
    return trace.macs / 1e10 + 2e-5 * len(trace.operations)


def row_of(run: designs.Run, model: str) -> BenchRow:
    ratio = seconds_of(model) / seconds_of(run.models[0])
    median = 0.1 * ratio
    return BenchRow(
        model, run.setting,
        latency_s=Latency(median, median, median, median, median, 0.0, (median, median), 1, (), ()),
        ratio=Ratio(ratio, (0.99 * ratio, 1.01 * ratio), run.models[0], 12, 1),
        outcome="reference" if model == run.models[0] else "",
    )  # fmt: skip


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[designs.Run]:
    """Every run that was asked for; times are the made-up processor's."""
    runs: list[designs.Run] = []

    def measure(run: designs.Run, _folder: Path, _on_turn: Any = None) -> BenchResult:
        runs.append(run)
        rows = tuple(row_of(run, model) for model in run.models)
        return BenchResult(rows, (), 0.02, 1.0, False, describe_machine())

    monkeypatch.setattr(designs, "measure_designs", measure)
    return runs


def advised(**options: Any) -> Advice:
    given: dict[str, Any] = {"precision": 0.03, "time_limit_s": 10.0, "timeout_s": 60.0}
    setting = Setting(input_shapes=((3, 64, 64),), runtime="onnxruntime")
    return advise(MODEL, setting, folder=Path("unused"), **given, **options)


@pytest.fixture
def advice(measured: list[designs.Run]) -> Advice:
    return advised()


def test_only_what_was_measured_and_is_faster_is_advised(
    measured: list[designs.Run], advice: Advice
) -> None:
    asked = {model for run in measured for model in run.models}
    assert 1 <= len(advice.changes) <= 3
    for change in advice.changes:
        assert change.model in asked
        assert change.ci95 is not None
        assert change.ci95[1] < 1
        assert change.ratio == pytest.approx(seconds_of(change.model) / seconds_of(MODEL))
    assert {c.model for c in (*advice.changes, *advice.rejected)} == asked - {measured[0].models[0]}


def test_the_best_saves_most_time_for_each_parameter_that_goes(advice: Advice) -> None:
    own = cost_of(plan_of(parse_spec(MODEL)), (3, 64, 64))
    assert advice.params == own.params
    scores = []
    for change in advice.changes:
        params = cost_of(plan_of(parse_spec(change.model)), (3, 64, 64)).params
        assert change.params_removed == own.params - params
        saved = 0.1 * (1 - seconds_of(change.model) / seconds_of(MODEL))
        assert change.saved_s == pytest.approx(saved)
        scores.append(saved / max(own.params - params, 1))
    assert scores == sorted(scores, reverse=True)
    faster = [c for c in advice.rejected if c.is_faster]
    assert all((c.saved_per_parameter_s or 0) <= min(scores) + 1e-15 for c in faster)


def test_stages_share_out_the_measured_time_and_all_parameters(advice: Advice) -> None:
    assert sum(stage.seconds for stage in advice.stages) == pytest.approx(advice.latency_s)
    assert sum(stage.share for stage in advice.stages) == pytest.approx(1)
    assert sum(stage.macs for stage in advice.stages) == advice.macs
    assert sum(stage.params for stage in advice.stages) == advice.params


def test_the_error_is_of_designs_left_out(advice: Advice) -> None:
    assert advice.error is not None
    assert 0 < advice.error < 0.2


@pytest.mark.parametrize("family", ["hrnet", "gadnet", "hourglass"])
def test_a_step_changes_one_knob_and_not_what_the_output_is_of(family: str) -> None:
    spec = parse_spec(families()[family].presets[0].name)
    steps = list(steps_of(spec))
    assert len(steps) > 5
    for knob, changed in steps:
        different = [name for name in spec.values if spec.values[name] != changed.values[name]]
        assert different == [knob]
        assert knob != "joints"


def test_a_wide_width_moves_by_eights_and_a_list_place_by_place() -> None:
    knobs = {knob.name: knob for knob in families()["hrnet"].knobs}
    assert set(values_near(knobs["width"], 32)) == {24, 40, 16, 64}
    assert set(values_near(knobs["modules"], (1, 4, 1))) == {(1, 3, 1), (1, 2, 1)}
    assert values_near(knobs["up"], True) == [False]


def test_the_short_list_leaves_out_what_saves_next_to_nothing(advice: Advice) -> None:
    everything = [*advice.changes, *advice.rejected]
    for change in shortlist(everything):
        assert change.predicted_ratio is not None
        assert change.predicted_ratio <= 0.98


def test_a_model_without_knobs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="timm:resnet18 has none; name one that 'gadprof models'"):
        advise(
            "timm:resnet18", Setting(), precision=0.1, time_limit_s=1, timeout_s=1, folder=tmp_path
        )


def test_a_network_that_cannot_be_measured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(run: designs.Run, _folder: Path, _on_turn: Any = None) -> BenchResult:
        rows = tuple(BenchRow(model, run.setting, error="out of memory") for model in run.models)
        return BenchResult(rows, (), 0.02, 1.0, False, describe_machine())

    monkeypatch.setattr(designs, "measure_designs", measure)
    with pytest.raises(ModelFailedError, match="out of memory"):
        advised()


def test_the_command_answers_first_and_gives_json(
    measured: list[designs.Run], run_cli: Any
) -> None:
    words = ("explain", MODEL, "--advise", "--input", "3x64x64", "--runtime", "onnxruntime")
    code, out, err = run_cli(*words, "--store", "off")
    assert (code, err) == (0, "")
    assert "saves most time for what it takes" in " ".join(out.split())[:200]
    document = json.loads(run_cli(*words, "--store", "off", "--format", "json")[1])
    best = document["advice"]["changes"][0]
    assert best["ci95"][1] < 1
    assert document["advice"]["stages"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("small-hrnet16",), "--advise takes one model, without --roofline and --trace"),
        (("--roofline", "rtx3090"), "--advise takes one model, without --roofline and --trace"),
        (("--runtime", "eager,openvino"), "explain takes one setting"),
    ],
)
def test_what_does_not_go_with_advice(run_cli: Any, more: tuple[str, ...], words: str) -> None:
    code, _, err = run_cli("explain", "gadnet32", "--advise", *more)
    assert code == 2
    assert words in err
