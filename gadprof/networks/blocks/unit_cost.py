"""Cost rules of the units' nodes, with the lifetimes of ``unit_modules``."""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks import unit_nodes as u
from gadprof.networks.cost import (
    BILINEAR_FLOPS,
    FLOPS_BEYOND,
    RELU,
    Folded,
    Folder,
    Frame,
    Rule,
    Shape,
    Value,
    add,
    concat,
    fresh,
    in_place,
    size_of,
)


def adaptive_total(size: Any, out: int) -> Any:
    """The sum of the window lengths of adaptive pooling from ``size`` to ``out`` positions."""
    return sum(-(-((i + 1) * size) // out) - (i * size) // out for i in range(out))


def _slice(node: u.ChannelSlice, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    return in_place((node.stop - node.start, *shapes[0][1:]), {})


def _shuffle(node: u.ChannelShuffle, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    channels = shapes[0][0]
    # one group, or groups of one channel, leave the order as it is: no copy
    if node.groups == 1 or (isinstance(channels, int) and channels == node.groups):
        return in_place(shapes[0], {})
    return fresh(shapes[0], {})


def _adaptive_pool(node: u.AdaptivePool, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    return _pooled(shapes[0], (node.height, node.width))


def _pooled(shape: Shape, size: tuple[Any, Any]) -> Folded:
    c, height, width = shape
    work = c * adaptive_total(height, size[0]) * adaptive_total(width, size[1])
    read = size_of(shape)
    return fresh((c, *size), {"elementwise.pool": read, FLOPS_BEYOND: work - read})


def _statistics(node: u.ChannelStatistics, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    plane = (1, *x.shape[1:])
    elements = size_of(x.shape)
    most = {"elementwise.amax": elements, FLOPS_BEYOND: -size_of(plane)}
    high = frame.new(plane, x, counts=most)
    mean = frame.new(plane, x, high, counts={"elementwise.mean": elements})
    return frame.done(concat(frame, (high, mean), x))


def _gate(node: u.Gate, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    w = frame.one("body", node.body, x)
    return frame.done(frame.new(x.shape, x, w, counts={"elementwise.mul": size_of(x.shape)}))


def _path_sum(node: u.PathSum, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    y = frame.one("paths.0", node.paths[0], x)
    for index, path in enumerate(node.paths[1:], start=1):
        term = frame.one(f"paths.{index}", path, x, keep=(y,))
        y = add(frame, y, term, x)
    return frame.done(y)


def _channel_attention(
    node: u.ChannelAttention, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    mean = frame.one("pool", p.GlobalPool(), x)
    most = {"elementwise.amax": size_of(x.shape), FLOPS_BEYOND: -node.c}
    high = frame.new((node.c,), x, mean, counts=most)
    w = frame.new((2, node.c), mean, high)
    w = frame.one("fc1", p.Linear(node.c, node.hidden, node.bias), w)
    w = frame.one("relu", RELU, w)
    w = frame.one("fc2", p.Linear(node.hidden, node.c, node.bias), w)
    both = {"elementwise.sum": 2 * node.c, FLOPS_BEYOND: -node.c}
    total = frame.new((node.c,), w, counts=both)
    w = frame.one("sigmoid", p.Activation("sigmoid", inplace=False), total, keep=(w,))
    return frame.done(frame.new(x.shape, x, w, counts={"elementwise.mul": size_of(x.shape)}))


def _selective_kernel(node: u.SelectiveKernel, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    maps: tuple[Value, ...] = ()
    for index, path in enumerate(node.paths):
        maps = (*maps, frame.one(f"paths.{index}", path, x, keep=maps))
    total = maps[0]
    for other in maps[1:]:
        total = add(frame, total, other, *maps)
    pooled = frame.one("pool", p.GlobalPool(), total, keep=maps)
    w = frame.one("weigh", node.weigh, pooled, keep=(*maps, total))
    weights = len(maps) * node.c
    w = frame.new((len(maps), node.c), *maps, total, w, counts={"elementwise.softmax": weights})
    shape = maps[0].shape
    scaled = {"elementwise.mul": size_of(shape)}
    y = frame.new(shape, *maps, w, counts=scaled)
    for _ in maps[1:]:
        term = frame.new(shape, *maps, w, y, counts=scaled)
        y = add(frame, y, term, *maps, w)
    return frame.done(y)


def _split_attention(node: u.SplitAttention, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    shape = (node.c, *x.shape[1:])
    summed = {"elementwise.sum": size_of(x.shape), FLOPS_BEYOND: -size_of(shape)}
    total = frame.new(shape, x, counts=summed)
    w = frame.one("pool", p.GlobalPool(), total)
    w = frame.one("weigh", node.weigh, w)
    weights = (node.radix, node.c)
    w = frame.new(weights, w, counts={"elementwise.softmax": node.radix * node.c})
    if node.groups > 1 and node.radix > 1:  # the parts' weights lie apart
        w = frame.new(weights, w)
    scaled = frame.new(x.shape, x, w, counts={"elementwise.mul": size_of(x.shape)})
    return frame.done(frame.new(shape, x, w, scaled, counts=summed))


def _self_calibration(node: u.SelfCalibration, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    elements = size_of(x.shape)
    seen = frame.one("look", node.look, x)
    gate = frame.new(x.shape, x, seen, counts={"elementwise.upsample": elements})
    gate = add(frame, gate, x)
    gate = frame.one("sigmoid", p.Activation("sigmoid", inplace=False), gate)
    y = frame.one("body", node.body, x, keep=(gate,))
    return frame.done(frame.new(y.shape, x, y, gate, counts={"elementwise.mul": elements}))


def _spatial_transformer(
    node: u.SpatialTransformer, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.inputs[0]
    _, height, width = x.shape
    theta = frame.one("locate", node.locate, x)
    coordinates = {"elementwise.affine_grid_generator": 2 * height * width}
    grid = frame.new((height, width, 2), theta, counts=coordinates)
    sampled = {
        "elementwise.upsample": size_of(x.shape),
        FLOPS_BEYOND: BILINEAR_FLOPS * size_of(x.shape),
    }
    return frame.done(frame.new(x.shape, x, theta, grid, counts=sampled))


def _cross_resolution(
    node: u.CrossResolutionWeighting, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    maps = frame.inputs
    size = (shapes[-1][1], shapes[-1][2])
    pooled: tuple[Value, ...] = ()
    for value in maps[:-1]:
        folded = _pooled(value.shape, size)
        pooled = (*pooled, frame.new(folded.outputs[0], *pooled, counts=folded.counts))
    w = concat(frame, (*pooled, maps[-1]))
    w = frame.one("weigh", node.weigh, w)
    made: tuple[Value, ...] = ()
    for value in maps:
        elements = size_of(value.shape)
        enlarged = frame.new(value.shape, w, *made, counts={"elementwise.upsample": elements})
        product = frame.new(value.shape, w, *made, enlarged, counts={"elementwise.mul": elements})
        made = (*made, product)
    return frame.done(*made)


def _conditional(
    node: u.ConditionalChannelWeighting, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    halves = tuple(
        Value((shape[0] - half, *shape[1:]), value.token)
        for shape, half, value in zip(shapes, node.halves, frame.inputs, strict=True)
    )
    second = frame.call("cross", node.cross, *halves)
    made: tuple[Value, ...] = ()
    for index, branch in enumerate(node.branches):
        kept = Value((node.halves[index], *shapes[index][1:]), frame.inputs[index].token)
        y = frame.one(f"branches.{index}", branch, second[index], keep=(*second, *made))
        y = concat(frame, (kept, y), *second, *made)
        y = frame.one("shuffle", u.ChannelShuffle(2), y, keep=(*second, *made))
        made = (*made, y)
    return frame.done(*made)


RULES: dict[type[p.Node], Rule] = {
    u.ChannelSlice: _slice,
    u.ChannelShuffle: _shuffle,
    u.AdaptivePool: _adaptive_pool,
    u.ChannelStatistics: _statistics,
    u.Gate: _gate,
    u.PathSum: _path_sum,
    u.ChannelAttention: _channel_attention,
    u.SelectiveKernel: _selective_kernel,
    u.SplitAttention: _split_attention,
    u.SelfCalibration: _self_calibration,
    u.SpatialTransformer: _spatial_transformer,
    u.CrossResolutionWeighting: _cross_resolution,
    u.ConditionalChannelWeighting: _conditional,
}
