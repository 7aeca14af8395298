"""The one policy by which a model string becomes a trace, or a cost.

Promises that one string gives one number, one refusal and one exit code, whichever command asks:

- a built-in network is read from its plan, without torch, and its module runs only where asked;
- an ONNX or TensorFlow Lite file is read from its graph, by a command in a process of its own;
- everything else is built on the meta device and run there in a process of its own. A model that
  asks for values while it is built or run is built again with its own weights, seeded, or with
  those of a file that was given, and runs with them: no weight is ever invented. Weights that are
  there are asked for zeros.

Raises GadprofError alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input, check_sizes
from gadprof.errors import (
    BuildError,
    GadprofError,
    InputShapeError,
    NeedsValuesError,
    SpecError,
)
from gadprof.models.sources import Loaded, Source, load, picture, resolve

if TYPE_CHECKING:
    from torch import nn

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
    memory_limit_bytes: int | None = None,
) -> Cost | Trace:
    """The figures of a model string by the shortest way: a built-in network's cost, else a trace.

    ``shapes`` are inputs without the batch (empty: the model's own), ``inputs`` the same with
    types and keywords.
    """
    source = resolve(model) if isinstance(model, str) else model
    if source.spec is None:
        return trace_model(
            source,
            shapes=shapes,
            inputs=inputs,
            batch=batch,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
        )
    from gadprof.networks.cost import cost_of
    from gadprof.networks.spec import plan_of

    shape = _picture(source, shapes, inputs, batch)
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
    weights: str | None = None,
    sparsity: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
) -> Trace:
    """The trace of one run of a model string.

    ``run`` runs a built-in network's module instead of reading its plan. ``in_process`` lets a
    model that is no code of the user's run here, and a graph be read here. ``weights`` is a
    checkpoint that has to fit; ``sparsity`` has the model built with its weights and these asked
    for zeros. ``timeout_s`` and ``memory_limit_bytes`` bound the process of its own.
    """
    source = resolve(model) if isinstance(model, str) else model
    given = source.inputs or inputs
    if source.kind in ("onnx", "tflite") and train:
        raise SpecError(f"{source.name} is a graph without gradients; count it without --train")
    if source.kind in ("onnx", "tflite"):
        if weights is not None:
            raise SpecError(f"{source.name} holds its own weights; leave --weights out")
        if sparsity and source.kind == "tflite":
            raise SpecError(f"zeros of {source.name} are not read; export it to ONNX, too")
        names = {"model": source.target, "name": source.name, "kind": source.kind}
        request = {**names, "sparsity": sparsity, "shapes": shapes, "batch": batch, "inputs": given}
        bounds = {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
        return _graph_trace(request, bounds, in_process=in_process)
    if source.spec is not None and not (train or run) and all(item.plain for item in given):
        from gadprof.networks.plan_trace import count_plan

        shape = _picture(source, shapes, given, batch)
        planned = count_plan(source.spec, shape, batch=batch, name=source.name)
        if planned is not None:
            if weights is None and not sparsity:
                return planned
            return _with_zeros(planned, _with_values(source, weights))
    how: dict[str, Any] = {"train": train, "weights": weights, "sparsity": sparsity}
    if source.spec is not None or (in_process and not source.runs_user_code):
        return trace_here(source, shapes=shapes, inputs=inputs, batch=batch, **how)
    how |= {"timeout_s": timeout_s, "memory_limit_bytes": memory_limit_bytes}
    return count_guarded(source.name, shapes=shapes, batch=batch, inputs=inputs, **how)


def count_guarded(
    model: str,
    *,
    shapes: tuple[tuple[int, ...], ...] = (),
    batch: int = 1,
    train: bool = False,
    weights: str | None = None,
    sparsity: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    inputs: tuple[Input, ...] = (),
) -> Trace:
    """Count one run of a model string in a child process.

    As ``trace_model``; ``memory_limit_bytes`` defaults to four fifths of the machine's memory.
    Raises ModelFailedError, or the GadprofError that reading the model string gives.
    """
    from gadprof.counting.records import Trace
    from gadprof.models.guarded import call_guarded

    request = {"model": model, "shapes": shapes, "batch": batch, "train": train}
    request |= {"weights": weights, "sparsity": sparsity}
    return call_guarded(
        f"{__name__}:trace_of",
        Trace,
        {**request, "inputs": inputs},
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )


def trace_of(request: dict[str, Any]) -> Trace:
    """Count the model of a request. Raises GadprofError, and what building the model raises."""
    from gadprof.results.rebuild import from_plain

    given = {name: request[name] for name in ("batch", "train", "weights", "sparsity")}
    shapes = tuple(tuple(shape) for shape in request["shapes"])
    inputs = tuple(from_plain(Input, item) for item in request["inputs"])
    return trace_here(request["model"], **given, shapes=shapes, inputs=inputs)


def _graph_trace(request: dict[str, Any], bounds: dict[str, Any], *, in_process: bool) -> Trace:
    """The trace of a graph file, counted again with what a run of it finds where shapes lack.

    A run is in a process of its own whatever ``in_process`` says.
    """
    from importlib.util import find_spec

    from gadprof.counting.records import Trace
    from gadprof.models.guarded import call_guarded

    if in_process:
        trace = count_graph(request)
    else:
        trace = call_guarded(f"{__name__}:count_graph", Trace, request, **bounds)
    unknown = any(operation.kind == "unknown" for operation in trace.operations)
    if request["kind"] != "onnx" or not unknown or find_spec("onnxruntime") is None:
        return trace
    try:
        return call_guarded(f"{__name__}:count_graph", Trace, {**request, "run": True}, **bounds)
    except GadprofError as error:
        told = f"running it for the shapes that are not known failed: {error}"
        return replace(trace, note="; ".join(filter(None, (trace.note, told))))


def count_graph(request: Mapping[str, Any]) -> Trace:
    """Count the graph of a request; ``run`` runs it once for the shapes that nothing else tells."""
    from gadprof.results.rebuild import from_plain

    path, shapes = request["model"], tuple(tuple(shape) for shape in request["shapes"])
    inputs = tuple(
        item if isinstance(item, Input) else from_plain(Input, item) for item in request["inputs"]
    )
    given: dict[str, Any] = {
        "inputs": inputs, "batch": request["batch"], "name": request["name"]
    }  # fmt: skip
    if request["kind"] == "tflite":
        from gadprof.counting.tflite.graph import count_tflite

        return count_tflite(path, shapes, **given)
    from gadprof.counting.onnx.graph import count_onnx

    trace = count_onnx(path, shapes, **given, run=bool(request.get("run")))
    if not request["sparsity"]:
        return trace
    from gadprof.counting.onnx.zeros import filled_weights
    from gadprof.counting.precision import sparsity_of

    found = sparsity_of(trace, filled_weights(path))
    return replace(trace, effective_macs=found.effective_macs, sparse_weights=found.patterns)


def trace_here(model: Source | str, **given: Any) -> Trace:
    """As ``count_here``, the trace alone, whose note says what it was called with if nobody did."""
    trace, loaded = count_here(model, **given)
    if not loaded.inputs_from:
        return trace
    shapes = " and ".join("x".join(map(str, shape)) for shape in trace.input_shapes)
    said = f"called with {shapes}, from {loaded.inputs_from}"
    return replace(trace, note="; ".join(filter(None, (trace.note, said))))


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
    weights: str | None = None,
    sparsity: bool = False,
) -> tuple[Trace, Loaded]:
    """Build and count a model in this process; the trace, and what was run."""
    from gadprof.counting.count import count

    given: dict[str, Any] = {"shapes": shapes, "inputs": inputs, "batch": batch}
    source = resolve(model) if isinstance(model, str) else model
    if weights is not None or sparsity:
        loaded = load(source, **given)
        with_checkpoint(loaded.module, weights)
    else:
        loaded = load_without_values(source, **given)
    called = (loaded.module, loaded.args, loaded.kwargs)
    valueless = any(item.is_meta for item in loaded.module.parameters())
    try:
        trace = count(*called, train=train, name=loaded.name, fallback=not valueless)
    except NeedsValuesError:
        loaded = load(source, **given)
        called = (loaded.module, loaded.args, loaded.kwargs)
        trace = count(*called, train=train, name=loaded.name)
    if weights is not None or sparsity or source.kind == "model file":
        trace = _with_zeros(trace, loaded.module)
    return trace, loaded


def _with_values(source: Source, weights: str | None) -> nn.Module:
    """A built-in network's module with its weights, of a checkpoint where one is given."""
    from gadprof.models.sources import build_module

    return with_checkpoint(build_module(source), weights)


def with_checkpoint(module: nn.Module, weights: str | None) -> nn.Module:
    """The module with a checkpoint's weights, or as it is where none is named."""
    from gadprof.networks.build import load_weights

    return module if weights is None else load_weights(module, weights)


def _with_zeros(trace: Trace, module: nn.Module) -> Trace:
    """A trace that says which multiply-adds have a weight that is not zero."""
    from gadprof.counting.precision import sparsity

    found = sparsity(trace, module)
    return replace(trace, effective_macs=found.effective_macs, sparse_weights=found.patterns)


def count_module(
    module: nn.Module, inputs: Any, kwargs: Mapping[str, Any] | None, *, batch: int, train: bool
) -> Trace:
    """Count a module called with tensors, with one shape (batch included), or with texts."""
    import torch

    from gadprof.counting.count import count
    from gadprof.models.inputs import call_of
    from gadprof.models.own_inputs import settle

    named = dict(kwargs or {})
    texts = _texts(inputs)
    if texts is not None:
        given = [settle("", module, item) for item in texts]
        args, more = call_of(given, batch, device="meta" if _valueless(given) else "cpu")
        named = {**more, **named}
    elif isinstance(inputs, torch.Tensor):
        args = (inputs,)
    elif _is_shape(inputs):
        args = (torch.empty(check_sizes(tuple(inputs)), device="meta"),)
    else:
        args = tuple(inputs)
    return count(module, args, named, train=train)


def count_named(
    model: str, inputs: Any, kwargs: Mapping[str, Any] | None, *, batch: int, train: bool
) -> Trace:
    """Count what a model string names, in this process, where rules that were added apply."""
    source = resolve(model)
    texts = _texts(inputs)
    if kwargs or not (texts is not None or _is_shape(inputs) or inputs in ((), None)):
        raise InputShapeError(
            f"{source.name} is named by a string: give its inputs as a shape without the batch or "
            'as texts such as "3x224x224" or "mask=128:bool"'
        )
    given = texts if texts is not None else (Input(tuple(inputs)),) if inputs else ()
    if source.kind in ("onnx", "tflite") or source.spec is not None:
        return trace_model(source, inputs=given, batch=batch, train=train, in_process=True)
    return trace_here(source, inputs=given, batch=batch, train=train)


def _is_shape(inputs: Any) -> bool:
    sizes = inputs if isinstance(inputs, (tuple, list)) else ()
    return bool(sizes) and all(type(size) is int for size in sizes)


def _texts(inputs: Any) -> tuple[Input, ...] | None:
    """Inputs written as texts, or None."""
    from gadprof.models.inputs import parse_inputs

    if isinstance(inputs, str):
        return parse_inputs((inputs,))
    if isinstance(inputs, Input):
        return (inputs,)
    if isinstance(inputs, (tuple, list)) and inputs:
        if all(isinstance(item, str) for item in inputs):
            return parse_inputs(inputs)
        if all(isinstance(item, Input) for item in inputs):
            return tuple(inputs)
    return None


def _valueless(inputs: Sequence[Input]) -> bool:
    """Whether no input says what it holds, so that the meta device does."""
    return not any(item.fill or item.file for item in inputs)


def _picture(
    source: Source, shapes: Shapes, inputs: tuple[Input, ...], batch: int
) -> tuple[int, ...]:
    """The one shape that a built-in network is called with."""
    assert source.spec is not None
    given = tuple(item.shape for item in source.inputs or inputs) or shapes
    if len(given) > 1:
        raise InputShapeError(f"{source.name} takes one input, not {len(given)}; give --input once")
    shape = picture(given[0]) if given else source.spec.default_input
    check_sizes(shape, batch)
    return shape
