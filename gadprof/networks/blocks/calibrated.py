"""Self-calibrated convolutions (Liu et al., SCNet, CVPR 2020, equations 3 to 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.maps import interpolate
from gadprof.networks.plan import SIGMOID


class SelfCalibration(p.Node):
    """body(x) · sigmoid(x + look(x)), ``look``'s smaller map enlarged to x's size."""

    body: p.Node
    look: p.Node

    def children(self) -> Mapping[str, Any]:
        return {"body": self.body, "look": self.look, "sigmoid": SIGMOID}

    def forward(self: Any, x: Any) -> Any:
        gate = interpolate(self.look(x), x.shape[-2:])
        gate = x + gate
        gate = self.sigmoid(gate)
        return self.body(x) * gate
