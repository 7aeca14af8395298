"""The modules that the units' nodes become; ``unit_cost`` models their lifetimes.

Every forward method can be scripted and exported. Shapes are (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gadprof.networks.modules import Residual


class ChannelSlice(nn.Module):
    """Some consecutive channels of a map, without a copy."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = start
        self.stop = stop

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, stop - start, H, W)."""
        return x[:, self.start : self.stop]


class ChannelShuffle(nn.Module):
    """Channels read across groups, so that the next grouped convolution mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        n, c, h, w = x.shape
        y = x.reshape(n, self.groups, c // self.groups, h, w)
        return y.transpose(1, 2).reshape(n, c, h, w)


class ChannelStatistics(nn.Module):
    """The maximum and the mean over the channels, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 2, H, W)."""
        return torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)


class Gate(nn.Module):
    """A map times weights found in it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = x * self.body(x)
        return y


class PathSum(nn.Module):
    """The sum of several paths over one input."""

    def __init__(self, paths: list[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = x
        for index, path in enumerate(self.paths):
            y = path(x) if index == 0 else y + path(x)
        return y


class ChannelAttention(nn.Module):
    """Channel weights from the mean and the maximum of each map (CBAM)."""

    def __init__(self, channels: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, each map scaled."""
        w = torch.stack([self.pool(x).flatten(1), x.amax((2, 3))], 1)
        w = self.fc1(w)
        w = self.relu(w)
        w = self.fc2(w)
        w = self.sigmoid(w.sum(1))
        return x * w.unsqueeze(-1).unsqueeze(-1)


class SelectiveKernel(nn.Module):
    """Several paths whose maps are weighed, channel by channel, by a softmax over the paths."""

    def __init__(self, paths: list[nn.Module], weigh: nn.Module) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = weigh

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        maps: list[Tensor] = []
        for path in self.paths:
            maps.append(path(x))
        w = self.weights(maps)
        y = maps[0] * w[:, 0]
        for index in range(1, len(maps)):
            y = y + maps[index] * w[:, index]
        return y

    def weights(self, maps: list[Tensor]) -> Tensor:
        """Weights of every path's channels, (N, paths, C, 1, 1)."""
        total = maps[0]
        for index in range(1, len(maps)):
            total = total + maps[index]
        w = self.weigh(self.pool(total))
        return torch.softmax(w.reshape(w.shape[0], len(maps), -1, 1, 1), 1)


class SplitAttention(nn.Module):
    """Parts of a map's channels, summed with weights from a softmax over the parts (ResNeSt)."""

    def __init__(self, radix: int, groups: int, weigh: nn.Module) -> None:
        super().__init__()
        self.radix = radix
        self.groups = groups
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = weigh

    def forward(self, x: Tensor) -> Tensor:
        """(N, radix · C, H, W) to (N, C, H, W)."""
        n, c, h, w = x.shape
        parts = x.reshape(n, self.radix, c // self.radix, h, w)
        weights = self.weigh(self.pool(parts.sum(1)))
        weights = weights.reshape(n, self.groups, self.radix, -1).transpose(1, 2)
        weights = torch.softmax(weights, 1).reshape(n, self.radix, -1, 1, 1)
        return (parts * weights).sum(1)


class SelfCalibration(nn.Module):
    """A filtered map, gated by the map itself and by what a wider look at it found (SCNet)."""

    def __init__(self, body: nn.Module, look: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.look = look
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        gate = functional.interpolate(self.look(x), size=x.shape[-2:], mode="nearest")
        gate = x + gate
        gate = self.sigmoid(gate)
        y: Tensor = self.body(x) * gate
        return y


class SpatialTransformer(nn.Module):
    """A map sampled on an affine grid that is found in the map itself; starts as the identity."""

    def __init__(self, locate: nn.Module) -> None:
        super().__init__()
        self.locate = locate
        last = list(locate.modules())[-1]
        if isinstance(last, nn.Linear) and last.bias is not None:
            nn.init.zeros_(last.weight)
            with torch.no_grad():
                last.bias.copy_(torch.eye(2, 3).flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        theta = self.locate(x).reshape(-1, 2, 3)
        n, c, h, w = x.shape
        grid = functional.affine_grid(theta, [n, c, h, w], align_corners=False)
        return functional.grid_sample(
            x, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )


class CrossResolutionWeighting(nn.Module):
    """Maps of several sizes, each times weights found in all of them (Lite-HRNet)."""

    def __init__(self, channels: list[int], weigh: nn.Module) -> None:
        super().__init__()
        self.channels = channels
        self.weigh = weigh

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to the same shapes."""
        w = self.weigh(self.gathered(maps))
        made: list[Tensor] = []
        start = 0
        for index, channels in enumerate(self.channels):
            x = maps[index]
            part = w[:, start : start + channels]
            made.append(x * functional.interpolate(part, size=x.shape[-2:], mode="nearest"))
            start += channels
        return made

    def gathered(self, maps: list[Tensor]) -> Tensor:
        """All maps at the last one's size, (N, sum of C_i, H, W)."""
        h, w = maps[-1].shape[-2:]
        pooled: list[Tensor] = []
        for x in maps[:-1]:
            pooled.append(functional.adaptive_avg_pool2d(x, (h, w)))
        pooled.append(maps[-1])
        return torch.cat(pooled, 1)


class ConditionalChannelWeighting(nn.Module):
    """Half of each map's channels weighed across resolutions, filtered and weighed again."""

    def __init__(
        self, halves: list[int], cross: CrossResolutionWeighting, branches: list[nn.Module]
    ) -> None:
        super().__init__()
        self.halves = halves
        self.cross = cross
        self.branches = nn.ModuleList(branches)
        self.shuffle = ChannelShuffle(2)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to the same shapes."""
        second: list[Tensor] = []
        for index, half in enumerate(self.halves):
            second.append(maps[index][:, half:])
        second = self.cross(second)
        made: list[Tensor] = []
        for index, branch in enumerate(self.branches):
            kept = maps[index][:, : self.halves[index]]
            made.append(self.shuffle(torch.cat([kept, branch(second[index])], 1)))
        return made


class DepthwiseSeparable(nn.Sequential):
    """A depthwise and a pointwise convolution (MobileNet)."""


class InvertedResidual(Residual):
    """A narrow map widened, filtered depthwise and narrowed again (MobileNetV2)."""


class ShuffleUnitV1(Residual):
    """Grouped pointwise convolutions with a channel shuffle between them (ShuffleNet)."""


class ShuffleUnitV2(nn.Sequential):
    """Two paths concatenated and shuffled (ShuffleNet V2)."""


class SEBasicBlock(Residual):
    """A basic block whose residual is weighed by squeeze-and-excitation (SENet)."""


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention (CBAM)."""


class CBAMBasicBlock(Residual):
    """A basic block whose residual is weighed by channel and spatial attention (CBAM)."""


class SKUnit(Residual):
    """A bottleneck whose middle convolution selects its kernel (SKNet)."""


class DenseBlock(nn.Sequential):
    """Layers that each add maps to all before them, then a pointwise convolution (DenseNet)."""


class DenseAttention(nn.Sequential):
    """Dense layers whose maps are weighed by channel attention (DAM-Net)."""


class MultiscaleAttention(Residual):
    """Convolutions of two sizes, fused, weighed by channel attention and added (MRA-UNet)."""


class Several(nn.Module):
    """A module of a list of maps, called with the maps one by one; gives a tuple.

    Counters that name every input find them all under ``maps``.
    """

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, *maps: Tensor, **named: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps (N, C_i, H_i, W_i) to maps of the same shapes."""
        return tuple(self.unit(list(maps or named["maps"])))
