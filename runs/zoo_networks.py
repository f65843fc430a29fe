"""Networks of many kinds in plain PyTorch, to be imported."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(into: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


class LeNet(nn.Module):
    """LeCun et al. 1998."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)
        )
        self.head = nn.Sequential(nn.Linear(256, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Inception(nn.Module):
    """Four branches (Szegedy et al. 2015)."""

    def __init__(self, into: int, a: int, b: int, c: int, d: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv(into, a, 1),
                nn.Sequential(conv(into, b // 2, 1), conv(b // 2, b)),
                nn.Sequential(conv(into, c // 2, 1), conv(c // 2, c, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(into, d, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet() -> nn.Module:
    return nn.Sequential(
        conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), conv(64, 64, 1), conv(64, 192), nn.MaxPool2d(3, 2, 1),
        Inception(192, 64, 128, 32, 32), Inception(256, 128, 192, 96, 64), nn.MaxPool2d(3, 2, 1),
        Inception(480, 192, 208, 48, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(512, 1000),
    )  # fmt: skip


class Mixer(nn.Module):
    """A layer of MLP-Mixer (Tolstikhin et al. 2021)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.tokens = nn.Sequential(nn.Linear(tokens, 64), nn.GELU(), nn.Linear(64, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norms[1](x))


class Patched(nn.Module):
    """Patches of an image as tokens, layers, a mean over all tokens."""

    def __init__(self, *layers: nn.Module, width: int = 64, patch: int = 8) -> None:
        super().__init__()
        self.patches, self.layers = nn.Conv2d(3, width, patch, patch), nn.Sequential(*layers)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.layers(self.patches(x).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(1))


def mlp_mixer() -> nn.Module:
    return Patched(*(Mixer(64, 64) for _ in range(4)))


def vision_transformer() -> nn.Module:
    return Patched(*(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, norm_first=True) for _ in range(4)))


class AttentionByHand(nn.Module):
    """Attention of several heads written out (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5).softmax(-1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(n, t, d))


def attention_by_hand() -> nn.Module:
    return Patched(*(AttentionByHand(64, 4) for _ in range(3)))


class UNet(nn.Module):
    """Ronneberger et al. 2015."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(depth + 1)]
        self.stem = nn.Sequential(conv(3, width), conv(width, width))
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), conv(a, b), conv(b, b)) for a, b in itertools.pairwise(sizes)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in itertools.pairwise(sizes))
        self.join = nn.ModuleList(nn.Sequential(conv(2 * a, a), conv(a, a)) for a in sizes[:-1])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.stem(x)]
        for down in self.down:
            seen.append(down(seen[-1]))
        y = seen.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            y = join(torch.cat([seen.pop(), up(y)], 1))
        return self.head(y)


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.scale = nn.LayerNorm(width), nn.Parameter(torch.full((width,), 1e-6))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))) * self.scale
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 4), *(ConvNeXtBlock(32) for _ in range(3)), nn.Conv2d(32, 64, 2, 2),
        *(ConvNeXtBlock(64) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class ConvMixerBlock(nn.Module):
    """Trockman & Kolter 2022."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(width, width, 9, padding=4, groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.pointwise = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x) + x)


def convmixer() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 4), nn.GELU(), nn.BatchNorm2d(32), *(ConvMixerBlock(32) for _ in range(4)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


class Shared(nn.Module):
    """One block applied several times: shared weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = conv(3, 16), conv(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(4):
            x = x + self.block(x)
        return self.head(x.mean((2, 3)))


class Siamese(nn.Module):
    """Two images through one network (Bromley et al. 1994)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head((self.body(x) - self.body(y)).abs())


class ByShape(nn.Module):
    """Control flow over shapes, which are known when it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(conv(16, 16) for _ in range(6)), nn.Linear(16, 10)
        self.stem = conv(3, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number, layer in enumerate(self.layers):
            y = layer(x)
            if x.shape[-1] > 8 and number % 2:
                y = F.max_pool2d(y, 2)
                x = F.avg_pool2d(x, 2)
            x = x + y
        return self.head(x.flatten(2).mean(-1))


class ByValue(nn.Module):
    """Control flow over values, which are not."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) if x.mean() > 0 else self.other(x)


class DynamicShapes(nn.Module):
    """Sizes of the result follow those of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = conv(3, 16), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(self.body(x), (x.shape[2] // 4, x.shape[3] // 4))
        y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.head(y).reshape(x.shape[0], 4, -1)


class Recurrent(nn.Module):
    """A text through two layers of LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layers, self.head = (
            nn.Embedding(100, 32),
            nn.LSTM(32, 64, 2, batch_first=True),
            nn.Linear(64, 2),
        )

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.layers(self.words(words))[0][:, -1])


class WaveNet(nn.Module):
    """Gated dilated convolutions of a signal (van den Oord et al. 2016)."""

    def __init__(self, width: int = 16, layers: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.filters = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**level, dilation=2**level) for level in range(layers)
        )
        self.gates = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**level, dilation=2**level) for level in range(layers)
        )
        self.out = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.head = nn.Conv1d(width, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, skip = self.stem(x), 0
        for filters, gates, out in zip(self.filters, self.gates, self.out, strict=True):
            y = out(torch.tanh(filters(x)) * torch.sigmoid(gates(x)))
            x, skip = x + y, skip + y
        return self.head(F.relu(skip))


def video_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def generator() -> nn.Module:
    """Radford et al. 2016."""
    return nn.Sequential(
        nn.Linear(32, 128 * 16), nn.Unflatten(1, (128, 4, 4)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


class PointNet(nn.Module):
    """Points, each by itself, then the largest of all (Qi et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 64, 1))
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.each(points).amax(-1))


class Highway(nn.Module):
    """Srivastava et al. 2015."""

    def __init__(self, width: int = 32, layers: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer, gate in zip(self.layers, self.gates, strict=True):
            share = torch.sigmoid(gate(x))
            x = share * F.relu(layer(x)) + (1 - share) * x
        return x


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64)
    )
