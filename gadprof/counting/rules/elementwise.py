"""Rules of operations that work element by element: the cost of one output element, as a table.

Division counts as a multiplication, a square root, an exponential or a power as one
transcendental, a maximum or a selection as one comparison. Integer and boolean results are index
arithmetic, not floating-point work: they cost nothing here, except that a comparison of
floating-point numbers is a comparison whatever it returns. A complex addition is two additions, a
complex multiplication four multiplications and two additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.rules.work import Rule, Work, argument, elements, is_floating, uncounted

# name -> (additions, multiplications, comparisons, transcendentals) an output element
TABLE: dict[str, tuple[int, int, int, int]] = {
    # arithmetic
    "add": (1, 0, 0, 0),
    "sub": (1, 0, 0, 0),
    "rsub": (1, 0, 0, 0),
    "mul": (0, 1, 0, 0),
    "div": (0, 1, 0, 0),
    "true_divide": (0, 1, 0, 0),
    "floor_divide": (0, 2, 0, 0),
    "remainder": (1, 2, 0, 0),
    "fmod": (1, 2, 0, 0),
    "reciprocal": (0, 1, 0, 0),
    "neg": (0, 1, 0, 0),
    "addcmul": (1, 2, 0, 0),
    "addcdiv": (1, 2, 0, 0),
    "lerp": (2, 1, 0, 0),
    "square": (0, 1, 0, 0),
    "abs": (0, 0, 1, 0),
    "sign": (0, 0, 1, 0),
    "sgn": (0, 0, 1, 0),
    "floor": (0, 0, 1, 0),
    "ceil": (0, 0, 1, 0),
    "round": (0, 0, 1, 0),
    "trunc": (0, 0, 1, 0),
    "frac": (1, 0, 1, 0),
    "deg2rad": (0, 1, 0, 0),
    "rad2deg": (0, 1, 0, 0),
    "angle": (0, 0, 0, 1),
    "polar": (0, 2, 0, 2),
    # comparisons and selections
    "maximum": (0, 0, 1, 0),
    "minimum": (0, 0, 1, 0),
    "fmax": (0, 0, 1, 0),
    "fmin": (0, 0, 1, 0),
    "clamp_min": (0, 0, 1, 0),
    "clamp_max": (0, 0, 1, 0),
    "heaviside": (0, 0, 1, 0),
    "where": (0, 0, 1, 0),
    "masked_fill": (0, 0, 1, 0),
    "threshold": (0, 0, 1, 0),
    "nan_to_num": (0, 0, 3, 0),
    # powers, exponentials, trigonometry
    "sqrt": (0, 0, 0, 1),
    "rsqrt": (0, 1, 0, 1),
    "exp": (0, 0, 0, 1),
    "exp2": (0, 0, 0, 1),
    "expm1": (1, 0, 0, 1),
    "log": (0, 0, 0, 1),
    "log2": (0, 0, 0, 1),
    "log10": (0, 0, 0, 1),
    "log1p": (1, 0, 0, 1),
    "logaddexp": (2, 0, 1, 2),
    "xlogy": (0, 1, 0, 1),
    "sin": (0, 0, 0, 1),
    "cos": (0, 0, 0, 1),
    "tan": (0, 0, 0, 1),
    "asin": (0, 0, 0, 1),
    "acos": (0, 0, 0, 1),
    "atan": (0, 0, 0, 1),
    "atan2": (0, 1, 0, 1),
    "sinh": (0, 0, 0, 1),
    "cosh": (0, 0, 0, 1),
    "tanh": (0, 0, 0, 1),
    "asinh": (0, 0, 0, 1),
    "acosh": (0, 0, 0, 1),
    "atanh": (0, 0, 0, 1),
    "sinc": (0, 2, 0, 1),
    "erf": (0, 0, 0, 1),
    "erfc": (0, 0, 0, 1),
    "erfinv": (0, 0, 0, 1),
    "lgamma": (0, 0, 0, 1),
    "digamma": (0, 0, 0, 1),
    **dict.fromkeys(
        (
            "polygamma",
            "igamma",
            "igammac",
            "i0",
            "special_i0e",
            "special_i1",
            "special_i1e",
            "special_erfcx",
            "special_ndtri",
            "special_log_ndtr",
            "special_zeta",
            "special_entr",
            "special_bessel_j0",
            "special_bessel_j1",
            "special_bessel_y0",
            "special_bessel_y1",
        ),
        (0, 0, 0, 1),
    ),
    "hypot": (1, 2, 0, 1),
    "logit": (1, 1, 0, 1),
    # a coordinate of an affine grid: a row of three times a column of three
    "affine_grid_generator": (2, 3, 0, 0),
    "affine_grid_generator_backward": (2, 3, 0, 0),
    # gradients of activations (grad times derivative)
    "threshold_backward": (0, 0, 1, 0),
    "sigmoid_backward": (1, 2, 0, 0),
    "tanh_backward": (1, 2, 0, 0),
    "gelu_backward": (2, 5, 0, 2),
    "silu_backward": (2, 4, 0, 1),
    "mish_backward": (3, 5, 0, 3),
    "elu_backward": (1, 2, 1, 1),
    "hardswish_backward": (1, 3, 2, 0),
    "hardsigmoid_backward": (0, 1, 2, 0),
    "hardtanh_backward": (0, 0, 2, 0),
    "leaky_relu_backward": (0, 1, 1, 0),
    "softplus_backward": (1, 2, 1, 1),
    "_prelu_kernel_backward": (0, 2, 1, 0),
    "native_dropout_backward": (0, 2, 0, 0),
    "_masked_scale": (0, 2, 0, 0),
    # gradients of losses
    "mse_loss_backward": (1, 2, 0, 0),
    "smooth_l1_loss_backward": (1, 2, 2, 0),
    "huber_loss_backward": (1, 2, 2, 0),
    "binary_cross_entropy_backward": (3, 2, 0, 0),
}

# the same, for what is an activation function
ACTIVATIONS: dict[str, tuple[int, int, int, int]] = {
    "relu": (0, 0, 1, 0),
    "relu6": (0, 0, 2, 0),
    "hardtanh": (0, 0, 2, 0),
    "leaky_relu": (0, 1, 1, 0),
    "prelu": (0, 1, 1, 0),
    "_prelu_kernel": (0, 1, 1, 0),
    "rrelu_with_noise": (0, 1, 1, 0),
    "elu": (1, 1, 1, 1),
    "celu": (1, 2, 1, 1),
    "selu": (1, 2, 1, 1),
    "sigmoid": (1, 1, 0, 1),
    "log_sigmoid_forward": (2, 0, 1, 2),
    "gelu": (1, 3, 0, 1),
    "silu": (1, 2, 0, 1),
    "mish": (1, 1, 1, 3),
    "softplus": (1, 2, 1, 2),
    "hardswish": (1, 2, 2, 0),
    "hardsigmoid": (1, 1, 2, 0),
    "hardshrink": (0, 0, 2, 0),
    "softshrink": (1, 0, 2, 0),
    "softsign": (1, 1, 1, 0),
    "glu": (1, 2, 0, 1),
}

# the same for complex numbers, in real operations; what is not here is listed as uncounted
COMPLEX: dict[str, tuple[int, int, int, int]] = {
    "add": (2, 0, 0, 0),
    "sub": (2, 0, 0, 0),
    "rsub": (2, 0, 0, 0),
    "mul": (2, 4, 0, 0),
    "square": (2, 4, 0, 0),
    "div": (3, 8, 0, 0),  # four products and two sums, a squared magnitude, two quotients
    "true_divide": (3, 8, 0, 0),
    "reciprocal": (1, 4, 0, 0),
    "neg": (0, 2, 0, 0),
    "addcmul": (4, 6, 0, 0),
    "addcdiv": (5, 10, 0, 0),
    "lerp": (6, 4, 0, 0),
    "abs": (1, 2, 0, 1),
    "sgn": (1, 4, 0, 1),
    "angle": (0, 1, 0, 1),
    "exp": (0, 2, 0, 3),  # of the real part, and a cosine and sine of the imaginary one
    "log": (1, 3, 0, 3),  # of the magnitude, and the angle
    "sqrt": (2, 4, 1, 3),
    "sin": (0, 2, 0, 4),
    "cos": (0, 2, 0, 4),
    "sinh": (0, 2, 0, 4),
    "cosh": (0, 2, 0, 4),
    "polar": (0, 2, 0, 2),
    "where": (0, 0, 1, 0),
    "masked_fill": (0, 0, 1, 0),
}
# with one complex and one real number, half is left
_MIXED: dict[str, tuple[int, int, int, int]] = {
    "add": (1, 0, 0, 0),
    "sub": (1, 0, 0, 0),
    "rsub": (1, 1, 0, 0),
    "mul": (0, 2, 0, 0),
    "div": (0, 2, 0, 0),
    "true_divide": (0, 2, 0, 0),
}

# results are booleans; the arithmetic is on the floating-point inputs
COMPARISONS = (
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isposinf", "isneginf", "isfinite",
    "signbit", "bucketize", "searchsorted", "isin",
)  # fmt: skip

# integer or boolean work that has no floating-point meaning
INTEGER = (
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift",
    "bitwise_right_shift", "logical_and", "logical_or", "logical_xor", "logical_not",
    "__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "gcd", "lcm",
)  # fmt: skip


def elementwise_work(
    kind: str, output: Any, cost: tuple[int, int, int, int], attributes: dict[str, Any]
) -> Work:
    """Scale a table row by the output's elements; integer results cost nothing."""
    if not is_floating(output):
        return Work(kind, attributes={**attributes, "integer": True})
    count = elements(output)
    adds, multiplies, comparisons, transcendentals = cost
    return Work(
        kind,
        adds=adds * count,
        multiplies=multiplies * count,
        comparisons=comparisons * count,
        transcendentals=transcendentals * count,
        attributes=attributes,
    )


def _plain(name: str, kind: str, cost: tuple[int, int, int, int]) -> Rule:
    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        row = cost
        numbers = [item for item in args if hasattr(item, "is_complex")]
        if outs[0].is_complex() or any(item.is_complex() for item in numbers):
            mixed = len(args) > 1 and not all(map(_is_complex, args[:2]))
            known = (_MIXED if mixed else {}).get(name) or COMPLEX.get(name)
            if known is None:
                return uncounted()
            row = known
        if name in ("add", "sub", "rsub") and argument(args, kwargs, 2, "alpha", 1) != 1:
            row = (row[0], row[1] + (2 if outs[0].is_complex() else 1), row[2], row[3])
        if name == "div" and kwargs.get("rounding_mode") is not None:
            row = (0, 1, 1, 0)
        return elementwise_work(kind, outs[0], row, {})

    return rule


def _is_complex(value: Any) -> bool:
    return isinstance(value, complex) or bool(hasattr(value, "is_complex") and value.is_complex())


def _pow(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    """A square is one multiplication, a cube two, a root or any other power a transcendental."""
    exponent = argument(args, kwargs, 1, "exponent")
    if isinstance(exponent, (int, float)) and exponent in (1, 2, 3, -1):
        cost = (0, {1: 0, 2: 1, 3: 2, -1: 1}[int(exponent)], 0, 0)
    else:
        cost = (0, 0, 0, 1)
    if outs[0].is_complex():  # products, or a logarithm, a product and an exponential
        times = cost[1]
        cost = (2 * times, 4 * times, 0, 0) if not cost[3] else (3, 9, 0, 6)
    attributes = {"exponent": exponent} if isinstance(exponent, (int, float)) else {}
    return elementwise_work("elementwise", outs[0], cost, attributes)


def _clamp(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    bounds = sum(argument(args, kwargs, i, n) is not None for i, n in ((1, "min"), (2, "max")))
    return elementwise_work("elementwise", outs[0], (0, 0, bounds, 0), {})


def _comparison(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    floating = any(hasattr(item, "is_floating_point") and is_floating(item) for item in args)
    parts = 2 if any(map(_is_complex, args)) else 1
    return Work(
        "elementwise",
        comparisons=parts * elements(outs[0]) if floating else 0,
        attributes={} if floating else {"integer": True},
    )


def _integer(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    return Work("elementwise", attributes={"integer": True})


def _dropout(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    """A comparison with the random draw and a scaling; nothing in eval mode."""
    training = bool(argument(args, kwargs, 2, "train", True))
    cost = (0, 1, 1, 0) if training else (0, 0, 0, 0)
    return elementwise_work("elementwise", outs[0], cost, {"training": training})


def _glu_backward(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    return elementwise_work("activation", outs[0], (1, 3, 0, 1), {})


_BACKWARD_KIND = ("threshold_backward", "sigmoid_backward", "tanh_backward", "gelu_backward",
                  "silu_backward", "mish_backward", "elu_backward", "hardswish_backward",
                  "hardsigmoid_backward", "hardtanh_backward", "leaky_relu_backward",
                  "softplus_backward", "_prelu_kernel_backward")  # fmt: skip

RULES: dict[str, Rule] = {
    **{
        f"aten.{name}": _plain(
            name, "activation" if name in _BACKWARD_KIND else "elementwise", cost
        )
        for name, cost in TABLE.items()
    },
    **{f"aten.{name}": _plain(name, "activation", cost) for name, cost in ACTIVATIONS.items()},
    **{f"aten.{name}": _comparison for name in COMPARISONS},
    **{f"aten.{name}": _integer for name in INTEGER},
    "aten.pow": _pow,
    "aten.float_power": _pow,
    "aten.clamp": _clamp,
    "aten.clip": _clamp,
    "aten.native_dropout": _dropout,
    "aten._fused_dropout": _dropout,
    "aten.glu_backward": _glu_backward,
}
