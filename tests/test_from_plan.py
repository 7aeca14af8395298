"""A built-in network's trace from its plan is the trace of its module, record by record."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
import torch
from random_specs import OTHER_BLOCKS, random_block_spec, random_input, random_spec

import gadprof
from gadprof.cli import run
from gadprof.counting.count import count
from gadprof.counting.records import Trace
from gadprof.counting.rules.registry import forget
from gadprof.counting.summary import lines
from gadprof.errors import ModelFailedError
from gadprof.models.sources import Source, load
from gadprof.networks.build import build_spec
from gadprof.networks.plan_trace import count_plan
from gadprof.networks.spec import ModelSpec, parse_spec

NETWORKS = (
    "hrnet32", "hrnet48", "edge-hrnet32", "small-hrnet16", "ghost-hrnet32", "ghost-hrnet48",
    "ghost-se-hrnet32", "ghost-se-hrnet48", "gadnet32", "gadnet48",
)  # fmt: skip


def traced(spec: ModelSpec, shape: tuple[int, ...], batch: int) -> Trace:
    loaded = load(
        Source("x", "builtin", "x", spec=spec), shapes=(shape,), batch=batch, device="meta"
    )
    return count(loaded.module, loaded.args, name="x")


def assert_same(planned: Trace | None, expected: Trace) -> None:
    assert planned is not None
    assert planned.device == "plan"
    for field in dataclasses.fields(Trace):
        if field.name != "device":
            assert getattr(planned, field.name) == getattr(expected, field.name), field.name
    assert list(planned.modules) == list(expected.modules)
    assert (planned.macs, planned.flops) == (expected.macs, expected.flops)


@pytest.mark.parametrize("text", [*NETWORKS, "gadnet32:shortcut=yes,s=3", "gadnet32:se_bias=yes"])
def test_the_plan_of_a_network_gives_the_trace_of_its_module(text: str) -> None:
    spec = parse_spec(text)
    shape = spec.default_input
    assert_same(count_plan(spec, shape, batch=2, name="x"), traced(spec, shape, 2))


@pytest.mark.parametrize("seed", range(25))
def test_the_plan_of_a_random_design_gives_the_trace_of_its_module(seed: int) -> None:
    spec, shape, batch = random_spec(seed), random_input(seed), 1 + seed % 3
    planned, expected = count_plan(spec, shape, batch=batch, name="x"), traced(spec, shape, batch)
    assert_same(planned, expected)
    assert planned is not None
    for division in ("op", "module", "type", "stage"):
        assert lines(planned, division) == lines(expected, division)


# a small design of every other family, every block of it, and an input that it takes
OTHER_NETWORKS = (
    ("hourglass2:depth=1,features=6,joints=3", (24, 16)),
    ("hourglass52:widths=4-5-6-7-8-9,blocks=1-2-1-1-1-2,features=3", (128, 128)),
    ("litehrnet18:width=8,r=3,modules=1-1-1,blocks=1", (64, 32)),
    ("naive-litehrnet18:width=6,joints=5,blocks=1,modules=1-1-1", (32, 64)),
    ("cpn50:blocks=1-1-1-1,width=8,inner=4,joints=3", (32, 64)),
    ("cpn50-torch:blocks=1-1-1-1,width=6,inner=4,refine=one,levels=3", (32, 32)),
    ("pose_resnet50:blocks=1-1-1-1,deep_stem=yes,avg_down=yes", (70, 60)),
    ("pose_seresnet50:blocks=1-1-1-1", (64, 64)),
    ("pose_sknet50:blocks=1-1-1-1", (64, 64)),
    ("pose_scnet50:blocks=1-1-1-1", (128, 128)),
    ("pose_resnest50:blocks=1-1-1-1", (64, 64)),
    ("pose_resnest50:blocks=1-1-1-1,groups=2", (64, 64)),
    ("pose_mobilenetv2", (64, 64)),
    ("pose_shufflenetv1", (64, 64)),
    ("pose_shufflenetv2", (64, 64)),
    ("pose_alexnet", (64, 64)),
    ("pose_vgg16", (64, 64)),
)


@pytest.mark.parametrize(("text", "size"), OTHER_NETWORKS)
def test_the_plan_of_another_familys_network_gives_the_trace_of_its_module(
    text: str, size: tuple[int, int]
) -> None:
    spec, shape = parse_spec(text), (3, *size)
    assert_same(count_plan(spec, shape, batch=2, name="x"), traced(spec, shape, 2))


def refused(spec: ModelSpec, shape: tuple[int, ...]) -> bool:
    """Whether the built module itself cannot take an input."""
    with torch.device("meta"):
        module, sample = build_spec(spec).eval(), torch.empty(1, *shape)
    try:
        count(module, (sample,))
    except ModelFailedError:
        return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_an_input_has_no_trace_from_the_plan_only_where_the_module_refuses_it(seed: int) -> None:
    draw = random.Random(seed)
    spec = random_spec(seed)
    shape = (3, draw.randint(1, 130), draw.randint(1, 130))
    assert (count_plan(spec, shape, name="x") is None) == refused(spec, shape)
    fitting = (3, *(max(32, size - size % 32) for size in shape[1:]))
    assert_same(count_plan(spec, fitting, name="x"), traced(spec, fitting, 1))


@pytest.mark.parametrize("block", OTHER_BLOCKS)
@pytest.mark.parametrize("seed", range(2))
def test_a_design_of_another_block_gives_its_modules_trace(block: str, seed: int) -> None:
    spec, shape = random_block_spec(block, seed), random_input(seed)
    assert_same(count_plan(spec, shape, name="x"), traced(spec, shape, 1))


@pytest.mark.parametrize("shape", [(1, 256, 192), (3, 250, 190), (3, 0, 192), (3, 256), (3, 8, 8)])
def test_an_input_that_does_not_fit_is_left_to_the_module(shape: tuple[int, ...]) -> None:
    assert count_plan(parse_spec("gadnet32"), shape) is None


def test_a_rule_of_the_users_is_left_to_the_module() -> None:
    spec = parse_spec("gadnet32")
    gadprof.rule("aten::sigmoid", comparisons=lambda x, out: out.numel())
    try:
        assert count_plan(spec, spec.default_input) is None
    finally:
        forget("aten::sigmoid")


def test_count_says_the_same_of_a_plan_as_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for extra in ([], ["--trace"]):
        assert run(["count", "gadnet32", "--format", "json", *extra]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [answer.pop("device") for answer in answers] == ["plan", "meta"]
    assert answers[0] == answers[1]
