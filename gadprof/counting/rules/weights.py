"""What is done to numbers before a product reads them: weight normalisation and quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.rules.work import Rule, Work, elements

# (additions, multiplications, comparisons) a value in steps of a scale: the scaling, the zero
# point, a rounding and the two bounds; and back
_QUANTIZED = (1, 1, 3)
_DEQUANTIZED = (1, 1, 0)
_THERE_AND_BACK = (2, 2, 3)
_OBSERVED = (2, 2, 5)  # there and back, after the least and the greatest were found


def _by_input(cost: tuple[int, int, int]) -> Rule:
    """A cost an element of the first input, whatever the type of the output."""

    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        adds, multiplies, comparisons = [each * elements(args[0]) for each in cost]
        return Work("elementwise", adds=adds, multiplies=multiplies, comparisons=comparisons)

    return rule


def _weight_norm(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    """A filter's norm (a square and an addition a weight, a root), then weights times a ratio."""
    weights, filters = elements(args[0]), elements(args[1])
    return Work(
        "elementwise", adds=weights, multiplies=2 * weights + filters, transcendentals=filters
    )


def _weight_norm_backward(
    args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]
) -> Work:
    """A filter's product of gradient and weights; from it both gradients, by the quotient rule."""
    weights, filters = elements(args[1]), elements(args[2])
    return Work("elementwise", adds=2 * weights, multiplies=3 * weights + 3 * filters)


RULES: dict[str, Rule] = {
    "aten._weight_norm_interface": _weight_norm,
    "aten._weight_norm_interface_backward": _weight_norm_backward,
    "aten.quantize_per_tensor": _by_input(_QUANTIZED),
    "aten.quantize_per_tensor_dynamic": _by_input(_QUANTIZED),
    "aten.quantize_per_channel": _by_input(_QUANTIZED),
    "aten.dequantize": _by_input(_DEQUANTIZED),
    "aten.fake_quantize_per_tensor_affine_cachemask": _by_input(_THERE_AND_BACK),
    "aten._fused_moving_avg_obs_fq_helper": _by_input(_OBSERVED),
    "aten.fake_quantize_per_channel_affine_cachemask": _by_input(_THERE_AND_BACK),
}
