"""The one policy by which a model string becomes a trace, or a cost.

Promises that one string gives one number, one refusal and one exit code, whichever command asks:

- a built-in network is read from its plan, without torch, and its module runs only where asked;
- an ONNX file is read from its graph;
- everything else is built on the meta device and run there in a process of its own. A model that
  asks for values while it is built or run is built again with its own weights, seeded, and runs
  with them: no weight is ever invented.

Raises GadprofError alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gadprof.errors import BuildError, InputShapeError, NeedsValuesError
from gadprof.models.sources import Loaded, Source, load, resolve

if TYPE_CHECKING:
    from gadprof.counting.inputs import Input
    from gadprof.counting.records import Trace
    from gadprof.networks.cost import Cost

DEFAULT_TIMEOUT_S = 300.0
Shapes = tuple[tuple[int, ...], ...]


def cost_or_trace(
    model: Source | str,
    *,
    shapes: Shapes = (),
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Cost | Trace:
    """The figures of a model string by the shortest way: a built-in network's cost, else a trace.

    ``shapes`` are inputs without the batch (empty: the model's own), ``inputs`` the same with
    types and keywords.
    """
    source = resolve(model) if isinstance(model, str) else model
    if source.spec is None:
        return trace_model(source, shapes=shapes, inputs=inputs, batch=batch, timeout_s=timeout_s)
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import plan_of

    shape = _picture(source, shapes, inputs)
    source.spec.check_input(shape)
    return cost_of(plan_of(source.spec), shape, name=source.name, batch=batch)


def trace_model(
    model: Source | str,
    *,
    shapes: Shapes = (),
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
    train: bool = False,
    run: bool = False,
    in_process: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> Trace:
    """The trace of one run of a model string.

    ``run`` runs a built-in network's module instead of reading its plan. ``in_process`` lets a
    model that is no code of the user's run here. ``timeout_s`` and ``memory_limit_bytes`` bound
    the process of its own.
    """
    source = resolve(model) if isinstance(model, str) else model
    given = inputs or source.inputs
    if source.kind == "onnx":
        from gadprof.counting.onnx.graph import count_onnx
        from gadprof.errors import SpecError

        if train:
            raise SpecError(f"{source.name} is a graph without gradients; count it without --train")
        return count_onnx(source.target, shapes, inputs=given, batch=batch, name=source.name)
    if source.spec is not None and not (train or run) and all(item.plain for item in given):
        from gadprof.networks.plan_trace import count_plan

        shape = _picture(source, shapes, given)
        planned = count_plan(source.spec, shape, batch=batch, name=source.name)
        if planned is not None:
            return planned
    if source.spec is not None or (in_process and not source.runs_user_code):
        return count_here(source, shapes=shapes, inputs=inputs, batch=batch, train=train)[0]
    from gadprof.models.guarded import count_guarded

    return count_guarded(
        source.name,
        shapes=shapes,
        batch=batch,
        train=train,
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
        inputs=inputs,
    )


def load_without_values(
    model: Source | str,
    *,
    shapes: Shapes = (),
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
) -> Loaded:
    """A model built on the meta device, or with its weights where building it asks for values."""
    given: dict[str, Any] = {"shapes": shapes, "inputs": inputs, "batch": batch}
    try:
        return load(model, **given, device="meta")
    except BuildError:
        return load(model, **given)


def count_here(
    model: Source | str,
    *,
    shapes: Shapes = (),
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
    train: bool = False,
) -> tuple[Trace, Loaded]:
    """Build and count a model in this process; the trace, and what was run."""
    from gadprof.counting.count import count

    given: dict[str, Any] = {"shapes": shapes, "inputs": inputs, "batch": batch}
    loaded = load_without_values(model, **given)
    called = (loaded.module, loaded.args, loaded.kwargs)
    valueless = any(item.is_meta for item in loaded.module.parameters())
    try:
        return count(*called, train=train, name=loaded.name, fallback=not valueless), loaded
    except NeedsValuesError:
        loaded = load(model, **given)
    called = (loaded.module, loaded.args, loaded.kwargs)
    return count(*called, train=train, name=loaded.name), loaded


def _picture(source: Source, shapes: Shapes, inputs: tuple[Input, ...]) -> tuple[int, ...]:
    """The one shape that a built-in network is called with."""
    assert source.spec is not None
    given = tuple(item.shape for item in inputs or source.inputs) or shapes
    if len(given) > 1:
        raise InputShapeError(f"{source.name} takes one input, not {len(given)}; give --input once")
    shape = given[0] if given else source.spec.default_input
    return (3, *shape) if len(shape) == 2 else shape
