"""Networks of search spaces: their published figures, their notation, and plan = module = trace."""

from __future__ import annotations

import pytest
import torch
from test_cost import assert_cost_is_what_is_built_and_traced
from test_from_plan import assert_same, traced

import gadprof
from gadprof.errors import SpecError
from gadprof.networks.plan_trace import count_plan
from gadprof.networks.spec import format_value, parse_spec

CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
NETWORKS = (
    ("nasbench201", (3, 32, 32)),
    (f"nasbench201:arch={CELL}", (3, 32, 32)),
    (f"nasbench201:arch={CELL},width=5,blocks=1,classes=3", (3, 8, 20)),
    ("fbnet", (3, 64, 96)),
    ("fbnet-cifar", (3, 32, 32)),
    ("fbnet-cifar:arch=k3_e1_g2", (3, 32, 32)),
    ("fbnet-cifar:arch=skip", (3, 32, 32)),
)


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_the_cost_of_a_space_s_network_is_what_is_built_and_traced(name, shape):
    assert_cost_is_what_is_built_and_traced(parse_spec(name), shape)


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_the_plan_of_a_space_s_network_gives_the_trace_of_its_module(name, shape):
    spec = parse_spec(name)
    assert_same(count_plan(spec, shape, batch=2, name="x"), traced(spec, shape, 2))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # the benchmark's own figure of its largest cell, 1.531546 M; by hand: 464 in the stem,
        # 30·(9c² + 2c) over c = 16, 32, 64 in the cells, 14,464 + 57,600 between, 128 + 650 last
        ("nasbench201", 1_531_546),
        # without convolutions in the cells 1,458,240 fewer
        ("nasbench201:arch=skip_connect", 73_306),
        ("nasbench201:arch=none", 73_306),
        # timm's fbnetc_100, whose 1×1 convolutions widen by 1, too
        ("fbnet", 5_572_200),
    ],
)
def test_a_space_s_network_has_the_published_parameters(name, params):
    assert gadprof.cost(name).params == params


def test_fbnet_c_has_the_macs_of_timm_s():
    pytest.importorskip("timm", reason="needs gadprof[timm]")
    ours, theirs = gadprof.count("fbnet"), gadprof.count("timm:fbnetc_100")
    assert (ours.macs, ours.params) == (theirs.macs, theirs.params)


def test_a_cell_in_the_benchmark_s_notation_is_the_same_as_in_words():
    words = "avg_pool_3x3-nor_conv_1x1-skip_connect-nor_conv_3x3-none-skip_connect"
    spec = parse_spec(f"nasbench201:arch={CELL}")
    assert spec.arch == parse_spec(f"nasbench201:arch={words}").arch
    assert format_value(spec.arch) == words


def test_a_cell_computes_what_its_edges_say():
    # skip and zero alone: node 1 = x, node 2 = x + 0·x, node 3 = 0·x + x + x
    arch = "skip_connect-skip_connect-none-none-skip_connect-skip_connect"
    cell = gadprof.build(f"nasbench201:arch={arch}").cells[0]
    x = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(cell(x), 2 * x)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nasbench201:arch=none-none", "2 words"),
        ("nasbench201:arch=skip", "did you mean"),
        (f"nasbench201:arch={CELL.replace('~1', '~2')}", "in another order"),
        ("fbnet:arch=k7_e1", "is not allowed"),
    ],
)
def test_an_architecture_that_the_space_does_not_have_is_refused(text, says):
    with pytest.raises(SpecError, match=says):
        parse_spec(text)
