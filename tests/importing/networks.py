"""Small networks as people write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(into: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


class BasicBlock(nn.Module):
    """He et al. 2016."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv(into, out, 3, stride)
        self.second = conv(out, out)[:2]
        self.shortcut = nn.Identity() if into == out else conv(into, out, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class Inception(nn.Module):
    """Three branches side by side (Szegedy et al. 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = conv(channels, 4, 1)
        self.two = nn.Sequential(conv(channels, 4, 1), conv(4, 8))
        self.three = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(channels, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(x), self.three(x)], 1)


class Attention(nn.Module):
    """Attention written out, between two normalisations (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out(weights @ v)
        return x + self.mlp(self.norm2(x))


class Chained(nn.Module):
    """Cells that read the two before them (Zoph et al. 2018); some halve the image."""

    def __init__(self, channels: int, cells: str) -> None:
        super().__init__()
        self.stem = conv(3, 2 * channels)
        self.cells = nn.ModuleList(ChainedCell(2 * channels, channels, 2 if kind == "r" else 1) for kind in cells)

    def forward(self, x: Tensor) -> Tensor:
        earlier = previous = self.stem(x)
        for cell in self.cells:
            earlier, previous = previous, cell(earlier, previous)
        return previous.mean((2, 3))


class ChainedCell(nn.Module):
    """Two states, each the sum of what is made of the inputs, side by side."""

    def __init__(self, into: int, channels: int, stride: int) -> None:
        super().__init__()
        self.before = nn.ModuleList(conv(into, channels, 1) for _ in range(2))
        self.deep, self.wide = (conv(channels, channels, kernel, stride) for kernel in (3, 5))
        self.pools = nn.ModuleList(nn.MaxPool2d(3, stride, 1) for _ in range(2))

    def forward(self, earlier: Tensor, previous: Tensor) -> Tensor:
        first, second = self.before[0](earlier), self.before[1](previous)
        if first.shape[-1] > second.shape[-1]:
            first = first[..., ::2, ::2]
        one = self.deep(first) + self.pools[0](second)
        return torch.cat([one, self.wide(second) + self.pools[1](first)], 1)


class Gated(nn.Module):
    """A part of the channels is scaled by what is seen of all (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = conv(channels, channels, groups=channels)
        self.squeeze, self.excite = nn.Linear(channels, 2), nn.Linear(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return x + y * gate[:, :, None, None]


class Classifier(nn.Module):
    """A body between a stem and a dense layer."""

    def __init__(self, *body: nn.Module, width: int = 8, out: int | None = None) -> None:
        super().__init__()
        self.stem, self.body = conv(3, width), nn.Sequential(*body)
        self.head = nn.Linear(out or width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.body(self.stem(x)), 1).flatten(1))


class Branching(nn.Module):
    """What it does depends on its input, and so cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x
