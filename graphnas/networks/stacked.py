"""The skeleton of NAS-Bench-101: stacks of equal cells (Ying et al. 2019, Fig. 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphnas.cell import Cell, to_arrays
from graphnas.networks.cell_module import add
from graphnas.networks.channels import vertex_channels
from graphnas.networks.operations import Operation, conv_bn_relu
from graphnas.networks.skeleton import Skeleton, used_operations, vertex_list, vocabulary


class StackedCell(nn.Module):
    """A cell whose output concatenates vertices (Ying et al. 2019, Sec. 2.4).

    Each inner vertex adds up the tensors that feed it, truncated to its own channels, where the cell's input is first
    projected by a 1 x 1 convolution; then it applies its operation. The output concatenates the inner vertices
    that feed it, and adds the projected input if the input feeds it too.

    Args:
        cell: For each vertex its operation and the vertices that feed it; the input first, the output last.
        operations: For each operation the function from channels and stride to its module.
        channels: Channels of each vertex; those that feed the output share its channels.
    """

    def __init__(
        self,
        cell: Sequence[tuple[str, Sequence[int]]],
        operations: Mapping[str, Callable[[int, int], nn.Module]],
        channels: Sequence[int],
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.sources = [sources for _, sources in cell]
        for j, (operation, sources) in enumerate(cell):
            if 0 in sources:
                self.add_module(f"project{j}", conv_bn_relu(channels[0], channels[j], 1))
            if 0 < j < len(cell) - 1:
                self.add_module(f"vertex{j}", operations[operation](channels[j], 1))

    def forward(self, x: Tensor) -> Tensor:
        """`n x channels[0] x height x width -> n x channels[-1] x height x width`."""
        values = [x]
        for j in range(1, len(self.sources) - 1):
            terms = [values[i][:, : self.channels[j]] for i in self.sources[j] if i]
            if 0 in self.sources[j]:
                terms.append(self.get_submodule(f"project{j}")(x))
            values.append(self.get_submodule(f"vertex{j}")(add(terms)))
        inner = [values[i] for i in self.sources[-1] if i]
        terms = [torch.cat(inner, dim=1)] if inner else []
        if 0 in self.sources[-1]:
            terms.append(self.get_submodule(f"project{len(values)}")(x))
        return add(terms)


@dataclass(frozen=True)
class StackedConfig:
    """What a stacked network is built from."""

    cells: Mapping[str, Sequence[tuple[str, Sequence[int]]]]
    """`cell`: for each vertex its operation and the vertices that feed it; the input first, the output last."""
    operations: Mapping[str, Callable[[int, int], nn.Module]]
    """For each operation the function from channels and stride to its module."""
    stacks: Sequence[Sequence[Sequence[int]]]
    """For each stack, for each of its cells, the channels of each vertex."""
    classes: int
    """Number of logits."""
    in_channels: int
    """Channels of the images."""


class StackedNetwork(nn.Module):
    """An image classifier of stacked copies of one cell.

    Stem (3 x 3 convolution), stacks of cells with a 2 x 2 max pool before each but the first, average over all
    pixels, dense layer.
    """

    def __init__(self, config: StackedConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = conv_bn_relu(config.in_channels, config.stacks[0][0][0], 3)
        layers: list[nn.Module] = []
        for number, stack in enumerate(config.stacks):
            if number:
                layers.append(nn.MaxPool2d(2))
            layers += [StackedCell(config.cells["cell"], config.operations, channels) for channels in stack]
        self.cells = nn.Sequential(*layers)
        self.classifier = nn.Linear(config.stacks[-1][-1][-1], config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width` images to `n x classes` logits."""
        features: Tensor = self.cells(self.stem(x))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True)
class StackedSkeleton(Skeleton):
    """A stem, stacks of equal cells with halved resolution and doubled channels between them, and a classifier.

    Dead vertices are dropped, but the others keep their order: channels depend on it (see `vertex_channels`), so the
    network of a cell's canonical form may differ.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    stacks: int = 3
    """Number of stacks; all but the first begin with a 2 x 2 max pool."""
    cells_per_stack: int = 3
    """Number of cells in each stack."""
    channels: int = 128
    """Channels of the stem and the first stack; each later stack has twice those of the one before."""

    def cell_channels(self) -> list[list[tuple[int, int]]]:
        """For each stack, for each of its cells, the channels that enter and leave it."""
        plan, width = [], self.channels
        for stack in range(self.stacks):
            out = self.channels * 2**stack
            cells = []
            for _ in range(self.cells_per_stack):
                cells.append((width, out))
                width = out
            plan.append(cells)
        return plan

    def network(
        self, cells: Sequence[Cell], operations: Mapping[str, Operation], *, classes: int, in_channels: int
    ) -> StackedNetwork:
        """The network of one cell.

        Raises:
            ValueError: if the cell has an unknown operation or no path from input to output, or if more vertices
                feed the output than it has channels.
        """
        cell = vertex_list(cells[0], operations)
        arrays = to_arrays([cells[0].pruned()], vocabulary(operations))
        stacks = [
            [vertex_channels(arrays, enters, leaves)[0].tolist() for enters, leaves in stack]
            for stack in self.cell_channels()
        ]
        if min(map(min, stacks[0])) < 1:
            raise ValueError(
                f"Expected at least as many channels as vertices that feed the output, "
                f"{sum(i > 0 for i in cell[-1][1])}, but got {self.channels} channels"
            )
        used = used_operations(operations, cell)
        return StackedNetwork(StackedConfig({"cell": cell}, used, stacks, classes, in_channels))
