"""Analytic cost: folds a plan into exact integers, without torch.

Promises: parameters, MACs, elementwise operations, activations and the peak of live activations
are equal, as integers, to what the built module holds and to a trace of it. The peak follows the
same Python lifetimes as the modules' forward methods in ``networks.modules``: a caller holds its
argument until the call returns, and a sequence drops a map as soon as the next one exists.
Refuses a node without a rule.

What is counted: a MAC is one multiplication with its addition in a convolution or linear layer,
biases apart; activations are the output elements of convolution and linear layers; elementwise
operations are output elements by kind, except pooling, which counts the elements it reads.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadprof.errors import InputShapeError
from gadprof.networks import plan as p
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page

Shape = tuple[Any, ...]
Counts = dict[str, Any]

PARAM_KINDS = ("convolution", "normalisation", "linear", "bias")
MAC_KINDS = ("convolution", "linear")


@dataclass(frozen=True)
class Cost(Tabular):
    """The exact cost of one forward pass at one input shape and batch size.

    ``params_by_kind``: convolution, normalisation, linear, bias. ``macs_by_kind``: convolution,
    linear. ``elementwise``: operations by kind. ``peak_activation_bytes`` includes the input and
    leaves weights out; ``weight_bytes`` are the parameters alone. Everything but parameters scales
    with the batch.
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


# floating-point operations per counted element of each elementwise kind, where that is not one:
# additions, multiplications, comparisons and transcendental functions alike
FLOPS_PER_ELEMENT: Mapping[str, int] = {
    "batch_norm": 2,
    "hardtanh": 2,
    "sigmoid": 3,
    "silu": 4,
    "hardswish": 5,
    "hardsigmoid": 4,
    "upsample": 0,
    "softmax": 5,
    "affine_grid_generator": 5,  # three multiplications and two additions a coordinate
}

# a correction where the operations of an element depend on more than its kind
FLOPS_BEYOND = "flops_beyond"


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


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding a node gives, per sample.

    ``outputs``: shapes without batch; ``aliases``: for each output the index of the input whose
    memory it is, or -1 when it is newly allocated; ``peak``: the most elements alive at once beyond
    the inputs; ``counts`` as in Row.
    """

    outputs: tuple[Shape, ...]
    aliases: tuple[int, ...]
    peak: Any
    counts: Counts


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
    folded = Folder().visit("", plan, (tuple(input_shape),))
    counts = folded.counts
    elements = size_of(input_shape) + folded.peak

    def pick(group: str) -> dict[str, Any]:
        start = len(group) + 1
        return {key[start:]: value for key, value in counts.items() if key.startswith(group + ".")}

    params = {kind: counts.get(f"params.{kind}", 0) for kind in PARAM_KINDS}
    return Cost(
        name=name,
        input=tuple(input_shape),
        batch=batch,
        params_by_kind=params,
        macs_by_kind={kind: counts.get(f"macs.{kind}", 0) * batch for kind in MAC_KINDS},
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
    folder.visit("", plan, (tuple(input_shape),))
    return tuple(folder.rows)


def size_of(shape: Shape) -> Any:
    """The number of elements of a shape."""
    total: Any = 1
    for size in shape:
        total = total * size
    return total


def larger(a: Any, b: Any) -> Any:
    """max for ints and for int64 arrays."""
    if type(a) is int and type(b) is int:
        return a if a >= b else b
    import numpy as np

    return np.maximum(a, b)


def add_counts(into: Counts, other: Counts) -> None:
    """Add one node's counts to a running total, in place."""
    known = into.get
    for key, value in other.items():
        into[key] = known(key, 0) + value


def without_params(counts: Counts) -> Counts:
    """Counts of a module that runs once more: work, and no parameters."""
    return {key: value for key, value in counts.items() if not key.startswith("params.")}


class Frame:
    """The live memory and counts of one forward method while it is folded.

    ``call`` folds a child; values are (shape, token) where a token stands for one allocation, and
    an allocation is alive while a value in ``keep`` has its token.
    """

    def __init__(self, folder: Folder, inputs: tuple[Shape, ...]) -> None:
        self.folder = folder
        self.counts: Counts = {}
        self.peak: Any = 0
        self.inputs = tuple(Value(shape, Token(0)) for shape in inputs)

    def call(
        self, name: str, node: p.Node, *values: Value, keep: tuple[Value, ...] = ()
    ) -> tuple[Value, ...]:
        """Fold a child on values while ``keep`` (and the values) are alive."""
        if len(values) == 1:
            value = values[0]
            folded = self.folder.visit(name, node, (value.shape,))
        else:
            folded = self.folder.visit(name, node, tuple([value.shape for value in values]))
        add_counts(self.counts, folded.counts)
        alive = live(*values, *keep) + folded.peak
        if type(alive) is not int or type(self.peak) is not int:
            self.peak = larger(self.peak, alive)
        elif alive > self.peak:
            self.peak = alive
        if len(folded.outputs) == 1:
            shape, alias = folded.outputs[0], folded.aliases[0]
            return (Value(shape, values[alias].token if alias >= 0 else Token(size_of(shape))),)
        made = []
        for shape, alias in zip(folded.outputs, folded.aliases, strict=True):
            token = values[alias].token if alias >= 0 else Token(size_of(shape))
            made.append(Value(shape, token))
        return tuple(made)

    def one(self, name: str, node: p.Node, value: Value, keep: tuple[Value, ...] = ()) -> Value:
        """Fold a child that maps one value to one."""
        return self.call(name, node, value, keep=keep)[0]

    def again(self, name: str, node: p.Node, value: Value, keep: tuple[Value, ...] = ()) -> Value:
        """Fold a child that ran before in this very place: its parameters are there already."""
        before, start = self.counts, len(self.folder.rows)
        self.counts = {}
        made = self.one(name, node, value, keep)
        add_counts(before, without_params(self.counts))
        self.counts = before
        rows = self.folder.rows
        rows[start:] = [
            dataclasses.replace(row, counts=without_params(row.counts)) for row in rows[start:]
        ]
        return made

    def new(self, shape: Shape, *alive: Value, counts: Counts | None = None) -> Value:
        """A newly allocated value made while ``alive`` values live."""
        value = Value(shape, Token(size_of(shape)))
        self.peak = larger(self.peak, live(*alive, value))
        if counts:
            add_counts(self.counts, counts)
        return value

    def done(self, *outputs: Value) -> Folded:
        """The result of the forward method."""
        tokens = [value.token for value in self.inputs]
        aliases = []
        for value in outputs:
            index = next((i for i, token in enumerate(tokens) if token is value.token), -1)
            aliases.append(index)
        return Folded(
            tuple(value.shape for value in outputs), tuple(aliases), self.peak, self.counts
        )


class Token:
    """One allocation, in elements; inputs belong to the caller and weigh nothing."""

    __slots__ = ("elements",)

    def __init__(self, elements: Any) -> None:
        self.elements = elements


class Value:
    """A map: its shape and the allocation that holds it."""

    __slots__ = ("shape", "token")

    def __init__(self, shape: Shape, token: Token) -> None:
        self.shape = shape
        self.token = token


def live(*values: Value) -> Any:
    """Elements alive through these values, each allocation once."""
    seen: list[Token] = []
    total: Any = 0
    for value in values:
        token = value.token
        elements = token.elements
        if type(elements) is int and elements == 0:
            continue
        for other in seen:
            if other is token:
                break
        else:
            seen.append(token)
            total = total + elements
    return total


class Folder:
    """Walks a plan; with ``record`` it keeps a Row for every place instead of memoising."""

    def __init__(self, *, record: bool = False) -> None:
        self.record = record
        self.rows: list[Row] = []
        self._path: list[str] = []
        self._memo: dict[tuple[int, tuple[Shape, ...]], Folded] = {}
        self._kept: list[p.Node] = []

    def visit(self, name: str, node: p.Node, shapes: tuple[Shape, ...]) -> Folded:
        """Fold a node on inputs of these shapes; ``name`` is what its parent calls it."""
        rule = RULES.get(type(node)) or _extended_rule(type(node))
        if self.record:
            return self._visit_recorded(name, node, shapes, rule)
        try:
            key = (id(node), shapes)
            known = self._memo.get(key)
        except TypeError:  # sizes that are arrays cannot be hashed
            return rule(node, shapes, self)
        if known is None:
            known = self._memo[key] = rule(node, shapes, self)
            self._kept.append(node)  # an id is unique only while its node lives
        return known

    def _visit_recorded(
        self, name: str, node: p.Node, shapes: tuple[Shape, ...], rule: Rule
    ) -> Folded:
        if name:
            self._path.append(name)
        position = len(self.rows)
        self.rows.append(Row("", "", 0, True, (), (), {}))
        folded = rule(node, shapes, self)
        self.rows[position] = Row(
            path=".".join(self._path),
            kind=kind_of(node),
            depth=len(self._path),
            leaf=len(self.rows) == position + 1,
            inputs=shapes,
            outputs=folded.outputs,
            counts=folded.counts,
        )
        if name:
            self._path.pop()
        return folded


# modules with rules of further nodes, in RULES of their own, loaded when one is first met
EXTENSIONS: tuple[str, ...] = (
    "gadprof.networks.blocks.unit_cost",
    "gadprof.networks.families.cost",
)


def _extended_rule(kind: type[p.Node]) -> Rule:
    """The rule of a node that this module does not know. Raises TypeError."""
    for name in EXTENSIONS:
        rule: Rule | None = importlib.import_module(name).RULES.get(kind)
        if rule is not None:
            return rule
    raise TypeError(f"no cost rule for {kind.__name__}")


def kind_of(node: p.Node) -> str:
    """The class name of the module that a node becomes."""
    return str(getattr(node, "kind", "") or type(node).__name__)


Rule = Callable[[Any, tuple[Shape, ...], Folder], Folded]


def fresh(shape: Shape, counts: Counts) -> Folded:
    """A leaf that allocates its one output."""
    return Folded((shape,), (-1,), size_of(shape), counts)


def in_place(shape: Shape, counts: Counts) -> Folded:
    """A leaf that writes into its input."""
    return Folded((shape,), (0,), 0, counts)


# --- leaves ---------------------------------------------------------------------------------------


def pair(value: Any) -> tuple[Any, Any]:
    """A size for height and for width."""
    return value if isinstance(value, tuple) else (value, value)


def _window(size: Any, k: int, stride: int, padding: int, dilation: int = 1) -> Any:
    return (size + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def _conv(node: p.Conv, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    _, height, width = shapes[0]
    kh, kw = pair(node.k)
    ph, pw = (kh // 2, kw // 2) if node.padding is None else pair(node.padding)
    shape = (
        node.c_out,
        _window(height, kh, node.stride, ph, node.dilation),
        _window(width, kw, node.stride, pw, node.dilation),
    )
    return _layer("convolution", node.c_in * node.c_out * kh * kw // node.groups, shape, node.bias)


def _layer(kind: str, weights: Any, shape: Shape, bias: bool) -> Folded:
    """A convolution whose every weight is used once at each output position."""
    positions = shape[1] * shape[2]
    counts = {
        f"params.{kind}": weights,
        f"macs.{kind}": weights * positions,
        "activations": shape[0] * positions,
    }
    if bias:
        counts["params.bias"] = shape[0]
        counts["bias_adds"] = shape[0] * positions
    return fresh(shape, counts)


def _conv_transpose(node: p.ConvTranspose, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    _, height, width = shapes[0]

    def grown(size: Any) -> Any:
        return (size - 1) * node.stride - 2 * node.padding + node.k + node.output_padding

    shape = (node.c_out, grown(height), grown(width))
    weights = node.c_in * node.c_out * node.k * node.k // node.groups
    # each weight meets each *input* position once
    counts = {
        "params.convolution": weights,
        "macs.convolution": weights * height * width,
        "activations": size_of(shape),
    }
    if node.bias:
        counts["params.bias"] = node.c_out
        counts["bias_adds"] = size_of(shape)
    return fresh(shape, counts)


def _batch_norm(node: p.BatchNorm, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    shape = shapes[0]
    return fresh(
        shape, {"params.normalisation": 2 * node.c, "elementwise.batch_norm": size_of(shape)}
    )


def _linear(node: p.Linear, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    shape = (*shapes[0][:-1], node.c_out)
    rows = size_of(shapes[0][:-1])
    weights = node.c_in * node.c_out
    counts = {
        "params.linear": weights,
        "macs.linear": weights * rows,
        "activations": size_of(shape),
    }
    if node.bias:
        counts["params.bias"] = node.c_out
        counts["bias_adds"] = size_of(shape)
    return fresh(shape, counts)


def _activation(node: p.Activation, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    # torch runs ReLU6 as the clamp that it is
    kind = "hardtanh" if node.kind == "relu6" else node.kind
    counts = {f"elementwise.{kind}": size_of(shapes[0])}
    return in_place(shapes[0], counts) if node.inplace else fresh(shapes[0], counts)


def _pool(node: p.MaxPool | p.AvgPool, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    c, height, width = shapes[0]
    average = isinstance(node, p.AvgPool)
    more = node.stride - 1 if isinstance(node, p.AvgPool) and node.ceil else 0
    shape = (
        c,
        _window(height + more, node.k, node.stride, node.padding),
        _window(width + more, node.k, node.stride, node.padding),
    )
    work = size_of(shape) * (node.k * node.k - (0 if average else 1))
    read = size_of(shapes[0])
    return fresh(shape, {"elementwise.pool": read, FLOPS_BEYOND: work - read})


def _global_pool(node: p.GlobalPool, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    return fresh((shapes[0][0], 1, 1), {"elementwise.pool": size_of(shapes[0])})


def _flatten(node: p.Flatten, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    return in_place((size_of(shapes[0]),), {})


BILINEAR_FLOPS = 7  # four multiplications and three additions an output element


def _upsample(node: p.Upsample, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    c, height, width = shapes[0]
    shape = (c, height * node.scale, width * node.scale)
    beyond = 0 if node.mode == "nearest" else BILINEAR_FLOPS * size_of(shape)
    return fresh(shape, {"elementwise.upsample": size_of(shape), FLOPS_BEYOND: beyond})


def _identity(node: p.Identity, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    return in_place(shapes[0], {})


# --- combinators ----------------------------------------------------------------------------------

RELU = p.Activation("relu", inplace=True)


def _sequence(node: p.Sequence, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    values = frame.inputs
    for index, item in enumerate(node.items):
        name = node.names[index] if node.names else str(index)
        values = frame.call(name, item, *values)
    return frame.done(*values)


def add(frame: Frame, a: Value, b: Value, *alive: Value) -> Value:
    """a + b as a new map. Raises InputShapeError when their sizes differ."""
    check_same(a.shape, b.shape)
    return frame.new(a.shape, a, b, *alive, counts={"elementwise.add": size_of(a.shape)})


def check_same(a: Shape, b: Shape) -> None:
    """Refuse to add two maps of different sizes; arrays are taken on trust."""
    if all(isinstance(size, int) for size in (*a, *b)) and a != b:
        raise InputShapeError(
            f"maps of {'x'.join(map(str, a))} and {'x'.join(map(str, b))} meet in a sum; "
            "the input size does not divide, try a multiple of 32"
        )


def _chain(frame: Frame, value: Value, *steps: tuple[str, p.Node | None]) -> Value:
    x = frame.inputs[0]
    for name, child in steps:
        if child is not None:
            value = frame.one(name, child, value, keep=(x,))
    return value


def _basic_block(node: p.BasicBlock, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = _chain(
        frame, x, ("conv1", node.conv1), ("bn1", node.bn1), ("relu", RELU),
        ("conv2", node.conv2), ("bn2", node.bn2),
    )  # fmt: skip
    return _residual_end(frame, x, y, node.downsample)


def _residual_end(frame: Frame, x: Value, y: Value, downsample: p.Node | None) -> Folded:
    shortcut = x if downsample is None else frame.one("downsample", downsample, x, keep=(y,))
    z = add(frame, y, shortcut, x)
    return frame.done(frame.one("relu", RELU, z, keep=(y, shortcut)))


def _bottleneck(node: p.Bottleneck, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = _chain(
        frame, x, ("conv1", node.conv1), ("bn1", node.bn1), ("relu", RELU),
        ("conv2", node.conv2), ("bn2", node.bn2), ("relu", RELU),
        ("conv3", node.conv3), ("bn3", node.bn3),
    )  # fmt: skip
    return _residual_end(frame, x, y, node.downsample)


def residual(node: p.Residual, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    """The rule of every node that is a Residual."""
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = frame.one("body", node.body, x)
    shortcut = x if node.shortcut is None else frame.one("shortcut", node.shortcut, x, keep=(y,))
    z = add(frame, y, shortcut, x)
    if node.activation is not None:
        z = frame.one("activation", node.activation, z, keep=(y, shortcut))
    return frame.done(z)


def concat(frame: Frame, values: tuple[Value, ...], *alive: Value) -> Value:
    """The channel concatenation of several maps as a new map; no arithmetic."""
    channels = values[0].shape[0]
    for value in values[1:]:
        check_same(values[0].shape[1:], value.shape[1:])
        channels = channels + value.shape[0]
    return frame.new((channels, *values[0].shape[1:]), *values, *alive)


def _concat(node: p.Concat, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    made: tuple[Value, ...] = ()
    for index, path in enumerate(node.paths):
        made = (*made, frame.one(f"paths.{index}", path, x, keep=made))
    return frame.done(concat(frame, made, x))


def _se_block(node: p.SEBlock, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    w = frame.one("pool", p.GlobalPool(), x)
    w = Value((node.c,), w.token)
    w = frame.one("fc1", p.Linear(node.c, node.hidden, node.bias), w)
    w = frame.one("relu", RELU, w)
    w = frame.one("fc2", p.Linear(node.hidden, node.c, node.bias), w)
    w = frame.one("sigmoid", p.Activation("sigmoid", inplace=False), w)
    return frame.done(frame.new(x.shape, x, w, counts={"elementwise.mul": size_of(x.shape)}))


def _cheap(node: p.CheapOperation, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    rounds = node.g // node.c
    rest = node.g - rounds * node.c
    if isinstance(rounds, int):
        parts: tuple[Value, ...] = ()
        if rounds:
            full = p.Conv(node.c, node.c * rounds, node.d, node.stride, groups=node.c)
            parts = (frame.one("full", full, x),)
        if rest:
            some = p.Conv(rest, rest, node.d, node.stride, groups=rest)
            first = Value((rest, *x.shape[1:]), x.token)
            parts = (*parts, frame.one("rest", some, first, keep=parts))
        y = parts[0] if len(parts) == 1 else concat(frame, parts)
    else:  # in a sweep both parts are one depthwise convolution with g filters
        y = frame.one("full", p.Conv(node.g, node.g, node.d, node.stride, groups=node.g), x)
    y = frame.one("bn", p.BatchNorm(node.g), y)
    if node.activation:
        y = frame.one("relu", RELU, y)
    return frame.done(y)


def _ghost_module(node: p.GhostModule, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    y = frame.one("primary", node.primary, frame.inputs[0])
    if node.cheap is None:
        return frame.done(y)
    g = frame.one("cheap", node.cheap, y)
    return frame.done(concat(frame, (y, g)))


def _ga_block(node: p.GaBlock, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = frame.one("primary", node.primary, x)
    if node.cheap is not None:
        attended = y
        if node.attention is not None:
            attended = frame.one("attention", node.attention, y)
        g = frame.one("cheap", node.cheap, attended, keep=(y,))
        y = concat(frame, (y, g))
    return frame.done(add(frame, y, x) if node.shortcut else y)


def _gd_block(node: p.GdBlock, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = frame.one("primary", node.primary, x)
    if node.cheap is None:
        return frame.done(y)
    g = frame.one("cheap", node.cheap, x, keep=(y,))
    if node.attention is not None:
        g = frame.one("attention", node.attention, g, keep=(y,))
    return frame.done(concat(frame, (y, g)))


def _ghost_block(node: p.GhostBlock, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = _chain(frame, x, ("ghost1", node.ghost1), ("ghost2", node.ghost2))
    return _residual_end(frame, x, y, None)


# --- several resolutions --------------------------------------------------------------------------


def _transition(node: p.Transition, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    made: tuple[Value, ...] = ()
    for index, item in enumerate(node.items):
        source = frame.inputs[min(index, len(shapes) - 1)]
        made = (*made, frame.one(str(index), item, source, keep=made))
    return frame.done(*made)


def _high_resolution_module(
    node: p.HighResolutionModule, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    maps: tuple[Value, ...] = ()
    for index, branch in enumerate(node.branches):
        maps = (*maps, frame.one(f"branches.{index}", branch, frame.inputs[index], keep=maps))
    made: tuple[Value, ...] = ()
    for i, row in enumerate(node.rows):
        y = frame.one(f"fuse_layers.{i}.0", row[0], maps[0], keep=(*maps, *made))
        for j, layer in enumerate(row[1:], start=1):
            term = frame.one(f"fuse_layers.{i}.{j}", layer, maps[j], keep=(*maps, *made, y))
            y = add(frame, y, term, *maps, *made)
        relu = RELU if len(row) > 1 else p.Activation("relu", inplace=False)
        y = frame.one("relu", relu, y, keep=(*maps, *made))
        made = (*made, y)
    return frame.done(*made)


def _high_resolution_net(
    node: p.HighResolutionNet, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    y = _chain(
        frame, frame.inputs[0], ("conv1", node.conv1), ("bn1", node.bn1), ("relu", RELU),
        ("conv2", node.conv2), ("bn2", node.bn2), ("relu", RELU), ("layer1", node.layer1),
    )  # fmt: skip
    values: tuple[Value, ...] = (y,)
    for name in ("transition1", "stage2", "transition2", "stage3", "transition3", "stage4"):
        values = frame.call(name, getattr(node, name), *values)
    return frame.done(frame.one("final_layer", node.final_layer, values[0], keep=values))


RULES: dict[type[p.Node], Rule] = {
    p.Conv: _conv,
    p.ConvTranspose: _conv_transpose,
    p.BatchNorm: _batch_norm,
    p.Linear: _linear,
    p.Activation: _activation,
    p.MaxPool: _pool,
    p.AvgPool: _pool,
    p.GlobalPool: _global_pool,
    p.Flatten: _flatten,
    p.Upsample: _upsample,
    p.Identity: _identity,
    p.Sequence: _sequence,
    p.Residual: residual,
    p.Concat: _concat,
    p.BasicBlock: _basic_block,
    p.Bottleneck: _bottleneck,
    p.SEBlock: _se_block,
    p.CheapOperation: _cheap,
    p.GhostModule: _ghost_module,
    p.GaBlock: _ga_block,
    p.GdBlock: _gd_block,
    p.GhostBlock: _ghost_block,
    p.Transition: _transition,
    p.HighResolutionModule: _high_resolution_module,
    p.HighResolutionNet: _high_resolution_net,
}


def fields_of(cost: Cost) -> dict[str, Any]:
    """A cost as plain values, with its totals."""
    plain = {field.name: getattr(cost, field.name) for field in dataclasses.fields(cost)}
    return {**plain, "params": cost.params, "macs": cost.macs, "flops": cost.flops}
