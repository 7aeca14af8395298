"""Losses that torch computes in one operation: their elements, and the sum or mean over them.

Cross-entropy and the like fall apart into softmax and look-ups, which have rules of their own. A
loss that is reduced has an output of one element, so what is counted is the elements of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.rules.work import Rule, Work, argument, elements

# name -> (additions, multiplications, comparisons, transcendentals) an element before reduction
TABLE: dict[str, tuple[int, int, int, int]] = {
    "mse_loss": (1, 1, 0, 0),
    "smooth_l1_loss": (2, 2, 1, 0),
    "huber_loss": (2, 2, 1, 0),
    "binary_cross_entropy": (2, 2, 0, 2),
    # (1 - t) x + max(-x, 0) + log(1 + exp(-|x|))
    "binary_cross_entropy_with_logits": (4, 1, 2, 2),
}
# where a loss takes its reduction, and the weights that it may be given before it
_REDUCTION = {"binary_cross_entropy": 3, "binary_cross_entropy_with_logits": 4}
_MEAN, _SUM = 1, 2


def _loss(name: str) -> Rule:
    cost, place = TABLE[name], _REDUCTION.get(name, 2)

    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        count = elements(args[0])
        reduction = argument(args, kwargs, place, "reduction", _MEAN)
        adds, multiplies, comparisons, transcendentals = [count * each for each in cost]
        if place > 2:  # a weight an element multiplies it
            multiplies += count * (argument(args, kwargs, 2, "weight") is not None)
        if place > 3 and argument(args, kwargs, 3, "pos_weight") is not None:  # (p - 1) t + 1
            adds, multiplies = adds + 2 * count, multiplies + 2 * count
        if reduction in (_MEAN, _SUM):
            adds += max(0, count - 1)
        return Work(
            "elementwise" if reduction not in (_MEAN, _SUM) else "reduction",
            adds=adds,
            multiplies=multiplies + (reduction == _MEAN),
            comparisons=comparisons,
            transcendentals=transcendentals,
            attributes={} if reduction not in (_MEAN, _SUM) else {"input_elements": count},
        )

    return rule


RULES: dict[str, Rule] = {f"aten.{name}": _loss(name) for name in TABLE}
