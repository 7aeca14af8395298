"""The stream of events of one run: what ran where, and which memory was alive meanwhile.

The recorder keeps plain shapes and numbers, never a tensor, so that every storage dies when the
model lets it go; a weak reference tells it when. Nothing here knows how the run is observed.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from gadprof.counting.kinds import DTYPE_BYTES, MATMUL_KINDS
from gadprof.counting.records import Operation, Phase, TensorRecord
from gadprof.counting.rules.nested import in_parts, nested_work
from gadprof.counting.rules.registry import is_added, rule_for
from gadprof.counting.rules.sparse import is_sparse, sparse_work, stored_bytes
from gadprof.counting.rules.work import Work, uncounted
from gadprof.counting.trace.lifetimes import collector_paused
from gadprof.counting.trace.workspaces import (
    backward_workspace,
    lies_channels_last,
    lies_side_by_side,
    workspace,
)

# one name for one operation, whichever door of torch it came through
CANONICAL = {
    **{f"aten.conv{d}d": "aten.convolution" for d in (1, 2, 3)},
    **{f"aten.conv_transpose{d}d": "aten.convolution" for d in (1, 2, 3)},
    "aten._convolution": "aten.convolution",
    "aten.mkldnn_convolution": "aten.convolution",
    "aten._slow_conv2d_forward": "aten.convolution",
}


# what returns as many rows as the values of its input make it
CHOOSERS = frozenset((
    "aten.nonzero", "aten.masked_select", "aten._unique2", "aten.unique_dim",
    "aten.unique_consecutive", "aten.argwhere", "torchvision.nms",
))  # fmt: skip


class Frame:
    """One module of the model while it is traced: its path, type and calls so far."""

    __slots__ = ("calls", "input_shapes", "module_type", "output_shapes", "path")

    def __init__(self, path: str, module_type: str) -> None:
        self.path = path
        self.module_type = module_type
        self.calls = 0
        self.input_shapes: list[Any] = []
        self.output_shapes: list[Any] = []


class Template:
    """What all runs of one operation with the same shapes have in common."""

    __slots__ = (
        "channels_last", "dtype", "inputs", "moved", "name", "outputs", "overload", "read", "work",
        "written",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        overload: str,
        work: Work,
        inputs: tuple[tuple[tuple[int, ...], str], ...],
        outputs: tuple[tuple[tuple[int, ...], str], ...],
        read: int,
        written: int,
        channels_last: bool = False,
        moved: bool = False,
    ) -> None:
        self.name = name
        self.channels_last = channels_last
        self.moved = moved
        self.overload = overload
        self.work = work
        self.inputs = inputs
        self.outputs = outputs
        self.read = read
        self.written = written
        self.dtype = outputs[0][1] if outputs else (inputs[0][1] if inputs else "")


class Recorder:
    """Collects events, and follows the life of every storage that an operation made.

    ``events`` holds (template, frame, call, input storages, output storages, phase); ``changes``
    the births of storages (number, bytes) and their deaths (number, minus bytes), and
    ``changes_after`` how many there had been when each event was added.
    """

    def __init__(self, root: Frame) -> None:
        self.events: list[tuple[Template, Frame, int, Any, Any, Phase]] = []
        self.live_after: list[int] = []
        self.changes: list[tuple[int, int]] = []
        self.changes_after: list[int] = []
        self.live = 0
        self.peak = 0
        self.phase: Phase = "forward"
        self.frame = root
        self.call = 0
        self.serials: dict[int, int] = {}  # storage address -> number
        self.param_names: dict[int, str] = {}  # negative storage number -> parameter name
        self.uncovered: dict[str, int] = {}
        self.gradients = False
        self._root = root
        self._makers: dict[int, tuple[Frame, int]] = {}  # autograd node -> frame and call
        self._next = 1
        self._references: dict[int, Any] = {}
        self._closed = False
        self._templates: dict[Any, Template] = {}
        self.data_macs = 0  # of operations whose sizes came from values
        self.chosen: dict[str, int] = {}  # what chose by values -> the most that it kept
        self._by_data: set[int] = set()  # storages whose sizes came from values

    def own(self, address: int, number: int, name: str | None) -> None:
        """Register a parameter's or a buffer's storage under a negative number."""
        self.serials[address] = number
        if name is not None:
            self.param_names[number] = name

    def serial(self, tensor: Any) -> int:
        """The number of a tensor's storage; a storage not seen before starts to live."""
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:  # a sparse tensor has several storages and none of its own
            self._next += 1
            return self._next - 1
        address = storage._cdata
        number = self.serials.get(address)
        if number is not None:
            return number
        number = self._next
        self._next = number + 1
        self.serials[address] = number
        size = storage.nbytes()

        def dead(_: Any) -> None:
            self.serials.pop(address, None)
            self._references.pop(number, None)
            self.live -= size
            self.changes.append((number, -size))

        self._references[number] = weakref.ref(storage, dead)
        self.live += size
        self.changes.append((number, size))
        if self.live > self.peak:
            self.peak = self.live
        return number

    def alias(self, twin: Any, tensor: Any) -> None:
        """Give a stand-in the number of the tensor that it stands for, at no cost in memory."""
        number = self.serial(tensor)
        storage = twin.untyped_storage()
        address = storage._cdata
        self.serials[address] = number
        key = -address

        def dead(_: Any) -> None:
            self.serials.pop(address, None)
            self._references.pop(key, None)

        self._references[key] = weakref.ref(storage, dead)

    def place(self, last_node: int, running_node: int | None) -> None:
        """Give a backward operation the frame of the forward one that its node came from."""
        if running_node is None:
            if self.phase == "forward":
                self._makers.setdefault(last_node, (self.frame, self.call))
            return
        self.frame, self.call = self._makers.get(running_node, (self._root, 0))

    def emit(self, template: Template, inputs: Any, outputs: Any) -> None:
        """Add one event whose storages are numbered already."""
        self.events.append((template, self.frame, self.call, inputs, outputs, self.phase))
        self.live_after.append(self.live)
        self.changes_after.append(len(self.changes))

    def record(
        self,
        name: str,
        overload: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ins: Sequence[Any],
        outs: Sequence[Any],
    ) -> None:
        """Add one event by its rule; an operation without one is listed as uncovered."""
        rule = rule_for(name)
        if any(map(is_sparse, ins)) and not is_added(name):
            work = sparse_work(name, rule, args, kwargs, outs)
            work = dataclasses.replace(
                work,
                bytes_read=0 if work.bytes_read == 0 else sum(map(stored_bytes, ins)),
                bytes_written=0 if work.bytes_written == 0 else sum(map(stored_bytes, outs)),
            )
        elif any(map(in_parts, ins)) or any(map(in_parts, outs)):
            from gadprof.counting.trace.trees import mapped  # it needs torch, a plan does not

            work = nested_work(rule, args, kwargs, outs, mapped)
        else:
            work = uncounted() if rule is None else rule(args, kwargs, outs)
        if work.kind == "unknown":
            self.uncovered[name] = self.uncovered.get(name, 0) + 1
        read = tuple([self.serial(tensor) for tensor in ins])
        made = tuple([self.serial(tensor) for tensor in outs])
        if name in CHOOSERS or not self._by_data.isdisjoint(read):
            self._sized_by_data(name, work, outs, made)
        self.emit(make_template(CANONICAL.get(name, name), overload, work, ins, outs), read, made)

    def _sized_by_data(self, name: str, work: Work, outs: Sequence[Any], made: Any) -> None:
        """Keep apart what an operation costs for as many things as values chose."""
        if outs and outs[0].is_meta:
            return
        regions = work.attributes.get("regions")
        if regions is None and name in CHOOSERS and outs and outs[0].dim():
            regions = int(outs[0].shape[0])
        if regions is not None:
            self.chosen[name] = max(self.chosen.get(name, 0), regions)
        self._by_data.update(number for number in made if number > 0)
        self.data_macs += work.macs

    def record_quick(
        self, name: str, overload: str, args: Sequence[Any], ins: Sequence[Any], out: Any
    ) -> None:
        """Add one event of a frequent operation; equal calls share one template."""
        key = (name, overload, *[_key_of(value) for value in args])
        template = self._templates.get(key)
        if template is None:
            rule = rule_for(name)
            assert rule is not None
            work = rule(args, {}, [out])
            template = self._templates[key] = make_template(
                CANONICAL.get(name, name), overload, work, ins, [out]
            )
        serial = self.serial
        self.emit(template, tuple([serial(tensor) for tensor in ins]), (serial(out),))

    def allocator_peak(self) -> int:
        """The peak with what CPU kernels allocate for themselves, one event after another."""
        highest = self.peak
        extras: dict[Template, int] = {}
        for event, live in zip(self.events, self.live_after, strict=True):
            template = event[0]
            if template.work.kind != "convolution":
                continue
            extra = extras.get(template)
            if extra is None:
                extra = extras[template] = workspace_above(template)
            highest = max(highest, live + extra)
        return highest

    def storage_changes(self) -> tuple[tuple[int, int, int], ...]:
        """Every birth and death of a storage until the last event, after how many events each.

        A storage that an event made is born before it is counted.
        """
        found: list[tuple[int, int, int]] = []
        before = 0
        for index, after in enumerate(self.changes_after):
            found += [(index, number, size) for number, size in self.changes[before:after]]
            before = after
        return tuple(found)

    def totals(self) -> dict[str, int]:
        """The sums that ``Trace`` has of its operations, from the events."""
        times: dict[tuple[Template, Phase], int] = {}
        for event in self.events:
            key = (event[0], event[5])
            times[key] = times.get(key, 0) + 1
        macs = flops = activations = 0
        for (template, phase), count in times.items():
            work = template.work
            macs += count * work.macs
            flops += count * (
                2 * work.macs
                + work.adds
                + work.multiplies
                + work.comparisons
                + work.transcendentals
            )
            if phase == "forward" and work.kind in MATMUL_KINDS and template.outputs:
                activations += count * prod(template.outputs[0][0])
        return {"macs": macs, "flops": flops, "activations": activations}

    def operations(self) -> tuple[Operation, ...]:
        """Every event as an immutable record."""
        with collector_paused():
            return self._operations()

    def _operations(self) -> tuple[Operation, ...]:
        made: list[Operation] = []
        names = self.param_names
        tensors: dict[Any, TensorRecord] = {}
        for index, (template, frame, call, inputs, outputs, phase) in enumerate(self.events):
            work = template.work
            made.append(
                Operation(
                    template.name,
                    template.overload,
                    work.kind,
                    frame.path,
                    frame.module_type,
                    call,
                    _tensor_records(template.inputs, inputs, tensors),
                    _tensor_records(template.outputs, outputs, tensors),
                    template.dtype,
                    work.attributes,
                    work.macs,
                    work.adds,
                    work.multiplies,
                    work.comparisons,
                    work.transcendentals,
                    template.read,
                    template.written,
                    tuple([names[number] for number in inputs if number < 0 and number in names]),
                    phase,
                    work.functional,
                    index,
                )
            )
        return tuple(made)


def workspace_above(template: Template) -> int:
    """Bytes that an operation held at most above those of its inputs and outputs."""
    backward = template.name == "aten.convolution_backward"
    outputs = template.outputs if backward else template.outputs[:1]
    made = sum(prod(shape) * DTYPE_BYTES.get(dtype, 1) for shape, dtype in outputs)
    last = template.channels_last
    if backward:
        held = backward_workspace(
            template.work, template.inputs, made, channels_last=last, moved=template.moved
        )
    else:
        held = workspace(template.work, template.inputs, made, channels_last=last)
    return held - made


def _tensor_records(
    specs: tuple[tuple[tuple[int, ...], str], ...],
    numbers: tuple[int, ...],
    known: dict[Any, TensorRecord],
) -> tuple[TensorRecord, ...]:
    made = []
    for spec, number in zip(specs, numbers, strict=True):
        key = (spec, number)
        record = known.get(key)
        if record is None:
            record = known[key] = TensorRecord(spec[0], spec[1], number)
        made.append(record)
    return tuple(made)


def _key_of(value: Any) -> Any:
    """What a rule may see of an argument, hashable."""
    if hasattr(value, "untyped_storage"):
        return value.shape, value.dtype
    return tuple(value) if isinstance(value, list) else value


def tensor_spec(tensor: Any) -> tuple[tuple[int, ...], str]:
    """Shape and type of a tensor as plain data; a jagged size is the longest."""
    return plain_shape(tensor), dtype_name(tensor.dtype)


def plain_shape(tensor: Any) -> tuple[int, ...]:
    """The shape of a tensor in plain numbers, the longest of a jagged size."""
    try:
        shape = tuple(tensor.shape)
    except RuntimeError:  # a nested tensor has no sizes
        parts = [tuple(part.shape) for part in tensor.unbind()]
        return (len(parts), *map(max, zip(*parts, strict=True)))
    if set(map(type, shape)) - {int}:
        longest = max((int(part.shape[0]) for part in tensor.unbind()), default=0)
        shape = tuple([size if type(size) is int else longest for size in shape])
    return shape


def dtype_name(dtype: Any) -> str:
    """torch.float32 as ``float32``."""
    return str(dtype)[6:]


def make_template(
    name: str, overload: str, work: Work, ins: Sequence[Any], outs: Sequence[Any]
) -> Template:
    """Put a rule's answer and the tensors' shapes together."""
    read = work.bytes_read
    if read is None:
        read = sum(tensor.numel() * tensor.element_size() for tensor in ins)
    written = work.bytes_written
    if written is None:
        written = sum(tensor.numel() * tensor.element_size() for tensor in outs)
    return Template(
        name,
        overload,
        work,
        tuple([tensor_spec(tensor) for tensor in ins]),
        tuple([tensor_spec(tensor) for tensor in outs]),
        read,
        written,
        *(_layout(name, ins) if work.kind == "convolution" else ()),
    )


def _layout(name: str, ins: Sequence[Any]) -> tuple[bool, bool]:
    """Whether a convolution's input lies channels last, and whether its gradient lies otherwise."""
    if name != "aten.convolution_backward":
        return lies_channels_last(ins[0].shape, ins[0].stride()), False
    gradient, x = ins[0], ins[1]
    last = lies_channels_last(x.shape, x.stride())
    return last, not lies_side_by_side(gradient.shape, gradient.stride(), channels_last=last)
