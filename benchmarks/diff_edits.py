"""Seeded edits of torchvision's and timm's networks: does diff find each, and in the right module?

Each edit changes one module of a network that was built twice: a wider kernel, another number of
groups, a module more, a narrower kernel (these change cost), or another name, another order of
registration, other weights (these change none). ``python benchmarks/diff_edits.py [EDITS] [SEED]``
prints how many edits that change cost were found and put down to the edited module alone, and how
many of the others were taken for a change.
"""

from __future__ import annotations

import copy
import random
import sys
from typing import Any

MODELS = (
    "torchvision:resnet18", "torchvision:mobilenet_v2", "torchvision:squeezenet1_1",
    "torchvision:shufflenet_v2_x0_5", "torchvision:mnasnet0_5", "torchvision:googlenet",
    "timm:mobilenetv3_small_050", "timm:ghostnet_050", "timm:efficientnet_lite0",
    "timm:regnetx_002", "timm:convnext_atto", "timm:resnet10t",
)  # fmt: skip
SHAPE = (1, 3, 64, 64)
COSTLY = ("kernel", "groups", "more", "less")
FREE = ("name", "order", "weights")


def main() -> None:
    edits = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    tally: dict[str, list[int]] = {kind: [0, 0] for kind in (*COSTLY, *FREE)}
    built: dict[str, Any] = {}
    for number in range(edits):
        model = MODELS[number % len(MODELS)]
        if model not in built:
            built[model] = build(model)
        kind = rng.choice((*COSTLY, *FREE))
        outcome = one(built[model], kind, rng)
        if outcome is None:
            continue
        tally[kind][0] += 1
        tally[kind][1] += outcome
        if not outcome:
            print(f"edit {number}: {kind} of {model} was not told as it is")
    for kind, (tried, right) in tally.items():
        word = "found in the right module" if kind in COSTLY else "told as no change of cost"
        print(f"{kind}: {tried} tried, {right} {word}")
    tried, right = (sum(column) for column in zip(*tally.values(), strict=True))
    print(f"all: {tried} tried, {right} right")


def build(model: str) -> Any:
    from gadprof.models.sources import build_module, resolve

    return build_module(resolve(model)).eval()


def one(before: Any, kind: str, rng: random.Random) -> bool | None:
    """Whether an edit is told as it is; None where the network has no place for it."""
    import gadprof
    from gadprof.gate.diff import OWN, compare_sides, judged, side_of

    after = copy.deepcopy(before)
    path = edit(after, kind, rng)
    if path is None:
        return None
    try:
        traces = [gadprof.count(module, SHAPE) for module in (before, after)]
    except gadprof.GadprofError:
        return None  # the edit broke the network: nothing to compare
    found = compare_sides(side_of("before", traces[0]), side_of("after", traces[1]))
    sums = all(
        sum(change.difference[key] for change in found.changes) == found.difference[key]
        for key in OWN
    )
    grown = judged(found, {"params": None, "macs": None, "flops": None, "activations": None})
    real = [change for change in found.changes if change.kind != "moved"]
    if kind in FREE:
        return sums and not grown and not real
    costs = [change for change in real if change.difference["macs"] or change.difference["params"]]
    return sums and bool(costs) and all(change.path.startswith(path) for change in costs)


def edit(module: Any, kind: str, rng: random.Random) -> str | None:
    """Change one module of a network in place; the path where cost changes."""
    import torch
    from torch import nn

    convs = [
        (path, item)
        for path, item in module.named_modules()
        if type(item) is nn.Conv2d and item.kernel_size == (3, 3) and item.padding == (1, 1)
    ]
    if not convs:
        return None
    path, conv = rng.choice(convs)
    parent = module.get_submodule(path.rpartition(".")[0])
    name = path.rpartition(".")[2]
    c_in, c_out, groups = conv.in_channels, conv.out_channels, conv.groups
    plain: dict[str, Any] = {"stride": conv.stride, "bias": conv.bias is not None}
    if kind == "kernel":
        setattr(parent, name, nn.Conv2d(c_in, c_out, 5, padding=2, groups=groups, **plain))
    elif kind == "groups":
        if groups > 1 or c_in % 2 or c_out % 2:
            return None
        setattr(parent, name, nn.Conv2d(c_in, c_out, 3, padding=1, groups=2, **plain))
    elif kind == "more":
        setattr(parent, name, nn.Sequential(conv, nn.Conv2d(c_out, c_out, 1)))
    elif kind == "less":
        setattr(parent, name, nn.Conv2d(c_in, c_out, 1, groups=groups, **plain))
    elif kind == "name":
        setattr(parent, name, nn.Sequential())
        setattr(parent, name, nn.Sequential(conv))
    elif kind == "order":
        items = parent._modules
        first = next(iter(items))
        items[first] = items.pop(first)
        if isinstance(parent, nn.Sequential):
            return None
    else:
        with torch.no_grad():
            conv.weight.mul_(2)
    return path


if __name__ == "__main__":
    main()
