"""The trace of a graph that was read from a file: ONNX or TensorFlow Lite.

Promises what a trace of a module promises, of what the file says: exact counts of every node,
each stored weight once, and memory by liveness over the graph: a tensor dies after its last
reader, views share memory, nothing works in place, inputs and outputs stay. A node without a rule,
or with a tensor whose shape nobody knows, is listed as uncovered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gadprof.counting.kinds import MATMUL_KINDS, MOVEMENT_KINDS
from gadprof.counting.onnx.rules import operation_name
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.onnx.weights import Weights
from gadprof.counting.records import ModuleRecord, Operation, TensorRecord, Trace
from gadprof.counting.rules.work import Work

Named = tuple[str, OnnxTensor | None]
Steps = Sequence[tuple[Step, tuple[str, str]]]  # each with the path and class of its module


@dataclass(frozen=True)
class ReadGraph:
    """Nodes in the order in which they run, what they read, and how each is counted.

    ``stored`` are tensors whose values lie in the file; ``label`` names what a node does
    elementwise ("" leaves its own name), ``moves`` tells nodes whose unknown cost is no loss.
    """

    name: str
    device: str
    note: str
    steps: Steps
    stored: Mapping[str, OnnxTensor]
    weights: Weights
    inputs: Sequence[Named]
    outputs: Sequence[Named]
    work: Callable[[Step], Work | None]
    label: Callable[[Step], str]
    is_view: Callable[[Step], bool]
    moves: Callable[[Step], bool]


def trace_of_graph(graph: ReadGraph) -> Trace:
    """Count every node."""
    memory = _Memory(graph)
    uncovered: dict[str, int] = {}
    operations = []
    for index, (step, (module, module_type)) in enumerate(graph.steps):
        work = _work(graph, step, uncovered)
        operations.append(_operation(step, work, module, module_type, index, memory, graph.weights))
        memory.after(index)
    weights = graph.weights
    shapes = tuple(tensor.shape for _, tensor in graph.inputs if tensor is not None)
    params = sum(tensor.numel() for tensor in weights.params.values())
    return Trace(
        model=graph.name,
        operations=tuple(operations),
        modules=_modules(graph.steps, weights),
        params=params,
        buffers=sum(tensor.numel() for tensor in weights.buffers.values()),
        param_bytes=sum(tensor.size_bytes() for tensor in weights.params.values()),
        buffer_bytes=sum(tensor.size_bytes() for tensor in weights.buffers.values()),
        trainable_params=params,
        input_shapes=shapes,
        input_dtypes=tuple(tensor.dtype for _, tensor in graph.inputs if tensor is not None),
        output_shapes=tuple(tensor.shape for _, tensor in graph.outputs if tensor is not None),
        batch=shapes[0][0] if shapes and shapes[0] else 1,
        device=graph.device,
        note=graph.note,
        uncovered=dict(sorted(uncovered.items())),
        peak_activation_bytes=memory.peak,
        allocator_peak_bytes=memory.peak,
        live_bytes=tuple(memory.live_after),
        train=False,
        weight_bytes_by_dtype=_bytes_by_dtype(weights),
    )


def _bytes_by_dtype(weights: Weights) -> dict[str, int]:
    """The memory of parameters and buffers by type."""
    found: dict[str, int] = {}
    for tensor in (*weights.params.values(), *weights.buffers.values()):
        found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.size_bytes()
    return dict(sorted(found.items()))


def _work(graph: ReadGraph, step: Step, uncovered: dict[str, int]) -> Work:
    """A node's cost; one that nobody can tell is listed."""
    name = operation_name(step)
    work = None if step.unknown else graph.work(step)
    if work is None:
        if not (step.unknown and graph.moves(step)):
            uncovered[name] = uncovered.get(name, 0) + 1
        nothing = 0 if step.unknown else None
        return Work("unknown", bytes_read=nothing, bytes_written=nothing)
    label = graph.label(step)
    if work.kind in MATMUL_KINDS + MOVEMENT_KINDS or not label:
        return work
    return replace(work, attributes={**work.attributes, "label": label})


class _Memory:
    """Numbers storages and follows which of them are alive; weights are not activations."""

    def __init__(self, graph: ReadGraph) -> None:
        steps, stored = graph.steps, graph.stored
        self.serials = {name: -number for number, name in enumerate(stored, start=1)}
        self.live = self.peak = 0
        self.live_after: list[int] = []
        self._next = 1
        self._sizes: dict[int, int] = {}
        self._dying: dict[int, list[int]] = {}
        last: dict[int, int] = {}
        for name, known in graph.inputs:
            self._begin(name, known.size_bytes() if known else 0)
        kept = set(self._sizes)  # the caller holds the inputs
        births: dict[int, list[int]] = {}
        self._births = births
        for index, (step, _) in enumerate(steps):
            for name in filter(None, step.names_in):
                if name in self.serials:
                    last[self.serials[name]] = index
            for name, tensor in zip(step.names_out, step.outputs, strict=True):
                if not name or name in stored:
                    continue
                if graph.is_view(step) and step.names_in[0] in self.serials:
                    self.serials[name] = self.serials[step.names_in[0]]
                else:
                    self._begin(name, tensor.size_bytes() if tensor else 0)
                    births.setdefault(index, []).append(self.serials[name])
                last[self.serials[name]] = index
        kept |= {self.serials[name] for name, _ in graph.outputs if name in self.serials}
        for serial, index in last.items():
            if serial > 0 and serial not in kept:
                self._dying.setdefault(index, []).append(serial)
        self.live = sum(self._sizes[self.serials[name]] for name, _ in graph.inputs)
        self.peak = self.live

    def _begin(self, name: str, size: int) -> None:
        self.serials[name] = self._next
        self._sizes[self._next] = size
        self._next += 1

    def after(self, index: int) -> None:
        """Let a step's outputs be born, and what it read last die."""
        self.live += sum(self._sizes[serial] for serial in self._births.get(index, ()))
        self.peak = max(self.peak, self.live)
        self.live -= sum(self._sizes[serial] for serial in self._dying.get(index, ()))
        self.live_after.append(self.live)


def _records(
    names: Sequence[str], tensors: Sequence[OnnxTensor | None], memory: _Memory
) -> tuple[TensorRecord, ...]:
    return tuple(
        TensorRecord(tensor.shape, tensor.dtype, memory.serials.get(name, 0))
        for name, tensor in zip(names, tensors, strict=True)
        if tensor is not None
    )


def _operation(
    step: Step,
    work: Work,
    module: str,
    module_type: str,
    index: int,
    memory: _Memory,
    weights: Weights,
) -> Operation:
    read, written = work.bytes_read, work.bytes_written
    if read is None:
        read = sum(tensor.size_bytes() for tensor in step.inputs if tensor is not None)
    if written is None:
        written = sum(tensor.size_bytes() for tensor in step.outputs if tensor is not None)
    known = [tensor for tensor in (*step.outputs, *step.inputs) if tensor is not None]
    named = dict.fromkeys(weights.sources.get(name, name) for name in step.names_in)
    return Operation(
        operation_name(step),
        "default",
        work.kind,
        module,
        module_type,
        0,
        _records(step.names_in, step.inputs, memory),
        _records(step.names_out, step.outputs, memory),
        known[0].dtype if known else "",
        work.attributes,
        work.macs,
        work.adds,
        work.multiplies,
        work.comparisons,
        work.transcendentals,
        read,
        written,
        tuple(name for name in named if name in weights.params),
        "forward",
        work.functional,
        index,
    )


def _modules(
    steps: Sequence[tuple[Step, tuple[str, str]]], weights: Weights
) -> dict[str, ModuleRecord]:
    """The modules that names in the file tell of, each with the parameters that it owns."""
    types: dict[str, str] = {"": "Graph"}
    for _, (path, kind) in steps:
        for upper in _ancestors(path):
            types.setdefault(upper, "")
        types[path] = types[path] or kind
    own = dict.fromkeys(types, 0)
    for name, tensor in weights.params.items():
        owner = name.rpartition(".")[0]
        if not owner or owner not in own:
            owner = weights.readers.get(name, "")
        own[owner] = own.get(owner, 0) + tensor.numel()
    parents = {path.rpartition(".")[0] for path in types if path}
    return {
        path: ModuleRecord(path, kind, own[path], 1, (), (), path not in parents and path != "")
        for path, kind in types.items()
    }


def _ancestors(path: str) -> list[str]:
    parts = path.split(".") if path else []
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
