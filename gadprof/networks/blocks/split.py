"""Split attention (Zhang et al., ResNeSt: Split-Attention Networks, CVPRW 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.maps import softmax


class SplitAttention(p.Node):
    """The sum of ``radix`` parts of a map's channels, each channel weighed over the parts.

    The input has radix·c channels. ``weigh`` maps (c, 1, 1), the mean of the parts' sum, to
    (radix·c, 1, 1), whose softmax over the parts are the weights; ``groups`` divides c and cuts
    ``weigh``'s output before the parts do.
    """

    c: p.Number
    radix: int
    groups: int
    weigh: p.Node

    def children(self) -> Mapping[str, Any]:
        return {"pool": p.GlobalPool(), "weigh": self.weigh}

    def settings(self) -> Mapping[str, Any]:
        return {"radix": self.radix, "groups": self.groups}

    def forward(self: Any, x: Any) -> Any:
        n, c, h, w = x.shape
        parts = x.reshape(n, self.radix, c // self.radix, h, w)
        weights = self.weigh(self.pool(parts.sum(1)))
        weights = weights.reshape(n, self.groups, self.radix, -1).transpose(1, 2)
        weights = softmax(weights, 1).reshape(n, self.radix, -1, 1, 1)
        return (parts * weights).sum(1)
