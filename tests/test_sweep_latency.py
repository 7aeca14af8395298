"""A front with predicted latency is the front of the very predictions that ``predict`` makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gadprof.cli import run
from gadprof.errors import SpecError
from gadprof.prediction.api import predict
from gadprof.sweep import latency as timed
from gadprof.sweep.run import Filters, read_objectives
from gadprof.sweep.space import make_space

SPACE = {"width": "16:40:8", "s": "2,3", "d": "3,5"}


def test_the_front_is_that_of_every_designs_own_prediction() -> None:
    space = make_space("gadnet", SPACE)
    costs, objective = timed.split_objectives("params:max,latency")
    assert objective is not None
    result = timed.latency_sweep(
        space, read_objectives(costs, least=1), Filters(), timed.Timed("rtx3090", 256),
        sample=None, seed=0,
    )  # fmt: skip
    assert result.designs == result.passed == result.predicted == space.size == 16
    points = []
    for number in range(space.size):
        spec, _ = space.spec_at(number)
        row = predict([spec.name], "rtx3090", batch=256)[0][0]
        assert row.predicted_latency_s is not None
        params = run_params(spec.name)
        points.append((number, params, float(row.predicted_latency_s["value"])))
    best = {
        number
        for number, params, seconds in points
        if not any(
            p >= params and s <= seconds and (p > params or s < seconds) for _, p, s in points
        )
    }
    assert {row["design"] for row in result.front} == best
    assert 1 < len(best) < space.size
    by_number = {number: seconds for number, _, seconds in points}
    for row in result.front:
        assert row["predicted_latency_s"] == pytest.approx(by_number[row["design"]], rel=1e-12)


def run_params(name: str) -> int:
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import parse_spec, plan_of

    spec = parse_spec(name)
    return int(cost_of(plan_of(spec), spec.default_input).params)


def test_filters_come_first_and_too_many_designs_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = make_space("gadnet", SPACE)
    monkeypatch.setattr(timed, "LARGEST", 7)
    with pytest.raises(SpecError, match="more than 7 of 16 designs pass"):
        timed.passing_designs(space, Filters(), sample=None, seed=0)
    limits = Filters(largest={"params": run_params("gadnet32:width=16")})
    designs, costed, _ = timed.passing_designs(space, limits, sample=None, seed=0)
    assert (len(designs), costed) == (4, 16)


@pytest.mark.parametrize("front", ["latency", "latency:max,params", "latency,latency,params"])
def test_a_front_that_is_none_is_refused(front: str) -> None:
    with pytest.raises(SpecError, match="--front"):
        timed.split_objectives(front)


def test_the_command_asks_for_a_device_and_answers_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["sweep", "gadnet", "--width", "16,32", "--front", "macs,latency", "--format", "json"]
    assert run(words) == 2
    assert "--latency rtx3090" in capsys.readouterr().err
    assert run([*words, "--latency", "rtx3090"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["objectives"] == ["macs", "predicted_latency_s"]
    assert answer["predicted"] == 2
    assert all(row["predicted_latency_s"] > 0 for row in answer["front"])


def sweep_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = run(["sweep", "gadnet", *words, "--format", "json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    answer: dict[str, Any] = json.loads(captured.out)
    return answer


def test_a_longest_latency_is_a_filter_also_of_a_front_without_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--width", "16,24,32", "--latency", "rtx3090")
    rows = sweep_json(capsys, *words, "--front", "macs,latency,params:max")["front"]
    middle = sorted(row["predicted_latency_s"] for row in rows)[1]
    limit = f"latency={1e3 * middle * 1.001:.3f}ms"
    answer = sweep_json(capsys, *words, "--max", limit)
    assert (answer["designs"], answer["passed"]) == (3, 2)
    assert answer["objectives"] == ["macs", "params:max"]
    assert all(row["predicted_latency_s"] <= middle * 1.001 for row in answer["front"])


def test_a_timed_sweep_killed_midway_ends_with_the_same_bytes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs gadprof[sweep]")
    monkeypatch.setattr(timed, "PART_DESIGNS", 3)
    words = ("--width", "16:40:8", "--s", "2,3", "--latency", "rtx3090", "--front", "macs,latency")
    whole, broken = tmp_path / "whole.parquet", tmp_path / "broken.parquet"
    rows = sweep_json(capsys, *words, "-o", str(whole))["front"]
    real = timed._predicted
    calls = []

    def dies(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(timed, "_predicted", dies)
    assert run(["sweep", "gadnet", *words, "-o", str(broken)]) != 0
    assert not broken.exists()
    assert len(list((tmp_path / "broken.parquet.parts").glob("part-*"))) == 2
    monkeypatch.setattr(timed, "_predicted", real)
    capsys.readouterr()
    assert sweep_json(capsys, *words, "-o", str(broken))["front"] == rows
    assert broken.read_bytes() == whole.read_bytes()
    table = parquet.read_table(whole).to_pylist()
    assert len(table) == 8
    seconds = {row["design"]: row["predicted_latency_s"] for row in table}
    assert all(seconds[row["design"]] == row["predicted_latency_s"] for row in rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max", "latency=5ms"), "type for example --latency rtx3090"),
        (("--max", "latency=5", "--latency", "rtx3090"), "type latency=50ms"),
        (("--max", "latency=5ms,latency=6ms", "--latency", "rtx3090"), "type latency=50ms"),
        (("--front", "macs,latency", "--latency", "rtx309"), "did you mean 'rtx3090'"),
        (("--front", "macs,latency", "--latency", "i7-12700h", "--batch", "8"), "is of batch 1"),
        (("--front", "macs,latency", "--latency", "rtx3090", "--cluster", "x"), "--cluster out"),
    ],
)
def test_a_latency_that_cannot_be_is_refused(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", "gadnet", "--width", "16,24", *words]) == 2
    assert says in capsys.readouterr().err
