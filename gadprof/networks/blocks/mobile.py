"""MobileNet's blocks: depthwise-separable convolutions and inverted residuals."""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, depthwise, keeps, pointwise
from gadprof.networks.blocks.residual import BasicBlock
from gadprof.networks.plan import RELU, RELU6


def dwsep_conv(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1, relu: bool = True
) -> p.Sequence:
    """Depthwise, then pointwise convolution, each with BN and ReLU (Howard et al., 2017)."""
    items = (*depthwise(c_in, knobs.k, stride), RELU, *pointwise(c_in, c_out))
    return p.Sequence((*items, RELU) if relu else items, kind="DepthwiseSeparable")


def dwsep_block(c: p.Number, knobs: BlockKnobs) -> BasicBlock:
    """A basic block of depthwise-separable convolutions."""

    def conv() -> p.Sequence:
        items = (*depthwise(c, knobs.k), RELU, p.Conv(c, c, 1))
        return p.Sequence(items, kind="DepthwiseSeparable")

    return BasicBlock(conv(), p.BatchNorm(c), conv(), p.BatchNorm(c))


def inverted_residual(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Node:
    """MobileNetV2's block: widen by t, filter depthwise, narrow without activation (Sandler et al.,
    2018).

    Nothing is widened when t = 1; the input is added when neither size nor channels change.
    """
    wide = c_in * knobs.t
    widen = (*pointwise(c_in, wide), RELU6) if knobs.t > 1 else ()
    items = (*widen, *depthwise(wide, knobs.k, stride), RELU6, *pointwise(wide, c_out))
    body = p.Sequence(items)
    if keeps(c_in, c_out, stride):
        return p.Residual(body, kind="InvertedResidual")
    return body
