"""The trace of a built-in network from its plan: the records of a run, without the run and torch.

``count_plan`` promises the very trace that ``counting.trace.count`` makes of the built module:
every operation with its storages, every module, and the live memory after each operation. The
parts below repeat the children and the lifetimes of the modules in ``networks.modules``; a change
there is a change here. It answers None where a part has no such form yet, and where maps that meet
do not fit: the module itself then says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from gadprof.counting.records import ModuleRecord, Trace
from gadprof.counting.rules.registry import is_added, rule_for
from gadprof.counting.trace.lifetimes import Level, Storage, collector_paused, contiguous_strides
from gadprof.counting.trace.recorder import Frame, Recorder, Template, make_template
from gadprof.networks import plan as p
from gadprof.networks.cost import pair
from gadprof.networks.spec import ModelSpec, plan_of

FLOAT_BYTES = 4
_TRACKED_BYTES = 8  # the batches that a normalisation has seen, an int64


class NoPlanError(Exception):
    """Something that only a run of the module can answer."""


class Map:
    """A float32 tensor that is not there: what rules ask of one, and the storage behind it."""

    __slots__ = ("shape", "storage", "strides")

    dtype = "torch.float32"

    def __init__(
        self, shape: tuple[int, ...], storage: Any, strides: tuple[int, ...] | None = None
    ) -> None:
        self.shape = shape
        self.storage = storage
        self.strides = contiguous_strides(shape) if strides is None else strides

    def dim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return prod(self.shape)

    def element_size(self) -> int:
        return FLOAT_BYTES

    def stride(self) -> tuple[int, ...]:
        return self.strides

    def is_floating_point(self) -> bool:
        return True

    def is_complex(self) -> bool:
        return False


class Owned:
    """The storage of a parameter or buffer: a negative number, and no life to follow."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


class Part:
    """One module: its class name, children, tensors and plain settings in the order of torch's.

    A child that is None is registered and absent. ``forward`` is called with the run, the part and
    the call's maps.
    """

    __slots__ = ("buffers", "children", "forward", "frame", "kind", "settings", "weights")

    def __init__(
        self,
        kind: str,
        forward: Callable[..., Any],
        children: Mapping[str, Part | None] | None = None,
        weights: Mapping[str, Map] | None = None,
        buffers: Mapping[str, Map] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.forward = forward
        self.children = dict(children or {})
        self.weights = dict(weights or {})
        self.buffers = dict(buffers or {})
        self.settings = {"training": False, **(settings or {})}
        self.frame = Frame("", kind)


class Run:
    """One forward pass over parts: calls them, makes maps, emits events."""

    def __init__(self, root: Part) -> None:
        self.recorder = Recorder(root.frame)
        self.level = Level(0, 0, 1)
        self.templates: dict[Any, Template] = {}

    def new(self, shape: tuple[int, ...]) -> Map:
        """A new map; its memory is alive from now on."""
        if min(shape) < 1:
            raise NoPlanError("an empty map")
        return Map(shape, Storage(self.level, FLOAT_BYTES * prod(shape)))

    def call(self, part: Part, *args: Any) -> Any:
        """Run one part as ``nn.Module.__call__`` would."""
        recorder, frame = self.recorder, part.frame
        outer, outer_call = recorder.frame, recorder.call
        recorder.frame, recorder.call = frame, frame.calls
        frame.calls += 1
        output = part.forward(self, part, *args)
        recorder.frame, recorder.call = outer, outer_call
        frame.input_shapes.append(_shapes(args))
        frame.output_shapes.append(_shapes((output,)))
        return output

    def emit(
        self, name: str, overload: str, key: Any, args: Sequence[Any], ins: Sequence[Map], out: Map
    ) -> Map:
        """Record one operation; equal ``key`` and shapes share one template."""
        known = (name, key, *[(item.shape, item.strides) for item in ins])
        template = self.templates.get(known)
        if template is None:
            if is_added(name) or is_added(f"{name}_"):
                raise NoPlanError("a rule of the user's, which may read anything")
            rule = rule_for(name)
            assert rule is not None, name
            work = rule(args, {}, [out])
            template = self.templates[known] = make_template(name, overload, work, ins, [out])
        recorder = self.recorder
        recorder.events.append(
            (
                template,
                recorder.frame,
                recorder.call,
                tuple([item.storage.number for item in ins]),
                (out.storage.number,),
                "forward",
            )
        )
        recorder.live_after.append(self.level.live)
        return out

    def child(self, part: Part, name: str, *args: Any) -> Any:
        """Run a child that is there."""
        found = part.children[name]
        assert found is not None
        return self.call(found, *args)

    def add(self, left: Map, right: Map) -> Map:
        """left + right, of one shape."""
        if left.shape != right.shape:
            raise NoPlanError("maps of different sizes meet")
        out = self.new(left.shape)
        return self.emit("aten.add", "Tensor", None, (left, right), (left, right), out)

    def cat(self, maps: Sequence[Map]) -> Map:
        """torch.cat(maps, 1)."""
        first = maps[0].shape
        if any(item.shape[2:] != first[2:] for item in maps):
            raise NoPlanError("maps of different sizes meet")
        out = self.new((first[0], sum(item.shape[1] for item in maps), *first[2:]))
        return self.emit("aten.cat", "default", None, (list(maps), 1), maps, out)

    def view(
        self,
        name: str,
        x: Map,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        overload: str = "default",
    ) -> Map:
        """A view of a map's memory."""
        return self.emit(name, overload, shape, (x,), (x,), Map(shape, x.storage, strides))


def _shapes(value: Any) -> tuple[tuple[int, ...], ...]:
    if isinstance(value, Map):
        return (value.shape,)
    return tuple([shape for item in value for shape in _shapes(item)])


def count_plan(
    spec: ModelSpec, shape: Sequence[int], *, batch: int = 1, name: str = ""
) -> Trace | None:
    """The trace of one forward pass in eval mode, of a float32 input (batch, *shape).

    None where only the built module can tell. Its ``device`` is "plan"; all else is what a trace
    on the meta device holds.
    """
    if len(shape) != 3 or batch < 1 or min(shape) < 1:
        return None
    try:
        with collector_paused():
            root = part_of(plan_of(spec))
            inventory = _inventory(root)
            run = Run(root)
            params, buffers = _number(inventory, run.recorder)
            x = run.new((batch, *shape))
            output = run.call(root, x)
    except NoPlanError:
        return None
    recorder, level = run.recorder, run.level
    recorder.peak = level.peak
    elements = sum(item.numel() for item in params)
    fields = {
        "model": name,
        "params": elements,
        "buffers": sum(item.numel() for item in buffers),
        "param_bytes": FLOAT_BYTES * elements,
        "buffer_bytes": sum(
            FLOAT_BYTES * item.numel() if item.shape else _TRACKED_BYTES for item in buffers
        ),
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
    }
    later = {
        "operations": recorder.operations,
        "modules": lambda: _module_records(inventory),
        "allocator_peak_bytes": recorder.allocator_peak,  # asks torch what the CPU can do
    }
    return Trace.deferred(fields, later, recorder.totals())


def _inventory(root: Part) -> list[Part]:
    """Every part in the order of registration, its path written into its frame."""
    found: list[Part] = []

    def walk(part: Part, path: str) -> None:
        part.frame.path = path
        found.append(part)
        for name, child in part.children.items():
            if child is not None:
                walk(child, f"{path}.{name}" if path else name)

    walk(root, "")
    return found


def _number(inventory: list[Part], recorder: Recorder) -> tuple[list[Map], list[Map]]:
    """Give parameters, then buffers, negative numbers in the order of registration."""
    number = 0
    params: list[Map] = []
    for part in inventory:
        for name, weight in part.weights.items():
            number -= 1
            weight.storage.number = number
            path = part.frame.path
            recorder.param_names[number] = f"{path}.{name}" if path else name
            params.append(weight)
    buffers: list[Map] = []
    for part in inventory:
        for buffer in part.buffers.values():
            number -= 1
            buffer.storage.number = number
            buffers.append(buffer)
    return params, buffers


def _module_records(inventory: list[Part]) -> dict[str, ModuleRecord]:
    return {
        part.frame.path: ModuleRecord(
            path=part.frame.path,
            type=part.kind,
            own_params=sum(weight.numel() for weight in part.weights.values()),
            calls=part.frame.calls,
            input_shapes=tuple(part.frame.input_shapes),
            output_shapes=tuple(part.frame.output_shapes),
            leaf=not part.children,
            hyper={} if part.children else part.settings,
        )
        for part in inventory
    }


def part_of(node: p.Node) -> Part:
    """The part that a node becomes. Raises NoPlanError for a node without one."""
    maker = MAKERS.get(type(node))
    if maker is None:
        raise NoPlanError(type(node).__name__)
    return maker(node)


def _optional(node: p.Node | None) -> Part | None:
    return None if node is None else part_of(node)


def _owned(*shape: int) -> Map:
    return Map(shape, Owned())


# --- layers ---------------------------------------------------------------------------------------


def _conv(node: p.Conv) -> Part:
    kernel: tuple[int, int] = pair(node.k)
    padding = (kernel[0] // 2, kernel[1] // 2) if node.padding is None else pair(node.padding)
    return convolution(
        node.c_in, node.c_out, kernel, node.stride, padding, node.groups,
        bias=node.bias, dilation=node.dilation,
    )  # fmt: skip


def convolution(
    c_in: int,
    c_out: int,
    kernel: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    groups: int,
    *,
    bias: bool = False,
    dilation: int = 1,
) -> Part:
    """nn.Conv2d."""
    weights = {"weight": _owned(c_out, c_in // groups, *kernel)}
    if bias:
        weights["bias"] = _owned(c_out)
    settings = {
        "in_channels": c_in,
        "out_channels": c_out,
        "kernel_size": kernel,
        "stride": (stride, stride),
        "padding": padding,
        "dilation": (dilation, dilation),
        "transposed": False,
        "output_padding": (0, 0),
        "groups": groups,
        "padding_mode": "zeros",
    }
    return Part("Conv2d", _run_conv, weights=weights, settings=settings)


def _run_conv(run: Run, part: Part, x: Map) -> Map:
    found, weight = part.settings, part.weights["weight"]
    bias = part.weights.get("bias")
    if x.shape[1] != found["in_channels"]:
        raise NoPlanError("a convolution of other channels")
    sizes = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            x.shape[2:], found["padding"], found["dilation"], found["kernel_size"],
            found["stride"], strict=True,
        )
    ]  # fmt: skip
    out = run.new((x.shape[0], weight.shape[0], *sizes))
    settings = (found["stride"], found["padding"], found["dilation"])
    ins = (x, weight) if bias is None else (x, weight, bias)
    args = (x, weight, bias, *settings, False, (0, 0), found["groups"])
    return run.emit(
        "aten.convolution", "default", (*settings, found["groups"], bias is None), args, ins, out
    )


def batch_norm(channels: int) -> Part:
    """nn.BatchNorm2d."""
    return Part(
        "BatchNorm2d",
        _run_batch_norm,
        weights={"weight": _owned(channels), "bias": _owned(channels)},
        buffers={
            "running_mean": _owned(channels),
            "running_var": _owned(channels),
            "num_batches_tracked": _owned(),
        },
        settings={
            "num_features": channels,
            "eps": 1e-5,
            "momentum": 0.1,
            "affine": True,
            "track_running_stats": True,
        },
    )


def _run_batch_norm(run: Run, part: Part, x: Map) -> Map:
    if x.shape[1] != part.settings["num_features"]:
        raise NoPlanError("a normalisation of other channels")
    buffers = part.buffers
    ins = (x, *part.weights.values(), buffers["running_mean"], buffers["running_var"])
    return run.emit("aten.batch_norm", "default", None, (*ins, False), ins, run.new(x.shape))


def linear(c_in: int, c_out: int, *, bias: bool) -> Part:
    """nn.Linear on maps of two dimensions."""
    weights = {"weight": _owned(c_out, c_in)}
    if bias:
        weights["bias"] = _owned(c_out)
    settings = {"in_features": c_in, "out_features": c_out}
    return Part("Linear", _run_linear, weights=weights, settings=settings)


def _run_linear(run: Run, part: Part, x: Map) -> Map:
    ins = (x, *part.weights.values())
    out = run.new((x.shape[0], part.settings["out_features"]))
    return run.emit("aten.linear", "default", None, ins, ins, out)


def relu(*, inplace: bool = True) -> Part:
    """nn.ReLU."""
    return Part("ReLU", _run_relu, settings={"inplace": inplace})


def _run_relu(run: Run, part: Part, x: Map) -> Map:
    if part.settings["inplace"]:
        return run.emit("aten.relu_", "default", None, (x,), (x,), x)
    return run.emit("aten.relu", "default", None, (x,), (x,), run.new(x.shape))


def _run_sigmoid(run: Run, part: Part, x: Map) -> Map:
    return run.emit("aten.sigmoid", "default", None, (x,), (x,), run.new(x.shape))


def _activation(node: p.Activation) -> Part:
    if node.kind == "relu":
        return relu(inplace=node.inplace)
    if node.kind == "sigmoid":
        return Part("Sigmoid", _run_sigmoid)
    raise NoPlanError(node.kind)


def _upsample(node: p.Upsample) -> Part:
    settings = {
        "name": "Upsample",
        "size": None,
        "scale_factor": float(node.scale),
        "mode": node.mode,
        "align_corners": None if node.mode == "nearest" else False,
        "recompute_scale_factor": None,
    }
    return Part("Upsample", _run_upsample, settings=settings)


def _run_upsample(run: Run, part: Part, x: Map) -> Map:
    scale = int(part.settings["scale_factor"])
    out = run.new((*x.shape[:2], x.shape[2] * scale, x.shape[3] * scale))
    name = f"aten.upsample_{part.settings['mode']}2d"
    return run.emit(name, "vec", scale, (x, None), (x,), out)


def _run_pool(run: Run, part: Part, x: Map) -> Map:
    out = run.new((*x.shape[:2], 1, 1))
    return run.emit("aten.adaptive_avg_pool2d", "default", None, (x, (1, 1)), (x,), out)


def _same(run: Run, part: Part, x: Any) -> Any:
    return x


# --- blocks: children and lifetimes as in networks.modules ----------------------------------------


def _in_turn(run: Run, part: Part, x: Any) -> Any:
    for child in part.children.values():
        assert child is not None
        x = run.call(child, x)
    return x


def _never(run: Run, part: Part, *args: Any) -> Any:
    raise NoPlanError(f"{part.kind} is a list, which nothing calls")


def _listed(items: Sequence[Part], kind: str = "ModuleList", forward: Any = _never) -> Part:
    return Part(kind, forward, {str(index): item for index, item in enumerate(items)})


SEQUENCES = ("Sequential", "GDModule", "Stage")


def _sequence(node: p.Sequence) -> Part:
    if node.kind not in SEQUENCES:
        raise NoPlanError(node.kind)
    names = node.names or tuple(str(index) for index in range(len(node.items)))
    children = {name: part_of(item) for name, item in zip(names, node.items, strict=True)}
    return Part(node.kind, _in_turn, children)


def _shortcut_sum(run: Run, part: Part, y: Map, x: Map) -> Map:
    shortcut = x
    if part.children["downsample"] is not None:
        shortcut = run.child(part, "downsample", x)
    z: Map = run.child(part, "relu", run.add(y, shortcut))
    return z


def _basic_block(node: p.BasicBlock) -> Part:
    return Part(
        "BasicBlock",
        _run_basic_block,
        {
            "conv1": part_of(node.conv1),
            "bn1": part_of(node.bn1),
            "relu": relu(),
            "conv2": part_of(node.conv2),
            "bn2": part_of(node.bn2),
            "downsample": _optional(node.downsample),
        },
    )


def _run_basic_block(run: Run, part: Part, x: Map) -> Map:
    y: Map = run.child(part, "conv1", x)
    for name in ("bn1", "relu", "conv2", "bn2"):
        y = run.child(part, name, y)
    return _shortcut_sum(run, part, y, x)


def _bottleneck(node: p.Bottleneck) -> Part:
    return Part(
        "Bottleneck",
        _run_bottleneck,
        {
            "conv1": part_of(node.conv1),
            "bn1": part_of(node.bn1),
            "conv2": part_of(node.conv2),
            "bn2": part_of(node.bn2),
            "conv3": part_of(node.conv3),
            "bn3": part_of(node.bn3),
            "relu": relu(),
            "downsample": _optional(node.downsample),
        },
    )


def _run_bottleneck(run: Run, part: Part, x: Map) -> Map:
    y: Map = run.child(part, "conv1", x)
    for name in ("bn1", "relu", "conv2", "bn2", "relu", "conv3", "bn3"):
        y = run.child(part, name, y)
    return _shortcut_sum(run, part, y, x)


def _se_block(node: p.SEBlock) -> Part:
    return Part(
        "SEBlock",
        _run_se_block,
        {
            "pool": Part("AdaptiveAvgPool2d", _run_pool, settings={"output_size": 1}),
            "fc1": linear(node.c, node.hidden, bias=node.bias),
            "relu": relu(),
            "fc2": linear(node.hidden, node.c, bias=node.bias),
            "sigmoid": Part("Sigmoid", _run_sigmoid),
        },
    )


def _run_se_block(run: Run, part: Part, x: Map) -> Map:
    if x.shape[1] != _child(part, "fc1").settings["in_features"]:
        raise NoPlanError("attention over other channels")
    w = _flat(run, run.child(part, "pool", x))
    for name in ("fc1", "relu", "fc2", "sigmoid"):
        w = run.child(part, name, w)
    return _scaled(run, x, _unsqueezed(run, _unsqueezed(run, w)))


def _flat(run: Run, x: Map) -> Map:
    return run.view("aten.view", x, (x.shape[0], prod(x.shape[1:])))


def _unsqueezed(run: Run, x: Map) -> Map:
    return run.view("aten.unsqueeze", x, (*x.shape, 1), (*x.strides, 1))


def _scaled(run: Run, x: Map, w: Map) -> Map:
    return run.emit("aten.mul", "Tensor", None, (x, w), (x, w), run.new(x.shape))


def _child(part: Part, name: str) -> Part:
    found = part.children[name]
    assert found is not None
    return found


def _cheap(node: p.CheapOperation) -> Part:
    rounds = node.g // node.c
    left = node.g - rounds * node.c
    kernel, padding = (node.d, node.d), (node.d // 2, node.d // 2)

    def depthwise(inner: int, outer: int) -> Part | None:
        if not outer:
            return None
        return convolution(inner, outer, kernel, node.stride, padding, inner)

    return Part(
        "CheapOperation",
        _run_cheap,
        {
            "full": depthwise(node.c, rounds * node.c),
            "rest": depthwise(left, left),
            "bn": batch_norm(node.g),
            "relu": relu() if node.activation else None,
        },
    )


def _run_cheap(run: Run, part: Part, x: Map) -> Map:
    full, rest = part.children["full"], part.children["rest"]
    y: Map
    if full is None:
        y = run.child(part, "rest", _first_channels(run, part, x))
    elif rest is None:
        y = run.call(full, x)
    else:
        y = run.cat([run.call(full, x), run.call(rest, _first_channels(run, part, x))])
    y = run.child(part, "bn", y)
    if part.children["relu"] is not None:
        y = run.child(part, "relu", y)
    return y


def _first_channels(run: Run, part: Part, x: Map) -> Map:
    kept = _child(part, "rest").settings["in_channels"]
    return run.view("aten.slice", x, (x.shape[0], kept, *x.shape[2:]), x.strides, "Tensor")


def _ghost_module(node: p.GhostModule) -> Part:
    return Part(
        "GhostModule",
        _run_ghost_module,
        {"primary": part_of(node.primary), "cheap": _optional(node.cheap)},
    )


def _run_ghost_module(run: Run, part: Part, x: Map) -> Map:
    y: Map = run.child(part, "primary", x)
    if part.children["cheap"] is None:
        return y
    return run.cat([y, run.child(part, "cheap", y)])


def _ga_block(node: p.GaBlock) -> Part:
    return Part(
        "GaBlock",
        _run_ga_block_with_shortcut if node.shortcut else _run_ga_block,
        {
            "primary": part_of(node.primary),
            "attention": _optional(node.attention),
            "cheap": _optional(node.cheap),
        },
    )


def _run_ga_block(run: Run, part: Part, x: Map) -> Map:
    y: Map = run.child(part, "primary", x)
    if part.children["cheap"] is not None:
        if part.children["attention"] is not None:
            y = run.cat([y, run.child(part, "cheap", run.child(part, "attention", y))])
        else:
            y = run.cat([y, run.child(part, "cheap", y)])
    return y


def _run_ga_block_with_shortcut(run: Run, part: Part, x: Map) -> Map:
    return run.add(_run_ga_block(run, part, x), x)


def _gd_block(node: p.GdBlock) -> Part:
    return Part(
        "GdBlock",
        _run_gd_block,
        {
            "primary": part_of(node.primary),
            "cheap": _optional(node.cheap),
            "attention": _optional(node.attention),
        },
    )


def _run_gd_block(run: Run, part: Part, x: Map) -> Map:
    y: Map = run.child(part, "primary", x)
    if part.children["cheap"] is None:
        return y
    ghost = run.child(part, "cheap", x)
    if part.children["attention"] is not None:
        ghost = run.child(part, "attention", ghost)
    return run.cat([y, ghost])


def _ghost_block(node: p.GhostBlock) -> Part:
    return Part(
        "GhostBlock",
        _run_ghost_block,
        {"ghost1": part_of(node.ghost1), "ghost2": part_of(node.ghost2), "relu": relu()},
    )


def _run_ghost_block(run: Run, part: Part, x: Map) -> Map:
    y = run.child(part, "ghost1", x)
    y = run.child(part, "ghost2", y)
    z: Map = run.child(part, "relu", run.add(y, x))
    return z


# --- several resolutions --------------------------------------------------------------------------


def _transition(node: p.Transition) -> Part:
    return _listed([part_of(item) for item in node.items], "Transition", _run_transition)


def _run_transition(run: Run, part: Part, maps: list[Map]) -> list[Map]:
    made: list[Map] = []
    for index, layer in enumerate(part.children.values()):
        assert layer is not None
        made.append(run.call(layer, maps[min(index, len(maps) - 1)]))
    return made


def _run_fusion(run: Run, part: Part, maps: list[Map]) -> Map:
    y = maps[0]
    for index, layer in enumerate(part.children.values()):
        assert layer is not None
        y = run.call(layer, y) if index == 0 else run.add(y, run.call(layer, maps[index]))
    return y


EXCHANGES = ("HighResolutionModule", "ADModule")


def _exchange(node: p.HighResolutionModule) -> Part:
    if node.kind not in EXCHANGES:
        raise NoPlanError(node.kind)
    rows = [_listed([part_of(layer) for layer in row], "Fusion", _run_fusion) for row in node.rows]
    return Part(
        node.kind,
        _run_exchange,
        {
            "branches": _listed([part_of(branch) for branch in node.branches]),
            "fuse_layers": _listed(rows),
            "relu": relu(),
            "relu_apart": relu(inplace=False),
        },
    )


def _run_exchange(run: Run, part: Part, x: list[Map]) -> list[Map]:
    maps: list[Map] = []
    for index, branch in enumerate(_child(part, "branches").children.values()):
        assert branch is not None
        maps.append(run.call(branch, x[index]))
    made: list[Map] = []
    for row in _child(part, "fuse_layers").children.values():
        assert row is not None
        y = run.call(row, maps)
        made.append(run.child(part, "relu" if len(row.children) > 1 else "relu_apart", y))
    return made


SKELETONS = ("PoseHighResolutionNet", "GADNet")


def _skeleton(node: p.HighResolutionNet) -> Part:
    if node.kind not in SKELETONS:
        raise NoPlanError(node.kind)
    stem = {name: part_of(getattr(node, name)) for name in ("conv1", "bn1", "conv2", "bn2")}
    names = (
        "layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4",
        "final_layer",
    )  # fmt: skip
    rest = {name: part_of(getattr(node, name)) for name in names}
    return Part(node.kind, _run_skeleton, {**stem, "relu": relu(), **rest})


def _run_skeleton(run: Run, part: Part, x: Map) -> Map:
    maps = run.child(part, "transition1", [_run_stem(run, part, x)])
    for name in ("stage2", "transition2", "stage3", "transition3", "stage4"):
        maps = run.child(part, name, maps)
    y: Map = run.child(part, "final_layer", maps[0])
    return y


def _run_stem(run: Run, part: Part, x: Map) -> Map:
    for name in ("conv1", "bn1", "relu", "conv2", "bn2", "relu"):
        x = run.child(part, name, x)
    y: Map = run.child(part, "layer1", x)
    return y


MAKERS: dict[type[p.Node], Callable[[Any], Part]] = {
    p.Conv: _conv,
    p.BatchNorm: lambda node: batch_norm(node.c),
    p.Activation: _activation,
    p.Upsample: _upsample,
    p.Identity: lambda node: Part("Identity", _same),
    p.Sequence: _sequence,
    p.BasicBlock: _basic_block,
    p.Bottleneck: _bottleneck,
    p.SEBlock: _se_block,
    p.CheapOperation: _cheap,
    p.GhostModule: _ghost_module,
    p.GaBlock: _ga_block,
    p.GdBlock: _gd_block,
    p.GhostBlock: _ghost_block,
    p.Transition: _transition,
    p.HighResolutionModule: _exchange,
    p.HighResolutionNet: _skeleton,
}
