"""What is kept of modules, calls and operations: names, settings and sizes, never a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """A tensor, reduced to its sizes."""

    sizes: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return prod(self.sizes)


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module: its exact type and ancestors, its settings and its own parameters' shapes.

    ``types`` are the dotted names of the type and its ancestors, the most derived first;
    ``settings`` are its plain attributes (numbers, strings, tuples of them); ``children`` are the
    paths of its distinct children, shared modules under their first path; ``parameters`` are
    (name, shape) of every parameter below it, each shared one once.
    """

    path: str
    types: tuple[str, ...]
    settings: Mapping[str, Any]
    children: tuple[str, ...]
    own: Mapping[str, tuple[int, ...]]
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    training: bool

    @property
    def type(self) -> str:
        """The dotted name of its exact type."""
        return self.types[0]

    @property
    def class_name(self) -> str:
        """The bare name of its type."""
        return self.types[0].rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module. ``stack`` holds the paths of the running modules, this one last.

    ``fast_path`` says that ``nn.MultiheadAttention`` (or an encoder layer) would take its fused
    path on a CPU or GPU with gradients off; ``frozen`` that nothing it works on wants a gradient,
    so that it would with gradients on as well.
    """

    path: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    fast_path: bool = False
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One call of a torch function, with shapes in place of tensors.

    ``fused`` is set for scaled-dot-product attention: whether a CPU would run its fused kernel,
    with gradients off and on.
    """

    name: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any = None
    fused: tuple[bool, bool] = (False, False)

    @property
    def path(self) -> str:
        """The innermost running module."""
        return self.stack[-1] if self.stack else ""


@dataclass(frozen=True, slots=True)
class JitNode:
    """One node of the jit trace: lower-cased operator, module path, inputs and output shapes.

    An input is a ``Shape``, a constant, a tuple of shapes (a list of tensors) or None.
    """

    kind: str
    path: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AtenCall:
    """One product or convolution below autograd. ``attention`` and ``fused`` tell that it ran
    inside scaled-dot-product attention that a CPU would have fused (gradients off, on)."""

    name: str
    stack: tuple[str, ...]
    args: tuple[Any, ...]
    output: Any
    attention: bool
    fused: tuple[bool, bool]

    @property
    def path(self) -> str:
        """The innermost running module."""
        return self.stack[-1] if self.stack else ""
