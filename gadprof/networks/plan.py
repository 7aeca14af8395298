"""Plans: what a network is, as a tree of frozen nodes, before anybody builds or costs it.

A node holds channels, kernels, strides and its children, nothing else: no shapes, no weights, no
torch. ``cost`` folds a plan into numbers and ``build`` turns the same plan into modules, so that
a channel number is written once. A number in a node may be an int or an int64 array (for sweeps).
The same node object may stand at many places: each place becomes a module of its own.

Nodes compare by identity; that is what makes folding a repeated block cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# an int, or an int64 array in a sweep
Number = Any


def ceil_div(numerator: Number, denominator: Number) -> Number:
    """The smallest integer not below numerator / denominator, for ints and int64 arrays."""
    return -(-numerator // denominator)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Base of all nodes."""


# --- leaves ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Conv(Node):
    """A 2-D convolution; ``padding`` None means "same" for odd kernels at stride 1: k // 2."""

    c_in: Number
    c_out: Number
    k: int | tuple[int, int] = 3
    stride: int = 1
    padding: int | tuple[int, int] | None = None
    groups: Number = 1
    bias: bool = False
    dilation: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class ConvTranspose(Node):
    """A 2-D transposed convolution."""

    c_in: Number
    c_out: Number
    k: int
    stride: int
    padding: int
    output_padding: int = 0
    groups: Number = 1
    bias: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class BatchNorm(Node):
    """Batch normalisation over ``c`` channels, with scale and shift."""

    c: Number


@dataclass(frozen=True, slots=True, eq=False)
class Linear(Node):
    """A fully connected layer on the last dimension."""

    c_in: Number
    c_out: Number
    bias: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Activation(Node):
    """An elementwise activation: relu, relu6, hardswish, hardsigmoid, sigmoid or silu."""

    kind: str = "relu"
    inplace: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool(Node):
    """Max pooling."""

    k: int
    stride: int
    padding: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class AvgPool(Node):
    """Average pooling; ``ceil`` keeps a last window that is not full, the mean of what it holds."""

    k: int
    stride: int
    padding: int = 0
    ceil: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class GlobalPool(Node):
    """The mean over height and width, kept as 1×1."""


@dataclass(frozen=True, slots=True, eq=False)
class Flatten(Node):
    """(C, H, W) to (C·H·W,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Upsample(Node):
    """Enlarge height and width by an integer factor; ``mode`` is nearest or bilinear."""

    scale: int
    mode: str = "nearest"


@dataclass(frozen=True, slots=True, eq=False)
class Identity(Node):
    """Its input."""


# --- combinators ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(Node):
    """Children one after another; ``kind`` names the class, ``names`` the children (else 0, 1, …).

    Children may map one tensor to one, or a list to a list.
    """

    items: tuple[Node, ...]
    kind: str = "Sequential"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Residual(Node):
    """activation(body(x) + shortcut(x)); without a shortcut node, x itself is added.

    ``kind`` names the class.
    """

    body: Node
    shortcut: Node | None = None
    activation: Activation | None = None
    kind: str = "Residual"


@dataclass(frozen=True, slots=True, eq=False)
class Concat(Node):
    """The channel concatenation of several paths over one input."""

    paths: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BasicBlock(Node):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)), He et al. 2016."""

    conv1: Node
    bn1: Node
    conv2: Node
    bn2: Node
    downsample: Node | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bottleneck(Node):
    """The 1×1, 3×3, 1×1 residual block of He et al. 2016."""

    conv1: Node
    bn1: Node
    conv2: Node
    bn2: Node
    conv3: Node
    bn3: Node
    downsample: Node | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SEBlock(Node):
    """Squeeze-and-excitation: x · sigmoid(fc2(relu(fc1(mean(x))))), Hu et al. 2018.

    ``hidden`` = ceil(c / r) units; the two layers have no bias unless ``bias``.
    """

    c: Number
    hidden: Number
    bias: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CheapOperation(Node):
    """``g`` ghost maps from ``c`` maps, one d×d depthwise filter a ghost map, then BN (and ReLU).

    Ghost map j reads input map j mod c, so that the weights are g·d² for any integers: whole
    rounds are one depthwise convolution with a multiplier, the rest another on the first maps.
    """

    c: Number
    g: Number
    d: int
    stride: int = 1
    activation: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class GhostModule(Node):
    """concat(y, cheap(y)) with y = primary(x), Han et al. 2020; ``cheap`` None when g = 0."""

    primary: Node
    cheap: CheapOperation | None


@dataclass(frozen=True, slots=True, eq=False)
class GaBlock(Node):
    """concat(y, cheap(attention(y))) with y = primary(x); ``shortcut`` adds x."""

    primary: Node
    attention: SEBlock | None
    cheap: CheapOperation | None
    shortcut: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class GdBlock(Node):
    """concat(primary(x), attention(cheap(x))), both at half the size."""

    primary: Node
    cheap: CheapOperation | None
    attention: SEBlock | None


@dataclass(frozen=True, slots=True, eq=False)
class GhostBlock(Node):
    """relu(ghost2(ghost1(x)) + x): a BasicBlock whose convolutions are Ghost modules."""

    ghost1: GhostModule
    ghost2: GhostModule


# --- several resolutions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Transition(Node):
    """A list of n maps to a list of len(items): item i maps input i, new ones the last input."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HighResolutionModule(Node):
    """Parallel branches, then an exchange: output i = relu(sum over j of rows[i][j](branch j)).

    A row may be shorter than the number of branches (no up-sampling); ``kind`` names the class.
    """

    branches: tuple[Node, ...]
    rows: tuple[tuple[Node, ...], ...]
    kind: str = "HighResolutionModule"


@dataclass(frozen=True, slots=True, eq=False)
class HighResolutionNet(Node):
    """HRNet's skeleton for heatmaps: stem, layer1, three transitions and stages, a 1×1 head."""

    conv1: Node
    bn1: Node
    conv2: Node
    bn2: Node
    layer1: Node
    transition1: Transition
    stage2: Node
    transition2: Transition
    stage3: Node
    transition3: Transition
    stage4: Node
    final_layer: Node
    kind: str = "PoseHighResolutionNet"
