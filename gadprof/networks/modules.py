"""The modules that plans become: explicit forward methods, scriptable and exportable.

Every forward method drops a map as early as Python allows; ``gadprof.cost`` models these very
lifetimes, so a change here is a change there. Shapes are (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two convolutions with a shortcut (He et al. 2016)."""

    def __init__(
        self,
        conv1: nn.Module,
        bn1: nn.Module,
        conv2: nn.Module,
        bn2: nn.Module,
        downsample: nn.Module | None,
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.bn1 = bn1
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv2
        self.bn2 = bn2
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = self.conv1(x)
        y = self.bn1(y)
        y = self.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        shortcut = x
        if self.downsample is not None:
            shortcut = self.downsample(x)
        return self.relu(y + shortcut)


class Bottleneck(nn.Module):
    """The 1×1, 3×3, 1×1 residual block (He et al. 2016)."""

    def __init__(
        self,
        conv1: nn.Module,
        bn1: nn.Module,
        conv2: nn.Module,
        bn2: nn.Module,
        conv3: nn.Module,
        bn3: nn.Module,
        downsample: nn.Module | None,
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.bn1 = bn1
        self.conv2 = conv2
        self.bn2 = bn2
        self.conv3 = conv3
        self.bn3 = bn3
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = self.conv1(x)
        y = self.bn1(y)
        y = self.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        y = self.relu(y)
        y = self.conv3(y)
        y = self.bn3(y)
        shortcut = x
        if self.downsample is not None:
            shortcut = self.downsample(x)
        return self.relu(y + shortcut)


class Residual(nn.Module):
    """activation(body(x) + shortcut(x))."""

    def __init__(
        self, body: nn.Module, shortcut: nn.Module | None, activation: nn.Module | None
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = self.body(x)
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
        z = y + shortcut
        if self.activation is not None:
            z = self.activation(z)
        return z


class Concat(nn.Module):
    """The channel concatenation of several paths over one input."""

    def __init__(self, paths: list[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, sum of C', H', W')."""
        made: list[Tensor] = []
        for path in self.paths:
            made.append(path(x))
        return torch.cat(made, 1)


class SEBlock(nn.Module):
    """Squeeze-and-excitation: channel weights from the mean of each map (Hu et al. 2018)."""

    def __init__(self, channels: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape, each map scaled."""
        w = self.pool(x).flatten(1)
        w = self.fc1(w)
        w = self.relu(w)
        w = self.fc2(w)
        w = self.sigmoid(w)
        return x * w.unsqueeze(-1).unsqueeze(-1)


class CheapOperation(nn.Module):
    """``g`` ghost maps from ``c`` maps: ghost map j filters input map j mod c, then BN and ReLU.

    Whole rounds over the input maps are ``full``, a last partial round is ``rest``; one of them may
    be absent.
    """

    def __init__(self, c: int, g: int, d: int, stride: int, *, activation: bool) -> None:
        super().__init__()
        rounds = g // c
        self.remaining = g - rounds * c
        pad = d // 2
        self.full = (
            nn.Conv2d(c, rounds * c, d, stride, pad, groups=c, bias=False) if rounds else None
        )
        left = self.remaining
        self.rest = nn.Conv2d(left, left, d, stride, pad, groups=left, bias=False) if left else None
        self.bn = nn.BatchNorm2d(g)
        self.relu = nn.ReLU(inplace=True) if activation else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, H, W) to (N, g, H / stride, W / stride)."""
        if self.full is None:
            assert self.rest is not None
            y = self.rest(x[:, : self.remaining])
        elif self.rest is None:
            y = self.full(x)
        else:
            y = torch.cat([self.full(x), self.rest(x[:, : self.remaining])], 1)
        y = self.bn(y)
        if self.relu is not None:
            y = self.relu(y)
        return y


class GhostModule(nn.Module):
    """Intrinsic maps and the ghost maps made from them, side by side (Han et al. 2020)."""

    def __init__(self, primary: nn.Module, cheap: nn.Module | None) -> None:
        super().__init__()
        self.primary = primary
        self.cheap = cheap

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = self.primary(x)
        if self.cheap is None:
            return y
        return torch.cat([y, self.cheap(y)], 1)


class GaBlock(nn.Module):
    """Intrinsic maps, and ghost maps made from the attended intrinsic maps (GADNet, figure 6)."""

    def __init__(
        self,
        primary: nn.Module,
        attention: nn.Module | None,
        cheap: nn.Module | None,
        *,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.primary = primary
        self.attention = attention
        self.cheap = cheap
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = self.primary(x)
        if self.cheap is not None:
            if self.attention is not None:
                y = torch.cat([y, self.cheap(self.attention(y))], 1)
            else:
                y = torch.cat([y, self.cheap(y)], 1)
        return y + x if self.shortcut else y


class GdBlock(nn.Module):
    """Intrinsic and ghost maps both made from the input, the ghosts attended (GADNet, figure 7)."""

    def __init__(
        self, primary: nn.Module, cheap: nn.Module | None, attention: nn.Module | None
    ) -> None:
        super().__init__()
        self.primary = primary
        self.cheap = cheap
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = self.primary(x)
        if self.cheap is None:
            return y
        ghost = self.cheap(x)
        if self.attention is not None:
            ghost = self.attention(ghost)
        return torch.cat([y, ghost], 1)


class GDModule(nn.Sequential):
    """A chain of GdBlocks, of which only the last changes the channels (GADNet, figure 8)."""


class GhostBlock(nn.Module):
    """A BasicBlock whose two convolutions are Ghost modules."""

    def __init__(self, ghost1: nn.Module, ghost2: nn.Module) -> None:
        super().__init__()
        self.ghost1 = ghost1
        self.ghost2 = ghost2
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y = self.ghost1(x)
        y = self.ghost2(y)
        return self.relu(y + x)


class Stage(nn.Sequential):
    """Modules one after another over a list of maps, one a resolution."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to another."""
        for module in self:
            maps = module(maps)
        return maps


class Transition(nn.ModuleList):
    """Maps of n resolutions to maps of more: a new one comes from the last."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to a longer list."""
        made: list[Tensor] = []
        for index, layer in enumerate(self):
            made.append(layer(maps[min(index, len(maps) - 1)]))
        return made


class Fusion(nn.ModuleList):
    """The sum over j of layer_j(map_j), the maps brought to one size by the layers."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__(layers)
        self.terms = len(layers)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of (N, C_j, H_j, W_j) to one (N, C, H, W)."""
        y = maps[0]
        for index, layer in enumerate(self):
            y = layer(y) if index == 0 else y + layer(maps[index])
        return y


class HighResolutionModule(nn.Module):
    """Parallel branches, then an exchange between their resolutions (HRNet)."""

    def __init__(self, branches: list[nn.Module], rows: list[list[nn.Module]]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.fuse_layers = nn.ModuleList([Fusion(row) for row in rows])
        self.relu = nn.ReLU(inplace=True)
        # a lone term may be the branch's own map, which other rows still read
        self.relu_apart = nn.ReLU()

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to one map a row of the exchange."""
        maps: list[Tensor] = []
        for index, branch in enumerate(self.branches):
            maps.append(branch(x[index]))
        made: list[Tensor] = []
        for row in self.fuse_layers:
            y = row(maps)
            several = row.terms > 1  # type: ignore[operator]
            made.append(self.relu(y) if several else self.relu_apart(y))
        return made


class ADModule(HighResolutionModule):
    """GADNet's feature module: branches of GaBlocks and an exchange through GdBlocks."""


class PoseHighResolutionNet(nn.Module):
    """HRNet's skeleton with a heatmap head."""

    def __init__(
        self,
        conv1: nn.Module,
        bn1: nn.Module,
        conv2: nn.Module,
        bn2: nn.Module,
        layer1: nn.Module,
        transition1: nn.Module,
        stage2: nn.Module,
        transition2: nn.Module,
        stage3: nn.Module,
        transition3: nn.Module,
        stage4: nn.Module,
        final_layer: nn.Module,
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.bn1 = bn1
        self.conv2 = conv2
        self.bn2 = bn2
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = layer1
        self.transition1 = transition1
        self.stage2 = stage2
        self.transition2 = transition2
        self.stage3 = stage3
        self.transition3 = transition3
        self.stage4 = stage4
        self.final_layer = final_layer

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, joints, H / 4, W / 4)."""
        maps = self.transition1([self.features(x)])
        maps = self.stage2(maps)
        maps = self.transition2(maps)
        maps = self.stage3(maps)
        maps = self.transition3(maps)
        maps = self.stage4(maps)
        y: Tensor = self.final_layer(maps[0])
        return y

    def features(self, x: Tensor) -> Tensor:
        """The stem and stage 1: (N, 3, H, W) to (N, 256, H / 4, W / 4)."""
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.relu(x)
        y: Tensor = self.layer1(x)
        return y


class GADNet(PoseHighResolutionNet):
    """Ghost attentional down network: GaBlocks and GdBlocks on HRNet's skeleton."""
