"""What a network is built from besides its cells: the skeleton's sizes and the space's table of operations."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, Self

from torch import nn

from graphnas.cell import OUTPUT, Cell, is_input
from graphnas.networks.operations import Operation

OPERATION = re.compile(r"(?:.*\.)?(?:vertex|layer)\d+")
"""Names of the modules in a network that are operations of a cell."""

VertexList = list[tuple[str, list[int]]]
"""A cell as modules know it: for each vertex its operation and the vertices that feed it."""


class NetworkSpace(Protocol):
    """The part of a search space that says how its architectures become networks."""

    @property
    def name(self) -> str:
        """Name of the space."""

    @property
    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """Operation names and their tables, such as `{"module": "conv", "kernel": 3}`."""

    @property
    def network(self) -> Mapping[str, Any]:
        """The skeleton's table: its name, its published sizes, and under `proxy` sizes for small images."""


def vocabulary(operations: Mapping[str, Any]) -> tuple[str, ...]:
    """Vertex labels of one-input cells in the order of their codes: input, output, then the operations."""
    return ("input", OUTPUT, *operations)


@dataclass(frozen=True)
class Skeleton(ABC):
    """How cells are put together to a network. A subclass has a field for each size, with the published default.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    cell_names: ClassVar[tuple[str, ...]] = ("cell",)
    """Names of an architecture's cells, in their order."""

    def __post_init__(self) -> None:
        for size, value in self.sizes.items():
            if type(value) is not int or value < 1:
                raise ValueError(f"Expected {size} to be a positive integer, but got {value!r}")

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by name."""
        return asdict(self)

    @classmethod
    def of(cls, sizes: Mapping[str, int]) -> Self:
        """The skeleton of the given sizes; the others are the published ones.

        Raises:
            ValueError: naming the size that is unknown or no positive integer.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(sizes) - set(known))
        if unknown:
            raise ValueError(f"Expected the sizes {', '.join(known)}, but got {', '.join(unknown)}")
        return cls(**sizes)

    @abstractmethod
    def network(
        self, cells: Sequence[Cell], operations: Mapping[str, Operation], *, classes: int, in_channels: int
    ) -> nn.Module:
        """The network of an architecture.

        Args:
            cells: One cell for each of `cell_names`.
            operations: The space's operations by name.
            classes: Number of logits.
            in_channels: Channels of the images.

        Raises:
            ValueError: naming the cell and what keeps it from being built.
        """


def vertex_list(cell: Cell, operations: Mapping[str, Operation], *, inputs: Sequence[str] = ("input",)) -> VertexList:
    """A cell without its dead vertices, as modules know it.

    Args:
        cell: Any cell.
        operations: The operations that are known.
        inputs: Expected labels of the cell's inputs.

    Raises:
        ValueError: if the inputs are others, an operation is unknown, or no path joins an input and the output.
    """
    if cell.ops[: len(inputs)] != tuple(inputs) or is_input(cell.ops[len(inputs)]):
        raise ValueError(f"Expected the inputs {', '.join(inputs)}, but got ops {cell.ops!r}")
    for op in cell.ops[len(inputs) : -1]:
        if op not in operations:
            raise ValueError(f"Expected operations among {', '.join(operations)}, but got {op!r}")
    live = cell.pruned()
    if not live.edges:
        raise ValueError("Expected a cell whose input reaches its output, but no path joins them")
    return [(op, [i for i in range(j) if (i, j) in live.edges]) for j, op in enumerate(live.ops)]


def used_operations(operations: Mapping[str, Operation], *cells: VertexList) -> dict[str, Operation]:
    """The operations that occur in the cells, in the order of the table."""
    used = {op for cell in cells for op, _ in cell}
    return {name: operation for name, operation in operations.items() if name in used}
