"""Well-known layers on stand-ins: gadprof's own shape rules, and a tape for every other leaf.

A convolution, batch normalisation, activation, linear layer, nearest resize or sum of equal shapes
costs one look-up once its shapes have been met; any other leaf of ``torch.nn`` is really run once
for each configuration and set of shapes. Only for a forward pass in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gadprof.counting.rules.registry import rule_for
from gadprof.counting.rules.work import window
from gadprof.counting.trace.lifetimes import Storage, contiguous_strides
from gadprof.counting.trace.recorder import CANONICAL, Frame, Recorder, Template, make_template
from gadprof.counting.trace.replay import Replayer, Tape, _filled
from gadprof.counting.trace.stand_in import Spec, StandIn

Handler = Callable[["Layers", Any, Frame, int, Any], Any]


class Layers(Replayer):
    """The engine of a count by stand-ins."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.known: dict[Any, tuple[Template, Spec]] = {}

    def template(self, name: str, overload: str, args: list[Any], spec: Spec) -> Template:
        """What the rule of an operation says about these arguments and an output of this shape."""
        rule = rule_for(name)
        if rule is None:
            raise self.refuse(f"{name} without a rule")
        out = StandIn(self, spec, args[0].storage)
        ins = [value for value in args if isinstance(value, torch.Tensor)]
        return make_template(CANONICAL.get(name, name), overload, rule(args, {}, [out]), ins, [out])

    def emit(
        self, template: Template, frame: Frame, at: int, inputs: tuple[int, ...], spec: Spec
    ) -> StandIn:
        """One event with one new output."""
        level = self.level
        storage = Storage(level, spec.nbytes)
        recorder = self.recorder
        recorder.events.append((template, frame, at, inputs, (storage.number,), "forward"))
        recorder.live_after.append(level.live)
        return StandIn(self, spec, storage)

    def add(self, left: Any, right: Any) -> Any:
        spec = left.spec
        if type(right) is not StandIn or right.spec is not spec or not spec.contiguous:
            return self.call(torch.Tensor.add, (left, right), {})
        found = self.known.get(("add", spec))
        if found is None:
            if not spec.floating:
                return self.call(torch.Tensor.add, (left, right), {})
            template = self.template("aten.add", "Tensor", [left, right], spec)
            found = self.known["add", spec] = (template, spec)
        recorder = self.recorder
        numbers = (left.storage.number, right.storage.number)
        return self.emit(found[0], recorder.frame, recorder.call, numbers, spec)

    def leaf(self, module: nn.Module, frame: Frame, at: int, args: Any, kwargs: Any = None) -> Any:
        """Any leaf of torch.nn by its tape; recorded where its configuration is new."""
        found: list[Any] = []
        state = module.__dict__
        settings = tuple(
            [
                (name, self._key(value, []))
                for name, value in state.items()
                if name[0] != "_" and name != "training"
            ]
        )
        key: Any = (type(module), settings, self._key(args, found), self._key(kwargs or {}, found))
        given = len(found)
        own = [*state["_parameters"].values(), *state["_buffers"].values()]
        key = (*key, self._key(own, found))
        recorder = self.recorder
        recorder.frame, outer, recorder.call, outer_at = frame, recorder.frame, at, recorder.call
        try:
            tape = self.tapes.get(key)
            if tape is None:
                tape = self.tapes[key] = self._module_tape(module, args, kwargs or {}, found, given)
            return self.replay(tape, found)
        finally:
            recorder.frame, recorder.call = outer, outer_at

    def _module_tape(
        self, module: nn.Module, args: Any, kwargs: Any, found: list[Any], given: int
    ) -> Tape:
        real = self.real(found)
        tensors = iter(real[:given])
        filled = _filled(args, tensors)
        named = _filled(kwargs, tensors)
        return self.taped(
            Recorder(Frame("", "")), real, found, lambda: module.forward(*filled, **named)
        )


def _conv2d(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
    state = module.__dict__
    owned = state["_parameters"]
    weight, bias = owned["weight"], owned["bias"]
    spec = x.spec
    key = (
        spec,
        weight.shape,
        bias is None,
        state["stride"],
        state["padding"],
        state["dilation"],
        state["groups"],
        state["padding_mode"],
        weight.dtype,
    )
    found = engine.known.get(key)
    if found is None:
        out = _convolved(engine, state, spec, weight)
        if out is None:
            return engine.leaf(module, frame, at, (x,))
        args = [x, weight, bias, state["stride"], state["padding"], state["dilation"],
                state["groups"]]  # fmt: skip
        found = engine.known[key] = (engine.template("aten.conv2d", "default", args, out), out)
    numbers = engine.numbers
    if bias is None:
        inputs: tuple[int, ...] = (x.storage.number, numbers[id(weight)])
    else:
        inputs = (x.storage.number, numbers[id(weight)], numbers[id(bias)])
    return engine.emit(found[0], frame, at, inputs, found[1])


def _convolved(engine: Layers, state: dict[str, Any], spec: Spec, weight: Any) -> Spec | None:
    """The output of a plain convolution, or None where torch has to say."""
    stride, padding, dilation = state["stride"], state["padding"], state["dilation"]
    groups = state["groups"]
    if (
        len(spec.shape) != 4
        or weight.dim() != 4
        or not spec.contiguous
        or not weight.is_contiguous()
        or spec.dtype != weight.dtype
        or state["padding_mode"] != "zeros"
        or isinstance(padding, str)
        or spec.shape[1] != weight.shape[1] * groups
        or weight.shape[0] % groups
        or state["transposed"]
        # ambiguous strides: torch may take these for channels-last
        or spec.shape[1] == 1
        or spec.shape[2] * spec.shape[3] == 1
        or weight.shape[1] == 1 == weight.shape[2] * weight.shape[3]
    ):
        return None
    sizes = [
        window(spec.shape[i + 2], weight.shape[i + 2], stride[i], padding[i], dilation[i])
        for i in (0, 1)
    ]
    if min(sizes) < 1:
        return None
    shape = (spec.shape[0], weight.shape[0], *sizes)
    return engine.spec(shape, contiguous_strides(shape), spec.dtype)


def _batch_norm2d(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
    state = module.__dict__
    owned, kept = state["_parameters"], state["_buffers"]
    weight, bias = owned["weight"], owned["bias"]
    mean, variance = kept["running_mean"], kept["running_var"]
    spec = x.spec
    if weight is None or bias is None or mean is None or variance is None:
        return engine.leaf(module, frame, at, (x,))
    key = ("batch_norm", spec, mean.shape, mean.dtype, weight.dtype)
    found = engine.known.get(key)
    if found is None:
        if (
            len(spec.shape) != 4
            or not spec.contiguous
            or not spec.floating
            or spec.shape[1] != mean.shape[0]
            or not spec.dtype == mean.dtype == weight.dtype
        ):
            return engine.leaf(module, frame, at, (x,))
        args = [x, weight, bias, mean, variance, False, state["momentum"], state["eps"], True]
        found = engine.known[key] = (
            engine.template("aten.batch_norm", "default", args, spec),
            spec,
        )
    numbers = engine.numbers
    inputs = (
        x.storage.number,
        numbers[id(weight)],
        numbers[id(bias)],
        numbers[id(mean)],
        numbers[id(variance)],
    )
    return engine.emit(found[0], frame, at, inputs, spec)


def _activation(name: str) -> Handler:
    def handle(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
        spec = x.spec
        in_place = module.__dict__.get("inplace", False)
        key = (name, in_place, spec)
        found = engine.known.get(key)
        if found is None:
            if not spec.contiguous or not spec.floating:
                return engine.leaf(module, frame, at, (x,))
            full = name + "_" if in_place else name
            found = engine.known[key] = (engine.template(full, "default", [x], spec), spec)
        number = (x.storage.number,)
        if not in_place:
            return engine.emit(found[0], frame, at, number, spec)
        recorder = engine.recorder
        recorder.events.append((found[0], frame, at, number, number, "forward"))
        recorder.live_after.append(engine.level.live)
        return x

    return handle


def _linear(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
    owned = module.__dict__["_parameters"]
    weight, bias = owned["weight"], owned["bias"]
    spec = x.spec
    key = ("linear", spec, weight.shape, bias is None, weight.dtype)
    found = engine.known.get(key)
    if found is None:
        shape = spec.shape
        if (
            not spec.contiguous
            or len(shape) < 2
            or spec.dtype != weight.dtype
            or weight.dim() != 2
            or shape[-1] != weight.shape[-1]
        ):
            return engine.leaf(module, frame, at, (x,))
        made = (*shape[:-1], weight.shape[0])
        out = engine.spec(made, contiguous_strides(made), spec.dtype)
        template = engine.template("aten.linear", "default", [x, weight, bias], out)
        found = engine.known[key] = (template, out)
    numbers = engine.numbers
    if bias is None:
        inputs: tuple[int, ...] = (x.storage.number, numbers[id(weight)])
    else:
        inputs = (x.storage.number, numbers[id(weight)], numbers[id(bias)])
    return engine.emit(found[0], frame, at, inputs, found[1])


def _upsample(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
    state, spec = module.__dict__, x.spec
    factor = state["scale_factor"]
    key = ("upsample", spec, state["mode"], state["size"], factor, state["recompute_scale_factor"])
    found = engine.known.get(key)
    if found is None:
        shape = spec.shape
        if (
            state["mode"] != "nearest"
            or state["size"] is not None
            or not isinstance(factor, float)
            or state["recompute_scale_factor"]
            or len(shape) != 4
            or not spec.contiguous
            or not spec.floating
            or 1 in shape[1:]
        ):
            return engine.leaf(module, frame, at, (x,))
        made = (*shape[:2], int(shape[2] * factor), int(shape[3] * factor))
        out = engine.spec(made, contiguous_strides(made), spec.dtype)
        args = [x, None, [factor, factor]]
        template = engine.template("aten.upsample_nearest2d", "vec", args, out)
        found = engine.known[key] = (template, out)
    return engine.emit(found[0], frame, at, (x.storage.number,), found[1])


def _identity(engine: Layers, module: Any, frame: Frame, at: int, x: Any) -> Any:
    return x


# exact types only: a subclass may do anything
HANDLERS: Mapping[type[nn.Module], Handler] = {
    nn.Conv2d: _conv2d,
    nn.BatchNorm2d: _batch_norm2d,
    nn.ReLU: _activation("aten.relu"),
    nn.SiLU: _activation("aten.silu"),
    nn.Sigmoid: _activation("aten.sigmoid"),
    nn.Hardswish: _activation("aten.hardswish"),
    nn.Linear: _linear,
    nn.Upsample: _upsample,
    nn.Identity: _identity,
}

__all__ = ["HANDLERS", "Layers"]
