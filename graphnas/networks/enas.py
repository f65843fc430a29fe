"""The macro skeleton of ENAS: the cell is the network, layer by layer (Pham et al. 2018, Sec. 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphnas.cell import Cell
from graphnas.networks.cell_module import add
from graphnas.networks.operations import FactorizedReduce, Operation, conv_bn, conv_bn_relu
from graphnas.networks.skeleton import Skeleton, used_operations, vertex_list


@dataclass(frozen=True)
class ENASConfig:
    """What a network of ENAS is built from."""

    cells: Mapping[str, Sequence[tuple[str, Sequence[int]]]]
    """`cell`: for each layer its operation and the layers that feed it; the stem first, the output last."""
    operations: Mapping[str, Callable[[int, int], nn.Module]]
    """For each operation the function from channels and stride to its module."""
    channels: int
    """Channels of the stem and the layers before the first reduction."""
    classes: int
    """Number of logits."""
    in_channels: int
    """Channels of the images."""


class ENASNetwork(nn.Module):
    """An image classifier whose layers each read some of the layers before them.

    Stem (3 x 3 convolution), layers, average over all pixels, dense layer. A layer concatenates the layers that feed
    it, projects them to its own channels by a 1 x 1 convolution with normalisation and ReLU, and applies its
    operation. After one and two thirds of the layers all outputs so far are halved in resolution and doubled in
    channels by factorised reductions.

    Departures from the published code: skips are joined before the operation, as the paper's text has it, and not
    after it, so that there is one 1 x 1 convolution in a layer and not two; factorised reductions begin with ReLU, as
    those of DARTS; outputs that no later layer reads are not reduced; nothing is dropped before the dense layer,
    which has a bias.
    """

    def __init__(self, config: ENASConfig) -> None:
        super().__init__()
        self.config = config
        cell, width = config.cells["cell"], config.channels
        self.sources = [sources for _, sources in cell]
        layers = len(cell) - 2
        self.reduced: dict[int, list[int]] = {}  # for a layer, the earlier ones that are reduced before it
        self.stem = conv_bn(config.in_channels, width, 3)
        for j in range(1, layers + 1):
            if j - 1 in (layers // 3, 2 * layers // 3):
                self.reduced[j] = sorted({i for sources in self.sources[j:] for i in sources if i < j})
                for i in self.reduced[j]:
                    self.add_module(f"reduce{j}_{i}", FactorizedReduce(width, 2 * width))
                width *= 2
            operation, sources = cell[j]
            self.add_module(f"project{j}", conv_bn_relu(len(sources) * width, width, 1))
            self.add_module(f"layer{j}", config.operations[operation](width, 1))
        self.classifier = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width` images to `n x classes` logits."""
        values = [self.stem(x)]
        for j in range(1, len(self.sources) - 1):
            for i in self.reduced.get(j, ()):
                values[i] = self.get_submodule(f"reduce{j}_{i}")(values[i])
            joined = torch.cat([values[i] for i in self.sources[j]], dim=1)
            values.append(self.get_submodule(f"layer{j}")(self.get_submodule(f"project{j}")(joined)))
        features = add([values[i] for i in self.sources[-1]])
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True)
class ENASSkeleton(Skeleton):
    """A stem, the cell's vertices as layers with two reductions between them, and a classifier.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    channels: int = 36
    """Channels of the stem and the first third of the layers; each reduction doubles them."""

    def network(
        self, cells: Sequence[Cell], operations: Mapping[str, Operation], *, classes: int, in_channels: int
    ) -> ENASNetwork:
        """The network of one cell.

        Raises:
            ValueError: if the cell has an unknown operation or no path from input to output.
        """
        cell = vertex_list(cells[0], operations)
        used = used_operations(operations, cell)
        return ENASNetwork(ENASConfig({"cell": cell}, used, **self.sizes, classes=classes, in_channels=in_channels))
