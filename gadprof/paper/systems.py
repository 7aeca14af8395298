"""The paper's tables 4 and 5: the systems that it compares, published figures beside exact counts.

Published figures are other papers' own, typed with their source; the cells of GADNet's table 4 are
not part of the text that could be read, and none of its figures is here. Exact counts come from the
networks that are built in now; a system without one is named as missing, not left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gadprof.networks.cost import Cost, cost_of
from gadprof.networks.spec import parse_spec, plan_of, presets

INPUT = (3, 256, 192)
GIBI = 2**30

_SUN = "Sun et al., CVPR 2019, table 1 (COCO val2017)"
_README = "HRNet's README (COCO val2017, person AP 56.4)"
_MMPOSE = "MMPose 0.x, inference speed summary (COCO val2017)"


@dataclass(frozen=True)
class Published:
    """A system of table 4 at 256×192 and what its source prints of it.

    ``params_m`` in millions, ``gflops`` in the source's own unit, ``ap`` and ``ap50`` in per cent,
    each None where the source prints none. ``names`` are presets that would be this network.
    """

    system: str
    params_m: float | None
    gflops: float | None
    ap: float | None
    ap50: float | None
    source: str
    names: tuple[str, ...]


PUBLISHED: tuple[Published, ...] = (
    Published(
        "8-stage Hourglass", 25.1, 14.3, 66.9, None, _SUN,
        ("hourglass8", "hourglass", "pose_hourglass8", "stacked_hourglass8"),
    ),
    Published(
        "CPN, ResNet-50", 27.0, 6.2, 68.6, None, _SUN, ("cpn50", "cpn_resnet50", "pose_cpn50")
    ),
    Published(
        "SimpleBaseline, ResNet-50", 34.0, 8.9, 70.4, 88.6, _SUN,
        ("pose_resnet50", "simplebaseline50"),
    ),
    Published(
        "SimpleBaseline, ResNet-101", 53.0, 12.4, 71.4, 89.3, _SUN,
        ("pose_resnet101", "simplebaseline101"),
    ),
    Published(
        "SimpleBaseline, ResNet-152", 68.6, 15.7, 72.0, 89.3, _SUN,
        ("pose_resnet152", "simplebaseline152"),
    ),
    Published("HRNet-W32", 28.5, 7.1, 74.4, 90.5, _README, ("hrnet32",)),
    Published("HRNet-W48", 63.6, 14.6, 75.1, 90.6, _README, ("hrnet48",)),
    Published(
        "MobileNetV2 pose", 9.57, 1.59, 64.6, None, _MMPOSE,
        ("pose_mobilenetv2", "mobilenetv2_pose"),
    ),
    Published(
        "ShuffleNetV2 pose", 7.55, 1.37, 59.9, None, _MMPOSE,
        ("pose_shufflenetv2", "shufflenetv2_pose"),
    ),
    Published("GADNet32", None, None, None, None, "cells not in the text read", ("gadnet32",)),
    Published("GADNet48", None, None, None, None, "cells not in the text read", ("gadnet48",)),
)  # fmt: skip

# table 5, in the paper's order: what replaces HRNet32's BasicBlock
ABLATION: Mapping[str, str] = {
    "hrnet32": "BasicBlock",
    "ghost-hrnet32": "GhostBlock",
    "ghost-se-hrnet32": "GhostBlock + SEBlock",
    "gadnet32": "GDModule + GABlock",
}


@lru_cache(maxsize=32)
def exact(model: str) -> Cost:
    """The exact cost of a built-in model at 256×192."""
    return cost_of(plan_of(parse_spec(model)), INPUT, name=model)


def built_in(system: Published) -> str | None:
    """The preset that is a system's network, or None while there is none."""
    known = presets()
    return next((name for name in system.names if name in known), None)


def missing() -> tuple[str, ...]:
    """The systems of table 4 that no preset builds."""
    return tuple(item.system for item in PUBLISHED if built_in(item) is None)
