"""What a viewer of profiles shows: a stack of names for each step of a run, and what it weighs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One weight a stack, exact, in steps of ``unit`` (singular)."""

    name: str
    unit: str
    weights: tuple[int, ...]


@dataclass(frozen=True)
class Stacks:
    """Stacks in the order of the run, the outermost name first, and quantities as long as they."""

    name: str
    stacks: tuple[tuple[str, ...], ...]
    quantities: tuple[Quantity, ...]

    def __post_init__(self) -> None:
        for quantity in self.quantities:
            if len(quantity.weights) != len(self.stacks):
                raise ValueError(f"{quantity.name} has not one weight for each stack")
