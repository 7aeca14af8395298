"""Claims about the page of theory against measurement: it goes on when stopped, and says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gadprof.cli import run
from gadprof.commands import formula_measure
from gadprof.formulas.formula import Formula, formula
from gadprof.measuring.block_pairs import MeasuredPair
from gadprof.measuring.block_pairs_log import PointLog
from gadprof.measuring.explain.roofline import Peaks
from gadprof.report.formula_reasons import layers_of, reasons

PAIR = MeasuredPair(0.5, (0.4, 0.6), 1.1, 2e-4, 1e-4, 900, 1000, 12, None, 0.1)
PEAKS = Peaks("here", 100e9, 12e9, True, "a test")


def timed(
    *,
    launch_s: float,
    cheap_rate: float,
    conv_rate: float = 50e9,
    sizes: tuple[tuple[int, int], ...] = ((64, 48), (16, 12)),
) -> tuple[list[Formula], list[MeasuredPair]]:
    """A grid of ghost blocks whose times follow a launch cost and a rate of depthwise MACs."""
    points, pairs = [], []
    for d in (3, 5):
        for h, w in sizes:
            point = formula("ghost", c_in=32, c_out=32, k=3, d=d, s=2, h=h, w=w)
            cheap = 16 * d * d * h * w
            seconds = launch_s + (point.GG - cheap) / conv_rate + cheap / cheap_rate
            plain = 20e-6 + point.GG * point.Rs_macs / conv_rate
            speed_up = plain / seconds
            pairs.append(
                MeasuredPair(speed_up, (speed_up, speed_up), 1.05, seconds, plain, 10**6, 1050_000)
            )
            points.append(point)
    return points, pairs


def test_the_reasons_give_back_the_launch_cost_and_the_rates_behind_the_times() -> None:
    text = " ".join(reasons(*timed(launch_s=100e-6, cheap_rate=5e9)))
    assert "Before any work a call takes it 100 µs and the convolution 20 µs" in text
    assert "run at 5.0 GMAC/s" in text
    # 9 x 32 x 32 x 64 x 48 = 28,311,552 MACs in 20 us + 28,311,552 / 50 GMAC/s = 586.23 us
    assert "the convolution that they replace runs at 48.3." in text
    assert "not memory bandwidth" in text


def test_a_time_that_does_not_follow_the_kernel_is_laid_to_bandwidth_and_launches() -> None:
    text = " ".join(reasons(*timed(launch_s=100e-6, cheap_rate=1e15)))
    assert "bandwidth and launches set it" in text
    assert "kernel's arithmetic" not in text


def test_a_grid_of_one_map_size_says_nothing_of_launches_nor_a_page_without_peaks_of_bounds() -> (
    None
):
    points, pairs = timed(launch_s=100e-6, cheap_rate=5e9, sizes=((64, 48),))
    text = " ".join(reasons(points, pairs))
    assert "Before any work" not in text
    assert "Out of the caches" not in text
    bounded = " ".join(reasons(points, pairs, PEAKS))
    assert "does 2.25 FLOPs a byte" in bounded
    assert "memory bounds it: 27 of 100 GFLOP/s" in bounded


def test_nothing_is_explained_that_was_not_measured() -> None:
    point = formula("ghost", c_in=32, c_out=32)
    assert reasons([point], [MeasuredPair(None, None, None, error="killed")], PEAKS) == []


def test_a_ghost_block_has_twice_the_layers_of_the_convolution() -> None:
    assert layers_of(formula("ghost", c_in=32, c_out=32)) == (6, 3)


def test_points_are_taken_up_again_only_under_their_own_circumstances(tmp_path: Path) -> None:
    path = tmp_path / "data" / "f.part.jsonl"
    log = PointLog(path, {"cpu": "a"})
    log.put("one", PAIR)
    log.put("two", replace(PAIR, speed_up=0.7))
    with path.open("a") as stream:
        stream.write('\n{"name": "three", "pa')
    again = PointLog(path, {"cpu": "a"})
    assert again.get("one") == PAIR
    assert again.get("two") == replace(PAIR, speed_up=0.7)
    assert again.get("three") is None
    assert PointLog(path, {"cpu": "b"}).get("one") is None
    again.put("three", PAIR)
    assert PointLog(path, {"cpu": "a"}).get("three") == PAIR
    again.remove()
    assert not path.exists()


def test_an_interrupted_page_is_left_as_it_was_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "f.md"
    page.write_text("before")
    stop_after = [2]
    measured: list[str] = []

    def pairs(found: Any, *_: Any, **__: Any) -> Any:
        for block, _reference in found:
            if len(measured) == stop_after[0]:
                raise KeyboardInterrupt
            measured.append(json.dumps(block["arguments"]["inputs"], sort_keys=True))
            yield PAIR

    monkeypatch.setattr(formula_measure, "measure_pairs", pairs)
    monkeypatch.setattr("gadprof.measuring.explain.explain.measured_peaks", lambda _: PEAKS)
    command = ["formula", "--block", "ghost", "--cin", "16,32,48,64", "--page", str(page)]
    assert run(command) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert page.read_text() == "before"
    assert len((tmp_path / "data" / "f.part.jsonl").read_text().splitlines()) == 2
    stop_after[0] = -1
    assert run(command) == 0
    assert "2 of 4 points are measured already" in capsys.readouterr().err
    assert len(measured) == len(set(measured)) == 4
    assert "4 of 4 points measured" in page.read_text()
    assert "Why it is not what theory says" in page.read_text()
    assert sorted(item.name for item in (tmp_path / "data").iterdir()) == ["f-points.csv", "f.json"]
