"""Multi-scale residual attention (Ullah et al., MRA-UNet, Information Sciences, 2022)."""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs, conv_bn, keeps, pointwise
from gadprof.networks.blocks.squeeze import se_block
from gadprof.networks.plan import RELU


def multiscale_attention(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Residual:
    """k×k and (k+2)×(k+2) paths, fused, weighed, added.

    Each path gives ceil(c_out / 2) maps; a 1×1 convolution is the shortcut where size or channels
    change.
    """
    half = p.ceil_div(c_out, 2)
    paths = p.Concat(tuple(conv_bn(c_in, half, k, stride) for k in (knobs.k, knobs.k + 2)))
    body = p.Sequence((paths, *pointwise(2 * half, c_out), se_block(c_out, knobs)))
    shortcut = None if keeps(c_in, c_out, stride) else conv_bn(c_in, c_out, 1, stride, relu=False)
    return p.Residual(body, shortcut, RELU, kind="MultiscaleAttention")
