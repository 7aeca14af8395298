"""A rule of the user's own: one line for a custom operation, a Triton operator or a kernel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gadprof
from gadprof.counting.rules.registry import RuleError, forget

triton = pytest.importorskip("triton", reason="triton comes with torch for CUDA")
import triton.language as tl  # noqa: E402
from torch.library import custom_op  # noqa: E402
from triton.runtime.jit import KernelInterface  # noqa: E402


@triton.jit
def add_kernel(x, y, out, count, BLOCK: tl.constexpr):  # noqa: N803
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < count) + tl.load(y + i, mask=i < count), i < count)


@triton.autotune(configs=[triton.Config({"BLOCK": 64})], key=["count"])
@triton.jit
def tuned_kernel(x, out, count, BLOCK: tl.constexpr):  # noqa: N803
    pass


@custom_op("gadprof_rules::gate", mutates_args=())
def gate(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * weight


@gate.register_fake
def _(x, weight):
    return torch.empty_like(x)


class Custom(nn.Module):
    def forward(self, x):
        return gate(x, x)


class Launched(nn.Module):
    """Launches a kernel by itself, as hand-written layers do."""

    def forward(self, x):
        out = torch.empty_like(x)
        add_kernel[(1,)](x, x, out, x.numel(), BLOCK=64)
        return torch.relu(out)


class Tuned(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        tuned_kernel[lambda meta: (1,)](x, out, x.numel())
        return torch.relu(out)


def triton_operator():
    """torch's own wrapping of a kernel, where this torch has it."""
    library = pytest.importorskip("torch.library")
    if not hasattr(library, "triton_op"):
        pytest.skip("this torch has no triton_op")

    @library.triton_op("gadprof_rules::added", mutates_args={})
    def added(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        library.wrap_triton(add_kernel)[(1,)](x, y, out, x.numel(), BLOCK=64)
        return out

    return added


@pytest.mark.parametrize(
    ("module", "name", "operation", "work"),
    [
        (Custom(), "gadprof_rules.gate", gate, lambda x, weight, out: out.numel()),
        (Custom(), "gadprof_rules.gate", "gadprof_rules::gate", lambda x, weight: x.numel()),
        (Launched(), "triton.add_kernel", add_kernel, lambda x, y, out, count, **sizes: count),
        (Tuned(), "triton.tuned_kernel", tuned_kernel, lambda x, out, count: count),
        (Tuned(), "triton.tuned_kernel", "triton::tuned_kernel", 16),
    ],
)
def test_one_line_covers_an_operation_that_was_listed(module, name, operation, work):
    before = gadprof.count(module, (2, 8))
    assert before.uncovered == {name: 1}
    assert before.device == "meta"
    gadprof.rule(operation, multiplies=work)
    try:
        after = gadprof.count(module, (2, 8))
    finally:
        forget(operation)
    assert after.uncovered == {}
    assert after.flops == before.flops + 16
    assert gadprof.count(module, (2, 8)).uncovered == {name: 1}


def test_a_triton_operator_is_one_operation_with_a_rule():
    added = triton_operator()

    class Wrapped(nn.Module):
        def forward(self, x):
            return added(x, x)

    assert gadprof.count(Wrapped(), (2, 8)).uncovered == {"gadprof_rules.added": 1}
    gadprof.rule("gadprof_rules::added", adds=lambda x, y, out: out.numel())
    try:
        trace = gadprof.count(Wrapped(), (2, 8))
    finally:
        forget("gadprof_rules::added")
    assert (trace.flops, trace.uncovered) == (16, {})


def test_launches_are_as_before_also_after_an_exception():
    class Raises(nn.Module):
        def forward(self, x):
            add_kernel[(1,)](x, x, x, x.numel(), BLOCK=64)
            raise ValueError("no way")

    launch = KernelInterface.__getitem__
    gadprof.count(Launched(), (2, 8))
    assert KernelInterface.__getitem__ is launch
    with pytest.raises(gadprof.errors.GadprofError):
        gadprof.count(Raises(), (2, 8))
    assert KernelInterface.__getitem__ is launch


def test_a_rule_that_fails_or_gives_no_integer_is_named():
    gadprof.rule(gate, macs=lambda x, weight: x.numel() / 3)
    try:
        with pytest.raises(RuleError, match=r"gadprof_rules.gate gave macs = 5.33"):
            gadprof.count(Custom(), (2, 8))
    finally:
        forget(gate)
    with pytest.raises(RuleError, match="give an int or a function"):
        gadprof.rule(gate, macs=1.5)  # type: ignore[arg-type]


def test_strict_passes_once_a_rule_is_there(tmp_path, run_cli):
    """A file of the user's may hold its own rules: they travel with the model."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch, gadprof\n"
        "class Odd(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.linalg.matrix_exp(x[..., :4, :4])\n"
        "def ruled():\n"
        "    gadprof.rule('aten::linalg_matrix_exp', macs=lambda x, out: 9 * out.numel())\n"
        "    return Odd()\n"
    )
    assert run_cli("count", f"{path}:ruled", "--strict", "--input", "3x8x8")[0] == 0
