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
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gadprof.counting.inputs import Input
from gadprof.counting.kinds import MATMUL_KINDS
from gadprof.counting.onnx.assemble import ReadGraph, trace_of_graph
from gadprof.counting.onnx.contrib import DOMAINS, plain_name
from gadprof.counting.onnx.file import OnnxFile, read_onnx
from gadprof.counting.onnx.inputs import bind, graph_inputs
from gadprof.counting.onnx.rules import MOVING, VIEWS, label_of, onnx_work
from gadprof.counting.onnx.shapes import GraphWalk
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.counting.onnx.weights import sort_weights
from gadprof.counting.records import Trace
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
    graph = file.model.graph
    eight = _dequantised(steps)
    return trace_of_graph(
        ReadGraph(
            name=name or path,
            device="onnx graph",
            note=_note(file, walk, steps),
            steps=steps,
            stored=stored,
            weights=sort_weights(stored, constants, steps),
            inputs=[(info.name, walk.tensor(info.name)) for info in graph_inputs(graph)],
            outputs=[(info.name, walk.tensor(info.name)) for info in graph.output],
            work=lambda step: _in_integers(onnx_work(step), step, eight),
            label=_label,
            is_view=lambda step: step.op in VIEWS and not step.domain,
            moves=lambda step: step.op in MOVING and not step.domain,
        )
    )


def _dequantised(steps: Sequence[tuple[Step, Any]]) -> frozenset[str]:
    """The tensors that hold eight-bit numbers as floats: what DequantizeLinear makes of them."""
    return frozenset(
        step.names_out[0]
        for step, _ in steps
        if step.op == "DequantizeLinear"
        and step.inputs[0] is not None
        and step.inputs[0].dtype in ("int8", "uint8")
    )


def _in_integers(work: Work | None, step: Step, eight: frozenset[str]) -> Work | None:
    """A product of two dequantised operands is done in integers: runtimes fuse the pairs so."""
    if work is None or work.kind not in MATMUL_KINDS or "mac_dtype" in work.attributes:
        return work
    if len(step.names_in) < 2 or not eight.issuperset(step.names_in[:2]):
        return work
    return replace(work, attributes={**work.attributes, "mac_dtype": "int8"})


def _label(step: Step) -> str:
    """torch's word for what a node does elementwise, "" for an operator of nobody's."""
    plain = plain_name(step.op) if step.domain in DOMAINS else "" if step.domain else step.op
    return label_of(plain) if plain else ""


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
