"""Counts an ONNX file from its graph: no torch, no model, no weights in memory.

Promises the trace that a torch module gives, from the graph alone: exact MACs, FLOPs, parameters
and activations of what the file says. What the exporter changed is in the graph and stays so: a
batch normalisation folded into a convolution is counted as folded, equal weights stored once count
once, and the note says how many. Memory is by liveness over the graph: a tensor dies after its
last reader, views share memory, nothing works in place, inputs and outputs stay. An operator
without a rule, or one whose shapes nobody knows, is listed as uncovered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gadprof.counting.inputs import Input
from gadprof.counting.kinds import MATMUL_KINDS, MOVEMENT_KINDS
from gadprof.counting.onnx.contrib import DOMAINS, plain_name
from gadprof.counting.onnx.file import OnnxFile, read_onnx
from gadprof.counting.onnx.inputs import Bound, bind, graph_inputs
from gadprof.counting.onnx.rules import MOVING, VIEWS, label_of, onnx_work, operation_name
from gadprof.counting.onnx.shapes import GraphWalk
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.onnx.weights import Weights, sort_weights
from gadprof.counting.records import ModuleRecord, Operation, TensorRecord, Trace
from gadprof.counting.rules.work import Work
from gadprof.errors import GadprofError, ModelFailedError, SourceError

_QUOTED = re.compile(r"'([^']*)'")  # the exporter writes lists of words as Python does


def count_onnx(
    path: str,
    shapes: tuple[tuple[int, ...], ...] = (),
    *,
    inputs: tuple[Input, ...] = (),
    batch: int = 1,
    name: str = "",
    run: bool = False,
) -> Trace:
    """Count one run of an ONNX file.

    ``shapes`` bind its inputs in order, without the batch; ``inputs`` do the same by order or
    name, and may state the type that the file has. A file with fixed shapes needs none. ``run``
    lets ONNX Runtime run it once for the shapes that nothing else tells. Raises
    SourceError, InputShapeError, ModelFailedError or MissingExtraError.
    """
    try:
        return _count(path, inputs or tuple(map(Input, shapes)), batch, name, run)
    except GadprofError:
        raise
    except MemoryError as error:
        raise ModelFailedError(f"{path}: took more memory than there is") from error
    except Exception as error:  # a graph that breaks ONNX's rules may break anywhere
        words = " ".join(str(error).split())
        raise SourceError(
            f"{path} is not valid ONNX ({type(error).__name__}: {words}); "
            "onnx.checker.check_model says more; export again"
        ) from error


def has_unknown(trace: Trace) -> bool:
    """Whether a graph holds tensors whose shape nobody knows without running it."""
    return any(operation.kind == "unknown" for operation in trace.operations)


def _weight(step: Step) -> int:
    """What a node costs, to tell the costlier of two branches."""
    work = None if step.unknown else onnx_work(step)
    return 0 if work is None else 2 * work.macs + work.adds + work.multiplies + 1


def _count(path: str, inputs: tuple[Input, ...], batch: int, name: str, run: bool) -> Trace:
    file = read_onnx(path)
    bound = bind(path, file.model.graph, inputs, batch=batch)
    walk = GraphWalk(file, bound, weigh=_weight)
    steps = [(step, module_of(step)) for step in walk.steps()]
    if run and walk.unknown:
        from gadprof.counting.onnx.running import run_for

        found = run_for(file, bound, tuple(walk.unknown))
        walk = GraphWalk(file, bound, found, weigh=_weight)
        steps = [(step, module_of(step)) for step in walk.steps()]
        walk.notes["shapes that depend on data were found by running it on random inputs"] = None
    stored, constants = _stored(walk, steps)
    weights = sort_weights(stored, constants, steps)
    memory = _Memory(walk, steps, stored)
    uncovered: dict[str, int] = {}
    operations = []
    for index, (step, (module, module_type)) in enumerate(steps):
        work = _work(step, uncovered)
        operations.append(_operation(step, work, module, module_type, index, memory, weights))
        memory.after(index)
    return _trace(name or path, file, bound, walk, operations, weights, uncovered, memory, steps)


def _work(step: Step, uncovered: dict[str, int]) -> Work:
    """A node's cost; one that nobody can tell is listed."""
    label = operation_name(step)
    if step.unknown:
        if step.domain or step.op not in MOVING:
            uncovered[label] = uncovered.get(label, 0) + 1
        return Work("unknown", bytes_read=0, bytes_written=0)
    work = onnx_work(step)
    if work is None:
        uncovered[label] = uncovered.get(label, 0) + 1
        return Work("unknown")
    plain = plain_name(step.op) if step.domain in DOMAINS else "" if step.domain else step.op
    if work.kind in MATMUL_KINDS + MOVEMENT_KINDS or not plain:
        return work
    return replace(work, attributes={**work.attributes, "label": label_of(plain)})


def module_of(step: Step) -> tuple[str, str]:
    """The path and class of the module that a node came from, ("", "") where nothing says so.

    Read from torch's exporter's metadata, or from scoped node names (``/layer1/layer1.0/Conv``).
    """
    scopes = step.scopes.get("pkg.torch.onnx.name_scopes")
    if scopes:
        paths = _QUOTED.findall(scopes)
        types = _QUOTED.findall(step.scopes.get("pkg.torch.onnx.class_hierarchy", ""))
        if len(paths) > 1:
            kind = types[len(paths) - 2] if len(types) >= len(paths) - 1 else ""
            return paths[-2], kind.rsplit(".", 1)[-1]
        return "", ""
    if not step.name.startswith("/"):
        return "", ""
    parts: list[str] = []
    for part in step.name.split("/")[1:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts), ""


def _stored(
    walk: GraphWalk, steps: Sequence[tuple[Step, Any]]
) -> tuple[dict[str, OnnxTensor], list[str]]:
    """Every stored tensor by name, and which of them are Constant nodes' values."""
    stored: dict[str, OnnxTensor] = {}
    for name in walk.stored:
        known = walk.tensor(name)
        if known is not None:
            stored[name] = known
    constants = []
    for step, _ in steps:
        if step.op == "Constant" and not step.domain and step.outputs[0] is not None:
            stored[step.names_out[0]] = step.outputs[0]
            constants.append(step.names_out[0])
    return stored, constants


class _Memory:
    """Numbers storages and follows which of them are alive; weights are not activations."""

    def __init__(
        self,
        walk: GraphWalk,
        steps: Sequence[tuple[Step, Any]],
        stored: Mapping[str, OnnxTensor],
    ) -> None:
        self.serials = {name: -number for number, name in enumerate(stored, start=1)}
        self.live = self.peak = 0
        self.live_after: list[int] = []
        self._next = 1
        self._sizes: dict[int, int] = {}
        self._dying: dict[int, list[int]] = {}
        last: dict[int, int] = {}
        for info in graph_inputs(walk.file.model.graph):
            known = walk.tensor(info.name)
            self._begin(info.name, known.size_bytes() if known else 0)
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
                if step.op in VIEWS and not step.domain and step.names_in[0] in self.serials:
                    self.serials[name] = self.serials[step.names_in[0]]
                else:
                    self._begin(name, tensor.size_bytes() if tensor else 0)
                    births.setdefault(index, []).append(self.serials[name])
                last[self.serials[name]] = index
        kept |= {
            self.serials[info.name]
            for info in walk.file.model.graph.output
            if info.name in self.serials
        }
        for serial, index in last.items():
            if serial > 0 and serial not in kept:
                self._dying.setdefault(index, []).append(serial)
        self.live = sum(
            self._sizes[self.serials[info.name]] for info in graph_inputs(walk.file.model.graph)
        )
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
        tuple(name for name in step.names_in if name in weights.params),
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


def _trace(
    name: str,
    file: OnnxFile,
    bound: Bound,
    walk: GraphWalk,
    operations: Sequence[Operation],
    weights: Weights,
    uncovered: Mapping[str, int],
    memory: _Memory,
    steps: Sequence[tuple[Step, tuple[str, str]]],
) -> Trace:
    inputs = [walk.tensor(info.name) for info in graph_inputs(file.model.graph)]
    outputs = [walk.tensor(info.name) for info in file.model.graph.output]
    shapes = tuple(bound.shapes.values())
    params = sum(tensor.numel() for tensor in weights.params.values())
    return Trace(
        model=name,
        operations=tuple(operations),
        modules=_modules(steps, weights),
        params=params,
        buffers=sum(tensor.numel() for tensor in weights.buffers.values()),
        param_bytes=sum(tensor.size_bytes() for tensor in weights.params.values()),
        buffer_bytes=sum(tensor.size_bytes() for tensor in weights.buffers.values()),
        trainable_params=params,
        input_shapes=shapes,
        input_dtypes=tuple(tensor.dtype for tensor in inputs if tensor is not None),
        output_shapes=tuple(tensor.shape for tensor in outputs if tensor is not None),
        batch=shapes[0][0] if shapes and shapes[0] else 1,
        device="onnx graph",
        note=_note(file, walk, steps),
        uncovered=dict(sorted(uncovered.items())),
        peak_activation_bytes=memory.peak,
        allocator_peak_bytes=memory.peak,
        live_bytes=tuple(memory.live_after),
        train=False,
    )


def _note(file: OnnxFile, walk: GraphWalk, steps: Sequence[tuple[Step, Any]]) -> str:
    """What the exporter did to the model, where the file tells, and which data was not there."""
    folded = merged = dropped = 0
    stored = {item.name for item in file.model.graph.initializer}
    for step, _ in steps:
        rules = step.scopes.get("pkg.onnxscript.rewriter.rule_name", "")
        by_name = len(step.names_in) > 2 and re.match(r"onnx::Conv_\d+$", step.names_in[1])
        folded += bool("FuseBatchNorm" in rules or (step.op.startswith("Conv") and by_name))
        dropped += "RemoveOptionalBias" in rules and len(step.names_in) < 3
        merged += step.op == "Identity" and step.names_in[0] in stored
    found = list(walk.notes)
    if folded:
        found.append(f"{folded} convolutions hold a normalisation that the exporter folded in")
    if dropped:
        found.append(f"{dropped} biases of zeros were left out by the exporter")
    if merged:
        found.append(f"{merged} weights equal to another are stored, and counted, once")
    if file.missing:
        found.append(f"counted without its external data ({', '.join(file.missing)})")
    return "; ".join(found)
