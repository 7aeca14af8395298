"""Every counting rule by operation name, and how users add their own.

``rule_for`` finds the rule of an operation or says that there is none; in-place forms share the
rule of the plain one. A user's rule is one line and wins over a built-in one::

    gadprof.rule("mylib::fused_gate", macs=lambda x, w, out: out.numel() * x.shape[-1])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gadprof.counting.rules import (
    elementwise,
    flex,
    linear_algebra,
    losses,
    movement,
    products,
    quantized,
    reductions,
    vision,
    weights,
)
from gadprof.counting.rules.work import Rule, Work
from gadprof.errors import GadprofError

BUILT_IN: dict[str, Rule] = {
    **movement.RULES,
    **elementwise.RULES,
    **reductions.RULES,
    **products.RULES,
    **losses.RULES,
    **weights.RULES,
    **linear_algebra.RULES,
    **quantized.RULES,
    **vision.RULES,
    **flex.RULES,
}

# rules that the running program has added, by operation name; empty when gadprof is imported
_added: dict[str, Rule] = {}

# composite operations that are recorded whole; any other is recorded as the parts it is made of
WHOLE = frozenset(
    f"aten.{name}"
    for name in (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm",
        "scaled_dot_product_attention", "lstm", "gru", "rnn_tanh", "rnn_relu", "matmul",
        "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "adaptive_avg_pool1d",
        "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "softmax",
        "log_softmax", "relu6", "selu", "prelu", "upsample_nearest1d", "upsample_nearest2d",
        "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d",
        "upsample_bicubic2d", "grid_sampler", "linalg_eigvalsh", "linalg_svdvals",
        "linalg_eigvals", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
        "_upsample_nearest_exact3d",
    )
)  # fmt: skip

Count = Callable[..., int] | int


class RuleError(GadprofError):
    """A rule for an operation that cannot be one, or that failed."""


def rule(
    operation: Any,
    *,
    macs: Count = 0,
    adds: Count = 0,
    multiplies: Count = 0,
    comparisons: Count = 0,
    transcendentals: Count = 0,
    kind: str = "custom",
) -> None:
    """Say what an operation costs, for the rest of this program.

    ``operation`` is ``"library::name"`` (all overloads), a ``torch.ops`` object, a custom op,
    an operator that takes functions (``"higher_order::flex_attention"``) or, for a Triton
    kernel, ``"triton::kernel_name"`` or the kernel itself. Each count is a number or a function
    of the operation's arguments, as it was called, and ``out``, its result (a tensor or a
    tuple; a Triton kernel, which writes to its arguments, has none); tensors carry shapes and
    types but no values. A function that does not name ``out`` is not given it. Raises
    RuleError.
    """
    name = operation_name(operation)
    counts = {
        "macs": macs,
        "adds": adds,
        "multiplies": multiplies,
        "comparisons": comparisons,
        "transcendentals": transcendentals,
    }
    for label, count in counts.items():
        if not callable(count) and (isinstance(count, bool) or not isinstance(count, int)):
            raise RuleError(f"{label} of {name} is {count!r}; give an int or a function")
    readers = {label: _reader(name, label, count) for label, count in counts.items()}

    def counted(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        out = outs[0] if len(outs) == 1 else tuple(outs)
        values = {label: read(args, kwargs, out) for label, read in readers.items()}
        return Work(
            kind,
            macs=values["macs"],
            adds=values["adds"],
            multiplies=values["multiplies"],
            comparisons=values["comparisons"],
            transcendentals=values["transcendentals"],
        )

    _added[name] = counted


def forget(operation: Any) -> None:
    """Take back a rule that ``rule`` added; a built-in one applies again."""
    _added.pop(operation_name(operation), None)


def operation_name(operation: Any) -> str:
    """The dotted name of an operation given as text, a torch operator or a Triton kernel.

    Raises RuleError.
    """
    if isinstance(operation, str):
        namespace, separator, plain = operation.replace("::", ".").partition(".")
        if not separator or not namespace or not plain:
            raise RuleError(f"{operation!r} is not an operation; write it as library::name")
        return f"{namespace}.{plain.split('.')[0]}"
    if getattr(operation, "namespace", None) == "higher_order":
        return f"higher_order.{operation._name}"
    qualified = getattr(operation, "_qualified_op_name", None) or getattr(
        operation, "_qualname", None
    )
    if isinstance(qualified, str):
        return qualified.replace("::", ".")
    schema = getattr(operation, "_schema", None)
    if schema is not None:
        return str(schema.name).replace("::", ".")
    function = operation
    while not hasattr(function, "__name__") and hasattr(function, "fn"):
        function = function.fn  # an autotuner around a kernel around a function
    plain_name = getattr(function, "__name__", None)
    if plain_name:
        return f"triton.{plain_name}"
    raise RuleError(f"{operation!r} is not an operation; write it as 'library::name'")


def rule_for(name: str) -> Rule | None:
    """The rule of an operation (``aten.add_`` finds that of ``aten.add``), or None."""
    for candidate in (name, name[:-1] if name.endswith("_") else name):
        found = _added.get(candidate) or BUILT_IN.get(candidate)
        if found is not None:
            return found
    return None


def added_names() -> tuple[str, ...]:
    """The operations for which the running program has added a rule."""
    return tuple(sorted(_added))


def is_added(name: str) -> bool:
    """Whether the running program has added a rule for this operation."""
    return name in _added


def _reader(name: str, label: str, count: Count) -> Callable[..., int]:
    if not callable(count):
        fixed = int(count)
        return lambda args, kwargs, out: fixed
    import inspect

    try:
        parameters = inspect.signature(count).parameters.values()
        wants_out = any(
            parameter.name == "out" or parameter.kind is inspect.Parameter.VAR_KEYWORD
            for parameter in parameters
        )
    except (TypeError, ValueError):
        wants_out = True

    wants_out = wants_out and not name.startswith("triton.")  # a kernel's out is an argument

    def read(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
        extra = {"out": out} if wants_out else {}
        try:
            value = count(*args, **{**kwargs, **extra})
        except Exception as error:
            raise RuleError(
                f"the rule for {name} failed: {label} raised {type(error).__name__}: {error}"
            ) from error
        if isinstance(value, bool) or int(value) != value:
            raise RuleError(f"the rule for {name} gave {label} = {value!r}; counts are integers")
        return int(value)

    return read
