"""A count gives the same answer wherever it is called, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import nn

import gadprof

PICTURES = (2, 3, 8, 8)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
    )


def figures(trace: Any) -> tuple[Any, ...]:
    names = [(operation.name, operation.macs, operation.adds) for operation in trace.operations]
    return (trace.params, trace.macs, trace.flops, trace.activations, trace.peak_activation_bytes,
            dict(trace.uncovered), names)  # fmt: skip


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CIRCUMSTANCES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "the meta device": lambda: torch.device("meta"),
    "anomaly checks": lambda: torch.autograd.set_detect_anomaly(True),
    "double precision": lambda: default_dtype(torch.float64),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_a_count_is_the_same_wherever_it_is_called(circumstance: str, train: bool) -> None:
    model, x = network(), torch.zeros(PICTURES)
    expected = figures(gadprof.count(model, (x,), train=train))
    with CIRCUMSTANCES[circumstance]():
        assert figures(gadprof.count(model, (x,), train=train)) == expected
    assert figures(gadprof.count(model, (x,), train=train)) == expected


def test_a_built_network_is_the_same_wherever_it_is_counted() -> None:
    expected = gadprof.count("gadnet32:width=8", (3, 64, 64)).macs
    with torch.device("meta"), torch.inference_mode():
        assert gadprof.count("gadnet32:width=8", (3, 64, 64)).macs == expected


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_counts_as_what_was_compiled() -> None:
    model, x = network().eval(), torch.zeros(PICTURES)
    expected = figures(gadprof.count(model, (x,)))
    compiled = torch.compile(model, backend="eager")
    assert figures(gadprof.count(compiled, (x,))) == expected
    compiled(x)
    assert figures(gadprof.count(compiled, (x,))) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_count_within_a_compiled_function_is_the_same() -> None:
    model, x = network().eval(), torch.zeros(PICTURES)
    expected, found = gadprof.count(model, (x,)).macs, []

    @torch.compile(backend="eager")
    def work(tensor: torch.Tensor) -> torch.Tensor:
        found.append(gadprof.count(model, (tensor,)).macs)
        return tensor + 1

    work(x)
    assert found == [expected]


@pytest.mark.parametrize("train", [False, True])
def test_counts_leave_nothing_behind(train: bool) -> None:
    model, x = network(), torch.zeros(PICTURES)

    def objects_after(counts: int) -> int:
        for _ in range(counts):
            gadprof.count(model, (x,), train=train)
        gc.collect()
        return len(gc.get_objects())

    objects_after(20)  # what is made once
    before = objects_after(20)
    assert objects_after(40) - before < 20
