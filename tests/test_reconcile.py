"""Reconcile: printed digits are read exactly, and published figures find their reading."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gadprof.audit.audit import observe_model
from gadprof.audit.claims import parse_claim
from gadprof.audit.reconcile import full, reconcile, reconcile_params
from gadprof.errors import SpecError


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7.10G", "7.095", "7.105"),
        ("7.1 GFLOPs", "7.05", "7.15"),
        ("305M", "304.5", "305.5"),
        ("14.6g", "14.55", "14.65"),
        ("7645003776", "7645003775.5", "7645003776.5"),
        ("28,536,113", "28536112.5", "28536113.5"),
    ],
)
def test_a_figure_stands_for_the_values_that_round_to_it(text: str, low: str, high: str) -> None:
    assert [str(bound) for bound in parse_claim(text).bounds] == [low, high]


@pytest.mark.parametrize(
    ("amount", "holds"),
    [(7_095_000_000, True), (7_094_999_999, False), (7_104_999_999, True), (7_105_000_000, False)],
)
def test_the_lower_end_belongs_to_the_interval_and_the_upper_does_not(
    amount: int, holds: bool
) -> None:
    assert parse_claim("7.10G").rounds(amount) is holds


def test_a_bare_figure_of_a_table_gets_the_prefix_that_tables_leave_out() -> None:
    assert parse_claim("7.1", "G").prefix == "G"
    assert parse_claim("305M", "G").prefix == "M"
    assert parse_claim("7645003776", "G").prefix == ""


def test_a_binary_prefix_is_exact() -> None:
    claim = parse_claim("1.0G")
    assert claim.rounds(2**30, binary=True)
    assert claim.rounds(Fraction(105 * 2**30, 100) - 1, binary=True)
    assert not claim.rounds(Fraction(105 * 2**30, 100), binary=True)


def test_a_padded_zero_is_told_from_a_digit() -> None:
    claim = parse_claim("7.10G")
    assert claim.pads(7_120_000_000)
    assert not claim.rounds(7_120_000_000)
    assert not parse_claim("7.12G").pads(7_100_000_000)


@pytest.mark.parametrize("text", ["", "abc", "-7G", "0G", "7.1.0G", "nan", "7 10G", "1e9"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="type for example"):
        parse_claim(text)


@pytest.fixture(scope="module")
def hrnet32():  # type: ignore[no-untyped-def]
    return observe_model("hrnet32")


@pytest.mark.parametrize(("claimed", "exactness"), [("7.1G", "rounded"), ("7.10G", "padded")])
def test_hrnet_w32_was_published_in_units_of_2_to_the_30(
    hrnet32, claimed: str, exactness: str
) -> None:  # type: ignore[no-untyped-def]
    best = reconcile(hrnet32, claimed)[0]
    assert (best.convention, best.giga, best.scope) == ("hrnet-official", "2^30", "whole")
    assert best.amount == 7_645_003_776
    assert best.figure.startswith("7.12")
    assert best.exactness == exactness
    assert "convolution and linear layers only" in best.explanation


def test_a_reading_within_the_digits_of_7_10_leaves_out_the_first_convolution(hrnet32) -> None:  # type: ignore[no-untyped-def]
    exact = [item for item in reconcile(hrnet32, "7.10G") if item.within_digits]
    assert [item.scope for item in exact] == ["without the first convolution"]


def test_the_parameters_of_a_claim_are_read_too(hrnet32) -> None:  # type: ignore[no-untyped-def]
    found = reconcile_params(hrnet32, "28.5M")
    assert found[0].scope == "all parameters"
    assert found[0].amount == 28_536_113
    assert reconcile_params(hrnet32, "11.2M") == []


def test_a_figure_that_no_reading_gives_has_none(hrnet32) -> None:  # type: ignore[no-untyped-def]
    assert reconcile(hrnet32, "1.23G") == []


def test_hrnet_w48_was_published_in_units_of_2_to_the_30() -> None:
    best = reconcile("hrnet48", "14.6G", other_inputs=False)[0]
    assert (best.convention, best.giga, best.exactness) == ("hrnet-official", "2^30", "rounded")


def test_a_larger_input_is_found_where_none_is_given() -> None:
    result = full("hrnet32", "16.0G", conventions=("gadprof", "hrnet-official"))
    assert result.readings[0].input_shape == (3, 384, 288)
    assert result.readings[0].convention == "hrnet-official"


@pytest.mark.parametrize(
    ("model", "claimed", "giga", "scope"),
    [
        ("torchvision:resnet50", "4.1G", "10^9", "whole"),
        ("torchvision:resnet50", "3.8G", "10^9", "stride in the first 1x1"),
        ("torchvision:vit_b_16", "17.6G", "10^9", "whole"),
        ("timm:resnet50", "4.1G", "10^9", "whole"),
        ("timm:vit_base_patch16_224", "17.6G", "10^9", "whole"),
    ],
)
def test_published_figures_find_their_reading(
    model: str, claimed: str, giga: str, scope: str
) -> None:
    pytest.importorskip(model.partition(":")[0])
    best = reconcile(model, claimed, conventions=("gadprof",), other_inputs=False)[0]
    assert (best.giga, best.scope) == (giga, scope)


def test_resnet_50s_3_8_is_also_4_1_divided_by_2_to_the_30() -> None:
    pytest.importorskip("torchvision")
    found = reconcile("torchvision:resnet50", "3.8G", conventions=("gadprof",), other_inputs=False)
    first, second = found[:2]
    assert first.exactness == "cut"
    assert first.amount == 3_857_973_248
    assert (second.giga, second.amount, second.exactness) == ("2^30", 4_089_184_256, "rounded")


def test_readings_are_ordered_by_how_simple_they_are(hrnet32) -> None:  # type: ignore[no-untyped-def]
    costs = [item.cost for item in reconcile(hrnet32, "7.1G")]
    assert costs == sorted(costs)
    assert len(costs) > 3
