"""Random designs of the skeleton's families, small enough to build by the hundred."""

from __future__ import annotations

import random

from gadprof.networks.blocks.names import BRANCH_BLOCKS, MODULE_BLOCKS
from gadprof.networks.spec import ModelSpec, make_spec

SKELETON_FAMILIES = ("hrnet", "ghost-hrnet", "ghost-se-hrnet", "gadnet")
OWN_BLOCKS = ("basic", "ghost", "ghost-se", "ga")
OTHER_BLOCKS = tuple(name for name in (*BRANCH_BLOCKS, *MODULE_BLOCKS) if name not in OWN_BLOCKS)


def random_spec(seed: int) -> ModelSpec:
    """A design whose every knob is drawn at random; widths need not divide by s."""
    draw = random.Random(seed)
    values = {
        "width": draw.randint(1, 40),
        "joints": draw.randint(1, 30),
        "bottlenecks": draw.randint(0, 4),
        "modules": tuple(draw.randint(1, 2) for _ in range(3)),
        "blocks": tuple(draw.randint(1, 2) for _ in range(4)),
        "block": draw.choice(OWN_BLOCKS),
        "down": draw.choice(("conv", "gd")),
        "transition": draw.choice(("conv", "gd")),
        "up": draw.random() < 0.7,
        "k": draw.choice((1, 3, 5)),
        "d": draw.choice((1, 3, 5, 7)),
        "s": draw.randint(1, 5),
        "r": draw.choice((1, 2, 4, 16, 100)),
        "se_bias": draw.random() < 0.3,
        "shortcut": draw.random() < 0.3,
    }
    return make_spec(draw.choice(SKELETON_FAMILIES), values)


def random_block_spec(block: str, seed: int) -> ModelSpec:
    """A random design of a named block, its width a multiple of what the block needs."""
    draw = random.Random(seed)
    groups = draw.choice((1, 2, 3, 4))
    multiple = {"shuffle1": 4, "sk": 2, "grouped": 1}.get(block, 0) * groups
    multiple = multiple or (2 if block in ("shuffle2", "ccw") else 1)
    values = dict(random_spec(seed).values)
    values |= {
        "block": block,
        "width": multiple * draw.randint(1, max(1, 30 // multiple)),
        "groups": groups,
        "t": draw.randint(1, 4),
        "layers": draw.randint(1, 3),
        "q": draw.randint(1, 6),
    }
    if block in MODULE_BLOCKS:
        values["blocks"] = (draw.randint(1, 2),) * 4
    return make_spec(draw.choice(SKELETON_FAMILIES), values)


def random_input(seed: int) -> tuple[int, int, int]:
    """An input shape that divides by 32."""
    draw = random.Random(seed + 1_000_000)
    return 3, 32 * draw.randint(1, 3), 32 * draw.randint(1, 3)
