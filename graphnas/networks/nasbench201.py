"""The skeleton of NAS-Bench-201: three stages of cells between residual blocks (Dong & Yang 2020, Fig. 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from graphnas.cell import Cell
from graphnas.networks.cell_module import Vertices, add
from graphnas.networks.operations import Operation, conv_bn, relu_conv_bn
from graphnas.networks.skeleton import Skeleton, used_operations, vertex_list


class SummingCell(nn.Module):
    """A cell whose vertices, the output too, add up what feeds them.

    Args:
        cell: For each vertex its operation and the vertices that feed it; the input first, the output last.
        operations: For each operation the function from channels and stride to its module.
        channels: Channels of every vertex.
    """

    def __init__(
        self,
        cell: Sequence[tuple[str, Sequence[int]]],
        operations: Mapping[str, Callable[[int, int], nn.Module]],
        channels: int,
    ) -> None:
        super().__init__()
        self.vertices = Vertices(cell, operations, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape `n x channels x height x width`."""
        return add(self.vertices(x))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a projected average pool, halving the image's size (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(in_channels, out_channels, 3, stride=2)
        self.second = relu_conv_bn(out_channels, out_channels, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width -> n x out_channels x ceil(height / 2) x ceil(width / 2)`."""
        result: Tensor = self.shortcut(x) + self.second(self.first(x))
        return result


@dataclass(frozen=True)
class NASBench201Config:
    """What a network of NAS-Bench-201 is built from."""

    cells: Mapping[str, Sequence[tuple[str, Sequence[int]]]]
    """`cell`: for each vertex its operation and the vertices that feed it; the input first, the output last."""
    operations: Mapping[str, Callable[[int, int], nn.Module]]
    """For each operation the function from channels and stride to its module."""
    cells_per_stage: int
    """Number of cells in each of the three stages."""
    channels: int
    """Channels of the first stage; each later one has twice those of the one before."""
    classes: int
    """Number of logits."""
    in_channels: int
    """Channels of the images."""


class NASBench201Network(nn.Module):
    """An image classifier of three stages of equal cells.

    Stem (3 x 3 convolution), stages of cells with a residual block before the second and the third, normalisation,
    average over all pixels, dense layer.
    """

    def __init__(self, config: NASBench201Config) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.stem = conv_bn(config.in_channels, width, 3)
        layers: list[nn.Module] = []
        for stage in range(3):
            if stage:
                layers.append(ResidualBlock(width, 2 * width))
                width = 2 * width
            for _ in range(config.cells_per_stage):
                layers.append(SummingCell(config.cells["cell"], config.operations, width))
        self.cells = nn.Sequential(*layers)
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width` images to `n x classes` logits."""
        features: Tensor = self.norm(self.cells(self.stem(x)))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True)
class NASBench201Skeleton(Skeleton):
    """Three stages of cells, with halved resolution and doubled channels in the second and the third.

    A cell is built as it stands: an operation whose result only reaches `none` keeps its parameters, as in the
    published counts. Besides the cells of NAS-Bench-201, any cell with one input will do.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    cells_per_stage: int = 5
    """Number of cells in each stage."""
    channels: int = 16
    """Channels of the stem and the first stage."""

    def network(
        self, cells: Sequence[Cell], operations: Mapping[str, Operation], *, classes: int, in_channels: int
    ) -> NASBench201Network:
        """The network of one cell.

        Raises:
            ValueError: if the cell has an unknown operation or no path from input to output.
        """
        cell = vertex_list(cells[0], operations)
        used = used_operations(operations, cell)
        config = NASBench201Config({"cell": cell}, used, **self.sizes, classes=classes, in_channels=in_channels)
        return NASBench201Network(config)
