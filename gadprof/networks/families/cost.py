"""Cost rules of the zoo's nodes, with the lifetimes of ``gadprof.networks.families.modules``."""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.cost import (
    BILINEAR_FLOPS,
    FLOPS_BEYOND,
    Folded,
    Folder,
    Frame,
    Rule,
    Shape,
    Value,
    add,
    concat,
    residual,
    size_of,
)
from gadprof.networks.families import nodes as z


def _lite_exchange(node: z.LiteExchange, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    maps = frame.call("layers", node.layers, *frame.inputs)
    made: tuple[Value, ...] = ()
    for i, row in enumerate(node.rows):
        y = frame.one(f"fuse_layers.{i}.0", row[0], maps[0], keep=(*maps, *made))
        for j, layer in enumerate(row):
            fold = frame.one if j else frame.again
            term = fold(f"fuse_layers.{i}.{j}", layer, maps[j], keep=(*maps, *made, y))
            y = add(frame, y, term, *maps, *made)
        if not made:
            maps = (y, *maps[1:])
        relu = p.Activation("relu", inplace=False)
        made = (*made, frame.one("relu", relu, y, keep=(*maps, *made)))
    return frame.done(*made)


def _iterative_head(node: z.IterativeHead, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    maps = frame.inputs
    y = maps[-1]
    for index, project in enumerate(node.projects):
        if index > 0:
            x = maps[-1 - index]
            shape = (y.shape[0], *x.shape[1:])
            total = size_of(shape)
            counts = {"elementwise.upsample": total, FLOPS_BEYOND: BILINEAR_FLOPS * total}
            y = add(frame, x, frame.new(shape, y, counts=counts))
        y = frame.one(f"projects.{index}", project, y)
    return frame.done(y)


def _lite_high_resolution_net(
    node: z.LiteHighResolutionNet, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    maps: tuple[Value, ...] = (frame.one("stem", node.stem, frame.inputs[0]),)
    for index, stage in enumerate(node.stages):
        maps = frame.call(f"transitions.{index}", node.transitions[index], *maps)
        maps = frame.call(f"stages.{index}", stage, *maps)
    y = frame.call("head_layer", node.head_layer, *maps)[0]
    return frame.done(frame.one("final_layer", node.final_layer, y, keep=maps))


def _stacked_hourglass(
    node: z.StackedHourglass, shapes: tuple[Shape, ...], folder: Folder
) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.one("stem", node.stem, frame.inputs[0])
    made: tuple[Value, ...] = ()
    for index, hourglass in enumerate(node.hourglasses):
        y = frame.one(f"hourglasses.{index}", hourglass, x, keep=made)
        y = frame.one(f"features.{index}", node.features[index], y, keep=(x, *made))
        maps = frame.one(f"heads.{index}", node.heads[index], y, keep=(x, *made))
        made = (*made, maps)
        if index < len(node.from_features):
            again = node.from_features[index]
            term = frame.one(f"from_features.{index}", again, y, keep=(x, *made))
            x = add(frame, x, term, y, *made)
            again = node.from_heatmaps[index]
            term = frame.one(f"from_heatmaps.{index}", again, maps, keep=(x, y, *made))
            x = add(frame, x, term, y, *made)
    return frame.done(*made)


def _cascaded_pyramid(node: z.CascadedPyramid, shapes: tuple[Shape, ...], folder: Folder) -> Folded:
    frame = Frame(folder, shapes)
    x = frame.one("stem", node.stem, frame.inputs[0])
    maps: tuple[Value, ...] = ()
    for index, layer in enumerate(node.layers):
        x = frame.one(f"layers.{index}", layer, x, keep=maps)
        maps = (*maps, x)
    pyramid: tuple[Value, ...] = ()
    made: tuple[Value, ...] = ()
    for index, lateral in enumerate(node.laterals):
        alive = (*maps, *pyramid, *made)
        y = frame.one(f"laterals.{index}", lateral, maps[-1 - index], keep=alive)
        if index > 0:
            merge, before = node.merges[index - 1], pyramid[-1]
            term = frame.one(f"merges.{index - 1}", merge, before, keep=(*alive, y))
            y = add(frame, y, term, *alive)
        pyramid = (*pyramid, y)
        made = (*made, frame.one(f"heads.{index}", node.heads[index], y, keep=(*alive, y)))
    refined: tuple[Value, ...] = ()
    for index, refine in enumerate(node.refines):
        alive = (*pyramid, *made, *refined)
        level = pyramid[-1 - index]
        refined = (*refined, frame.one(f"refines.{index}", refine, level, keep=alive))
    alive = (*pyramid, *made, *refined)
    y = concat(frame, refined, *alive)
    return frame.done(*made, frame.one("answer", node.answer, y, keep=alive))


RULES: dict[type[p.Node], Rule] = {
    z.CascadedPyramid: _cascaded_pyramid,
    z.Hourglass: residual,
    z.LiteExchange: _lite_exchange,
    z.IterativeHead: _iterative_head,
    z.LiteHighResolutionNet: _lite_high_resolution_net,
    z.StackedHourglass: _stacked_hourglass,
}
