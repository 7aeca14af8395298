"""Plan nodes of light blocks and attention: slices, shuffles, gates and sums over paths.

Like all nodes they hold channels and children, no shapes and no torch. What a node's channels must
divide by is checked where a spec or a formula is read, not here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gadprof.networks.plan import Node, Number


@dataclass(frozen=True, slots=True, eq=False)
class ChannelSlice(Node):
    """Channels ``start`` to ``stop`` (not included) of a map, as a view of its memory."""

    start: Number
    stop: Number


@dataclass(frozen=True, slots=True, eq=False)
class ChannelShuffle(Node):
    """Channels read across ``groups`` groups (Zhang et al., ShuffleNet, 2018); groups divides c."""

    groups: int


@dataclass(frozen=True, slots=True, eq=False)
class AdaptivePool(Node):
    """Average pooling to a given height and width, whatever the input's."""

    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics(Node):
    """Two maps: the maximum and the mean over the channels (Woo et al., CBAM, 2018)."""


@dataclass(frozen=True, slots=True, eq=False)
class Gate(Node):
    """x · body(x), where the body gives a weight a channel, a position or an element."""

    body: Node


@dataclass(frozen=True, slots=True, eq=False)
class PathSum(Node):
    """The sum of several paths over one input."""

    paths: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ChannelAttention(Node):
    """x · sigmoid(mlp(mean) + mlp(maximum)), one two-layer ``mlp`` for both (CBAM, equation 2)."""

    c: Number
    hidden: Number
    bias: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SelectiveKernel(Node):
    """The sum of several paths' maps, each channel weighed by a softmax over the paths.

    The weights come from ``weigh``, a node from (c, 1, 1), the mean of the paths' sum, to
    (len(paths)·c, 1, 1) (Li et al., SKNet, 2019).
    """

    c: Number
    paths: tuple[Node, ...]
    weigh: Node


@dataclass(frozen=True, slots=True, eq=False)
class SplitAttention(Node):
    """The sum of ``radix`` parts of a map's channels, each channel weighed over the parts.

    The input has radix·c channels. ``weigh`` maps (c, 1, 1), the mean of the parts' sum, to
    (radix·c, 1, 1), whose softmax over the parts are the weights; ``groups`` divides c and cuts
    ``weigh``'s output before the parts do (Zhang et al., ResNeSt, 2022).
    """

    c: Number
    radix: int
    groups: int
    weigh: Node


@dataclass(frozen=True, slots=True, eq=False)
class SelfCalibration(Node):
    """body(x) · sigmoid(x + look(x)), ``look``'s smaller map enlarged to x's size (Liu et al.,
    SCNet, 2020, equations 3 to 5)."""

    body: Node
    look: Node


@dataclass(frozen=True, slots=True, eq=False)
class SpatialTransformer(Node):
    """x sampled bilinearly on an affine grid, whose six numbers ``locate`` finds in x.

    ``locate`` gives (6,); Jaderberg et al., 2015.
    """

    locate: Node


@dataclass(frozen=True, slots=True, eq=False)
class CrossResolutionWeighting(Node):
    """Each of several maps times weights found in all of them (Yu et al., Lite-HRNet, 2021).

    All maps are pooled to the last one's size and concatenated; ``weigh`` keeps the shape; its
    output is cut back into ``channels`` and enlarged to each map's size.
    """

    channels: tuple[Number, ...]
    weigh: Node


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalChannelWeighting(Node):
    """Lite-HRNet's unit over all maps of a module: half of each map's channels is kept, the other
    half goes through ``cross`` and the map's own ``branch``; concatenation, shuffle.

    ``halves`` is how many channels of each map are kept.
    """

    halves: tuple[Number, ...]
    cross: CrossResolutionWeighting
    branches: tuple[Node, ...]
