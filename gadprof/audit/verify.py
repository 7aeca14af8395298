"""Checks a closed form against the real block: builds it, counts it, and names any difference.

The formula knows nothing of the module, and the counters know nothing of the formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gadprof.errors import SpecError
from gadprof.formulas.formula import Formula
from gadprof.networks.blocks.names import MODULE_BLOCKS, formula_block

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gadprof.audit.audit import AuditRow
    from gadprof.audit.backends import BackendCount


@dataclass(frozen=True)
class Verified:
    """One counter's word on one closed form.

    ``equal`` says whether its MACs are GG (and its parameters the formula's, where it counts
    them); ``difference`` = reported - GG in MACs. ``causes`` names what the counter adds or leaves
    out, in its own unit, and ``residual`` is what the causes do not explain. ``error`` is set when
    the counter failed.
    """

    backend: str
    version: str | None
    equal: bool
    macs: int | float | None
    difference: int | float | None
    params: int | None
    causes: Mapping[str, int | float]
    residual: int | float | None
    error: str | None


def verify(formula: Formula, backends: Sequence[str] | None = None) -> dict[str, Verified]:
    """Build the block of a closed form and count it with each backend (all installed ones).

    The block is fed one sample whose output is h × w. Raises SpecError when the integers fit no
    module (an even kernel).
    """
    import torch

    from gadprof.audit.audit import explain
    from gadprof.audit.backends import installed_backends, run_backend
    from gadprof.audit.observe import observe
    from gadprof.counting.count import count

    module, shapes = block_module(formula)
    samples = tuple(torch.zeros(shape) for shape in shapes)
    names = tuple(backends) if backends is not None else installed_backends()
    answers = {name: run_backend(name, module, samples) for name in names}
    trace = count(module, samples, name=formula.block)
    seen = observe(module.to("meta"), tuple(sample.to("meta") for sample in samples), {})
    return {
        name: _judge(formula, answer, explain(answer, trace, seen))
        for name, answer in answers.items()
    }


def _judge(formula: Formula, count: BackendCount, row: AuditRow) -> Verified:
    """Compare one counter's answer with the closed form."""
    if count.error is not None or count.macs is None:
        reason = count.error or "no number"
        return Verified(count.name, count.version, False, None, None, None, {}, None, reason)
    difference = count.macs - formula.GG
    same_params = count.params is None or count.params == formula.params
    causes = {
        item.cause: item.amount for item in row.differences if item.cause != "unit" and item.amount
    }
    return Verified(
        count.name,
        count.version,
        difference == 0 and same_params,
        count.macs,
        difference,
        count.params,
        causes,
        row.residual,
        None,
    )


def block_module(formula: Formula) -> tuple[nn.Module, tuple[tuple[int, ...], ...]]:
    """The real block of a closed form, in eval mode on the CPU, and its inputs' shapes with batch.

    Raises SpecError when the integers fit no module (an even kernel).
    """
    from gadprof.networks.build import build

    inputs = formula.inputs
    for name in ("k", "d"):
        if inputs[name] % 2 == 0:
            raise SpecError(
                f"{name}={inputs[name]} is even, which no same-size block has; "
                f"try {name}={inputs[name] + 1}"
            )
    node, shape = formula_block(formula.block, inputs)
    module = build(node).eval()
    if formula.block in MODULE_BLOCKS:
        from gadprof.networks.build import Several

        maps = range(inputs["branches"])
        shapes = [(1, inputs["c_in"] * 2**i, inputs["h"] >> i, inputs["w"] >> i) for i in maps]
        return Several(module), tuple(shapes)
    return module, ((1, *shape),)


def block_example(block: str, inputs: dict[str, int]) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The real block of a closed form's name and inputs, with random inputs for it."""
    import torch

    from gadprof.formulas.formula import formula

    module, shapes = block_module(formula(block, **inputs))
    return module, tuple(torch.randn(shape) for shape in shapes)
