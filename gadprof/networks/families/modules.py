"""The modules that the zoo's nodes become; ``families.cost`` models their lifetimes.

A network with intermediate supervision returns a list of heatmaps, of which the last is the answer.
Shapes are (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gadprof.networks.modules import Residual


class Hourglass(Residual):
    """Features at this size, plus those made at half of it and enlarged again."""


class LiteExchange(nn.Module):
    """Layers over a list of maps, then an exchange whose first term is run and added twice.

    That is what the official code of Lite-HRNet executes: the loop over the branches starts from
    the first branch's term and adds it again, and where that term is the branch's own map, it is
    added in place, so that the rows below read the sum. Trained weights depend on it.
    """

    def __init__(self, layers: nn.Module, rows: list[list[nn.Module]]) -> None:
        super().__init__()
        self.layers = layers
        self.fuse_layers = nn.ModuleList([nn.ModuleList(row) for row in rows])
        self.relu = nn.ReLU()

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """A list of (N, C_i, H_i, W_i) to one map a row of the exchange."""
        maps = self.layers(maps)
        made: list[Tensor] = []
        for row in self.fuse_layers:
            y = row[0](maps[0])  # type: ignore[index]
            for index, layer in enumerate(row):  # type: ignore[arg-type, var-annotated]
                y = y + layer(maps[index])
            if not made:
                maps = [y, *maps[1:]]
            made.append(self.relu(y))
            del y
        return made


class IterativeHead(nn.Module):
    """From the smallest map to the largest: each plus the enlarged one before, then projected."""

    def __init__(self, projects: list[nn.Module]) -> None:
        super().__init__()
        self.projects = nn.ModuleList(projects)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of (N, C_i, H_i, W_i), the smallest last, to (N, C_0, H_0, W_0)."""
        y = maps[-1]
        for index, project in enumerate(self.projects):
            if index > 0:
                x = maps[-1 - index]
                size = (x.shape[-2], x.shape[-1])
                y = functional.interpolate(y, size=size, mode="bilinear", align_corners=True)
                y = x + y
            y = project(y)
        return y


class LiteHighResolutionNet(nn.Module):
    """Lite-HRNet's skeleton with a heatmap head (Yu et al., 2021)."""

    def __init__(
        self,
        stem: nn.Module,
        transitions: list[nn.Module],
        stages: list[nn.Module],
        head_layer: nn.Module,
        final_layer: nn.Module,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.transitions = nn.ModuleList(transitions)
        self.stages = nn.ModuleList(stages)
        self.head_layer = head_layer
        self.final_layer = final_layer

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, joints, H / 4, W / 4)."""
        maps = [self.stem(x)]
        for index, stage in enumerate(self.stages):
            maps = self.transitions[index](maps)
            maps = stage(maps)
        y = self.head_layer(maps)
        y = self.final_layer(y)
        return y


class StackedHourglass(nn.Module):
    """Hourglasses one after another, each with heatmaps of its own (Newell et al., 2016)."""

    def __init__(
        self,
        stem: nn.Module,
        hourglasses: list[nn.Module],
        features: list[nn.Module],
        heads: list[nn.Module],
        from_features: list[nn.Module],
        from_heatmaps: list[nn.Module],
    ) -> None:
        super().__init__()
        self.stem = stem
        self.hourglasses = nn.ModuleList(hourglasses)
        self.features = nn.ModuleList(features)
        self.heads = nn.ModuleList(heads)
        self.from_features = nn.ModuleList(from_features)
        self.from_heatmaps = nn.ModuleList(from_heatmaps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to (N, joints, H / 4, W / 4) for each stack; the last is the answer."""
        made: list[Tensor] = []
        x = self.stem(x)
        for index, hourglass in enumerate(self.hourglasses):
            y = hourglass(x)
            y = self.features[index](y)
            maps = self.heads[index](y)
            made.append(maps)
            if index < len(self.from_features):
                x = x + self.from_features[index](y)
                x = x + self.from_heatmaps[index](maps)
            del y
        return made


class CascadedPyramid(nn.Module):
    """A backbone's four maps through GlobalNet and RefineNet (Chen et al., 2018)."""

    def __init__(
        self,
        stem: nn.Module,
        layers: list[nn.Module],
        laterals: list[nn.Module],
        merges: list[nn.Module],
        heads: list[nn.Module],
        refines: list[nn.Module],
        answer: nn.Module,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.ModuleList(layers)
        self.laterals = nn.ModuleList(laterals)
        self.merges = nn.ModuleList(merges)
        self.heads = nn.ModuleList(heads)
        self.refines = nn.ModuleList(refines)
        self.answer = answer

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to lists of (N, joints, H / 4, W / 4); RefineNet's, the last, answers."""
        pyramid, made = self.global_net(self.backbone(x))
        made.append(self.refine_net(pyramid))
        return made

    def backbone(self, x: Tensor) -> list[Tensor]:
        """The maps of the four stages, (N, C, H / 4, W / 4) first."""
        maps: list[Tensor] = []
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def global_net(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The pyramid's levels and their heatmaps, the smallest level first."""
        pyramid: list[Tensor] = []
        made: list[Tensor] = []
        for index, lateral in enumerate(self.laterals):
            y = lateral(maps[-1 - index])
            if index > 0:
                y = y + self.merges[index - 1](pyramid[-1])
            pyramid.append(y)
            made.append(self.heads[index](y))
        return pyramid, made

    def refine_net(self, pyramid: list[Tensor]) -> Tensor:
        """Heatmaps from the levels together, (N, joints, H / 4, W / 4)."""
        refined: list[Tensor] = []
        for index, refine in enumerate(self.refines):
            refined.append(refine(pyramid[-1 - index]))
        y: Tensor = self.answer(torch.cat(refined, 1))
        return y
