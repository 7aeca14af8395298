"""Spatial transformers (Jaderberg et al., Spatial Transformer Networks, NIPS 2015)."""

from __future__ import annotations

from typing import Any

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn
from gadprof.networks.blocks.residual import basic_block
from gadprof.networks.maps import warp

CELLS = 4  # the localisation network ends in 4×4 cells


class SpatialTransformer(p.Node):
    """x sampled bilinearly on an affine grid, whose six numbers ``locate`` finds in x.

    ``locate`` gives (6,); the module starts as the identity.
    """

    locate: p.Node

    def forward(self: Any, x: Any) -> Any:
        theta = self.locate(x).reshape(-1, 2, 3)
        return warp(x, theta)

    def started(self, module: Any) -> None:
        import torch

        last = list(module.locate.modules())[-1]
        if isinstance(last, torch.nn.Linear) and last.bias is not None:
            torch.nn.init.zeros_(last.weight)
            with torch.no_grad():
                last.bias.copy_(torch.eye(2, 3).flatten())


def spatial_transformer(c: p.Number, knobs: BlockKnobs) -> SpatialTransformer:
    """A map warped by an affine transformation found in it.

    The paper leaves the localisation network open: here a k×k convolution to ceil(c / r) maps, BN,
    ReLU, pooling to 4×4 and a fully connected layer to the six numbers.
    """
    hidden = p.ceil_div(c, knobs.r)
    locate = p.Sequence(
        (
            conv_bn(c, hidden, knobs.k), p.AdaptivePool(CELLS, CELLS), p.Flatten(),
            p.Linear(hidden * CELLS * CELLS, 6),
        )
    )  # fmt: skip
    return SpatialTransformer(locate)


def stn_conv(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Sequence:
    """A spatial transformer, then a convolution."""
    return p.Sequence((spatial_transformer(c_in, knobs), conv_bn(c_in, c_out, knobs.k, stride)))


def stn_block(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    """A spatial transformer, then a basic block."""
    return p.Sequence((spatial_transformer(c, knobs), basic_block(c, knobs)))
