"""Model strings: what they mean, and what is refused with a way out."""

from __future__ import annotations

import pytest

from gadprof.errors import InputShapeError, SpecError, UnknownNameError
from gadprof.networks.spec import families, make_spec, parse_shape, parse_spec, plan_of, presets


def test_a_preset_takes_its_familys_defaults():
    spec = parse_spec("gadnet32")
    assert (spec.width, spec.block, spec.down, spec.blocks) == (32, "ga", "gd", (3, 3, 6, 6))


def test_overrides_change_only_what_they_name():
    spec = parse_spec("gadnet32:s=4,d=5,blocks=2-2-4-4")
    base = parse_spec("gadnet32")
    changed = {key for key, value in spec.values.items() if base.values[key] != value}
    assert changed == {"s", "blocks"}
    assert (spec.s, spec.d, spec.blocks) == (4, 5, (2, 2, 4, 4))


def test_one_number_stands_for_a_whole_list():
    assert parse_spec("hrnet32:blocks=2").blocks == (2, 2, 2, 2)


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_reads_and_plans(name):
    assert plan_of(parse_spec(name)) is not None


@pytest.mark.parametrize("name", list(presets()))
def test_a_spec_names_itself_so_that_it_can_be_read_again(name):
    family = presets()[name][0]
    values = dict(parse_spec(name).items)
    spec = make_spec(family.name, values)
    assert parse_spec(spec.name).items == spec.items


def test_a_changed_spec_names_what_changed():
    spec = parse_spec("gadnet32").replace(s=4, up=False)
    assert spec.name == "gadnet32:up=no,s=4"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("gadnet23", UnknownNameError, "did you mean 'gadnet32'"),
        ("hrnet32:widht=3", UnknownNameError, "did you mean 'width'"),
        ("hrnet32:width=0", SpecError, "type a positive integer"),
        ("hrnet32:width=-4", SpecError, "type a positive integer"),
        ("hrnet32:width=3.5", SpecError, "is not an integer"),
        ("hrnet32:width=", SpecError, "type width="),
        ("hrnet32:", SpecError, "ends in a colon"),
        ("hrnet32:blocks=1-2", SpecError, "type 4 positive integers"),
        ("hrnet32:up=maybe", SpecError, "type up=yes or up=no"),
        ("hrnet32:block=gaa", SpecError, "it is one of"),
        ("hrnet32:width=8,width=9", SpecError, "given twice"),
        ("gadnet32:k=4", SpecError, "even"),
    ],
)
def test_a_bad_model_string_says_what_to_type(text, error, words):
    with pytest.raises(error, match=words):
        parse_spec(text)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 250, 192), "height 250 is not a multiple of 32; try 256"),
        ((3, 256, 10), "width 10 is not a multiple of 32; try 32"),
        ((1, 256, 192), "takes 3"),
        ((256, 192), "takes channels x height x width"),
    ],
)
def test_an_input_that_does_not_divide_is_refused_with_a_size_that_does(shape, words):
    with pytest.raises(InputShapeError, match=words):
        parse_spec("hrnet32").check_input(shape)


def test_a_shape_reads_with_or_without_its_three_channels():
    assert parse_shape("256x192") == parse_shape("3x256x192") == (3, 256, 192)


@pytest.mark.parametrize("text", ["", "3x0x5", "axb", "3x-1x4", "1e3x2", "nanx3"])
def test_a_shape_that_is_none_is_refused(text):
    with pytest.raises(InputShapeError):
        parse_shape(text)


def test_every_knob_has_a_default_that_its_own_check_takes():
    for family in families().values():
        spec = make_spec(family.name, {})
        assert set(spec.values) == {knob.name for knob in family.knobs}
