"""Small modules with one trap for counters each, and hostile ones; every factory takes nothing."""

from __future__ import annotations

import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Plain(nn.Module):
    """Convolution with bias, batch norm, activation, pooling and a classifier."""

    example_input_shapes = ((3, 16, 16),)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.grouped = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(self.act(self.norm(self.conv(x))))
        return self.head(self.pool(x).flatten(1))


class Counted(nn.Module):
    """One layer of each kind that tables of pose networks count, the first of them run twice."""

    example_input_shapes = ((3, 8, 8),)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.deconv = nn.ConvTranspose2d(4, 5, 2, stride=2, bias=False)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) + self.conv(x)
        return self.up(self.deconv(self.pool(self.act(self.norm(y)))))


class Transposed(nn.Module):
    """A transposed convolution, which some counters count at its output."""

    example_input_shapes = ((4, 6, 6),)

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x)


class Shared(nn.Module):
    """One convolution under two parents, each called once."""

    example_input_shapes = ((4, 6, 6),)

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(4, 4, 3, padding=1)
        self.left = nn.Sequential(conv, nn.ReLU())
        self.right = nn.Sequential(conv, nn.GELU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.left(x) + self.right(x)


class Attention(nn.Module):
    """nn.MultiheadAttention on itself, which has a fused path in inference."""

    example_input_shapes = ((7, 16),)

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.attention(x, x, x, need_weights=False)[0])


class Encoder(nn.Module):
    """A transformer encoder layer, which has a fused path of its own."""

    example_input_shapes = ((7, 16),)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Functional(nn.Module):
    """Convolution, linear layer, products and activation without modules."""

    example_input_shapes = ((3, 8, 8),)

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.weight = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(F.conv2d(x, self.kernel)).flatten(2).transpose(1, 2)
        x = F.silu(F.linear(x, self.weight))
        scores = torch.matmul(x, x.transpose(1, 2)).softmax(-1)
        return torch.mul(scores @ x, 2.0)


class Fused(nn.Module):
    """Scaled-dot-product attention, called as a function."""

    example_input_shapes = ((7, 16),)

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(x.shape[0], 7, 3, 4, 4).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)


class Biased(nn.Module):
    """Attention of three dimensions with a learned bias, which only inference fuses."""

    example_input_shapes = ((7, 16),)

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.bias = nn.Parameter(torch.zeros(7, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        bias = self.bias.expand(x.shape[0], 7, 7)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class Recurrent(nn.Module):
    """An LSTM of two layers in both directions, and a GRU."""

    example_input_shapes = ((5, 8),)

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(12, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.lstm(x)[0])[0]


class Resizing(nn.Module):
    """Two ways to resize, group and instance norms, several activations."""

    example_input_shapes = ((4, 6, 6),)

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2)
        self.groups = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.act = nn.PReLU()
        self.leaky = nn.LeakyReLU()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.leaky(self.act(self.instance(self.groups(self.up(x)))))
        x = F.interpolate(x, size=(9, 9), mode="bilinear", align_corners=False)
        return self.pool(x).mean((2, 3))


class Einsum(nn.Module):
    """An einsum whose cost some counters read from four printed digits."""

    example_input_shapes = ((37, 41),)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(41, 3, 53))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bnc,chd->bhnd", x, self.weight)


class OwnConv(nn.Conv2d):
    """A subclass, which counters that look types up exactly do not know."""


class Subclassed(nn.Module):
    """A convolution of a type of its own."""

    example_input_shapes = ((3, 8, 8),)

    def __init__(self) -> None:
        super().__init__()
        self.conv = OwnConv(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Noisy(Plain):
    """Prints much, draws random numbers, and writes to itself and to its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("spam " * 20_000)
        self.calls += 1
        self.seen += 1
        return super().forward(x + 0 * torch.rand_like(x))


class Raising(Plain):
    """Raises in the middle of its forward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act(self.norm(self.conv(x)))
        raise ValueError("no further\nthan here")


class Hostile(Plain):
    """Exits, hangs, crashes or takes all the memory, but only where it really runs."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        match "" if x.is_meta else self.how:
            case "exit":
                sys.exit(3)
            case "leave":
                os._exit(7)
            case "hang":
                time.sleep(600)
            case "crash":
                os.kill(os.getpid(), 11)
            case "memory":
                keep = []
                while True:
                    keep.append(torch.ones(1 << 26))
        return super().forward(x)


def exits() -> nn.Module:
    return Hostile("exit")


def leaves() -> nn.Module:
    return Hostile("leave")


def hangs() -> nn.Module:
    return Hostile("hang")


def crashes() -> nn.Module:
    return Hostile("crash")


def fills_memory() -> nn.Module:
    return Hostile("memory")


class Empty(nn.Module):
    """No parameters and nothing to count."""

    example_input_shapes = ((3, 8, 8),)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


TRAPS: tuple[type[nn.Module], ...] = (
    Plain,
    Transposed,
    Shared,
    Attention,
    Encoder,
    Functional,
    Fused,
    Biased,
    Recurrent,
    Resizing,
    Einsum,
    Subclassed,
)


class Stuck(Plain):
    """Hangs wherever it runs, or leaves the process, if it is told to."""

    how = "hang"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "leave":
            os._exit(7)
        time.sleep(600)
        return super().forward(x)


class Quits(Stuck):
    """Ends whatever process it runs in."""

    how = "leave"
