"""A torch function is really run once for each set of shapes, and its events replayed ever after.

Promises the events, storages and bytes that the dispatcher saw the first time, with the storages
of each later call in their place. Refuses arguments that it cannot compare, tensors that the model
does not own, and calls that change the shape of what they were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gadprof.counting.trace.dispatch import RecordingMode
from gadprof.counting.trace.lifetimes import Level, OwnStorage, Storage
from gadprof.counting.trace.recorder import Frame, Recorder, Template
from gadprof.counting.trace.stand_in import META, Engine, Spec, StandIn
from gadprof.counting.trace.trees import tensors_in

_PLAIN_TYPES = frozenset(
    (bool, int, float, str, type(None), torch.dtype, torch.device, torch.memory_format)
)
_GROUPS = frozenset((tuple, list, torch.Size))


class Tripwire(RecordingMode):  # type: ignore[no-untyped-call]
    """Sees every operation that really reaches the dispatcher; outside a replay there is none."""

    engine: Replayer | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        engine = self.engine
        if engine is not None and engine.preparing:
            return func(*args, **(kwargs or {}))
        if engine is not None and not engine.recording:
            raise engine.refuse(f"{func} on real tensors")
        return super().__torch_dispatch__(func, types, args, kwargs)


class Tape:
    """What one call did: events with storages by reference, and what it returned.

    A reference is the index of a tensor argument, or -1 - i for the i-th new storage.
    ``levels`` is the live memory after each event above that before the call.
    """

    __slots__ = ("events", "levels", "made", "numbers", "peak", "result")

    def __init__(
        self,
        events: list[tuple[Template, tuple[int, ...], tuple[int, ...]]],
        levels: list[int],
        peak: int,
        numbers: int,
        made: dict[int, int],
        result: Any,
    ) -> None:
        self.events = events
        self.levels = levels
        self.peak = peak
        self.numbers = numbers
        self.made = made
        self.result = result


class Replayer(Engine):
    """The engine that records by really running, once for each set of shapes."""

    def __init__(self, recorder: Recorder, mode: Tripwire, level: Level) -> None:
        self.recorder = recorder
        self.mode = mode
        self.level = level
        self.recording = False
        self.preparing = False
        self.numbers: dict[int, int] = {}  # identity of a parameter or buffer -> storage number
        self.specs: dict[Any, Spec] = {}
        self.tapes: dict[Any, Tape] = {}

    def spec(self, shape: Sequence[int], strides: tuple[int, ...], dtype: torch.dtype) -> Spec:
        """The one object for a shape, strides and type."""
        key = (tuple(shape), strides, dtype)
        found = self.specs.get(key)
        if found is None:
            found = self.specs[key] = Spec(torch.Size(shape), strides, dtype)
        return found

    def stand_in(self, tensor: torch.Tensor) -> StandIn:
        """A stand-in for an input of the model, its storage alive from now on."""
        storage = Storage(self.level, tensor.untyped_storage().nbytes())
        return StandIn(self, self.spec(tensor.shape, tensor.stride(), tensor.dtype), storage)

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        found: list[Any] = []
        key = (function, self._key(args, found), self._key(kwargs, found) if kwargs else None)
        tape = self.tapes.get(key)
        if tape is None:
            tape = self.tapes[key] = self._record(function, args, kwargs, found)
        return self.replay(tape, found)

    def replay(self, tape: Tape, found: list[Any]) -> Any:
        """Emit a tape's events for these tensors and return its result."""
        recorder, level = self.recorder, self.level
        given = [
            value.storage.number if type(value) is StandIn else self.number(value)
            for value in found
        ]
        base, first = level.live, level.next
        frame, at, phase = recorder.frame, recorder.call, recorder.phase
        for template, inputs, outputs in tape.events:
            recorder.events.append(
                (
                    template,
                    frame,
                    at,
                    tuple([given[i] if i >= 0 else first - 1 - i for i in inputs]),
                    tuple([given[i] if i >= 0 else first - 1 - i for i in outputs]),
                    phase,
                )
            )
        recorder.live_after.extend([base + above for above in tape.levels])
        level.peak = max(level.peak, base + tape.peak)
        storages = {}
        for index, nbytes in tape.made.items():
            level.next = first + index
            storages[index] = Storage(level, nbytes)
        level.next = first + tape.numbers
        return self._result(tape.result, found, storages)

    def number(self, tensor: Any) -> int:
        """The storage number of a parameter or buffer. Raises RefusedError for another tensor."""
        number = self.numbers.get(id(tensor))
        if number is None:
            raise self.refuse("a tensor that is neither parameter, buffer, input nor result")
        return number

    def _result(self, shape: Any, found: list[Any], storages: dict[int, Storage]) -> Any:
        kind = shape[0]
        if kind == "same":
            return found[shape[1]]
        if kind == "new":
            return StandIn(self, shape[1], storages[shape[2]])
        if kind == "view":
            of = found[shape[2]]
            own = type(of) is not StandIn
            return StandIn(self, shape[1], OwnStorage(self.number(of)) if own else of.storage)
        if kind == "plain":
            return shape[1]
        return shape[1]([self._result(item, found, storages) for item in shape[2]])

    def _key(self, value: Any, found: list[Any]) -> Any:
        kind = type(value)
        if kind is StandIn:
            found.append(value)
            return value.spec
        if kind in _PLAIN_TYPES:
            return (kind, value)
        if kind in _GROUPS:
            return (kind, *[self._key(item, found) for item in value])
        if isinstance(value, torch.Tensor):
            found.append(value)
            return ("own", self.spec(value.shape, value.stride(), value.dtype))
        if kind is dict:
            return tuple([(name, self._key(item, found)) for name, item in value.items()])
        if kind is slice:
            return ("slice", value.start, value.stop, value.step)
        if value is Ellipsis:
            return "..."
        raise self.refuse(f"an argument of type {kind.__name__}")

    def _record(
        self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: list[Any]
    ) -> Tape:
        scratch = Recorder(Frame("", ""))
        real = self.real(found, twins=not any(type(value) is StandIn for value in found))
        return self.taped(scratch, real, found, lambda: function(
            *_filled(args, iter(real)), **_filled(kwargs, iter(real[_count(args):]))
        ))  # fmt: skip

    def real(self, found: list[Any], *, twins: bool = False) -> list[torch.Tensor]:
        """Meta tensors in the place of stand-ins, and with ``twins`` of real tensors, too."""
        self.preparing = True
        try:
            return [
                torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=META)
                if twins or type(value) is StandIn
                else value
                for value in found
            ]
        finally:
            self.preparing = False

    def taped(
        self, scratch: Recorder, real: list[torch.Tensor], found: list[Any], run: Any
    ) -> Tape:
        """Run something on real meta tensors and keep what it did as a tape."""
        references: dict[int, int] = {}
        for index, tensor in enumerate(real):
            references.setdefault(scratch.serial(tensor), index)
        before = [(tensor.shape, tensor.stride()) for tensor in real]
        known, base = scratch._next, scratch.live
        self.mode.recorder, self.recording = scratch, True
        try:
            output = run()
        finally:
            self.mode.recorder, self.recording = self.recorder, False
        if before != [(tensor.shape, tensor.stride()) for tensor in real]:
            raise self.refuse("a call that reshapes its argument")
        if scratch.uncovered:
            raise self.refuse("an operation without a rule")

        def reference(number: int) -> int:
            return references[number] if number < known else known - 1 - number

        events = [
            (event[0], tuple(map(reference, event[3])), tuple(map(reference, event[4])))
            for event in scratch.events
        ]
        made: dict[int, int] = {}
        described = self._describe(output, real, found, scratch, known, references, made)
        return Tape(
            events,
            [level - base for level in scratch.live_after],
            scratch.peak - base,
            scratch._next - known,
            dict(sorted(made.items())),
            described,
        )

    def _describe(
        self,
        output: Any,
        real: list[torch.Tensor],
        found: list[Any],
        scratch: Recorder,
        known: int,
        references: dict[int, int],
        made: dict[int, int],
    ) -> Any:
        if isinstance(output, torch.Tensor):
            for index, tensor in enumerate(real):
                if output is tensor:
                    return ("same", index)
            number = scratch.serials.get(output.untyped_storage()._cdata)
            if number is None or not output.is_meta or output.requires_grad:
                raise self.refuse("a result that no operation made")
            spec = self.spec(output.shape, output.stride(), output.dtype)
            if number < known:
                return ("view", spec, references[number])
            made[number - known] = output.untyped_storage().nbytes()
            return ("new", spec, number - known)
        if type(output) in (tuple, list):
            return (
                "many",
                type(output),
                [
                    self._describe(item, real, found, scratch, known, references, made)
                    for item in output
                ],
            )
        if type(output) in _PLAIN_TYPES:
            return ("plain", output)
        if not tensors_in(output) and isinstance(output, torch.Size):
            return ("plain", output)
        raise self.refuse(f"a result of type {type(output).__name__}")


def _filled(value: Any, real: Any) -> Any:
    """The same arguments with the next real tensor in the place of each."""
    if isinstance(value, torch.Tensor):
        return next(real)
    if type(value) in (tuple, list):
        return type(value)([_filled(item, real) for item in value])
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return tuple([_filled(item, real) for item in value])
    if isinstance(value, Mapping):
        return {name: _filled(item, real) for name, item in value.items()}
    return value


def _count(value: Any) -> int:
    """How many tensors there are in some arguments."""
    return len(tensors_in(value))
