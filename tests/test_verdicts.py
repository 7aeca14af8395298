"""The first line of a result is its answer: a plain sentence, in bold where there is colour."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gadprof.comparison.compare import ComparedRow, Comparison, compare_models
from gadprof.comparison.verdict import verdict
from gadprof.measuring.bench_page import bench_verdict
from gadprof.measuring.result import BenchResult, BenchRow, Latency, Ratio
from gadprof.measuring.settings import Setting
from gadprof.results.plain import Machine
from gadprof.results.sentences import counted, faster_than, fewer_than, listed

NOWHERE = Machine("", 1, None, "", "", {})


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.379, "62.1 % fewer MACs than a"),
        (1.0, "as many MACs as a"),
        (1.0001, "less than 0.1 % more MACs than a"),
        (1.5, "50.0 % more MACs than a"),
        (2.25, "2.25 times the MACs of a"),
    ],
)
def test_an_amount_beside_another_says_which_is_the_smaller(ratio, words):
    assert fewer_than(ratio, "MACs", "a") == words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.741, "26 % faster than a"),
        (1.0, "as fast as a"),
        (0.999, "less than 1 % faster than a"),
        (1.33, "33 % slower than a"),
        (2.07, "2.07 times as slow as a"),
    ],
)
def test_a_time_beside_another_says_which_is_the_faster(ratio, words):
    assert faster_than(ratio, "a") == words


def test_nouns_agree_with_their_number_and_lists_end_in_and():
    assert counted(1, "box", "boxes") == "1 box"
    assert counted(1200, "box", "boxes") == "1,200 boxes"
    assert counted(2, "model") == "2 models"
    assert [listed(["a", "b", "c"][:n]) for n in range(1, 4)] == ["a", "a and b", "a, b and c"]


# 28,536,113 to 11,087,121 parameters and 7,645,003,776 to 2,898,049,856 MACs
@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["hrnet32"], "hrnet32 has 28.54 M parameters and needs 7.645 G MACs at 3x256x192."),
        (
            ["hrnet32", "gadnet32"],
            "gadnet32 needs 62.1 % fewer MACs than hrnet32, with 61.1 % fewer parameters.",
        ),
        (
            ["hrnet32", "ghost-hrnet32", "gadnet32"],
            "Of 3 models gadnet32 needs the fewest MACs, 62.1 % fewer than hrnet32, with 61.1 % "
            "fewer parameters.",
        ),
        (
            ["gadnet32", "hrnet32", "ghost-hrnet32"],
            "Of 3 models gadnet32 needs the fewest MACs; the next, ghost-hrnet32, needs 63.9 % "
            "more MACs than gadnet32.",
        ),
        (
            ["hrnet32", "hrnet32@3x384x288"],
            "hrnet32@3x384x288 needs 2.25 times the MACs of hrnet32, with as many parameters, each "
            "at its own input.",
        ),
        (["hrnet32", "hrnet23"], "hrnet32 has 28.54 M parameters and needs 7.645 G MACs at "),
        (["hrnet23"], ""),
    ],
)
def test_a_comparison_opens_with_who_needs_the_fewest_macs(models, words):
    from gadprof.models.sources import given_inputs

    named, shapes = given_inputs(models, ())
    found = verdict(compare_models(named, shapes=shapes))
    assert found.startswith(words)
    assert bool(found) == bool(words)


def pair(**second: object) -> Comparison:
    first = ComparedRow("a", ((3, 8, 8),), params=10, macs=100, relative={"params": 1, "macs": 1})
    row = replace(first, model="b", macs=50, relative={"params": 1.0, "macs": 0.5})
    return Comparison((first, replace(row, **second)), NOWHERE)  # type: ignore[arg-type]


# 57,507,968 of 113,246,208 MACs and 18,848 of 36,864 weights
def test_a_closed_form_opens_with_what_it_saves(run_cli):
    out = run_cli("formula", "--c-in", "64", "--c-out", "64", "--k", "3", "--d", "3")[1]
    assert out.splitlines()[0] == (
        "ga needs 49.2 % fewer MACs than the convolution, with 48.9 % fewer weights."
    )
    alone = run_cli("formula", "--block", "conv", "--c-in", "64")[1]
    assert alone.startswith("conv: Cin=64")


def test_a_lower_bound_is_set_against_nothing():
    found = verdict(pair(uncovered={"odd": 1}))
    assert found == "b has as many parameters as a; their MACs are not settled."


@pytest.mark.parametrize(
    ("value", "told", "words"),
    [
        (0.8, "faster: takes 0.8 x the time of a (20 % less)", "; measured on this machine it is "
         "20 % faster."),
        (1.01, "cannot tell below 3.0 %", "; measured on this machine: cannot tell below 3.0 %."),
    ],
)  # fmt: skip
def test_a_measured_difference_is_told_where_its_interval_tells_it(value, told, words):
    found = verdict(pair(ratio={"value": value}, verdict=told))
    assert found == f"b needs 50.0 % fewer MACs than a, with as many parameters{words}"


def row(model: str, seconds: float, ratio: Ratio | None = None, outcome: str = "") -> BenchRow:
    latency = Latency(*[seconds] * 5, 0.0, (seconds, seconds), 9, (), ())
    return BenchRow(model, Setting(), latency_s=latency, ratio=ratio, outcome=outcome)


def bench(*rows: BenchRow) -> str:
    return bench_verdict(BenchResult(rows, (), 0.02, 1.0, False, NOWHERE))


def test_a_benchmark_opens_with_its_ratio_and_its_interval():
    slower = row("b", 0.02, Ratio(2.0, (1.9, 2.1), "a", 9, 9), "slower")
    assert bench(row("a", 0.01, outcome="reference"), slower) == (
        "b is 2 times as slow as a: it takes 2 times as long, with 95 % between 1.9 and 2.1."
    )
    assert bench(row("a", 0.01)) == "a takes 10 ms."
    assert bench(row("a", 0.01), row("b", 0.02)) == "a takes 10 ms; no ratio could be told."
    faster = row("c", 0.005, Ratio(0.5, (0.4, 0.6), "a", 9, 9), "faster")
    assert bench(row("a", 0.01), slower, faster) == (
        "Of 2 rows with a ratio to another: 1 faster, 1 slower."
    )


def test_over_all_devices_it_is_said_on_how_many_a_model_gains():
    from gadprof.prediction.api import Prediction
    from gadprof.prediction.page import everywhere_page

    def found(key: str, *times: float) -> tuple[object, list[Prediction]]:
        fit = type("Fit", (), {"key": key, "device": key, "mode": "eager"})()
        rows = [
            Prediction(name, key, 1, {"value": time, "interval95": [time, time]}, macs=macs,
                       novelty=0.0)
            for name, time, macs in zip(("a", "b"), times, (100, 38), strict=True)
        ]  # fmt: skip
        return fit, rows

    page = everywhere_page(("a", "b"), [found("x", 1.0, 0.75), found("y", 1.0, 1.38),
                                        found("z", 1.0, 1.5)])  # fmt: skip
    assert page.sections[0].words == (
        "Of 3 devices and settings b is predicted faster in 1 (by 25 %), slower in 2 (by 38 to "
        "50 %) than a, with 62.0 % fewer MACs.",
    )


def test_redundant_maps_are_named_by_their_place():
    from gadprof.pose.pages import redundancy_page
    from gadprof.pose.redundancy import Redundancy

    figures = [
        Redundancy("a", place, 4, 8, 8, 0, r, 2.0, 0.5, 0.1, 0.25)
        for place, r in (("layer1", 0.41), ("stage2", math.nan), ("stage3", 0.2))
    ]
    page = redundancy_page(figures, {"near_duplicate_correlation": 0.95}, trained=True)
    assert page.sections[0].words == (
        "a's maps are most alike at layer1: a mean |r| of 0.41, 25 % near duplicates.",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "hrnet32", "gadnet32"),
        ("diff", "hrnet32", "hrnet32:block=cbam"),
        ("ablate", "--overrides", "width=8"),
        ("zoo", "--only", "HRNet-W32"),
        ("check", "--no-latency", "--config", "gadprof.toml"),
        ("count", "hrnet32"),
        ("formula", "--c-in", "64", "--c-out", "64", "--k", "3", "--d", "3"),
    ],
)
def test_the_verdict_is_the_first_line_and_bold_in_colour(arguments, run_cli):
    out = run_cli("--color=always", *arguments)[1]
    first = out.splitlines()[0]
    assert first.startswith("\x1b[1")
    assert len(first.split()) > 3
