"""Analytic cost: reads a plan into exact integers, without torch.

Promises: parameters, MACs, elementwise operations, activations and the peak of live activations
are equal, as integers, to what the built module holds and to a trace of it. The blocks' own
``forward`` methods run on maps that are not there, so that the peak follows the very lifetimes
that Python gives the module's maps; what a node costs at a shape is worked out once.
Refuses a node without a forward.

What is counted: a MAC is one multiplication with its addition in a convolution, linear layer or
matrix product, biases apart; activations are the output elements of these; elementwise operations
are output elements by kind, except pooling and reductions, which count the elements they read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from gadprof.counting.trace.lifetimes import collector_paused
from gadprof.errors import InputShapeError
from gadprof.networks import plan as p
from gadprof.networks.layers import (
    FLOPS_BEYOND,
    FLOPS_PER_ELEMENT,
    Counts,
    Layer,
    adaptive_counts,
    upsample_counts,
)
from gadprof.networks.maps import Map, Shape, size_of
from gadprof.networks.node import Descriptions, kind_of, methods_of
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page

PARAM_KINDS = ("convolution", "normalisation", "linear", "bias")
MAC_KINDS = ("convolution", "linear")


@dataclass(frozen=True)
class Cost(Tabular):
    """The exact cost of one forward pass at one input shape and batch size.

    ``params_by_kind``: convolution, normalisation, linear, bias. ``macs_by_kind``: convolution,
    linear, and matmul where maps are multiplied. ``elementwise``: operations by kind.
    ``peak_activation_bytes`` includes the input and leaves weights out; ``weight_bytes`` are the
    parameters alone. Everything but parameters scales with the batch.
    """

    name: str
    input: tuple[int, ...]
    batch: int
    params_by_kind: Mapping[str, Any]
    macs_by_kind: Mapping[str, Any]
    elementwise: Mapping[str, Any]
    elementwise_flops: Any
    activations: Any
    bias_adds: Any
    peak_activation_bytes: Any
    weight_bytes: Any

    def page(self) -> Page:
        """One row of the six figures."""
        from gadprof.results.figures_page import figures_page

        return figures_page(self)

    @property
    def params(self) -> Any:
        """All parameters."""
        return sum(self.params_by_kind.values())

    @property
    def macs(self) -> Any:
        """All multiply-accumulates, of convolution and linear layers."""
        return sum(self.macs_by_kind.values())

    @property
    def flops(self) -> Any:
        """Floating-point operations: two a MAC, and every elementwise operation."""
        return 2 * self.macs + self.bias_adds + self.elementwise_flops


def elementwise_flops(counts: Mapping[str, Any]) -> Any:
    """Floating-point operations of everything elementwise in the counts of a row."""
    start = len("elementwise.")
    return counts.get(FLOPS_BEYOND, 0) + sum(
        FLOPS_PER_ELEMENT.get(key[start:], 1) * value
        for key, value in counts.items()
        if key.startswith("elementwise.")
    )


@dataclass(frozen=True)
class Row:
    """The cost of one node at one place: its path in the built module, its maps, its own counts.

    ``counts`` are the node's with everything below it; keys are ``params.KIND``, ``macs.KIND``,
    ``elementwise.KIND``, ``activations`` and ``bias_adds``. ``leaf`` rows add up to the total.
    """

    path: str
    kind: str
    depth: int
    leaf: bool
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    counts: Counts


class Folded(NamedTuple):
    """What a node gives at one input shape, per sample.

    ``made``: for each output its shape with a batch of one, the index of the input whose memory it
    is (-1 for new memory) and the elements of new memory; ``peak``: the most elements alive at
    once beyond the inputs; ``counts`` as in Row; ``listed``: a list of maps.
    """

    made: tuple[tuple[Shape, int, Any], ...]
    peak: Any
    counts: Counts
    listed: bool = False

    @property
    def outputs(self) -> tuple[Shape, ...]:
        """Output shapes without the batch."""
        return tuple([shape[1:] for shape, _, _ in self.made])


def cost_of(
    plan: p.Node,
    input_shape: tuple[int, ...],
    *,
    name: str = "",
    batch: int = 1,
    bytes_per_element: int = 4,
) -> Cost:
    """Cost a plan at an input shape (channels, height, width).

    Raises InputShapeError when two maps that meet have different sizes; TypeError for a node
    without a rule.
    """
    with collector_paused():
        folded = Folder().visit("", plan, (tuple(input_shape),))
    counts = folded.counts
    elements = size_of(input_shape) + folded.peak

    def pick(group: str) -> dict[str, Any]:
        start = len(group) + 1
        return {key[start:]: value for key, value in counts.items() if key.startswith(group + ".")}

    params = {kind: counts.get(f"params.{kind}", 0) for kind in PARAM_KINDS}
    macs = {**dict.fromkeys(MAC_KINDS, 0), **pick("macs")}
    return Cost(
        name=name,
        input=tuple(input_shape),
        batch=batch,
        params_by_kind=params,
        macs_by_kind={kind: count * batch for kind, count in macs.items()},
        elementwise={kind: value * batch for kind, value in sorted(pick("elementwise").items())},
        elementwise_flops=elementwise_flops(counts) * batch,
        activations=counts.get("activations", 0) * batch,
        bias_adds=counts.get("bias_adds", 0) * batch,
        peak_activation_bytes=elements * batch * bytes_per_element,
        weight_bytes=sum(params.values()) * bytes_per_element,
    )


def breakdown(plan: p.Node, input_shape: tuple[int, ...]) -> tuple[Row, ...]:
    """Every node of a plan at its place, parents before children, in the order of execution."""
    folder = Folder(record=True)
    with collector_paused():
        folder.visit("", plan, (tuple(input_shape),))
    return tuple(folder.rows)


def larger(a: Any, b: Any) -> Any:
    """max for ints and for int64 arrays."""
    if type(a) is int and type(b) is int:
        return a if a >= b else b
    import numpy as np

    return np.maximum(a, b)


def add_counts(into: Counts, other: Counts) -> None:
    """Add one node's counts to a running total, in place."""
    for key, value in other.items():
        into[key] = into[key] + value if key in into else value


def without_params(counts: Counts) -> Counts:
    """Counts of a module that runs once more: work, and no parameters."""
    return {key: value for key, value in counts.items() if not key.startswith("params.")}


class Memory:
    """One allocation, in elements, alive while a map refers to it."""

    __slots__ = ("elements", "frame")
    index = -1

    def __init__(self, frame: Frame, elements: Any) -> None:
        self.frame = frame
        self.elements = elements
        frame.live = frame.live + elements

    def __del__(self) -> None:
        self.frame.live = self.frame.live - self.elements


class Input:
    """The memory of the input of that index, which belongs to the caller and weighs nothing."""

    __slots__ = ("index",)
    elements = 0

    def __init__(self, index: int) -> None:
        self.index = index


class Frame:
    """One run of a forward method: what it has counted, and how much is alive."""

    __slots__ = ("counts", "folder", "live", "peak")

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.counts: Counts = {}
        self.live: Any = 0
        self.peak: Any = 0

    def new(self, shape: Shape) -> Map:
        """A newly allocated map."""
        memory = Memory(self, size_of(shape))
        live = self.live
        if type(live) is not int or type(self.peak) is not int:
            self.peak = larger(self.peak, live)
        elif live > self.peak:
            self.peak = live
        return Map(self, shape, memory)

    def note(
        self, name: str, overload: str, key: Any, args: Any, ins: Sequence[Map], out: Map
    ) -> Map:
        """Count an operation. Raises TypeError for one without a rule."""
        if name not in WORK:
            raise TypeError(f"no cost rule for {name}")
        rule = WORK[name]
        if rule is not None:
            add_counts(self.counts, rule(ins[0].shape, out.shape))
        return out

    def refuse(self, a: Shape, b: Shape) -> Exception:
        """Two maps of different sizes, without the batch."""
        return InputShapeError(
            f"maps of {'x'.join(map(str, a[1:]))} and {'x'.join(map(str, b[1:]))} meet in a sum; "
            "the input size does not divide, try a multiple of 32"
        )


# what an operation between layers counts, from its first input's shape and its output's
WORK: Mapping[str, Callable[[Shape, Shape], Counts] | None] = {
    "aten.add": lambda x, out: {"elementwise.add": size_of(out)},
    "aten.mul": lambda x, out: {"elementwise.mul": size_of(out)},
    "aten.matmul": lambda x, out: {
        "macs.matmul": size_of(out) * x[-1],
        "activations": size_of(out),
    },
    "aten.sum": lambda x, out: _reduction("sum", size_of(x), size_of(out)),
    "aten.amax": lambda x, out: _reduction("amax", size_of(x), size_of(out)),
    "aten.mean": lambda x, out: {"elementwise.mean": size_of(x)},
    "aten.softmax": lambda x, out: {"elementwise.softmax": size_of(x)},
    "aten.upsample_nearest2d": lambda x, out: upsample_counts(out, "nearest"),
    "aten.upsample_bilinear2d": lambda x, out: upsample_counts(out, "bilinear"),
    "aten.adaptive_avg_pool2d": adaptive_counts,
    "aten.affine_grid_generator": lambda x, out: {
        "elementwise.affine_grid_generator": size_of(out)
    },
    "aten.grid_sampler": lambda x, out: upsample_counts(out, "bilinear"),
    **dict.fromkeys(
        ("aten.cat", "aten.stack", "aten.view", "aten._unsafe_view", "aten.clone", "aten.alias",
         "aten.slice", "aten.select", "aten.transpose", "aten.unsqueeze")
    ),
}  # fmt: skip


def _reduction(kind: str, read: Any, made: Any) -> Counts:
    """n elements are n - 1 additions or comparisons."""
    return {f"elementwise.{kind}": read, FLOPS_BEYOND: -made}


class Place:
    """A child at its place in a running forward: calling it adds its cost to the frame."""

    __slots__ = ("frame", "name", "node", "ran")

    def __init__(self, frame: Frame, name: str, node: p.Node) -> None:
        self.frame = frame
        self.name = name
        self.node = node
        self.ran = False

    def __call__(self, given: Any) -> Any:
        frame = self.frame
        if type(given) is Map:
            maps = (given,)
            shapes: tuple[Shape, ...] = (given.shape,)
        else:
            maps = given
            shapes = tuple([item.shape for item in given])
        listed = maps is given
        folder, node = frame.folder, self.node
        try:
            folded = folder.known.get((id(node), shapes))
        except TypeError:  # sizes that are arrays cannot be hashed
            folded = None
        if folded is None:
            folded = folder.fold(self.name, node, shapes, listed=listed, again=self.ran)
        # the parameters of a module that runs twice are there once
        add_counts(frame.counts, without_params(folded.counts) if self.ran else folded.counts)
        self.ran = True
        frame.peak = larger(frame.peak, frame.live + folded.peak)
        if folded.listed:
            return [
                Map(frame, shape, Memory(frame, held) if index < 0 else maps[index].memory)
                for shape, index, held in folded.made
            ]
        shape, index, held = folded.made[0]
        return Map(frame, shape, Memory(frame, held) if index < 0 else maps[index].memory)


class LayerPlace(Place):
    """A layer at its place, where no rows are kept: cheaper to work out than to remember."""

    __slots__ = ()

    def __call__(self, given: Any) -> Any:
        frame, node, shape = self.frame, self.node, given.shape
        out = node.output(shape)  # type: ignore[attr-defined]
        counts = node.counts(shape, out)  # type: ignore[attr-defined]
        add_counts(frame.counts, without_params(counts) if self.ran else counts)
        self.ran = True
        if node.reuses():  # type: ignore[attr-defined]
            return Map(frame, out, given.memory)
        return frame.new(out)


class CostedBlock:
    """What a block is while its forward runs: children to call, and plain settings."""

    def __init__(self, frame: Frame, node: p.Node) -> None:
        folder = frame.folder
        _, children, settings = folder.descriptions.of(node)
        own = self.__dict__
        own.update(settings)
        layer = Place if folder.record else LayerPlace
        for name, child in children.items():
            if isinstance(child, Layer):
                own[name] = layer(frame, name, child)
            else:
                own[name] = _placed(frame, name, child)
        self._names = children

    def __iter__(self) -> Iterator[Any]:
        return map(self.__dict__.__getitem__, self._names)

    def __len__(self) -> int:
        return len(self._names)


def _placed(frame: Frame, name: str, child: Any) -> Any:
    if isinstance(child, tuple):
        return [_placed(frame, f"{name}.{index}", item) for index, item in enumerate(child)]
    return None if child is None else Place(frame, name, child)


@cache
def _part_class(kind: Any) -> type[CostedBlock]:
    """Raises TypeError for a node without a forward."""
    methods = dict(methods_of(kind))
    if "forward" not in methods:
        raise TypeError(f"no cost rule for {kind.__name__}")
    return type(kind.__name__, (CostedBlock,), methods)


class Folder:
    """Reads nodes at input shapes; with ``record`` it keeps a Row for every place instead of
    remembering what a node gave."""

    def __init__(self, *, record: bool = False) -> None:
        self.record = record
        self.rows: list[Row] = []
        self.descriptions = Descriptions()
        self._path: list[str] = []
        self._prefix = ""
        self.known: dict[tuple[int, tuple[Shape, ...]], Folded] = {}
        self._rows: dict[tuple[int, tuple[Shape, ...]], tuple[Folded, list[Row]]] = {}
        self._kept: list[p.Node] = []

    def visit(self, name: str, node: p.Node, shapes: tuple[Shape, ...]) -> Folded:
        """Read a node on inputs of these shapes, without the batch."""
        given = tuple([(1, *shape) for shape in shapes])
        return self.fold(name, node, given, listed=len(given) > 1 or node.several)

    def fold(
        self,
        name: str,
        node: p.Node,
        shapes: tuple[Shape, ...],
        *,
        listed: bool,
        again: bool = False,
    ) -> Folded:
        """Read a node on a map, or a list of maps, with a batch of one.

        ``name`` is what its parent calls it, ``again`` that it ran before in this very place.
        """
        if self.record:
            return self._recorded(name, node, shapes, listed=listed, again=again)
        folded = self._run(node, shapes, listed=listed)
        with contextlib.suppress(TypeError):  # sizes that are arrays cannot be hashed
            self.known[id(node), shapes] = folded
            self._kept.append(node)  # an id is unique only while its node lives
        return folded

    def _run(self, node: p.Node, shapes: tuple[Shape, ...], *, listed: bool) -> Folded:
        if isinstance(node, Layer):
            shape = shapes[0]
            out = node.output(shape)
            counts = node.counts(shape, out)
            if node.reuses():
                return Folded(((out, 0, 0),), 0, counts)
            held = size_of(out)
            return Folded(((out, -1, held),), held, counts)
        frame = Frame(self)
        kind: Any = type(node)
        part: Any = _part_class(kind)(frame, node)
        given = [Map(frame, shape, Input(index)) for index, shape in enumerate(shapes)]
        output = part.forward(given if listed else given[0])
        if type(output) is Map:
            memory = output.memory
            gives: Any = ((output.shape, memory.index, memory.elements),)
            return Folded(gives, frame.peak, frame.counts)
        gives = tuple([(made.shape, made.memory.index, made.memory.elements) for made in output])
        return Folded(gives, frame.peak, frame.counts, listed=True)

    def _recorded(
        self,
        name: str,
        node: p.Node,
        shapes: tuple[Shape, ...],
        *,
        listed: bool,
        again: bool,
    ) -> Folded:
        prefix, name = self._prefix, self._prefix + name
        if node.inner:
            self._prefix = f"{name}."
            folded = self._run(node, shapes, listed=listed)
            self._prefix = prefix
            return folded
        self._prefix = ""
        if name:
            self._path.append(name)
        path, depth = ".".join(self._path), len(self._path)
        folded, rows = self._below(node, shapes, listed=listed)
        for row in rows:
            self.rows.append(
                Row(
                    f"{path}.{row.path}" if path and row.path else path or row.path,
                    row.kind,
                    depth + row.depth,
                    row.leaf,
                    row.inputs,
                    row.outputs,
                    without_params(row.counts) if again else row.counts,
                )
            )
        if name:
            self._path.pop()
        self._prefix = prefix
        return folded

    def _below(
        self, node: p.Node, shapes: tuple[Shape, ...], *, listed: bool
    ) -> tuple[Folded, list[Row]]:
        """What a node gives, and its rows with paths and depths that start at the node."""
        known = self._rows.get((id(node), shapes))
        if known is None:
            outer, self.rows, self._path, path = self.rows, [], [], self._path
            folded = self._run(node, shapes, listed=listed)
            own = Row(
                path="",
                kind=kind_of(node),
                depth=0,
                leaf=not self.rows,
                inputs=tuple([shape[1:] for shape in shapes]),
                outputs=folded.outputs,
                counts=folded.counts,
            )
            known = self._rows[id(node), shapes] = (folded, [own, *self.rows])
            self._kept.append(node)
            self.rows, self._path = outer, path
        return known
