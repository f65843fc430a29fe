"""From an architecture to its network: the skeletons by name, and initial weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from graphnas.cell import Architecture
from graphnas.networks.darts import DARTSNetwork, DARTSSkeleton
from graphnas.networks.enas import ENASNetwork, ENASSkeleton
from graphnas.networks.nasbench201 import NASBench201Network, NASBench201Skeleton
from graphnas.networks.operations import make_operations
from graphnas.networks.skeleton import NetworkSpace
from graphnas.networks.stacked import StackedNetwork, StackedSkeleton

Network = StackedNetwork | NASBench201Network | DARTSNetwork | ENASNetwork
"""An image classifier; its `config` says what it was built from."""
AnySkeleton = StackedSkeleton | NASBench201Skeleton | DARTSSkeleton | ENASSkeleton

SKELETONS: dict[str, type[AnySkeleton]] = {
    "stacked": StackedSkeleton,
    "nasbench201": NASBench201Skeleton,
    "darts": DARTSSkeleton,
    "enas": ENASSkeleton,
}
"""What `skeleton` in a space file's `[network]` table may name."""


def read_skeleton(network: Mapping[str, Any], sizes: Mapping[str, int] | None = None) -> AnySkeleton:
    """The skeleton of a space.

    Args:
        network: A space's `[network]` table; a skeleton that is not named is `stacked`.
        sizes: Sizes in place of the table's.

    Raises:
        ValueError: naming the skeleton or the size that is unknown, or the size that is no positive integer.
    """
    kind = network.get("skeleton", "stacked")
    if not isinstance(kind, str) or kind not in SKELETONS:
        raise ValueError(f"Expected one of the skeletons {', '.join(SKELETONS)}, but got {kind!r}")
    published = {key: value for key, value in network.items() if key not in ("skeleton", "proxy")}
    return SKELETONS[kind].of({**published, **(sizes or {})})


def build_network(
    architecture: Architecture,
    space: NetworkSpace,
    *,
    sizes: Mapping[str, int] | None = None,
    classes: int = 10,
    in_channels: int = 3,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Network:
    """The network of an architecture, freshly initialised.

    Vertices on no path from an input to the output are dropped, the others keep their order.

    Args:
        architecture: An architecture of `space`.
        space: Gives the operations and the skeleton.
        sizes: Sizes of the skeleton by name, in place of the space's published ones.
        classes: Number of logits.
        in_channels: Channels of the images.
        generator: CPU source of the initial weights; the global one if None.
        device: Where the network is built; on `"meta"` nothing is allocated or drawn.

    Raises:
        ValueError: if the architecture is of another space, the space's tables are wrong, a size is unknown, or the
            skeleton cannot be built from the cells.
    """
    if architecture.space != space.name:
        raise ValueError(f"Expected an architecture of {space.name!r}, but got one of {architecture.space!r}")
    skeleton = read_skeleton(space.network, sizes)
    names, got = skeleton.cell_names, len(architecture.cells)
    if got != len(names):
        expected = "one cell" if len(names) == 1 else f"the cells {', '.join(names)}"
        raise ValueError(f"Expected {expected}, but got {got}")
    operations = make_operations(space.operations)
    # Built on meta first: the modules' own initialisation would draw from the global random state.
    with torch.device("meta"):
        network = skeleton.network(architecture.cells, operations, classes=classes, in_channels=in_channels)
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
            # Values of the image that one value of the input reaches, the fan-out, which torch counts without groups.
            fan = layer.weight.shape[0] // layer.groups * layer.weight[0, 0].numel()
            nn.init.normal_(layer.weight, std=math.sqrt(2.0) / math.sqrt(fan), generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
