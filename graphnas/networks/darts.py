"""The skeleton of DARTS: a chain of normal and reduction cells with two inputs (Liu et al. 2019, Sec. 2.1, 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from graphnas.cell import Cell
from graphnas.networks.cell_module import Vertices
from graphnas.networks.operations import FactorizedReduce, Operation, conv_bn, identity, relu_conv_bn
from graphnas.networks.skeleton import Skeleton, VertexList, used_operations, vertex_list


class TwoInputCell(nn.Module):
    """A cell that reads the two cells before it and concatenates the vertices that feed its output.

    Args:
        cell: For each vertex its operation and the vertices that feed it; the two inputs first, the output last.
        operations: For each operation the function from channels and stride to its module.
        in_channels: Channels of the two inputs.
        channels: Channels of every vertex.
        reduces: Whether the cell halves the image's size, in the operations that read an input.
        after_reduction: Whether the first input is twice the size of the second, which the previous cell halved.
    """

    def __init__(
        self,
        cell: Sequence[tuple[str, Sequence[int]]],
        operations: Mapping[str, Callable[[int, int], nn.Module]],
        in_channels: tuple[int, int],
        channels: int,
        *,
        reduces: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        earlier, previous = in_channels
        self.preprocess0 = (
            FactorizedReduce(earlier, channels) if after_reduction else relu_conv_bn(earlier, channels, 1)
        )
        self.preprocess1 = relu_conv_bn(previous, channels, 1)
        self.vertices = Vertices(cell, operations, channels, stride=2 if reduces else 1)

    def forward(self, earlier: Tensor, previous: Tensor) -> Tensor:
        """Outputs of the last cell but one and of the last cell, to the output of this one."""
        return torch.cat(self.vertices(self.preprocess0(earlier), self.preprocess1(previous)), dim=1)


@dataclass(frozen=True)
class DARTSConfig:
    """What a network of DARTS is built from."""

    cells: Mapping[str, Sequence[tuple[str, Sequence[int]]]]
    """`normal` and `reduce`: for each vertex its operation and the vertices that feed it, inputs first."""
    operations: Mapping[str, Callable[[int, int], nn.Module]]
    """For each operation the function from channels and stride to its module."""
    layers: int
    """Number of cells."""
    channels: int
    """Channels of the first cell's vertices."""
    classes: int
    """Number of logits."""
    in_channels: int
    """Channels of the images."""


class DARTSNetwork(nn.Module):
    """An image classifier of normal cells, with reduction cells after one and two thirds of them.

    Stem (3 x 3 convolution to three times the channels), cells, average over all pixels, dense layer. A reduction
    cell halves the resolution and doubles the channels. Without the auxiliary classifier and the dropping of paths,
    by which the paper regularises its training.
    """

    def __init__(self, config: DARTSConfig) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, 3 * config.channels
        self.stem = conv_bn(config.in_channels, width, 3)
        self.cells = nn.ModuleList()
        enters, after_reduction = (width, width), False
        for layer in range(config.layers):
            reduces = layer in (config.layers // 3, 2 * config.layers // 3)
            cell = config.cells["reduce" if reduces else "normal"]
            if reduces:
                channels *= 2
            self.cells.append(
                TwoInputCell(
                    cell,
                    config.operations,
                    enters,
                    channels,
                    reduces=reduces,
                    after_reduction=after_reduction,
                )
            )
            width = len(cell[-1][1]) * channels
            enters, after_reduction = (enters[1], width), reduces
        self.classifier = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`n x in_channels x height x width` images to `n x classes` logits."""
        earlier = previous = self.stem(x)
        for cell in self.cells:
            earlier, previous = previous, cell(earlier, previous)
        logits: Tensor = self.classifier(previous.mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True)
class DARTSSkeleton(Skeleton):
    """A chain of cells that each read the two before them.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    cell_names: ClassVar[tuple[str, ...]] = ("normal", "reduce")

    layers: int = 20
    """Number of cells; those after one and two thirds are reduction cells."""
    channels: int = 36
    """Channels of each vertex before the first reduction; the stem has three times as many."""

    def network(
        self, cells: Sequence[Cell], operations: Mapping[str, Operation], *, classes: int, in_channels: int
    ) -> DARTSNetwork:
        """The network of a normal and a reduction cell.

        Raises:
            ValueError: if a cell is not made of operations between inputs and sums, naming cell and vertex.
        """
        known = {**operations, "sum": identity}
        lists = {}
        for name, cell in zip(self.cell_names, cells, strict=True):
            try:
                lists[name] = vertex_list(cell, known, inputs=("input0", "input1"))
                _check(lists[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        used = used_operations(known, *lists.values())
        config = DARTSConfig(lists, used, **self.sizes, classes=classes, in_channels=in_channels)
        return DARTSNetwork(config)


def _check(cell: VertexList) -> None:
    """Refuse what has no genotype: resolutions would not agree in a reduction cell."""
    operations = {j for j, (op, _) in enumerate(cell) if 1 < j < len(cell) - 1 and op != "sum"}
    for j, (op, sources) in enumerate(cell[2:], start=2):
        if j in operations:
            if len(sources) != 1 or sources[0] in operations:
                raise ValueError(f"vertex {j} ({op!r}): expected one input or sum to feed it, but got {sources}")
        elif op == "sum":
            if not operations.issuperset(sources):
                raise ValueError(f"vertex {j} ('sum'): expected operations alone to feed it, but got {sources}")
        elif any(i < 2 or i in operations for i in sources):
            raise ValueError(f"vertex {j} ('output'): expected sums alone to feed it, but got {sources}")
