"""Networks of the phones' table that no installed library builds, written after their papers.

Promises modules of the published layers, checked by the table's parameters (``fit_phones``); names
of layers are ours, weights stay as they start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def conv_norm(
    c_in: int, c: int, k: int = 3, stride: int = 1, *, act: Any = nn.ReLU, groups: int = 1,
    dilation: int = 1,
) -> nn.Sequential:  # fmt: skip
    """Convolution, batch norm, activation."""
    pad = dilation * (k // 2)
    conv = nn.Conv2d(c_in, c, k, stride, pad, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c), *([act()] if act else []))


class Added(nn.Module):
    """The sum of a body and a shortcut, then an activation."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None, act: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut, act

    def forward(self, x: Any) -> Any:
        y = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return y if self.act is None else self.act(y)


def quicksrnet(width: int, layers: int) -> nn.Sequential:
    """QuickSRNet: plain convolutions with clipped ReLUs, fourfold (Berger et al. 2023)."""
    parts: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU6()]
    for _ in range(layers):
        parts += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU6()]
    last = nn.Conv2d(width, 48, 3, padding=1)
    return nn.Sequential(*parts, last, nn.ReLU6(), nn.PixelShuffle(4))


class AotBlock(nn.Module):
    """Four dilated paths, fused, and gated by a normalised map (Zeng et al. 2021)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(d), nn.Conv2d(c, c // 4, 3, dilation=d), nn.ReLU())
            for d in (1, 2, 4, 8)
        )
        self.fuse, self.gate = (
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3)) for _ in range(2)
        )

    def forward(self, x: Any) -> Any:
        made = self.fuse(torch.cat([path(x) for path in self.paths], 1))
        mask = self.gate(x)
        mean, std = mask.mean((2, 3), keepdim=True), mask.std((2, 3), keepdim=True) + 1e-9
        mask = torch.sigmoid(5 * (2 * (mask - mean) / std - 1))
        return x * (1 - mask) + made * mask


class Up(nn.Module):
    """Bilinear doubling, then a convolution."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


def aotgan() -> nn.Sequential:
    """AOT-GAN's generator; a picture and its mask are four channels."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(4, 64, 7), nn.ReLU(),
        nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Conv2d(128, 256, 4, 2, 1), nn.ReLU(),
        *[AotBlock(256) for _ in range(8)],
        Up(256, 128), nn.ReLU(), Up(128, 64), nn.ReLU(), nn.Conv2d(64, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def cavaface() -> nn.Sequential:
    """An improved ResNet-100 for faces (Deng et al., ArcFace, 2019)."""

    def block(c_in: int, c: int, stride: int) -> Added:
        body = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c, 3, 1, 1, bias=False), nn.PReLU(c),
            nn.Conv2d(c, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c),
        )  # fmt: skip
        if c_in == c:
            return Added(body, nn.MaxPool2d(1, stride) if stride > 1 else None, None)
        return Added(body, conv_norm(c_in, c, 1, stride, act=None), None)

    parts: list[nn.Module] = []
    c_in = 64
    for c, repeats in zip((64, 128, 256, 512), (3, 13, 30, 3), strict=True):
        parts += [block(c_in, c, 2), *[block(c, c, 1) for _ in range(repeats - 1)]]
        c_in = c
    stem = conv_norm(3, 64, act=lambda: nn.PReLU(64))
    head = (nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512))
    return nn.Sequential(stem, *parts, *head)


def mobile_facenet() -> nn.Sequential:
    """MobileFaceNet (Chen et al. 2018)."""

    def act(c: int) -> Any:
        return lambda: nn.PReLU(c)

    def unit(c_in: int, c: int, t: int, stride: int) -> nn.Module:
        wide = t * c_in
        body = nn.Sequential(
            conv_norm(c_in, wide, 1, act=act(wide)),
            conv_norm(wide, wide, 3, stride, act=act(wide), groups=wide),
            conv_norm(wide, c, 1, act=None),
        )
        return Added(body, None, None) if stride == 1 and c_in == c else body

    parts: list[nn.Module] = []
    c_in = 64
    for t, c, n, stride in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)):  # fmt: skip  # noqa: E501
        parts += [unit(c_in if i == 0 else c, c, t, stride if i == 0 else 1) for i in range(n)]
        c_in = c
    last = nn.Conv2d(512, 512, 7, groups=512, bias=False)
    return nn.Sequential(
        conv_norm(3, 64, 3, 2, act=act(64)), conv_norm(64, 64, act=act(64), groups=64), *parts,
        conv_norm(128, 512, 1, act=act(512)), last, nn.BatchNorm2d(512),
        nn.Conv2d(512, 128, 1, bias=False), nn.BatchNorm2d(128), nn.Flatten(),
    )  # fmt: skip


class DeepLabPlus(nn.Module):
    """DeepLabV3+ on MobileNetV2 at an output stride of 16 (Chen et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        layers = mobilenet_v2(weights=None).features[:-1]
        for layer in layers[14:]:
            for part in layer.modules():
                if isinstance(part, nn.Conv2d) and part.groups > 1:
                    part.stride, part.dilation, part.padding = (1, 1), (2, 2), (2, 2)
        self.low, self.high = layers[:4], layers[4:]
        self.aspp = nn.ModuleList(
            [conv_norm(320, 256, 1), *[conv_norm(320, 256, dilation=d) for d in (6, 12, 18)]]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(320, 256, 1))
        self.join, self.lift = conv_norm(1280, 256, 1), conv_norm(24, 48, 1)
        self.last = nn.Sequential(conv_norm(304, 256), conv_norm(256, 256), nn.Conv2d(256, 21, 1))

    def forward(self, x: Any) -> Any:
        def resized(y: Any, to: Any) -> Any:
            return F.interpolate(y, size=to.shape[2:], mode="bilinear", align_corners=True)

        low = self.low(x)
        high = self.high(low)
        paths = [path(high) for path in self.aspp] + [resized(self.pooled(high), high)]
        joined = torch.cat([resized(self.join(torch.cat(paths, 1)), low), self.lift(low)], 1)
        return resized(self.last(joined), x)


class FFNet(nn.Module):
    """FFNet: a ResNet of basic blocks and a plain way up (Mehta et al. 2022)."""

    WIDTHS = (64, 128, 192, 320)

    def __init__(self, repeats: Sequence[int]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        c_in = 64
        for level, (c, n) in enumerate(zip(self.WIDTHS, repeats, strict=True)):
            blocks = []
            for index in range(n):
                stride = 2 if index == 0 and level else 1
                body = nn.Sequential(conv_norm(c_in, c, 3, stride), conv_norm(c, c, act=None))
                shortcut = conv_norm(c_in, c, 1, stride, act=None)
                keeps = stride == 1 and c_in == c
                blocks.append(Added(body, None if keeps else shortcut, nn.ReLU()))
                c_in = c
            parts.append(nn.Sequential(*blocks))
        self.stem = nn.Sequential(conv_norm(3, 32, 3, 2), conv_norm(32, 64, 3, 2))
        self.levels = nn.ModuleList(parts)
        self.ups = nn.ModuleList(conv_norm(c, 96, 1) for c in self.WIDTHS)
        self.smooth = nn.ModuleList(conv_norm(96, 96) for _ in self.WIDTHS)
        self.last = nn.Sequential(conv_norm(4 * 96, 128, 1), nn.Conv2d(128, 19, 1))

    def forward(self, x: Any) -> Any:
        maps = []
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
            maps.append(x)
        side = maps[0].shape[2:]
        above, made = None, []
        for up, smooth, level_map in zip(self.ups, self.smooth, maps[::-1], strict=True):
            y = up(level_map) if level_map.shape[1] == up[0].in_channels else level_map
            if above is not None:
                y = y + F.interpolate(above, size=y.shape[2:], mode="bilinear")
            above = smooth(y)
            made.append(F.interpolate(above, size=side, mode="bilinear"))
        return self.last(torch.cat(made, 1))


def ffnet(*repeats: int) -> FFNet:
    """FFNet with so many blocks a stage; its way up takes the widest map first."""
    network = FFNet(repeats)
    network.ups = nn.ModuleList(list(network.ups)[::-1])
    return network


def posenet() -> nn.Module:
    """PoseNet on MobileNetV1 at an output stride of 16 (Papandreou et al. 2018)."""

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList(nn.Conv2d(1024, c, 1) for c in (17, 34, 32, 32))

        def forward(self, x: Any) -> Any:
            return [head(x) for head in self.heads]

    parts: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU6()]
    c_in, strides = 32, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1)
    widths = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for index, (c, stride) in enumerate(zip(widths, strides, strict=True)):
        d = 2 if index == 12 else 1
        parts += [nn.Conv2d(c_in, c_in, 3, stride, d, d, groups=c_in), nn.ReLU6()]
        parts += [nn.Conv2d(c_in, c, 1), nn.ReLU6()]
        c_in = c
    return nn.Sequential(*parts, Heads())


class Ssd1200(nn.Module):
    """SSD on ResNet-34 for pictures of 1200 pixels (Liu et al. 2016; MLPerf's inference model)."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet34

        whole = resnet34(weights=None)
        for part in whole.layer3.modules():  # the third stage keeps its size
            if isinstance(part, nn.Conv2d):
                part.stride = (1, 1)
        self.trunk = nn.Sequential(
            whole.conv1, whole.bn1, whole.relu, whole.maxpool, whole.layer1, whole.layer2,
            whole.layer3,
        )  # fmt: skip
        widths = (
            (256, 256, 512),
            (512, 256, 512),
            (512, 128, 256),
            (256, 128, 256),
            (256, 128, 256),
        )
        self.extra = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 1), nn.ReLU(), nn.Conv2d(b, c, 3, 2 if i < 3 else 1, 1), nn.ReLU()
            )
            for i, (a, b, c) in enumerate(widths)
        )
        heads = zip((256, 512, 512, 256, 256, 256), (4, 6, 6, 6, 4, 4), strict=True)
        strides = (3, 3, 2, 2, 2, 2)
        self.heads = nn.ModuleList(
            nn.Conv2d(c, n * 85, 3, stride, 1)
            for (c, n), stride in zip(heads, strides, strict=True)
        )

    def forward(self, x: Any) -> Any:
        maps = [self.trunk(x)]
        for part in self.extra:
            maps.append(part(maps[-1]))
        return [head(y) for head, y in zip(self.heads, maps, strict=True)]


class ResidualU(nn.Module):
    """U²-Net's residual U of a depth; with ``flat`` dilations in place of pooling."""

    def __init__(self, depth: int, c_in: int, c: int, c_out: int, *, flat: bool = False) -> None:
        super().__init__()
        self.flat, self.first = flat, conv_norm(c_in, c_out)
        dilations = [2**i if flat else 1 for i in range(depth)]
        dilations[-1] = dilations[-1] if flat else 2
        self.down = nn.ModuleList(
            conv_norm(c if i else c_out, c, dilation=d) for i, d in enumerate(dilations)
        )
        self.up = nn.ModuleList(
            conv_norm(2 * c, c if i else c_out, dilation=dilations[i] if flat else 1)
            for i in range(depth - 1)
        )

    def forward(self, x: Any) -> Any:
        first = self.first(x)
        maps, y = [], first
        for index, part in enumerate(self.down):
            if index and not self.flat and index < len(self.down) - 1:
                y = F.max_pool2d(y, 2, 2, ceil_mode=True)
            y = part(y)
            maps.append(y)
        for index in reversed(range(len(self.up))):
            kept = maps[index]
            if y.shape[2:] != kept.shape[2:]:
                y = F.interpolate(y, size=kept.shape[2:], mode="bilinear")
            y = self.up[index](torch.cat([y, kept], 1))
        return y + first


class U2Net(nn.Module):
    """U²-Net (Qin et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        down = ((7, 3, 32, 64), (6, 64, 32, 128), (5, 128, 64, 256), (4, 256, 128, 512))
        up = ((4, 1024, 128, 256), (5, 512, 64, 128), (6, 256, 32, 64), (7, 128, 16, 64))
        self.down = nn.ModuleList([*(ResidualU(*row) for row in down)])
        self.low = nn.ModuleList(ResidualU(4, 512, 256, 512, flat=True) for _ in range(2))
        self.lift = ResidualU(4, 1024, 256, 512, flat=True)
        self.up = nn.ModuleList(ResidualU(*row) for row in up)
        self.sides = nn.ModuleList(
            nn.Conv2d(c, 1, 3, padding=1) for c in (64, 64, 128, 256, 512, 512)
        )
        self.last = nn.Conv2d(6, 1, 1)

    def forward(self, x: Any) -> Any:
        maps, side = [], x.shape[2:]
        for part in (*self.down, *self.low):
            x = part(F.max_pool2d(x, 2, 2, ceil_mode=True) if maps else x)
            maps.append(x)
        made = [x]
        for part, kept in zip((self.lift, *self.up), maps[-2::-1], strict=True):
            x = F.interpolate(x, size=kept.shape[2:], mode="bilinear")
            x = part(torch.cat([x, kept], 1))
            made.append(x)
        seen = [
            F.interpolate(head(y), size=side, mode="bilinear")
            for head, y in zip(self.sides, made[::-1], strict=True)
        ]
        return torch.sigmoid(self.last(torch.cat(seen, 1)))


class YoloTiny(nn.Module):
    """YOLOv4-tiny (Wang et al., Scaled-YOLOv4, 2021)."""

    def __init__(self) -> None:
        super().__init__()

        def unit(a: int, b: int, k: int = 3, stride: int = 1) -> nn.Module:
            return conv_norm(a, b, k, stride, act=lambda: nn.LeakyReLU(0.1))

        class Partial(nn.Module):
            def __init__(self, c: int) -> None:
                super().__init__()
                half = c // 2
                self.whole, self.last = unit(c, c), unit(c, c, 1)
                self.a, self.b = unit(half, half), unit(half, half)

            def forward(self, x: Any) -> Any:
                x = self.whole(x)
                first = self.a(x[:, x.shape[1] // 2 :])
                made = self.last(torch.cat([self.b(first), first], 1))
                return made, torch.cat([x, made], 1)

        self.stem = nn.Sequential(unit(3, 32, 3, 2), unit(32, 64, 3, 2))
        self.parts = nn.ModuleList(Partial(c) for c in (64, 128, 256))
        self.mid, self.neck = unit(512, 512), unit(512, 256, 1)
        self.high = nn.Sequential(unit(256, 512), nn.Conv2d(512, 255, 1))
        self.lift = unit(256, 128, 1)
        self.low = nn.Sequential(unit(384, 256), nn.Conv2d(256, 255, 1))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        kept = x
        for part in self.parts:
            kept, x = part(x)
            x = F.max_pool2d(x, 2, 2)
        y = self.neck(self.mid(x))
        lifted = F.interpolate(self.lift(y), scale_factor=2, mode="nearest")
        return self.high(y), self.low(torch.cat([lifted, kept], 1))


class Midas(nn.Module):
    """MiDaS v2.1 small: EfficientNet-Lite3 and a way up that narrows (Ranftl et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.trunk = timm.create_model(
            "tf_efficientnet_lite3", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        widths = (64, 128, 256, 512)
        self.lift = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False)
            for a, b in zip(self.trunk.feature_info.channels(), widths, strict=True)
        )

        def residual(c: int) -> nn.Module:
            convs = [
                nn.ReLU(),
                nn.Conv2d(c, c, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(c, c, 3, padding=1),
            ]
            return Added(nn.Sequential(*convs), None, None)

        self.own = nn.ModuleList(residual(c) for c in widths[:-1])
        self.after = nn.ModuleList(residual(c) for c in widths)
        self.out = nn.ModuleList(nn.Conv2d(c, c if c == 64 else c // 2, 1) for c in widths)
        self.last = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        maps = [lift(y) for lift, y in zip(self.lift, self.trunk(x), strict=True)]
        path = None
        for level in (3, 2, 1, 0):
            y = maps[level] if path is None else path + self.own[level](maps[level])
            y = self.after[level](y)
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
            path = self.out[level](y)
        return self.last(path)
