"""Analytic cost: equal, as integers, to the built module and to a trace of it."""

from __future__ import annotations

import pytest
import torch
from random_specs import random_input, random_spec
from torch import nn

import gadprof
from gadprof.counting.count import count
from gadprof.networks.build import build_spec
from gadprof.networks.cost import breakdown, cost_of
from gadprof.networks.spec import parse_spec, plan_of, presets

SKELETONS = [
    name
    for name, (family, _) in presets().items()
    if family.planner.startswith("gadprof.networks.families.hrnet")
]
RANDOM = range(300)


def held_by(module: nn.Module) -> dict[str, int]:
    """The parameters that a module really holds, by kind."""
    kinds = {"convolution": 0, "normalisation": 0, "linear": 0, "bias": 0}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(part, (nn.BatchNorm2d, nn.LayerNorm)):
                kind = "normalisation"
            elif name == "bias":
                kind = "bias"
            else:
                kind = "linear" if isinstance(part, nn.Linear) else "convolution"
            kinds[kind] += parameter.numel()
    return kinds


def assert_cost_is_what_is_built_and_traced(spec, shape):
    cost = cost_of(plan_of(spec), shape)
    with torch.device("meta"):
        module = build_spec(spec).eval()
        sample = torch.empty(1, *shape)
    assert dict(cost.params_by_kind) == held_by(module)
    trace = count(module, (sample,))
    assert cost.params == trace.params
    assert cost.macs == trace.macs
    assert cost.activations == trace.activations
    assert dict(cost.elementwise) == trace.elementwise()
    assert cost.flops == trace.flops
    assert cost.peak_activation_bytes == trace.peak_activation_bytes
    assert cost.weight_bytes == trace.param_bytes


def test_hrnet32_has_the_official_codes_parameters_and_macs():
    cost = gadprof.cost("hrnet32", input=(3, 256, 192))
    assert cost.params == 28_536_113
    assert cost.macs == 7_645_003_776
    assert cost.bias_adds == 52_224


def test_hrnet48_has_the_official_codes_parameters_and_macs():
    cost = gadprof.cost("hrnet48", input=(3, 256, 192))
    assert cost.params == 63_595_745
    assert cost.macs == 15_691_825_152


def test_gadnet32_is_within_one_point_of_the_papers_reductions():
    base, light = gadprof.cost("hrnet32"), gadprof.cost("gadnet32")
    assert abs(100 * (light.params / base.params - 1) + 60.7) <= 1.0
    assert abs(100 * (light.macs / base.macs - 1) + 61.2) <= 1.0


@pytest.mark.parametrize("name", SKELETONS)
def test_a_presets_cost_is_what_is_built_and_traced(name):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), (3, 256, 192))


@pytest.mark.parametrize("seed", RANDOM)
def test_a_random_designs_cost_is_what_is_built_and_traced(seed):
    assert_cost_is_what_is_built_and_traced(random_spec(seed), random_input(seed))


def test_everything_but_parameters_scales_with_the_batch():
    one, eight = gadprof.cost("gadnet32", batch=1), gadprof.cost("gadnet32", batch=8)
    assert eight.params == one.params
    for name in ("macs", "flops", "activations", "peak_activation_bytes"):
        assert getattr(eight, name) == 8 * getattr(one, name)


def test_convolution_macs_grow_with_the_area_of_the_input():
    small = gadprof.cost("hrnet32", input=(3, 128, 96))
    large = gadprof.cost("hrnet32", input=(3, 256, 192))
    assert large.macs == 4 * small.macs


def test_the_leaves_of_a_breakdown_add_up_to_the_whole():
    plan = plan_of(parse_spec("gadnet32:width=8"))
    rows = breakdown(plan, (3, 64, 64))
    cost = cost_of(plan, (3, 64, 64))
    macs = sum(
        row.counts.get("macs.convolution", 0) + row.counts.get("macs.linear", 0)
        for row in rows
        if row.leaf
    )
    assert macs == cost.macs


@pytest.mark.parametrize("name", ["hrnet32:width=8", "gadnet32:width=9,s=4", "ghost-hrnet32"])
def test_every_path_of_a_breakdown_is_a_module_with_those_parameters(name):
    spec = parse_spec(name)
    with torch.device("meta"):
        module = build_spec(spec)
    own = dict(module.named_modules())
    for row in breakdown(plan_of(spec), (3, 64, 64)):
        params = sum(value for key, value in row.counts.items() if key.startswith("params."))
        if row.path in own:
            assert params == sum(p.numel() for p in own[row.path].parameters()), row.path
        else:
            assert params == 0, row.path


@pytest.mark.parametrize("name", ["hrnet32", "gadnet32"])
def test_an_int64_array_of_widths_costs_what_each_width_costs(name):
    import numpy as np

    from gadprof.networks.spec import ModelSpec

    widths = np.array([16, 33, 48, 64], dtype=np.int64)
    spec = parse_spec(name)
    items = tuple((key, widths if key == "width" else value) for key, value in spec.items)
    cost = cost_of(plan_of(ModelSpec(spec.family, "", items)), (3, 256, 192))
    for index, width in enumerate(widths):
        single = gadprof.cost(f"{name}:width={width}")
        assert int(cost.params[index]) == single.params
        assert int(cost.macs[index]) == single.macs
        assert int(np.broadcast_to(cost.peak_activation_bytes, 4)[index]) == (
            single.peak_activation_bytes
        )


def test_a_node_without_a_rule_is_refused_by_name():
    from dataclasses import dataclass

    from gadprof.networks.plan import Node

    @dataclass(frozen=True)
    class Mystery(Node):
        pass

    with pytest.raises(TypeError, match="no cost rule for Mystery"):
        cost_of(Mystery(), (3, 32, 32))


def test_a_node_takes_its_fields_as_a_dataclass_does_and_keeps_them():
    from gadprof.networks.families.hourglass import Hourglass
    from gadprof.networks.plan import Conv, Identity, Residual

    conv = Conv(3, 8, stride=2)
    assert (conv.c_in, conv.c_out, conv.k, conv.stride, conv.padding) == (3, 8, 3, 2, None)
    assert (Residual(conv).kind, Hourglass(conv).kind) == ("Residual", "Hourglass")
    assert Identity() != Identity()
    with pytest.raises(AttributeError, match="Conv is frozen"):
        conv.c_in = 4  # type: ignore[misc]
    with pytest.raises(TypeError, match="c_out"):
        Conv(3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="width"):
        Conv(3, 8, width=1)  # type: ignore[call-arg]
