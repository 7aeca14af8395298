"""Instance-aware attention (Yang et al., DGIA, Pattern Recognition 2023): an encoder layer.

A reconstruction. GADNet says of it that an instance-aware method supervises the attention; that is
read here as a transformer encoder layer (Vaswani et al., 2017) over the positions of a map, whose
attention matrix a loss can see (``attention``). The layer sizes are ours: one head, so that there
is one matrix to supervise, a feed-forward part of 4·c units, biases throughout, no position
embedding. The supervision itself belongs to training and is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
from gadprof.networks.maps import softmax
from gadprof.networks.plan import RELU

WIDENING = 4  # units of the feed-forward part to channels


class InstanceAwareAttention(p.Node):
    """A map whose every position looks at every other: norm(t + ffn(t)), t = norm(x + attended)."""

    c: p.Number

    def children(self) -> Mapping[str, Any]:
        c, wide = self.c, WIDENING * self.c
        return {
            "query": p.Linear(c, c),
            "key": p.Linear(c, c),
            "value": p.Linear(c, c),
            "output": p.Linear(c, c),
            "norm1": p.LayerNorm(c),
            "widen": p.Linear(c, wide),
            "relu": RELU,
            "narrow": p.Linear(wide, c),
            "norm2": p.LayerNorm(c),
        }

    def settings(self) -> Mapping[str, Any]:
        return {"scale": self.c**-0.5}

    def forward(self: Any, x: Any) -> Any:
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2).contiguous()
        attended = self.attention(tokens) @ self.value(tokens)
        tokens = self.norm1(tokens + self.output(attended))
        wide = self.relu(self.widen(tokens))
        tokens = self.norm2(tokens + self.narrow(wide))
        return tokens.transpose(1, 2).contiguous().reshape(n, c, h, w)

    def attention(self: Any, tokens: Any) -> Any:
        """How much each position looks at each, (N, H·W, H·W): what training supervises."""
        scores = (self.query(tokens) * self.scale) @ self.key(tokens).transpose(1, 2)
        return softmax(scores, 2)


def dgia_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A convolution whose output goes through instance-aware attention."""
    return p.Sequence((conv_bn(c_in, c_out, knobs.k, stride), InstanceAwareAttention(c_out)))
