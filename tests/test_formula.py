"""Closed forms: the worked value, exactness against the real block, and what is refused."""

from __future__ import annotations

import json
import random
import re

import pytest

import gadprof
from gadprof.errors import SpecError, UnknownNameError
from gadprof.formulas import blocks
from gadprof.formulas.formula import CLOSED_FORMS, DEFAULTS, formula
from gadprof.networks.cost import cost_of

PAPER_BLOCKS = ("conv", "ghost", "ghost-se", "ga", "gd")
OTHER_BLOCKS = tuple(blocks.CLOSED_FORMS)


def test_the_papers_worked_value():
    ordinary = formula("conv", c_in=64, c_out=64)
    ghost = formula("ghost", c_in=64, c_out=64)
    ga = formula("ga", c_in=64, c_out=64)
    assert ordinary.GP == 36_864
    assert ghost.GP == 18_720
    assert ga.GP == 18_848
    assert round(ghost.Rs, 3) == 1.969
    assert round(ga.Rs, 3) == 1.956


def test_macs_are_weights_times_output_positions_but_for_the_attention():
    ga = formula("ga", c_in=64, c_out=64, h=64, w=48)
    assert ga.GG == 64 * 48 * 18_720 + 128


def random_inputs(seed: int) -> dict[str, int]:
    draw = random.Random(seed)
    return {
        "c_in": draw.randint(1, 50),
        "c_out": draw.randint(1, 50),
        "k": draw.choice((1, 3, 5)),
        "d": draw.choice((1, 3, 5, 7)),
        "s": draw.randint(1, 6),
        "r": draw.randint(1, 20),
        "h": draw.randint(1, 9),
        "w": draw.randint(1, 9),
        "stride": draw.choice((1, 2)),
    }


@pytest.mark.parametrize("block", PAPER_BLOCKS)
@pytest.mark.parametrize("seed", range(25))
def test_a_closed_form_equals_the_plan_of_the_block(block, seed):
    from gadprof.networks.blocks.knobs import BlockKnobs
    from gadprof.networks.blocks.names import FORMULA_BLOCKS

    inputs = random_inputs(seed)
    form = formula(block, **inputs)
    knobs = BlockKnobs(inputs["k"], inputs["d"], inputs["s"], inputs["r"])
    node = FORMULA_BLOCKS[block](inputs["c_in"], inputs["c_out"], knobs, stride=inputs["stride"])
    stride = inputs["stride"]
    cost = cost_of(node, (inputs["c_in"], inputs["h"] * stride, inputs["w"] * stride))
    assert form.params == cost.params
    assert cost.params_by_kind["convolution"] + cost.params_by_kind["linear"] == form.GP
    assert cost.macs == form.GG


@pytest.mark.parametrize("block", PAPER_BLOCKS)
@pytest.mark.parametrize("seed", range(100, 106))
def test_a_closed_form_equals_what_counting_the_real_block_gives(block, seed):
    from gadprof.audit.verify import verify

    verified = verify(formula(block, **random_inputs(seed)), ("gadprof", "torch"))
    assert verified["gadprof"].equal
    assert verified["torch"].equal


def other_inputs(block: str, seed: int) -> dict[str, int]:
    """Random integers that a block can have; channels only divide as the block needs."""
    draw = random.Random(seed)
    inputs = random_inputs(seed)
    groups = draw.choice((1, 2, 3, 4, 5))
    if block in ("grouped", "sk", "shuffle1"):
        inputs |= {"groups": groups}
        step = 4 * groups if block == "shuffle1" else groups
        inputs |= {"c_in": step * draw.randint(1, 9), "c_out": step * draw.randint(10, 19)}
    if block in ("shuffle2", "ccw"):
        inputs |= {"c_in": 2 * draw.randint(1, 25), "c_out": 2 * draw.randint(1, 25)}
    if block == "ccw" or (block.startswith("shuffle") and inputs["stride"] == 1):
        inputs |= {"c_out": inputs["c_in"]}
    if block == "ccw":
        branches = draw.randint(1, 4)
        size = 2 ** (branches - 1)
        inputs |= {"stride": 1, "branches": branches, "h": size * 3, "w": size * draw.randint(1, 3)}
    if block in ("inverted", "mra") and draw.random() < 0.5:
        inputs |= {"c_out": inputs["c_in"]}
    if block == "inverted":
        inputs |= {"t": draw.randint(1, 8)}
    if block in ("dense", "dam"):
        inputs |= {"layers": draw.randint(1, 6), "q": draw.randint(1, 9)}
    return inputs


def counts_of_block(block: str, inputs: dict[str, int]):
    """What folding the real block's plan counts, as one dictionary."""
    from gadprof.networks.blocks.knobs import BlockKnobs
    from gadprof.networks.blocks.names import FORMULA_BLOCKS
    from gadprof.networks.cost import Folder

    own = {name: value for name, value in inputs.items() if name not in DEFAULTS}
    knobs = BlockKnobs(inputs["k"], inputs["d"], inputs["s"], inputs["r"], **own)
    stride = inputs["stride"]
    node = FORMULA_BLOCKS[block](inputs["c_in"], inputs["c_out"], knobs, stride=stride)
    maps = range(inputs.get("branches", 1))
    shapes = tuple(
        (inputs["c_in"] << i, (inputs["h"] * stride) >> i, (inputs["w"] * stride) >> i)
        for i in maps
    )
    return Folder().visit("", node, shapes).counts


@pytest.mark.parametrize("block", CLOSED_FORMS)
@pytest.mark.parametrize("seed", range(200, 225))
def test_every_operation_of_a_block_is_in_a_term(block, seed):
    from gadprof.networks.cost import elementwise_flops

    inputs = other_inputs(block, seed)
    form = formula(block, **inputs)
    counts = counts_of_block(block, inputs)

    def total(group: str) -> int:
        return sum(value for key, value in counts.items() if key.startswith(group))

    assert total("params.convolution") + total("params.linear") == form.GP
    assert form.params == total("params.")
    assert total("macs.") == form.GG
    assert sum(term.operations for term in form.terms) == (
        elementwise_flops(counts) + counts.get("bias_adds", 0)
    )


@pytest.mark.parametrize("block", OTHER_BLOCKS)
@pytest.mark.parametrize("seed", range(300, 303))
def test_another_closed_form_equals_what_counting_the_real_block_gives(block, seed):
    from gadprof.audit.verify import verify

    verified = verify(formula(block, **other_inputs(block, seed)), ("gadprof",))
    assert verified["gadprof"].equal


@pytest.mark.parametrize("block", CLOSED_FORMS)
def test_the_compression_ratio_tends_to_its_limit(block):
    branches = {"h": 8, "w": 8} if block == "ccw" else {}
    stride = {"stride": 1} if block == "gd" else {}
    form = formula(block, c_in=96 * 2**14, c_out=96 * 2**14, **branches, **stride)
    if block in ("gd", "ga", "ghost-se"):  # their attention is left out of the limit
        assert form.Rs < form.Rs_limit
    else:
        assert form.Rs == pytest.approx(form.Rs_limit, rel=1e-3)


@pytest.mark.parametrize("block", CLOSED_FORMS)
def test_the_numbers_put_into_a_formula_give_its_value(block):
    inputs = other_inputs(block, 401)
    form = formula(block, **inputs)
    for key, value in (("GP", form.GP), ("GG", form.GG)):
        text, _, shown = form.substituted[key].rpartition(" = ")
        assert int(shown) == value
        source = text.replace("·", "*").replace("²", "**2").replace("/", "//")
        source = re.sub(r"ceil\((\d+)//(\d+)\)", r"(-(-\1//\2))", source)
        assert eval(source) == value  # the text holds integers and operators alone


def test_the_compression_ratio_tends_to_s_as_channels_grow():
    for s in (2, 3, 4):
        ratios = [formula("ghost", c_in=c, c_out=12 * s, s=s).Rs for c in (8, 64, 512, 65_536)]
        assert ratios == sorted(ratios)
        assert abs(ratios[-1] - s) < 1e-3


def test_terms_that_count_add_up_to_gp_and_gg():
    for block in PAPER_BLOCKS:
        form = formula(block, c_in=10, c_out=7, s=3)
        assert sum(term.params for term in form.terms if term.counted) == form.GP
        assert sum(term.macs for term in form.terms if term.counted) == form.GG
        assert {"primary", "cheap", "attention", "normalisation", "bias", "pooling", "scaling"} <= {
            term.name for term in form.terms
        }


def test_an_integer_of_any_size_stays_exact():
    form = formula("ghost", c_in=10**12 + 1, c_out=10**12, h=10**6, w=10**6)
    assert form.GP == (10**12 // 2) * (10**12 + 1) * 9 + (10**12 // 2) * 9
    assert form.GG == form.GP * 10**12


@pytest.mark.parametrize(
    ("block", "inputs", "error", "words"),
    [
        ("gaa", {"c_in": 1, "c_out": 1}, UnknownNameError, "unknown block 'gaa'"),
        ("ga", {"c_in": 1, "c_out": 1, "z": 3}, UnknownNameError, "has no input 'z'"),
        ("ga", {"c_in": 0, "c_out": 1}, SpecError, "not a positive integer"),
        ("ga", {"c_in": 1}, SpecError, "needs c_out"),
        ("ga", {"c_in": True, "c_out": 1}, SpecError, "not a positive integer"),
        ("ga", {"c_in": 1.5, "c_out": 1}, SpecError, "not a positive integer"),
        ("grouped", {"c_in": 30, "c_out": 64}, SpecError, "c_in=30 does not divide by 4 .*c_in=32"),
        ("shuffle1", {"c_in": 24, "c_out": 24}, SpecError, "by 16 .4 x groups.; try c_out=32"),
        ("shuffle1", {"c_in": 32, "c_out": 64}, SpecError, "differs from c_in=32"),
        ("shuffle1", {"c_in": 64, "c_out": 32, "stride": 2}, SpecError, "must exceed c_in=64"),
        ("shuffle2", {"c_in": 31, "c_out": 31}, SpecError, "by 2 .halves.; try c_out=32"),
        ("sk", {"c_in": 6, "c_out": 8}, SpecError, "c_in=6 does not divide by 4"),
        ("ccw", {"c_in": 8, "c_out": 8, "h": 3}, SpecError, "h=3 does not divide by 2"),
        ("ccw", {"c_in": 8, "c_out": 8, "branches": 10**6}, SpecError, "is above 16; try"),
        ("ccw", {"c_in": 8, "c_out": 8, "stride": 2}, SpecError, "changes the size"),
        ("cbam", {"c_in": 8, "c_out": 8, "groups": 2}, UnknownNameError, "no input 'groups'"),
    ],
)
def test_bad_inputs_are_refused(block, inputs, error, words):
    with pytest.raises(error, match=words):
        formula(block, **inputs)


def test_the_public_function_is_the_same():
    assert gadprof.formula("ga", c_in=64, c_out=64).GP == 18_848


def test_a_point_as_json_has_its_reference(run_cli):
    code, out, err = run_cli("formula", "--cin", "64", "--cout", "64", "--format", "json")
    assert (code, err) == (0, "")
    point = json.loads(out)
    assert (point["block"], point["GP"], point["reference"]["GP"]) == ("ga", 18_848, 36_864)
    assert point["inputs"]["stride"] == 1


def test_lists_and_ranges_make_a_grid(run_cli):
    code, out, _ = run_cli(
        "formula", "--cin", "32,64,128", "--s", "2:4", "--block", "ga,gd", "--format", "json"
    )
    assert code == 0
    assert len(json.loads(out)["points"]) == 18


def test_verify_says_equal_for_ours(run_cli):
    code, out, _ = run_cli(
        "formula", "--cin", "6", "--hw", "4x4", "--verify", "--backends", "gadprof,torch",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["verified"]["gadprof"]["equal"] is True


def test_a_wrong_block_exits_2_with_one_line(run_cli):
    code, out, err = run_cli("formula", "--cin", "64", "--block", "gh0st")
    assert (code, out) == (2, "")
    assert err.startswith("gadprof: unknown block 'gh0st'; did you mean 'ghost'")
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("block", CLOSED_FORMS)
def test_what_every_installed_counter_says_of_a_block_is_explained(block):
    from gadprof.audit.verify import verify

    for name, row in verify(formula(block, **other_inputs(block, 500))).items():
        assert row.error is None, name
        assert row.residual in (0, None), name


def test_counters_that_name_inputs_count_a_unit_of_several_maps(run_cli):
    pytest.importorskip("ptflops")
    code, out, _ = run_cli(
        "formula", "--block", "ccw", "--cin", "16", "--hw", "8x8", "--with", "branches=3",
        "--verify", "--backends", "gadprof,ptflops-aten", "--format", "json",
    )  # fmt: skip
    point = json.loads(out)
    assert code == 0
    assert point["inputs"]["r"] == 8
    verified = point["verified"]
    assert verified["gadprof"]["equal"] is True
    assert verified["ptflops-aten"]["causes"] == {"bias": verified["ptflops-aten"]["difference"]}
