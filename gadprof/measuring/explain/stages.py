"""Stages of any module: its top-level parts, small ones before and after the big ones together.

Promises: every submodule path falls into exactly one stage or outside all of them. A wrapper with
a single child is looked through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gadprof.measuring.explain.classes import OUTSIDE


@dataclass(frozen=True)
class Stages:
    """Paths of the modules that make stages, with the stage's name for each, in order."""

    names: dict[str, str]

    def of(self, path: str) -> str:
        """The stage of a module path."""
        while path:
            if path in self.names:
                return self.names[path]
            path = path.rpartition(".")[0]
        return OUTSIDE


def stages_of(module: Any) -> Stages:
    """The stages of a module."""
    prefix = ""
    children = list(module.named_children())
    while len(children) == 1 and list(children[0][1].named_children()):
        prefix = f"{prefix}{children[0][0]}."
        children = list(children[0][1].named_children())
    big = [bool(list(child.children())) for _, child in children]
    first = big.index(True) if any(big) else 0
    last = len(big) - 1 - big[::-1].index(True) if any(big) else len(big) - 1
    names: dict[str, str] = {}
    for index, (name, _) in enumerate(children):
        if any(big) and index < first:
            stage = "stem"
        elif any(big) and index > last:
            stage = "head"
        else:
            stage = name
        names[prefix + name] = stage
    return Stages(names)
