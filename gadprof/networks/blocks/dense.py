"""Dense blocks (Huang et al., DenseNet, CVPR 2017) and DAM-Net's (Ullah et al., 2023)."""

from __future__ import annotations

from gadprof.networks import plan as p
from gadprof.networks.blocks.knobs import BlockKnobs
from gadprof.networks.blocks.squeeze import se_block
from gadprof.networks.plan import RELU

WIDENING = 4  # a dense layer's 1×1 convolution gives 4 × growth maps


def _layers(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs
) -> tuple[tuple[p.Node, ...], p.Number]:
    """The layers of a dense block, and how many channels they end with."""
    growth = p.ceil_div(c_out, knobs.q)
    layers: list[p.Node] = []
    c = c_in
    for _ in range(knobs.layers):
        wide = WIDENING * growth
        added = p.Sequence(
            (
                p.BatchNorm(c), RELU, p.Conv(c, wide, 1),
                p.BatchNorm(wide), RELU, p.Conv(wide, growth, knobs.k),
            )
        )  # fmt: skip
        layers.append(p.Concat((p.Identity(), added)))
        c = c + growth
    return tuple(layers), c


def _end(c: p.Number, c_out: p.Number, stride: int) -> tuple[p.Node, ...]:
    pool = () if stride == 1 else (p.AvgPool(stride, stride),)
    return (p.BatchNorm(c), RELU, p.Conv(c, c_out, 1), *pool)


def dense_block(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """DenseNet-BC's block with its transition: ``layers`` layers of growth ceil(c_out / q)."""
    layers, c = _layers(c_in, c_out, knobs)
    return p.Sequence((*layers, *_end(c, c_out, stride)), kind="DenseBlock")


def dense_attention(
    c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1
) -> p.Sequence:
    """A dense block whose maps are weighed by channel attention before the transition (DAM-Net)."""
    layers, c = _layers(c_in, c_out, knobs)
    return p.Sequence((*layers, se_block(c, knobs), *_end(c, c_out, stride)), kind="DenseAttention")
