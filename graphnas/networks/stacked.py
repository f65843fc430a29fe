"""The skeleton of NAS-Bench-101 as a torch module, and networks from architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphnas.cell import Architecture, Cell
from graphnas.networks.cell_module import CellModule
from graphnas.networks.operations import conv_bn_relu
from graphnas.networks.skeleton import NetworkSpace, StackedSkeleton


class StackedNetwork(nn.Module):
    """An image classifier of stacked copies of one cell.

    Stem (3 x 3 convolution), stacks of cells with a 2 x 2 max pool before each but the first, average over all
    pixels, dense layer.
    """

    def __init__(
        self,
        cell: Cell,
        operations: Mapping[str, Mapping[str, Any]],
        skeleton: StackedSkeleton,
        *,
        classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.stem = conv_bn_relu(in_channels, skeleton.channels, 3)
        layers: list[nn.Module] = []
        width = skeleton.channels
        for stack, cells in enumerate(skeleton.cell_channels()):
            if stack:
                layers.append(nn.MaxPool2d(2))
            layers += [CellModule(cell, operations, enters, leaves) for enters, leaves in cells]
            width = cells[-1][1]
        self.cells = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width` images to `n x classes` logits."""
        features: Tensor = self.cells(self.stem(x))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


def build_network(
    architecture: Architecture,
    space: NetworkSpace,
    *,
    channels: int | None = None,
    stacks: int | None = None,
    cells_per_stack: int | None = None,
    classes: int = 10,
    in_channels: int = 3,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> StackedNetwork:
    """The network of an architecture, freshly initialised.

    Dead vertices are dropped, but vertices keep their order: channels depend on it (see `vertex_channels`), so the
    network of the canonical form may differ.

    Args:
        architecture: An architecture of `space` with one cell.
        space: Gives the operations and the skeleton.
        channels: Channels of the stem, in place of the space's.
        stacks: Number of stacks, in place of the space's.
        cells_per_stack: Cells in each stack, in place of the space's.
        classes: Number of logits.
        in_channels: Channels of the images.
        generator: CPU source of the initial weights; the global one if None.
        device: Where the network is built; on `"meta"` nothing is allocated or drawn.

    Raises:
        ValueError: if the architecture is of another space, has an unknown operation or no path from input to
            output, or if there are too few channels for its vertices.
    """
    if architecture.space != space.name:
        raise ValueError(f"Expected an architecture of {space.name!r}, but got one of {architecture.space!r}")
    if len(architecture.cells) != 1:
        raise ValueError(f"Expected one cell, but got {len(architecture.cells)}")
    skeleton = StackedSkeleton.of(space.network, channels=channels, stacks=stacks, cells_per_stack=cells_per_stack)
    # Built on meta first: the modules' own initialisation would draw from the global random state.
    with torch.device("meta"):
        network = StackedNetwork(
            architecture.cells[0].pruned(),
            space.operations,
            skeleton,
            classes=classes,
            in_channels=in_channels,
        )
    if torch.device(device).type == "meta":
        return network
    network.to_empty(device="cpu")
    initialise(network, generator)
    return network.to(device)


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw new weights: He-normal convolutions (He et al. 2015), a small dense layer, neutral normalisations."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
