"""The kept page of published figures: whole, of today's counts, and true to its own readings."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import gadprof
from gadprof.audit.claims import parse_claim
from gadprof.audit.published import rows

KEPT = Path(__file__).resolve().parents[1] / "reports" / "data" / "zoo.json"


@pytest.fixture(scope="module")
def kept() -> list[dict]:  # type: ignore[type-arg]
    found: list[dict] = json.loads(KEPT.read_text())["rows"]  # type: ignore[type-arg]
    return found


def test_the_kept_page_holds_every_row_with_todays_counts(kept) -> None:  # type: ignore[no-untyped-def]
    every = rows()
    assert [item["row"]["complexity"] for item in kept] == [row.complexity for row in every]
    for item, row in zip(kept, every, strict=True):
        assert (item["status"] == "no builder") == (not row.models), row.name
        if item["model"]:
            cost = gadprof.cost(item["model"], input=tuple(item["input"]))
            assert (item["params"], item["macs"]) == (cost.params, cost.macs), row.name


def test_every_kept_reading_gives_the_figure_beside_it(kept) -> None:  # type: ignore[no-untyped-def]
    for item in kept:
        reading = item["reading"]
        if reading is None:
            continue
        claim = parse_claim(item["row"]["complexity"], "G")
        binary = reading["giga"].startswith("2")
        gives = {
            "rounded": claim.rounds,
            "padded": claim.pads,
            "cut": claim.cuts,
            "cut and padded": partial(claim.pads, cut=True),
        }
        assert gives[reading["exactness"]](reading["amount"], binary=binary)
        assert item["status"] != "explained" or item["shared"] > 1


@pytest.mark.parametrize(
    ("paper", "convention", "at_least"),
    [
        ("Lite-HRNet code", "torchstat", 6),
        ("HRNet code", "hrnet-official", 8),
        ("mmpose 0 table", "mmcv", 20),
    ],
)
def test_a_sources_figures_were_counted_by_one_tool(
    kept, paper: str, convention: str, at_least: int
) -> None:  # type: ignore[no-untyped-def]
    used = [
        item["reading"]["convention"]
        for item in kept
        if item["row"]["paper"] == paper and item["status"] == "explained"
    ]
    assert used.count(convention) >= at_least


def test_cpns_published_figure_leaves_out_what_only_training_needs(kept) -> None:  # type: ignore[no-untyped-def]
    (row,) = [
        item
        for item in kept
        if item["row"]["paper"] == "Chen et al. 2018"
        and item["row"]["variant"] == "RefineNet C2-C5"
    ]
    assert row["reading"]["scope"] == "last output alone, stride in the first 1x1"
    assert (row["reading"]["giga"], row["reading"]["exactness"]) == ("2^30", "rounded")


def test_the_page_names_what_no_reading_gives(kept) -> None:  # type: ignore[no-untyped-def]
    page = (KEPT.parents[1] / "zoo.md").read_text()
    assert "](plots/zoo-accuracy.svg)" in page
    for item in kept:
        if item["status"] == "not explained":
            assert item["row"]["variant"] in page
