"""Walks an ONNX graph and gives every tensor its concrete shape, step by step, without weights.

Promises that each shape comes from ONNX's own inference for that operator, fed with the values of
the small tensors that decide shapes, which are computed on the way. Subgraphs are entered: the
branch of an If that is taken (the costlier one where nothing tells which), every round of a Loop
or Scan whose number is known. What has no rule there (a custom operator) takes the shape that the
file states, or that a run found; where neither is there, the tensor stays unknown and whatever
reads it is listed, never counted as zero. Refuses shapes that an operator cannot take, and graphs
that would run without end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gadprof.counting.onnx.contrib import DOMAINS, contrib_shapes
from gadprof.counting.onnx.file import (
    DTYPES,
    SMALL_ELEMENTS,
    OnnxFile,
    elements,
    plain_domain,
    small_value,
)
from gadprof.counting.onnx.inputs import Bound
from gadprof.counting.onnx.tensors import OnnxTensor, Step
from gadprof.errors import ModelFailedError, SourceError

MOST_STEPS = 200_000  # nodes that a walk runs, rounds of loops included
_LONGEST_GUESS = 10_000  # rounds of a loop whose end depends on data but which has a limit
_BODY_OPS = ("Loop", "Scan", "SequenceMap")
_CODES = {name: code for code, name in DTYPES.items()}
# operators that slide a window over a map
_WINDOWS = ("Conv", "FusedConv", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool")
_PADDINGS = (b"NOTSET", b"SAME_UPPER", b"SAME_LOWER", b"VALID", b"")
# operators whose second input is a scale
_SCALED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul")


class GraphWalk:
    """The state of one walk: types and small values by tensor name.

    ``found`` holds what a run of the file found for tensors that inference cannot tell: type,
    shape, and the value of a small one. ``weigh`` tells the costlier of two branches.
    """

    def __init__(
        self,
        file: OnnxFile,
        bound: Bound,
        found: Mapping[str, tuple[str, tuple[int, ...], Any]] | None = None,
        weigh: Callable[[Step], int] = lambda step: 1,
    ) -> None:
        import onnx

        self.onnx = onnx
        self.file = file
        self.bound = bound
        self.found = found or {}
        self.weigh = weigh
        self.types: dict[str, Any] = {}  # name -> TypeProto, maybe partial
        self.values: dict[str, Any] = {}  # name -> array, small ones only
        self.made: set[str] = set()  # names of the values that were computed here
        self.lost: set[str] = set()  # small tensors whose values are in a missing file
        self.stored: dict[str, None] = {}  # names of initializers, those of subgraphs too
        self.notes: dict[str, None] = {}
        self.unknown: dict[str, None] = {}  # top-level tensors that nothing tells
        self.stated: dict[str, Any] = {}
        self._count = 0
        self._opsets = [
            onnx.helper.make_opsetid(domain, version) for domain, version in file.opsets.items()
        ]

    def tensor(self, name: str) -> OnnxTensor | None:
        """A tensor's concrete shape and type, or None while any of it is not known."""
        known = self.types.get(name)
        if known is None or not known.HasField("tensor_type"):
            return None
        kind = known.tensor_type
        if not kind.HasField("shape") or not kind.elem_type:
            return None
        if not all(size.HasField("dim_value") for size in kind.shape.dim):
            return None
        shape = tuple(int(size.dim_value) for size in kind.shape.dim)
        return OnnxTensor(shape, DTYPES.get(kind.elem_type, "unknown"))

    def steps(self) -> Iterator[Step]:
        """Every node in the order in which it runs. Raises SourceError, ModelFailedError."""
        graph = self.file.model.graph
        for info in graph.input:
            kind = type(info.type).FromString(info.type.SerializeToString())
            shape = self.bound.shapes.get(info.name)
            if shape is not None:
                _fix(kind, shape)
            self.types[info.name] = kind
        yield from self._walk(graph, {}, "", "")

    # --- graphs within the graph ------------------------------------------------------------------

    def _walk(self, graph: Any, scope: dict[str, str], tag: str, place: str) -> Iterator[Step]:
        """One run of a graph. ``scope`` maps its names to those of the walk and takes up what it
        makes, under ``tag``; its weights are stored once, under ``place``."""
        for tensor in graph.initializer:
            name = scope[tensor.name] = place + tensor.name
            self.stored[name] = None
            self._add_constant(name, tensor)
        for sparse in graph.sparse_initializer:
            name = scope[sparse.values.name] = place + sparse.values.name
            self.types[name] = self._tensor_type(sparse.values.data_type, tuple(sparse.dims))
        for info in (*graph.value_info, *graph.output):
            self.stated[tag + info.name] = info.type
        for written in graph.node:
            node = written
            if tag or place:  # a constant is one, however often it is passed
                node = _renamed(written, scope, place if written.op_type == "Constant" else tag)
            plain = not plain_domain(node.domain)
            if plain and node.op_type == "If":
                yield from self._if(node, scope, tag, place)
            elif plain and node.op_type == "Loop":
                yield from self._loop(node, scope, tag, place)
            elif plain and node.op_type == "Scan" and self.file.opsets.get("", 0) >= 9:
                yield from self._scan(node, scope, tag, place)
            else:
                yield self._step(node)

    def _if(self, node: Any, scope: dict[str, str], tag: str, place: str) -> Iterator[Step]:
        """The branch that is taken; the costlier one where the condition is not known."""
        branches = {item.name: item.g for item in node.attribute if item.HasField("g")}
        condition = self._value(node.input[0])
        if condition is not None:
            taken = branches["then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"]
            inner = dict(scope)
            yield from self._walk(taken, inner, tag, place)
            yield from self._passed(node, [inner.get(o.name, o.name) for o in taken.output])
            return
        runs = []
        for name, branch in branches.items():
            inner, label = dict(scope), f"{tag}{_label(node, tag)}/{name}/"
            steps = list(self._walk(branch, inner, label, label))
            results = [inner.get(item.name, label + item.name) for item in branch.output]
            runs.append((sum(map(self.weigh, steps)), steps, results, label))
        _, steps, results, label = max(runs, key=lambda run: run[0])
        for _, _, _, other in runs:
            if other != label:
                self.stored = {k: None for k in self.stored if not k.startswith(other)}
        self.notes["an If whose condition depends on data takes its costlier branch"] = None
        yield from steps
        yield from self._passed(node, results)

    def _loop(self, node: Any, scope: dict[str, str], tag: str, place: str) -> Iterator[Step]:
        """Every round of a Loop; it is listed where their number is not known."""
        import numpy as np

        body = next(item.g for item in node.attribute if item.name == "body")
        limit = self._number(node.input[0]) if node.input[0] else 2**63 - 1
        asked = len(node.input) > 1 and bool(node.input[1])  # else its condition is ignored
        go = self._truth(node.input[1]) if asked else True
        # a condition that the body hands on as it came ends no loop
        certain = limit if go and (not asked or _hands_on_truth(body)) else None
        if certain is not None:
            self._foresee(node, certain, max(1, len(body.node)))
        label, rounds = _label(node, tag), 0
        carried = list(node.input[2:])
        stacks: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
        while limit is not None and rounds < limit and go is not False:
            if go is None:
                if limit > _LONGEST_GUESS:
                    break
                self.notes["a Loop whose end depends on data runs to its limit"] = None
            run, before = f"{tag}{label}/{rounds}/", self._count
            self._count += not body.node  # a round of nothing takes its time, too
            inner = dict(scope)
            given = [item.name for item in body.input]
            for name, value in zip(
                given[:2], (np.array(rounds, np.int64), np.array(True)), strict=False
            ):
                inner[name] = run + name
                self.values[run + name] = value
                self.types[run + name] = self._tensor_type(_CODES[str(value.dtype)], ())
            inner.update(zip(given[2:], carried, strict=False))
            yield from self._walk(body, inner, run, f"{place}{label}/")
            made = [inner.get(item.name, run + item.name) for item in body.output]
            go = self._truth(made[0]) if asked else True
            carried = made[1 : 1 + len(carried)]
            for stack, name in zip(stacks, made[1 + len(carried) :], strict=False):
                stack.append(name)
            rounds += 1
            if certain is not None and rounds == 1:
                self._foresee(node, certain - 1, self._count - before)
        if limit is None or (go is None and limit > _LONGEST_GUESS):
            yield self._finished(node, plain_domain(node.domain))
            return
        yield from self._passed(node, carried)
        for stack, name in zip(stacks, node.output[len(carried) :], strict=False):
            if name:
                yield self._stacked(stack, name, 0)

    def _scan(self, node: Any, scope: dict[str, str], tag: str, place: str) -> Iterator[Step]:
        """Every round of a Scan, one for each slice of its scanned inputs."""
        settings = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        body, scanned = settings["body"], int(settings["num_scan_inputs"])
        states = list(node.input[: len(node.input) - scanned])
        sources = list(node.input[len(states) :])
        tensors = [self.tensor(name) for name in sources]
        axes = settings.get("scan_input_axes") or [0] * scanned
        if not tensors or any(item is None or not item.shape for item in tensors):
            yield self._finished(node, "")
            return
        first = tensors[0]
        assert first is not None
        rounds, label = first.shape[axes[0]], _label(node, tag)
        self._foresee(node, rounds, max(1, len(body.node)))
        stacks: list[list[str]] = [[] for _ in body.output[len(states) :]]
        for index in range(rounds):
            run, before = f"{tag}{label}/{index}/", self._count
            inner = dict(scope)
            given = [item.name for item in body.input]
            inner.update(zip(given, states, strict=False))
            for name, tensor, axis in zip(given[len(states) :], tensors, axes, strict=False):
                assert tensor is not None
                axis %= len(tensor.shape)
                inner[name] = run + name
                rest = tensor.shape[:axis] + tensor.shape[axis + 1 :]
                self.types[run + name] = self._tensor_type(_CODES[tensor.dtype], rest)
            yield from self._walk(body, inner, run, f"{place}{label}/")
            made = [inner.get(item.name, run + item.name) for item in body.output]
            states = made[: len(states)]
            for stack, name in zip(stacks, made[len(states) :], strict=False):
                stack.append(name)
            if index == 0:
                self._foresee(node, rounds - 1, self._count - before)
        yield from self._passed(node, states)
        ends = settings.get("scan_output_axes") or [0] * len(stacks)
        for stack, name, axis in zip(stacks, node.output[len(states) :], ends, strict=False):
            if name:
                yield self._stacked(stack, name, axis)

    def _foresee(self, node: Any, rounds: int, nodes: int) -> None:
        """Refuse rounds of so many nodes before they are walked, if they are too many."""
        if self._count + rounds * nodes > MOST_STEPS:
            raise SourceError(
                f"{self.file.path} runs more than {MOST_STEPS:,} nodes: {node.op_type} "
                f"{node.name or node.output[0]!r} has {rounds:,} rounds of {nodes:,}; count a part "
                "of it"
            )

    def _passed(self, node: Any, results: list[str]) -> Iterator[Step]:
        """What a subgraph gives to the node that holds it."""
        for result, name in zip(results, node.output, strict=False):
            if name:
                passed = self.onnx.helper.make_node("Identity", [result], [name])
                passed.metadata_props.extend(node.metadata_props)
                yield self._step(passed)

    def _stacked(self, stack: list[str], name: str, axis: int) -> Step:
        """One map of all rounds' outputs."""
        known = self.tensor(stack[0]) if stack else None
        if known is not None:
            axis %= len(known.shape) + 1
            shape = (*known.shape[:axis], len(stack), *known.shape[axis:])
            self.types[name] = self._tensor_type(_CODES[known.dtype], shape)
        return self._finished(self.onnx.helper.make_node("Concat", stack, [name], axis=axis), "")

    def _value(self, name: str) -> Any:
        """A small value that is known, from the graph or from a run."""
        value = self.values.get(name)
        if value is None and name in self.found:
            value = self.found[name][2]
        if value is None and name:
            self.unknown[name] = None
        return value

    def _number(self, name: str) -> int | None:
        value = self._value(name) if name else None
        return None if value is None else int(value.reshape(-1)[0])

    def _truth(self, name: str) -> bool | None:
        if not name:
            return True
        value = self._value(name)
        return None if value is None else bool(value.reshape(-1)[0])

    # --- one node ---------------------------------------------------------------------------------

    def _add_constant(self, name: str, tensor: Any) -> None:
        if any(size < 0 for size in tensor.dims):
            sizes = "x".join(map(str, tensor.dims))
            raise SourceError(f"{self.file.path}: tensor {name!r} has the sizes {sizes}")
        self.types[name] = self._tensor_type(tensor.data_type, tuple(tensor.dims))
        value = small_value(self.file, tensor)
        if value is not None:
            self.values[name] = value
        elif elements(tensor) <= SMALL_ELEMENTS:
            self.lost.add(name)

    def _tensor_type(self, elem_type: int, shape: tuple[int, ...]) -> Any:
        return self.onnx.helper.make_tensor_type_proto(elem_type, shape)

    def _step(self, node: Any) -> Step:
        self._count += 1
        if self._count > MOST_STEPS:
            raise SourceError(
                f"{self.file.path} runs more than {MOST_STEPS:,} nodes, rounds of its loops "
                "included; count a part of it"
            )
        domain = plain_domain(node.domain)
        if node.op_type == "Constant" and not domain:
            self._constant(node)
        else:
            self._infer(node, domain)
            self._evaluate(node, domain)
        return self._finished(node, domain)

    def _finished(self, node: Any, domain: str) -> Step:
        """The node with what is known of its tensors."""
        inputs = tuple(self.tensor(name) if name else None for name in node.input)
        outputs = tuple(self.tensor(name) if name else None for name in node.output)
        for name, known in zip(node.output, outputs, strict=True):
            if name and known is None:
                self.unknown[name] = None
        unknown = [
            name
            for name, known in zip((*node.input, *node.output), inputs + outputs, strict=True)
            if name and known is None
        ]
        return Step(
            node.op_type,
            domain,
            node.name,
            inputs,
            outputs,
            {
                item.name: self.onnx.helper.get_attribute_value(item)
                for item in node.attribute
                if item.type in (1, 2, 3, 6, 7, 8)  # numbers and words, alone or in lists
            },
            {i: self.values[name] for i, name in enumerate(node.input) if name in self.values},
            frozenset(i for i, name in enumerate(node.input) if name in self.made),
            tuple(node.input),
            tuple(node.output),
            tuple(unknown),
            {item.key: item.value for item in node.metadata_props if "stack" not in item.key},
            self.file.opsets.get(domain, 0),
        )

    def _constant(self, node: Any) -> None:
        attribute = node.attribute[0]
        if attribute.name == "value":
            self._add_constant(node.output[0], attribute.t)
            return
        import numpy as np

        value = self.onnx.helper.get_attribute_value(attribute)
        kind = {"value_int": np.int64, "value_ints": np.int64}.get(attribute.name, np.float32)
        if attribute.name.startswith(("value_int", "value_float")):
            array = np.array(value, dtype=kind)
            self.values[node.output[0]] = array
            self.types[node.output[0]] = self._tensor_type(
                7 if kind is np.int64 else 1, array.shape
            )

    def _infer(self, node: Any, domain: str) -> None:
        found: dict[str, Any] = {}
        schema = None
        problem = ""
        if all(name in self.types for name in node.input if name):
            with contextlib.suppress(Exception):  # a custom operator
                schema = self.onnx.defs.get_schema(
                    node.op_type, self.file.opsets.get(domain, 1), domain
                )
            if schema is not None:
                known = {
                    name: self.onnx.numpy_helper.from_array(self.values[name], name)
                    for name in node.input
                    if name in self.values
                }
                types = {name: self.types[name] for name in node.input if name}
                if node.op_type in _BODY_OPS:
                    types = dict(self.types)
                try:
                    found = self.onnx.shape_inference.infer_node_outputs(
                        schema, node, types, known, opset_imports=self._opsets
                    )
                except Exception as error:
                    problem = " ".join(str(error).split())
        if domain in DOMAINS or (schema is None and not domain):
            found = self._contrib(node, domain) or found
        for name in filter(None, node.output):
            kind = found.get(name)
            if kind is not None:
                self.types[name] = kind
            if self.tensor(name) is None and name in self.stated:
                self._take_stated(name)
            if self.tensor(name) is None and name in self.found:
                dtype, shape, value = self.found[name]
                self.types[name] = self._tensor_type(_CODES[dtype], shape)
                if value is not None:
                    self.values[name] = value
        self._check(node)
        if problem and any(name and self.tensor(name) is None for name in node.output):
            shapes = [
                "x".join(map(str, known.shape)) or "scalar"
                for known in (self.tensor(name) for name in node.input if name)
                if known is not None
            ]
            raise ModelFailedError(
                f"{self.file.path}: {node.op_type} {node.name or node.output[0]!r} cannot take "
                f"{' and '.join(shapes) or 'its inputs'}: {_short(problem)}; try another --input"
            )
        shaped = all(self.tensor(name) is not None for name in node.input if name)
        lost = [name for name in node.input if name in self.lost and shaped]
        if lost and any(name and self.tensor(name) is None for name in node.output):
            raise SourceError(
                f"{self.file.path}: the shape of {node.output[0]!r} depends on {lost[0]!r}, whose "
                f"values are in the missing file {self.file.missing[0]!r}; put it beside the model"
            )

    def _contrib(self, node: Any, domain: str) -> dict[str, Any]:
        """Types of the outputs of an operator that ONNX itself does not describe."""
        inputs = [self.tensor(name) if name else None for name in node.input]
        if any(name and known is None for name, known in zip(node.input, inputs, strict=True)):
            return {}
        step = self._finished(node, domain)
        self.unknown = {name: None for name in self.unknown if name not in node.output}
        try:
            found = contrib_shapes(step, self._plain_shapes)
        except (AssertionError, KeyError, IndexError, ValueError):  # not as its operator is used
            return {}
        names = zip(node.output, found or (), strict=False)
        return {
            name: self._tensor_type(_CODES.get(dtype, 1), shape)
            for name, (shape, dtype) in names
            if name
        }

    def _plain_shapes(
        self, op: str, shapes: Any, attributes: Mapping[str, Any]
    ) -> list[tuple[int, ...]]:
        """Shapes of the outputs of one of ONNX's own operators, from those of its inputs."""
        names = [f"i{index}" for index in range(len(shapes))]
        node = self.onnx.helper.make_node(op, names, ["o"], **attributes)
        types = {n: self._tensor_type(1, s) for n, s in zip(names, shapes, strict=True)}
        if op == "Where":
            types["i0"] = self._tensor_type(9, shapes[0])
        schema = self.onnx.defs.get_schema(op, 13, "")
        found = self.onnx.shape_inference.infer_node_outputs(
            schema, node, types, {}, opset_imports=[self.onnx.helper.make_opsetid("", 13)]
        )
        dims = found["o"].tensor_type.shape.dim
        return [tuple(int(size.dim_value) for size in dims)]

    def _check(self, node: Any) -> None:
        """Refuse what ONNX Runtime refuses and inference lets pass. Raises ModelFailedError."""
        label = node.name or (node.output[0] if node.output else "")
        where = f"{self.file.path}: {node.op_type} {label!r}"
        shapes = [self.tensor(name) for name in node.input if name]
        full = all(item is None or item.numel() for item in shapes)
        least = 1 if full and node.op_type in _WINDOWS else 0
        for known in (self.tensor(name) for name in node.output if name):
            if known is not None and any(size < least for size in known.shape):
                given = " and ".join(
                    "x".join(map(str, item.shape)) for item in shapes if item is not None
                )
                raise ModelFailedError(
                    f"{where} cannot take {given}: nothing would be left; try another --input"
                )
        for item in node.attribute:
            if item.name == "auto_pad" and item.s not in _PADDINGS:
                words = item.s.decode("utf-8", "replace")
                raise SourceError(f"{where} has the auto_pad {words!r}, which no operator knows")
        if node.op_type in ("Conv", "FusedConv") and not plain_domain(node.domain):
            self._check_convolution(node, where)
        if node.op_type in _SCALED and len(node.input) > 1:
            scale = self.values.get(node.input[1])
            if scale is not None and not bool((abs(scale.astype(float)) < float("inf")).all()):
                raise SourceError(f"{where} has a scale that is no number")

    def _check_convolution(self, node: Any, where: str) -> None:
        x, weight = (self.tensor(name) for name in node.input[:2])
        settings = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        if x is None or weight is None:
            return
        groups, kernel = int(settings.get("group", 1)), settings.get("kernel_shape")
        if len(x.shape) != len(weight.shape) or len(weight.shape) < 3:
            raise ModelFailedError(
                f"{where} has a map of rank {x.dim()}, a weight of {weight.dim()}"
            )
        if groups < 1 or weight.shape[0] % groups or weight.shape[1] * groups != x.shape[1]:
            raise ModelFailedError(
                f"{where} cannot take {x.shape[1]} channels with a weight of "
                f"{'x'.join(map(str, weight.shape))} in {groups} groups"
            )
        if kernel and tuple(kernel) != weight.shape[2:]:
            raise SourceError(
                f"{where} states the kernel {'x'.join(map(str, kernel))}, its weight has "
                f"{'x'.join(map(str, weight.shape[2:]))}"
            )

    def _take_stated(self, name: str) -> None:
        """Use the shape that the file states, its named dimensions bound."""
        kind = type(self.stated[name]).FromString(self.stated[name].SerializeToString())
        if kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
            for size in kind.tensor_type.shape.dim:
                if size.dim_param in self.bound.names and not size.HasField("dim_value"):
                    size.dim_value = self.bound.names[size.dim_param]
                elif size.HasField("dim_value") and size.dim_value < 0:
                    size.ClearField("dim_value")
            self.types[name] = kind

    def _evaluate(self, node: Any, domain: str) -> None:
        """Compute the small values that shapes may depend on."""
        import numpy as np

        if domain or node.op_type.startswith("Random") or node.op_type in ("If", *_BODY_OPS):
            return
        outputs = [self.tensor(name) for name in node.output if name]
        if any(out is None or out.numel() > SMALL_ELEMENTS for out in outputs):
            return
        if node.op_type in ("Shape", "Size"):
            source = self.tensor(node.input[0])
            if source is None:
                return
            if node.op_type == "Size":
                self.values[node.output[0]] = np.array(source.numel(), np.int64)
                return
            limits = {item.name: item.i for item in node.attribute}
            cut = source.shape[limits.get("start", 0) : limits.get("end")]
            self.values[node.output[0]] = np.array(cut, np.int64)
            return
        if node.op_type == "CastLike" and node.input[0] in self.values:  # only the type is asked
            kind = self.types[node.output[0]].tensor_type.elem_type
            wanted = self.onnx.helper.tensor_dtype_to_np_dtype(kind)
            self.values[node.output[0]] = self.values[node.input[0]].astype(wanted)
            self.made.add(node.output[0])
            return
        if not all(name in self.values for name in node.input if name):
            return
        if any(item.HasField("g") for item in node.attribute):
            return
        from onnx.reference import ReferenceEvaluator

        single = type(node).FromString(node.SerializeToString())
        try:
            made = ReferenceEvaluator(single, opsets=self.file.opsets).run(
                None, {name: self.values[name] for name in node.input if name}
            )
        except Exception:  # no reference implementation: the value stays unknown
            return
        for name, value in zip(node.output, made, strict=False):
            if name and isinstance(value, np.ndarray | np.generic):
                self.values[name] = np.asarray(value)
                self.made.add(name)


def _fix(kind: Any, shape: tuple[int, ...]) -> None:
    sizes = kind.tensor_type.shape
    del sizes.dim[:]
    for size in shape:
        sizes.dim.add().dim_value = size
    if not shape:
        sizes.SetInParent()


def _label(node: Any, tag: str) -> str:
    """What a node that holds a graph is called, the same in every round that runs it."""
    return str(node.name or next(iter(node.output), node.op_type)).removeprefix(tag)


def _renamed(node: Any, scope: dict[str, str], tag: str) -> Any:
    """A copy of a node whose tensors have the names that they have in this run."""
    copy = type(node).FromString(node.SerializeToString())
    copy.input[:] = [scope.get(name, name) for name in node.input]
    for name in node.output:
        if name:
            scope[name] = tag + name
    copy.output[:] = [scope[name] if name else "" for name in node.output]
    return copy


def _short(problem: str) -> str:
    """ONNX's own words without the chain of checks before them."""
    return problem.rsplit("]", 1)[-1].strip(" :") or problem


def _hands_on_truth(body: Any) -> bool:
    """Whether a loop's body gives the very condition that it was given."""
    if len(body.input) < 2 or not body.output:
        return False
    made = {node.output[0]: node for node in body.node if node.op_type == "Identity"}
    name = body.output[0].name
    while name in made:
        name = made.pop(name).input[0]
    return bool(name == body.input[1].name)
