"""Every block by name, for ``block=`` and for closed forms, and what its channels must divide by.

``BRANCH_BLOCKS`` keep size and channels and make a branch of the skeleton; ``FORMULA_BLOCKS`` are
the blocks of closed forms, from c_in to c_out. Where a paper's block is a convolution with
something added, a branch holds two of them with a shortcut, as a basic block does.
"""

from __future__ import annotations

from collections.abc import Callable

from gadprof.errors import SpecError
from gadprof.networks import plan as p
from gadprof.networks.blocks import basic as b
from gadprof.networks.blocks import light
from gadprof.networks.blocks.basic import RELU, BlockKnobs, conv_bn

BranchBlock = Callable[[p.Number, BlockKnobs], p.Node]


def _grouped(c: p.Number, knobs: BlockKnobs) -> p.BasicBlock:
    conv = p.Conv(c, c, knobs.k, groups=knobs.groups)
    return p.BasicBlock(conv, p.BatchNorm(c), conv, p.BatchNorm(c))


def _dwsep(c: p.Number, knobs: BlockKnobs) -> p.BasicBlock:
    def conv() -> p.Sequence:
        items = (*light.depthwise(c, knobs.k), RELU, p.Conv(c, c, 1))
        return p.Sequence(items, kind="DepthwiseSeparable")

    return p.BasicBlock(conv(), p.BatchNorm(c), conv(), p.BatchNorm(c))


def _attended(c: p.Number, knobs: BlockKnobs, attention: p.Node, kind: str) -> p.Residual:
    convs = (conv_bn(c, c, knobs.k), conv_bn(c, c, knobs.k, relu=False))
    return p.Residual(p.Sequence((*convs, attention)), None, RELU, kind=kind)


def _se(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    return _attended(c, knobs, b.se_block(c, knobs), "SEBasicBlock")


def _cbam(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    return _attended(c, knobs, light.cbam(c, knobs), "CBAMBasicBlock")


def _sk(c: p.Number, knobs: BlockKnobs) -> p.Residual:
    middle = c // 2
    body = p.Sequence(
        (
            conv_bn(c, middle, 1), light.sk_conv(middle, middle, knobs),
            conv_bn(middle, c, 1, relu=False),
        )
    )  # fmt: skip
    return p.Residual(body, None, RELU, kind="SKUnit")


def _stn(c: p.Number, knobs: BlockKnobs) -> p.Sequence:
    return p.Sequence((light.spatial_transformer(c, knobs), b.basic_block(c, knobs)))


def _unit(block: Callable[..., p.Node]) -> BranchBlock:
    """A block that is a whole unit already, at the same channels."""

    def made(c: p.Number, knobs: BlockKnobs) -> p.Node:
        return block(c, c, knobs)

    return made


BRANCH_BLOCKS: dict[str, BranchBlock] = {
    "basic": b.basic_block,
    "ghost": b.ghost_block,
    "ghost-se": b.ghost_se_block,
    "ga": b.branch_ga_block,
    "grouped": _grouped,
    "dwsep": _dwsep,
    "inverted": _unit(light.inverted_residual),
    "shuffle1": _unit(light.shuffle_unit_v1),
    "shuffle2": _unit(light.shuffle_unit_v2),
    "se": _se,
    "cbam": _cbam,
    "sk": _sk,
    "dense": _unit(light.dense_block),
    "stn": _stn,
    "mra": _unit(light.multiscale_attention),
    "dam": _unit(light.dense_attention),
}

# a unit that works on all branches of a module at once, so that it is not a block of one branch
MODULE_BLOCKS = ("ccw",)

# what each choice of ``block=`` is made of, from c to c channels; k, d, s, r, groups, t, layers and
# q are knobs
BLOCK_NOTES: dict[str, str] = {
    "basic": "two k×k convolutions and a shortcut",
    "ghost": "two Ghost modules and a shortcut (Han et al., GhostNet, 2020)",
    "ghost-se": "the same, then squeeze-and-excitation",
    "ga": "GADNet's GaBlock",
    "grouped": "two k×k convolutions in groups and a shortcut (Xie et al., ResNeXt, 2017)",
    "dwsep": "two depthwise-separable convolutions, shortcut (Howard et al., MobileNets, 2017)",
    "inverted": "one inverted residual, widened by t (Sandler et al., MobileNetV2, 2018)",
    "shuffle1": "one unit with c/4 inner channels in groups (Zhang et al., ShuffleNet, 2018)",
    "shuffle2": "one unit, half of the channels passing by (Ma et al., ShuffleNet V2, 2018)",
    "se": "basic, its residual through squeeze-and-excitation (Hu et al., SENet, 2018)",
    "cbam": "basic, its residual through channel and 7×7 spatial attention (Woo et al., 2018)",
    "sk": "1×1 to c/2, two selected kernels in groups, 1×1, shortcut (Li et al., SKNet, 2019)",
    "dense": "layers of growth c/q, then 1×1 back to c (Huang et al., DenseNet, 2017)",
    "stn": "an affine spatial transformer, then basic (Jaderberg et al., 2015)",
    "mra": "k and k+2 kernels, 1×1, squeeze-and-excitation, shortcut (Ullah et al., 2022)",
    "dam": "dense with squeeze-and-excitation before its 1×1 (Ullah et al., DAM-Net, 2023)",
    "ccw": "one unit over all branches of a module (Yu et al., Lite-HRNet, 2021; its own r is 8)",
}

FormulaBlock = Callable[..., p.Node]


def _ccw(c_in: p.Number, c_out: p.Number, knobs: BlockKnobs, *, stride: int = 1) -> p.Node:
    """The unit over ``branches`` maps, each of twice the channels and half the size of the last."""
    return light.conditional_weighting(tuple(c_in * 2**i for i in range(knobs.branches)), knobs)


# closed form -> the block it speaks of: (c_in, c_out, knobs, stride=…) -> node
FORMULA_BLOCKS: dict[str, FormulaBlock] = {
    "conv": b.conv_block,
    "ghost": b.ghost_module,
    "ghost-se": b.ghost_se_module,
    "ga": b.ga_block,
    "gd": b.gd_block,
    "grouped": light.grouped_conv,
    "dwsep": light.dwsep_conv,
    "inverted": light.inverted_residual,
    "shuffle1": light.shuffle_unit_v1,
    "shuffle2": light.shuffle_unit_v2,
    "se": light.se_conv,
    "cbam": light.cbam_conv,
    "sk": light.sk_conv,
    "dense": light.dense_block,
    "stn": light.stn_conv,
    "mra": light.multiscale_attention,
    "dam": light.dense_attention,
    "ccw": _ccw,
}


def check_branch(block: str, width: int, knobs: BlockKnobs) -> None:
    """Refuse a width that a branch block cannot have. Raises SpecError with one that it can."""
    multiple = {
        "grouped": knobs.groups, "shuffle1": 4 * knobs.groups, "shuffle2": 2,
        "sk": 2 * knobs.groups, "ccw": 2,
    }.get(block, 1)  # fmt: skip
    if width % multiple:
        above = width + multiple - width % multiple
        why = f" = {multiple // knobs.groups} x groups" if multiple > knobs.groups else ""
        if block in ("shuffle2", "ccw"):
            why = ", as half of the channels pass by"
        elif multiple == knobs.groups:
            why = " = groups"
        raise SpecError(
            f"width={width} does not divide by {multiple}{why}, which block={block} needs; "
            f"try width={above}"
        )
