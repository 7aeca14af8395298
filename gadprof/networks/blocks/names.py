"""Every block by name, for ``block=`` and for closed forms, and what its channels must divide by.

``BRANCH_BLOCKS`` keep size and channels and make a branch of the skeleton; ``FORMULA_BLOCKS`` are
the blocks of closed forms, from c_in to c_out. Where a paper's block is a convolution with
something added, a branch holds two of them with a shortcut, as a basic block does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gadprof.errors import SpecError
from gadprof.networks import plan as p
from gadprof.networks.blocks import (
    cbam,
    dense,
    dgia,
    gadnet,
    ghost,
    mobile,
    multiscale,
    residual,
    selective,
    shuffle,
    spatial_transformer,
    squeeze,
    weighting,
)
from gadprof.networks.blocks.knobs import BlockKnobs, conv_block

BranchBlock = Callable[[p.Number, BlockKnobs], p.Node]
FormulaBlock = Callable[..., p.Node]


def _unit(block: FormulaBlock) -> BranchBlock:
    """A block that is a whole unit already, at the same channels."""

    def made(c: p.Number, knobs: BlockKnobs) -> p.Node:
        return block(c, c, knobs)

    return made


BRANCH_BLOCKS: dict[str, BranchBlock] = {
    "basic": residual.basic_block,
    "ghost": ghost.ghost_block,
    "ghost-se": ghost.ghost_se_block,
    "ga": gadnet.branch_ga_block,
    "grouped": residual.grouped_block,
    "dwsep": mobile.dwsep_block,
    "inverted": _unit(mobile.inverted_residual),
    "shuffle1": _unit(shuffle.shuffle_unit_v1),
    "shuffle2": _unit(shuffle.shuffle_unit_v2),
    "se": squeeze.se_basic_block,
    "cbam": cbam.cbam_basic_block,
    "sk": selective.sk_unit,
    "dense": _unit(dense.dense_block),
    "stn": spatial_transformer.stn_block,
    "mra": _unit(multiscale.multiscale_attention),
    "dam": _unit(dense.dense_attention),
    "dgia": _unit(dgia.dgia_conv),
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
    "dgia": "k×k, then a transformer encoder layer (Yang et al., 2023; a reconstruction)",
    "ccw": "one unit over all branches of a module (Yu et al., Lite-HRNet, 2021; its own r is 8)",
}

# closed form -> the block it speaks of: (c_in, c_out, knobs, stride=…) -> node
FORMULA_BLOCKS: dict[str, FormulaBlock] = {
    "conv": conv_block,
    "ghost": ghost.ghost_module,
    "ghost-se": ghost.ghost_se_module,
    "ga": gadnet.ga_block,
    "gd": gadnet.gd_block,
    "grouped": residual.grouped_conv,
    "dwsep": mobile.dwsep_conv,
    "inverted": mobile.inverted_residual,
    "shuffle1": shuffle.shuffle_unit_v1,
    "shuffle2": shuffle.shuffle_unit_v2,
    "se": squeeze.se_conv,
    "cbam": cbam.cbam_conv,
    "sk": selective.sk_conv,
    "dense": dense.dense_block,
    "stn": spatial_transformer.stn_conv,
    "mra": multiscale.multiscale_attention,
    "dam": dense.dense_attention,
    "dgia": dgia.dgia_conv,
    "ccw": weighting.conditional_weighting_alone,
}


def formula_block(block: str, inputs: Mapping[str, int]) -> tuple[p.Node, tuple[int, int, int]]:
    """The block of a closed form at its inputs, and the shape of the map that it takes.

    ``inputs`` are c_in, c_out, stride, the output's h and w, and knobs; of a block that takes a map
    a branch, the shape is the first one's.
    """
    knobs: dict[str, Any] = dict(inputs)
    c_in, c_out, stride = knobs.pop("c_in"), knobs.pop("c_out"), knobs.pop("stride", 1)
    shape = (c_in, knobs.pop("h") * stride, knobs.pop("w") * stride)
    return FORMULA_BLOCKS[block](c_in, c_out, BlockKnobs(**knobs), stride=stride), shape


# classes of modules that people call a block; the outermost one above an operation owns it
BLOCK_KINDS = (
    "Bottleneck",
    "BasicBlock",
    "GhostBlock",
    "GaBlock",
    "GdBlock",
    "SEBlock",
    "InvertedResidual",
    "DepthwiseSeparable",
    "ShuffleUnitV1",
    "ShuffleUnitV2",
    "SEBasicBlock",
    "CBAMBasicBlock",
    "CBAM",
    "SKUnit",
    "SelectiveKernel",
    "SpatialTransformer",
    "ConditionalChannelWeighting",
    "DenseBlock",
    "DenseAttention",
    "MultiscaleAttention",
    "InstanceAwareAttention",
)


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
