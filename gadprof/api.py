"""The public functions, each loading what it needs when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.networks.spec import ModelSpec, parse_spec, plan_of

if TYPE_CHECKING:
    from torch import nn

    from gadprof.comparison.compare import Comparison
    from gadprof.counting.records import Trace
    from gadprof.formulas.formula import Formula
    from gadprof.networks.cost import Cost


def spec(text: str) -> ModelSpec:
    """Read a model string such as ``gadnet32:s=4,d=5`` into a frozen spec.

    Raises UnknownNameError or SpecError.
    """
    return parse_spec(text)


def build(model: ModelSpec | str, *, weights: str | None = None) -> nn.Module:
    """Build the module of a spec or model string on the current default device.

    Maps (N, 3, H, W) to heatmaps (N, joints, H / 4, W / 4) for the pose networks. ``weights`` is a
    checkpoint loaded with ``weights_only=True`` and ``strict=True``. Raises GadprofError.
    """
    from gadprof.networks.build import build_spec, load_weights

    module = build_spec(_as_spec(model))
    return load_weights(module, weights) if weights is not None else module


def cost(model: ModelSpec | str, input: tuple[int, ...] | None = None, *, batch: int = 1) -> Cost:
    """The exact analytic cost of a built-in model, without torch.

    ``input`` is (channels, height, width). Raises GadprofError.
    """
    from gadprof.networks.cost import cost_of

    design = _as_spec(model)
    shape = tuple(input) if input is not None else design.default_input
    design.check_input(shape)
    return cost_of(plan_of(design), shape, name=design.name, batch=batch)


def count(
    module: nn.Module | str,
    inputs: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    batch: int = 1,
    train: bool = False,
) -> Trace:
    """Count any module, or what a model string names, exactly; a module is left untouched.

    ``inputs`` is a tensor, a tuple of arguments, a shape such as ``(1, 3, 224, 224)`` (with the
    batch for a module, without it for a string), or inputs as ``--input`` takes them, one text or
    several: ``"3x224x224"``, ``["ids=7:int64<1000", "mask=7:bool"]``, of which ``batch`` are made.
    ``kwargs`` are passed by keyword. A string without inputs is called with the model's own.
    Raises ModelFailedError when the model raises, GadprofError for what cannot be counted.
    """
    from gadprof.models.counting import count_module, count_named

    if isinstance(module, str):
        return count_named(module, inputs, kwargs, batch=batch, train=train)
    return count_module(module, inputs, kwargs, batch=batch, train=train)


def compare(
    models: Sequence[str],
    input: tuple[int, ...] | None = None,
    *,
    batch: int = 1,
    backends: Sequence[str] = (),
) -> Comparison:
    """Compare models named by model strings; ``.to_pandas()`` gives a DataFrame.

    Raises SpecError for an empty list; a model that fails fills its row's ``error``.
    """
    from gadprof.comparison.compare import compare_models

    shapes = (tuple(input),) if input is not None else ()
    return compare_models(tuple(models), shapes=shapes, batch=batch, backends=tuple(backends))


def formula(block: str = "ga", **inputs: int) -> Formula:
    """A block's closed form at given integers: GP, GG, Rs and every term.

    Inputs are ``c_in``, ``c_out``, ``k``, ``d``, ``s``, ``r``, ``h``, ``w``, ``stride``. Raises
    UnknownNameError or SpecError. Source: GADNet, equations 1 and 5 to 7.
    """
    from gadprof.formulas.formula import formula as evaluate

    return evaluate(block, **inputs)


def _as_spec(model: ModelSpec | str) -> ModelSpec:
    return model if isinstance(model, ModelSpec) else parse_spec(model)
