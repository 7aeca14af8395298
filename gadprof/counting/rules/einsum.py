"""What an einsum costs, exactly, and what numpy's planner prints about it.

``planned_flops`` repeats the detour of some counters: numpy prints its count with four digits, so
that what they read back is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def einsum_macs(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Multiply-adds of an einsum of one or two operands, contracted as one product; sums of one
    operand alone multiply nothing. More operands are contracted from left to right."""
    equation = equation.replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = _expand(left.split(","), shapes)
    if not arrow:
        output = "".join(
            sorted(letter for letter in set(left) if letter.isalpha() and left.count(letter) == 1)
        )
    if "..." in output:
        output = output.replace("...", "".join(k for t in terms[:1] for k in t if k.isdigit()))
    total = 0
    current = terms[0]
    for index, term in enumerate(terms[1:], start=1):
        later = set(output).union(*[set(t) for t in terms[index + 1 :]])
        merged = {key: max(current.get(key, 1), term.get(key, 1)) for key in {**current, **term}}
        kept = {
            key: size
            for key, size in merged.items()
            if (key in current and key in term) or key in later
        }
        total += prod(kept.values())
        current = {key: size for key, size in merged.items() if key in later}
    return total


def planned_flops(equation: str, shapes: Sequence[tuple[int, ...]]) -> float:
    """The count that numpy's planner prints for an einsum, with the four digits that it prints."""
    import numpy as np

    views = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    text = str(np.einsum_path(equation, *views, optimize="optimal")[1])
    for line in text.split("\n"):
        if "optimized flop" in line.lower():
            return float(line.split(":")[-1])
    raise ValueError(f"numpy printed no count for einsum {equation!r}")


def _expand(terms: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[dict[str, int]]:
    expanded: list[dict[str, int]] = []
    for term, shape in zip(terms, shapes, strict=True):
        head, dots, tail = term.partition("...")
        if not dots:
            expanded.append(dict(zip(term, shape, strict=True)))
            continue
        middle = len(shape) - len(head) - len(tail)
        keys = [*head, *(str(middle - i) for i in range(middle)), *tail]
        expanded.append(dict(zip(keys, shape, strict=True)))
    return expanded
