"""The trace of a built-in network from its plan: the records of a run, without the run and torch.

``count_plan`` promises the very trace that ``counting.count`` makes of the built module: every
operation with its storages, every module, and the live memory after each operation. The blocks' own
``forward`` methods run, on maps that are not there; a map's memory lives as long as something
refers to it, as a tensor's does. It answers None where the maps do not fit: the module itself then
says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from gadprof.counting.records import ModuleRecord, Trace
from gadprof.counting.rules.registry import is_added, rule_for
from gadprof.counting.trace.lifetimes import Level, Storage, collector_paused
from gadprof.counting.trace.recorder import Frame, Recorder, Template, make_template
from gadprof.networks import plan as p
from gadprof.networks.maps import Map, Shape
from gadprof.networks.node import Descriptions, kind_of, methods_of
from gadprof.networks.spec import ModelSpec, plan_of

FLOAT_BYTES = 4
_TRACKED_BYTES = 8  # the batches that a normalisation has seen, an int64


class NoPlanError(Exception):
    """Something that only a run of the module can answer."""


class Run:
    """One forward pass over parts: makes maps, emits events.

    ``known`` is what is worked out once: a layer's template and output at an input, by the layer.
    """

    def __init__(self) -> None:
        self.recorder = Recorder(Frame("", ""))
        self.level = Level(0, 0, 1)
        self.templates: dict[Any, Template] = {}
        self.descriptions = Descriptions()
        self.known: dict[int, dict[Any, tuple[Template | None, Shape | None]]] = {}

    def new(self, shape: Shape) -> Map:
        """A new map; its memory is alive from now on."""
        if min(shape) < 1:
            raise NoPlanError("an empty map")
        return Map(self, shape, Storage(self.level, FLOAT_BYTES * prod(shape)))

    def note(
        self, name: str, overload: str, key: Any, args: Any, ins: Sequence[Map], out: Map
    ) -> Map:
        """Record an operation between layers; equal ``key`` and shapes share one template."""
        known = (name, key, out.shape, *[(item.shape, item.strides) for item in ins])
        template = self.templates.get(known)
        if template is None:
            template = self.templates[known] = self.template(name, overload, args, ins, out)
        recorder = self.recorder
        numbers = tuple([item.memory.number for item in ins])
        recorder.events.append(
            (template, recorder.frame, recorder.call, numbers, (out.memory.number,), "forward")
        )
        recorder.live_after.append(self.level.live)
        return out

    def template(
        self, name: str, overload: str, args: Any, ins: Sequence[Map], out: Map
    ) -> Template:
        """What all runs of an operation at these shapes have in common."""
        if is_added(name) or is_added(f"{name}_"):
            raise NoPlanError("a rule of the user's, which may read anything")
        rule = rule_for(name)
        assert rule is not None, name
        return make_template(name, overload, rule(args, {}, [out]), ins, [out])

    def refuse(self, a: Shape, b: Shape) -> Exception:
        """Two maps of different sizes."""
        return NoPlanError("maps of different sizes meet")


class LayerPart:
    """A layer at its place; ``numbers`` are those of its parameters and buffers."""

    __slots__ = ("frame", "known", "node", "numbers", "run")

    def __init__(self, run: Run, node: p.Layer) -> None:
        self.run = run
        self.node = node
        self.frame = Frame("", "")
        self.known = run.known.setdefault(id(node), {})
        self.numbers: tuple[int, ...] = ()

    def __call__(self, x: Map) -> Map:
        run, frame = self.run, self.frame
        call = frame.calls
        frame.calls = call + 1
        key = (x.shape, x.strides)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._at(x)
        template, shape = found
        if shape is None:
            out = x
        else:
            out = Map(run, shape, x.memory) if self.node.reuses() else run.new(shape)
        if template is not None:
            recorder = run.recorder
            number = x.memory.number
            recorder.events.append(
                (
                    template, frame, call, (number, *self.numbers), (out.memory.number,),
                    "forward",
                )
            )  # fmt: skip
            recorder.live_after.append(run.level.live)
        frame.input_shapes.append((x.shape,))
        frame.output_shapes.append((out.shape,))
        return out

    def _at(self, x: Map) -> tuple[Template | None, Shape | None]:
        """The template, and the output's shape where it is not the input itself."""
        node = self.node
        if not node.accepts(x.shape):
            raise NoPlanError("a layer of other channels")
        owned = [Map(None, shape, None) for _, shape in (*node.tensors(), *node.buffers()) if shape]
        operation = node.operation(x, *owned)
        shape = node.output(x.shape)
        if operation is None:
            return None, None
        out = Map(None, shape, None)
        name, overload, args = operation
        template = self.run.template(name, overload, args, (x, *owned), out)
        return template, None if node.reuses() and shape == x.shape else shape


class TracedBlock:
    """A block at its place: children to call, plain settings, and its node's methods.

    A child that is None is registered and absent.
    """

    def __init__(self, run: Run, node: p.Node) -> None:
        _, described, settings = run.descriptions.of(node)
        children = {name: part_of(run, child) for name, child in described.items()}
        self.__dict__.update(settings)
        self.__dict__.update(children)
        self._run, self._node, self._children = run, node, children
        self._frame = Frame("", "")

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children.values())

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, index: int) -> Any:
        return self._children[str(index)]

    def __call__(self, given: Any) -> Any:
        recorder, frame = self._run.recorder, self._frame
        outer, outer_call = recorder.frame, recorder.call
        recorder.frame, recorder.call = frame, frame.calls
        frame.calls += 1
        output = self.forward(given)  # type: ignore[attr-defined]
        recorder.frame, recorder.call = outer, outer_call
        frame.input_shapes.append(_shapes(given))
        frame.output_shapes.append(_shapes(output))
        return output


@cache
def _part_class(kind: Any) -> type[TracedBlock]:
    return type(kind.__name__, (TracedBlock,), dict(methods_of(kind)))


class Listed(p.Node):
    """A ModuleList, which holds its items and is never called."""

    items: tuple[Any, ...]
    kind: str = "ModuleList"

    def children(self) -> Mapping[str, Any]:
        return {str(index): item for index, item in enumerate(self.items)}

    def settings(self) -> Mapping[str, Any]:
        return {}


def part_of(run: Run, child: Any) -> Any:
    """What a node becomes, a tuple of nodes, or None."""
    if isinstance(child, p.Layer):
        return LayerPart(run, child)
    if isinstance(child, tuple):
        child = Listed(child)
    kind: Any = type(child)
    return None if child is None else _part_class(kind)(run, child)


def _shapes(value: Any) -> tuple[tuple[int, ...], ...]:
    return (value.shape,) if type(value) is Map else tuple([item.shape for item in value])


def count_plan(
    spec: ModelSpec, shape: Sequence[int], *, batch: int = 1, name: str = ""
) -> Trace | None:
    """The trace of one forward pass of a network in eval mode, as ``count_node`` gives it."""
    return count_node(plan_of(spec), shape, batch=batch, name=name)


def count_node(
    node: p.Node, shape: Sequence[int], *, batch: int = 1, name: str = ""
) -> Trace | None:
    """The trace of one forward pass of a plan's node, of a float32 input (batch, *shape).

    None where only the built module can tell. Its ``device`` is "plan"; all else is what a trace
    on the meta device holds.
    """
    if len(shape) != 3 or batch < 1 or min(shape) < 1:
        return None
    try:
        with collector_paused():
            run = Run()
            inventory = _inventory(part_of(run, node))
            params, buffers = _number(inventory, run.recorder)
            x = run.new((batch, *shape))
            output = inventory[0].part(x)
    except NoPlanError:
        return None
    recorder, level = run.recorder, run.level
    recorder.peak = level.peak
    elements = sum(map(prod, params))
    tracked = sum(_TRACKED_BYTES for shape in buffers if not shape)
    floats = FLOAT_BYTES * (elements + sum(prod(shape) for shape in buffers if shape))
    fields = {
        "model": name,
        "params": elements,
        "buffers": sum(map(prod, buffers)),
        "param_bytes": FLOAT_BYTES * elements,
        "buffer_bytes": floats - FLOAT_BYTES * elements + tracked,
        "weight_bytes_by_dtype": {"float32": floats, **({"int64": tracked} if tracked else {})},
        "trainable_params": elements,
        "input_shapes": _shapes(x),
        "input_dtypes": ("float32",),
        "output_shapes": _shapes(output),
        "batch": batch,
        "device": "plan",
        "note": "",
        "uncovered": {},
        "peak_activation_bytes": level.peak,
        "live_bytes": tuple(recorder.live_after),
        "train": False,
        "chosen_by_data": {},
    }
    later = {
        "operations": recorder.operations,
        "modules": lambda: _module_records(inventory),
        "allocator_peak_bytes": recorder.allocator_peak,  # asks torch what the CPU can do
    }
    return Trace.deferred(fields, later, recorder.totals())


@dataclass(frozen=True, slots=True)
class Owner:
    """One module: its part, its frame and its tensors."""

    part: Any
    frame: Frame
    node: p.Node
    tensors: Sequence[tuple[str, Shape]]
    buffers: Sequence[tuple[str, Shape]]


def _inventory(root: Any) -> list[Owner]:
    """Every part in the order of registration, its path written into its frame."""
    found: list[Owner] = []
    tensors: dict[int, Any] = {}

    def walk(part: Any, path: str) -> None:
        if type(part) is LayerPart:
            node, frame = part.node, part.frame
            held = tensors.get(id(node))
            if held is None:
                held = tensors[id(node)] = (node.tensors(), node.buffers())
            frame.path, frame.module_type = path, node.torch
            found.append(Owner(part, frame, node, *held))
            return
        frame, node = part._frame, part._node
        frame.path, frame.module_type = path, kind_of(node)
        found.append(Owner(part, frame, node, (), ()))
        for name, child in part._children.items():
            if child is not None:
                walk(child, f"{path}.{name}" if path else name)

    walk(root, "")
    return found


def _number(
    inventory: list[Owner], recorder: Recorder
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Give parameters, then buffers, negative numbers in the order of registration; their shapes.

    A layer learns the numbers of those that its operation reads.
    """
    number = 0
    params: list[tuple[int, ...]] = []
    for owner in inventory:
        path = owner.frame.path
        numbers = []
        for name, shape in owner.tensors:
            number -= 1
            recorder.param_names[number] = f"{path}.{name}" if path else name
            params.append(shape)
            numbers.append(number)
        if numbers:
            owner.part.numbers = tuple(numbers)
    buffers: list[tuple[int, ...]] = []
    for owner in inventory:
        numbers = []
        for _, shape in owner.buffers:
            number -= 1
            buffers.append(shape)
            if shape:
                numbers.append(number)
        if numbers:
            owner.part.numbers += tuple(numbers)
    return params, buffers


def _module_records(inventory: list[Owner]) -> dict[str, ModuleRecord]:
    records = {}
    for owner in inventory:
        frame, leaf = owner.frame, not owner.node.children()
        records[frame.path] = ModuleRecord(
            path=frame.path,
            type=frame.module_type,
            own_params=sum(prod(shape) for _, shape in owner.tensors),
            calls=frame.calls,
            input_shapes=tuple(frame.input_shapes),
            output_shapes=tuple(frame.output_shapes),
            leaf=leaf,
            hyper={"training": False, **owner.node.settings()} if leaf else {},
        )
    return records
