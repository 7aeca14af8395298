"""What each family of counters can see of one forward pass, as plain records.

Counters look at a model from four places: hooks on modules, functions of torch that they replace,
a jit trace, and the operations below autograd. ``Observation`` runs the model once for each place
that is asked for (on the meta device no arithmetic happens) and keeps records of names and shapes,
never a tensor. Conventions map these records to each counter's number.

The module is left as it was. Raises what the model raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from gadprof.audit.backends.restore import everything_restored, quiet
from gadprof.audit.views.aten import Products, mark_attention
from gadprof.audit.views.describe import describe_module
from gadprof.audit.views.functions import Functions, Inside, patches
from gadprof.audit.views.hooks import module_hooks, short_recurrence
from gadprof.audit.views.jit import jit_nodes, module_scopes
from gadprof.audit.views.records import (
    AtenCall,
    FunctionCall,
    JitNode,
    ModuleCall,
    ModuleInfo,
    Shape,
)

__all__ = [
    "AtenCall",
    "FunctionCall",
    "JitNode",
    "ModuleCall",
    "ModuleInfo",
    "Observation",
    "Shape",
    "observe",
]


_ENCODER_LAYER = "torch.nn.modules.transformer.TransformerEncoderLayer"


@dataclass(frozen=True)
class Observation:
    """One model with one set of inputs, looked at from four places, each on first use.

    Hand it a module on the meta device to spend no arithmetic and no memory, and with ``again`` a
    way to one that has values.
    """

    module: nn.Module = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    again: Callable[[], Observation] | None = field(default=None, repr=False)

    @cached_property
    def with_values(self) -> Observation | None:
        """The same model where it has values, for views that need them; None without a way."""
        return None if self.again is None else self.again()

    @cached_property
    def modules(self) -> dict[str, ModuleInfo]:
        """Every distinct module by its first path, in registration order."""
        paths = self._paths
        return {path: describe_module(module, path, paths) for module, path in paths.items()}

    @cached_property
    def batch(self) -> int:
        """The first dimension of the first tensor input, 1 where there is none."""
        tensors = [value for value in (*self.args, *self.kwargs.values()) if torch.is_tensor(value)]
        return int(tensors[0].shape[0]) if tensors and tensors[0].dim() else 1

    @cached_property
    def torch_counts_fused_attention(self) -> bool:
        """Whether the installed torch's own counter has a formula for a CPU's fused attention."""
        from torch.utils.flop_counter import flop_registry

        fused = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
        return fused is not None and fused in flop_registry

    @cached_property
    def calls(self) -> tuple[ModuleCall | FunctionCall, ...]:
        """Module calls, and calls of the functions that counters replace, in order of return."""
        events: list[ModuleCall | FunctionCall] = []
        inside = Inside()
        with (
            self._run() as stack,
            module_hooks(self._paths, stack, events),
            patches(stack, events, inside),
            short_recurrence(),
            inside,
        ):
            self._forward()
        return tuple(events)

    @cached_property
    def functions(self) -> tuple[ModuleCall | FunctionCall, ...]:
        """Module calls, and products as a torch function mode sees them (not those inside)."""
        events: list[ModuleCall | FunctionCall] = []
        with (
            self._run() as stack,
            module_hooks(self._paths, stack, events),
            short_recurrence(),
            torch.no_grad(),
            Functions(stack, events),
        ):
            self._forward()
        return tuple(events)

    @cached_property
    def aten(self) -> tuple[AtenCall, ...]:
        """Products and convolutions below autograd, with the attention that they belong to."""
        events: list[AtenCall] = []
        calls: list[ModuleCall | FunctionCall] = []
        with self._run() as stack, module_hooks(self._paths, stack, calls):
            attention: list[tuple[bool, bool]] = []
            with mark_attention(attention), Products(stack, attention, events):
                self._forward()
        return tuple(events)

    @cached_property
    def jit(self) -> tuple[JitNode, ...]:
        """The nodes of a jit trace, which sees composite functions before they fall apart."""
        with self._run() as stack, module_scopes(self._paths):
            del stack
            inputs = self.args
            if self.kwargs:
                from gadprof.audit.backends.positional import positional

                inputs = positional(self.module, self.args, dict(self.kwargs), "a jit trace")
            return jit_nodes(self.module, inputs)

    @cached_property
    def fast_paths(self) -> dict[str, bool]:
        """For each attention or encoder layer that ran: whether it would take its fused path."""
        found: dict[str, bool] = {}
        for call in self.calls:
            if isinstance(call, ModuleCall) and call.fast_path:
                found[call.path] = True
        return found

    def fused_with_gradients(self, *, hooked: bool) -> frozenset[str]:
        """Layers that take their fused path though gradients are on, because they are frozen.

        An encoder layer does not where a counter has put hooks into it (``hooked``).
        """
        return frozenset(
            call.path
            for call in self.calls
            if isinstance(call, ModuleCall)
            and call.frozen
            and not (hooked and _ENCODER_LAYER in self.modules[call.path].types)
        )

    @cached_property
    def _paths(self) -> dict[nn.Module, str]:
        return {module: path for path, module in self.module.named_modules()}

    @contextlib.contextmanager
    def _run(self) -> Iterator[list[str]]:
        with everything_restored(self.module), quiet(), torch.enable_grad():
            yield []

    def _forward(self) -> None:
        self.module(*self.args, **self.kwargs)


def observe(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    again: Callable[[], Observation] | None = None,
) -> Observation:
    """An observation of one module with one set of inputs; nothing runs until it is asked."""
    return Observation(module, tuple(args), dict(kwargs or {}), again)
