"""Conventions: what each counter reports is known before it runs, and every gap has a cause."""

from __future__ import annotations

import os
import warnings

import pytest
import torch
from small_models import (
    TRAPS,
    Attention,
    Einsum,
    Encoder,
    Fused,
    Plain,
    Shared,
    Subclassed,
    Transposed,
)
from torch import nn

from gadprof.audit import conventions
from gadprof.audit.audit import explain
from gadprof.audit.backends import (
    BACKENDS,
    distribution_of,
    failed,
    installed_backends,
    run_backend,
)
from gadprof.audit.conventions import CONVENTIONS, convention, read, total
from gadprof.audit.observe import Observation, observe
from gadprof.counting.count import count
from gadprof.counting.rules.einsum import einsum_macs
from gadprof.errors import UnknownNameError

os.environ.setdefault("OMP_NUM_THREADS", "1")
BATCHES = (1, 3)


def on_meta(factory: type[nn.Module], batch: int = 1) -> Observation:
    with torch.device("meta"):
        module = factory().eval()
    return observe(module, inputs(factory, batch, "meta"))


def inputs(factory: type[nn.Module], batch: int, device: str) -> tuple[torch.Tensor, ...]:
    shapes = factory.example_input_shapes  # type: ignore[attr-defined]
    return tuple(torch.zeros((batch, *shape), device=device) for shape in shapes)


def audited(name: str, factory: type[nn.Module], batch: int = 1):  # type: ignore[no-untyped-def]
    module = factory().eval()
    answer = run_backend(name, module, inputs(factory, batch, "cpu"))
    observation = on_meta(factory, batch)
    trace = count(observation.module, observation.args)
    return explain(answer, trace, observation)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("factory", TRAPS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "gadprof"])
def test_a_convention_gives_the_very_number_that_the_counter_reports(
    name: str, factory: type[nn.Module], batch: int
) -> None:
    if distribution_of(name) is None:
        pytest.skip(f"{name} is not installed")
    row = audited(name, factory, batch)
    assert row.error is None, row.error
    assert row.unexplained is None
    assert row.residual == 0
    assert row.reported == row.ours + sum(item.amount for item in row.differences)


@pytest.mark.parametrize(
    ("name", "factory", "cause"),
    [
        ("fvcore", Plain, conventions.NORMALISATION),
        ("fvcore", Fused, conventions.ATTENTION_MISSED),
        ("fvcore", Einsum, conventions.ROUNDING),
        ("thop", Transposed, conventions.TRANSPOSED),
        ("thop", Shared, conventions.TWICE),
        ("thop", Subclassed, conventions.TYPE_MISSED),
        ("torchprofile", Transposed, conventions.TRANSPOSED),
        ("torchinfo", Transposed, conventions.TRANSPOSED),
        ("torchinfo", Plain, conventions.BIAS),
        ("ptflops", Plain, conventions.PATCHED_TWICE),
        ("ptflops", Subclassed, conventions.TYPE_MISSED),
        ("ptflops-aten", Plain, conventions.BIAS),
        ("torch", Attention, conventions.FAST_PATH_MISSED),
        ("torch", Encoder, conventions.FAST_PATH_MISSED),
        ("torch", Plain, conventions.UNIT),
        ("calflops", Shared, conventions.TWICE),
    ],
)
def test_every_gap_is_put_down_to_its_cause(
    name: str, factory: type[nn.Module], cause: str
) -> None:
    observation = on_meta(factory)
    trace = count(observation.module, observation.args)
    answer = failed(name, "")
    reported = total(name, observation, trace)
    from dataclasses import replace

    row = explain(replace(answer, reported=reported, error=None), trace, observation)
    assert cause in [item.cause for item in row.differences]
    assert row.residual == 0


def test_a_wrong_number_leaves_exactly_its_error_as_residual() -> None:
    from dataclasses import replace

    observation = on_meta(Plain)
    trace = count(observation.module, observation.args)
    reported = int(total("fvcore", observation, trace)) + 17
    row = explain(replace(failed("fvcore", ""), reported=reported, error=None), trace, observation)
    assert row.residual == 17
    assert all(item.amount != 17 for item in row.differences)


def test_observing_leaves_the_module_as_it_was() -> None:
    module = Plain().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    hooks = [len(part._forward_hooks) for part in module.modules()]
    state = torch.get_rng_state()
    originals = {name: vars(torch.nn.functional)[name] for name in ("relu", "conv2d", "linear")}
    observation = observe(module, (torch.randn(1, 3, 16, 16),))
    torch.set_rng_state(state)
    assert observation.calls
    assert observation.functions
    assert observation.jit
    assert observation.aten
    assert torch.equal(state, torch.get_rng_state())
    assert [len(part._forward_hooks) for part in module.modules()] == hooks
    assert {name: vars(torch.nn.functional)[name] for name in originals} == originals
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert "matmul" not in vars(torch.Tensor)


# measured with the official code of HRNet-W32 at 256×192, batch 1
YARDSTICKS = {
    "gadprof": 7_645_003_776,
    "fvcore": 7_685_342_208,
    "thop": 7_723_468_800,
    "ptflops-aten": 7_645_056_000,
    "torch": 15_290_007_552,
    "torch-meta": 15_290_007_552,
    "torchinfo": 7_645_110_336,
    "torchprofile": 7_664_067_072,
    "hrnet-official": 7_645_003_776,
}


@pytest.fixture(scope="module")
def hrnet32():  # type: ignore[no-untyped-def]
    from gadprof.audit.audit import observe_model

    return observe_model("hrnet32")


@pytest.mark.parametrize("name", YARDSTICKS)
def test_hrnet32_has_the_number_that_each_tool_was_measured_to_report(hrnet32, name: str) -> None:  # type: ignore[no-untyped-def]
    trace, observation = hrnet32
    assert total(name, observation, trace) == YARDSTICKS[name]


def test_every_backend_has_a_convention_in_its_own_unit() -> None:
    for name, adapter in BACKENDS.items():
        assert convention(name).unit == adapter.unit


def test_an_entry_is_either_a_product_or_has_a_cause() -> None:
    for factory in TRAPS:
        observation = on_meta(factory)
        trace = count(observation.module, observation.args)
        for name in CONVENTIONS:
            for entry in read(name, observation, trace).entries:
                assert bool(entry.kind) != bool(entry.cause), (name, entry)


def test_an_unknown_convention_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'torchinfo'"):
        convention("torchinfos")


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk->ik", [(2, 3), (3, 5)], 30),
        ("bnc,chd->bhnd", [(1, 37, 41), (41, 3, 53)], 37 * 41 * 3 * 53),
        ("...ij,...jk->...ik", [(7, 2, 3), (7, 3, 5)], 210),
        ("ij,jk", [(2, 3), (3, 5)], 30),
        ("ii->i", [(4, 4)], 0),
        ("ij,ij->ij", [(2, 3), (2, 3)], 6),
    ],
)
def test_an_einsum_costs_the_product_of_the_sizes_that_it_multiplies(
    equation: str, shapes: list[tuple[int, ...]], macs: int
) -> None:
    assert einsum_macs(equation, shapes) == macs


def test_the_installed_backends_are_ours_first() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert installed_backends()[0] == "gadprof"


@pytest.mark.parametrize("counted", [False, True])
def test_fused_attention_is_in_torchs_number_where_its_version_has_a_formula(counted: bool) -> None:
    observation = on_meta(Fused)
    observation.__dict__["torch_counts_fused_attention"] = counted  # as another release would say
    trace = count(observation.module, observation.args)
    products = {op.kind: op.macs for op in trace.operations if op.macs}
    fused = products["attention"] if counted else 0
    assert total("torch", observation, trace) == 2 * (products["linear"] + fused)
