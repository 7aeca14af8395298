"""Backends: each answers or says why not, and leaves no trace on the module or on torch."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_models import Attention, Empty, Noisy, Plain, Raising
from torch import nn
from torch.nn.modules import module as module_file

from gadprof.audit import backends
from gadprof.audit.backends import (
    BACKENDS,
    distribution_of,
    installed_backends,
    parse_backends,
    run_backend,
    to_macs,
)
from gadprof.errors import UnknownNameError

NAMES = [name for name in BACKENDS if distribution_of(name) is not None]
X = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


def namespace(owner: Any) -> dict[str, int]:
    return {name: id(value) for name, value in vars(owner).items() if callable(value)}


def everything_about(module: nn.Module) -> dict[str, Any]:
    """Whatever a counter could leave behind, in a form that compares."""
    numpy_state = sys.modules["numpy"].random.get_state() if "numpy" in sys.modules else (0, [0])
    return {
        "types": [type(part) for part in module.modules()],
        "attributes": [sorted(vars(part)) for part in module.modules()],
        "forward": [vars(part).get("forward") for part in module.modules()],
        "state": {name: value.tolist() for name, value in module.state_dict().items()},
        "buffers": [name for name, _ in module.named_buffers()],
        "hooks": [
            (len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks))
            for part in module.modules()
        ],
        "training": [part.training for part in module.modules()],
        "requires_grad": [value.requires_grad for value in module.parameters()],
        "gradients": [value.grad for value in module.parameters()],
        "torch_random": torch.get_rng_state().tolist(),
        "python_random": random.getstate(),
        "numpy_random": (str(numpy_state[0]), list(numpy_state[1])),
        "torch": namespace(torch),
        "functional": namespace(F),
        "tensor": namespace(torch.Tensor),
        "global_hooks": [
            len(value)
            for name, value in sorted(vars(module_file).items())
            if name.startswith("_global_") and hasattr(value, "__len__")
        ],
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "tracing": torch._C._get_tracing_state(),
        "modes": torch._C._len_torch_dispatch_stack(),
        "function_modes": torch._C._len_torch_function_stack(),
    }


def warm_up(name: str) -> None:
    """Import the tool first: what an import adds to torch is not what a count leaves."""
    run_backend(name, Plain().eval(), (X,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factory", [Plain, Raising, Noisy], ids=lambda kind: kind.__name__)
def test_a_backend_leaves_nothing_behind(name: str, factory: type[nn.Module]) -> None:
    warm_up(name)
    module = factory().eval()
    module.norm.train()  # a mixed mode is kept, too
    module.head.weight.requires_grad_(False)
    before = everything_about(module)
    answer = run_backend(name, module, (X,))
    assert everything_about(module) == before
    assert (answer.error is not None) == (factory is Raising), answer.error
    assert getattr(module, "calls", 0) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_leaves_a_module_in_training_mode_in_it(name: str) -> None:
    warm_up(name)
    module = Plain().train()
    before = everything_about(module)
    run_backend(name, module, (X,))
    assert everything_about(module) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_prints_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    run_backend(name, Noisy().eval(), (X,))
    captured = capfd.readouterr()
    assert "spam" not in captured.out
    assert "[INFO]" not in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_raises_costs_one_line(name: str) -> None:
    answer = run_backend(name, Raising().eval(), (X,))
    assert answer.reported is None
    assert answer.macs is None
    assert answer.error is not None
    assert "no further" in answer.error
    assert "\n" not in answer.error


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_says_who_it_is_and_in_what_it_counts(name: str) -> None:
    answer = run_backend(name, Plain().eval(), (X,))
    assert answer.error is None
    assert (answer.distribution, answer.version) == distribution_of(name)
    assert answer.unit == BACKENDS[name].unit
    assert answer.reported is not None
    assert answer.macs == to_macs(answer.reported, answer.unit)
    assert answer.params in (None, 357)


@pytest.mark.parametrize("name", NAMES)
def test_keyword_inputs_reach_the_model(name: str) -> None:
    by_position = run_backend(name, Plain().eval(), (X,))
    by_name = run_backend(name, Plain().eval(), (), {"x": X})
    assert by_name.error is None
    assert by_name.reported == by_position.reported


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_parameters_counts_no_products(name: str) -> None:
    answer = run_backend(name, Empty().eval(), (X,))
    if name == "calflops":  # it asks the first parameter where the model lies
        assert answer.error is not None
        assert answer.error.startswith("StopIteration in calculate_flops")
    else:
        assert (answer.reported, answer.error) == (0, None)


def test_a_tool_says_which_operations_it_could_not_count() -> None:
    answer = run_backend("fvcore", Attention().eval(), (torch.zeros(1, 7, 16),))
    assert "aten::scaled_dot_product_attention" in dict(answer.uncovered)
    answer = run_backend("torchprofile", Empty().eval(), (X,))
    assert answer.uncovered == ()


def test_a_backend_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "distribution_of", lambda name: None)
    answer = run_backend("torchinfo", Plain().eval(), (X,))
    assert answer.error == "torchinfo is not installed; type: pip install 'gadprof[audit]'"
    assert answer.reported is None


def test_of_two_distributions_that_own_thop_only_one_is_meant() -> None:
    assert not {"thop", "ultralytics-thop"} <= set(installed_backends())


def test_an_unknown_backend_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ptflops'"):
        run_backend("ptflop", Plain(), (X,))
    with pytest.raises(UnknownNameError):
        parse_backends("fvcore,nothing")


def test_backends_are_read_in_the_order_given_and_once() -> None:
    assert parse_backends("torch, fvcore,torch") == ("torch", "fvcore")
    assert parse_backends("all") == installed_backends()
    assert parse_backends("none") == ()


def test_flops_are_halved_exactly() -> None:
    assert to_macs(15_290_007_552, "flops") == 7_645_003_776
    assert to_macs(7, "flops") == 3.5
    assert to_macs(7, "mult-adds") == 7
