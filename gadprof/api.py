"""The public functions, each loading what it needs when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.networks.spec import ModelSpec, parse_spec, plan_of

if TYPE_CHECKING:
    from torch import nn

    from gadprof.audit.audit import Audit
    from gadprof.comparison.compare import Comparison
    from gadprof.counting.records import Trace
    from gadprof.formulas.formula import Formula
    from gadprof.gate.diff import Diff
    from gadprof.measuring.explain.explain import Explanation
    from gadprof.measuring.result import BenchResult
    from gadprof.networks.cost import Cost
    from gadprof.prediction.predictions import Predictions
    from gadprof.report.gather import Report


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
    from gadprof.counting.inputs import check_sizes
    from gadprof.networks.cost import cost_of

    design = _as_spec(model)
    shape = tuple(input) if input is not None else design.default_input
    design.check_input(shape)
    check_sizes(shape, batch)
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
    models: Sequence[str] | str,
    input: tuple[int, ...] | None = None,
    *,
    batch: int = 1,
    backends: Sequence[str] = (),
) -> Comparison:
    """Compare models named by model strings, one or several; ``.to_pandas()`` gives a DataFrame.

    Raises SpecError for an empty list; a model that fails fills its row's ``error``.
    """
    from gadprof.comparison.compare import compare_models

    return compare_models(
        _names(models), shapes=_shapes(input), batch=batch, backends=tuple(backends)
    )


def diff(
    before: str, after: str, model: str | None = None, *, input: tuple[int, ...] | None = None
) -> Diff:
    """Which modules differ between two model strings, or of ``model`` between two git refs.

    A side may also be the JSON that ``gadprof count`` wrote. Raises GadprofError.
    """
    from gadprof.gate.diff import compare_sides
    from gadprof.gate.diff_sides import sides

    words = (before, after) if model is None else (before, after, model)
    return compare_sides(*sides(words, shapes=_shapes(input)))


def audit(
    model: str, input: tuple[int, ...] | None = None, *, backends: Sequence[str] | None = None
) -> Audit:
    """Run every other counter on a model string and explain each number against ours.

    ``backends`` are names of counters, all that are installed by default. Raises GadprofError.
    """
    from gadprof.audit.audit import audit as run

    return run(model, shapes=_shapes(input), backends=backends)


def bench(
    models: Sequence[str] | str,
    input: tuple[int, ...] | None = None,
    *,
    device: str = "cpu",
    batch: int = 1,
    precision: float = 0.02,
    time_limit_s: float = 60.0,
) -> BenchResult:
    """Measure the latency of model strings, interleaved, in processes of their own.

    ``precision`` is the half width of a ratio's 95 % interval to reach. Needs a main module that
    may be imported again, as multiprocessing does. Raises SettingError or MissingExtraError; a
    model that fails fills its row's ``error``.
    """
    from gadprof.measuring.bench import measure
    from gadprof.measuring.settings import Setting

    setting = Setting(device=device, batch=batch, input_shapes=_shapes(input))
    return measure(_names(models), setting, precision=precision, time_limit_s=time_limit_s)


def explain(
    models: Sequence[str] | str,
    input: tuple[int, ...] | None = None,
    *,
    device: str = "cpu",
    batch: int = 1,
    time_limit_s: float = 30.0,
) -> Explanation:
    """Where the time of model strings goes, and why the one with fewer MACs is or is not faster.

    Raises SettingError or MissingExtraError.
    """
    from gadprof.measuring.explain.explain import explain as run
    from gadprof.measuring.settings import Setting

    setting = Setting(device=device, batch=batch, input_shapes=_shapes(input))
    return run(_names(models), setting, time_limit_s=time_limit_s)


def predict(
    models: Sequence[str] | str,
    device: str,
    input: tuple[int, ...] | None = None,
    *,
    batch: int | None = None,
) -> Predictions:
    """Predicted latency of model strings on a named device, with intervals.

    Raises UnknownNameError for a device without a fit; a model that fails or is refused says so
    in its row.
    """
    from gadprof.prediction.api import predict as run
    from gadprof.prediction.predictions import Predictions

    rows, fit = run(_names(models), device, batch=batch, shapes=_shapes(input))
    return Predictions(tuple(rows), fit)


def report(
    models: Sequence[str] | str,
    input: tuple[int, ...] | None = None,
    *,
    title: str | None = None,
    data: Sequence[str] = (),
) -> Report:
    """A report of model strings as one page of data; ``gadprof report`` writes it as files.

    ``data`` are JSON files that other commands wrote. Raises GadprofError.
    """
    from gadprof.report.gather import gather

    return gather(_names(models), shapes=_shapes(input), title=title, data=tuple(data))


def formula(block: str = "ga", **inputs: int) -> Formula:
    """A block's closed form at given integers: GP, GG, Rs and every term.

    Inputs are ``c_in``, ``c_out``, ``k``, ``d``, ``s``, ``r``, ``h``, ``w``, ``stride``. Raises
    UnknownNameError or SpecError. Source: GADNet, equations 1 and 5 to 7.
    """
    from gadprof.formulas.formula import formula as evaluate

    return evaluate(block, **inputs)


def _names(models: Sequence[str] | str) -> tuple[str, ...]:
    """One model string or several; a string is one model, not its letters."""
    return (models,) if isinstance(models, str) else tuple(models)


def _shapes(input: tuple[int, ...] | None) -> tuple[tuple[int, ...], ...]:
    return (tuple(input),) if input is not None else ()


def _as_spec(model: ModelSpec | str) -> ModelSpec:
    return model if isinstance(model, ModelSpec) else parse_spec(model)
