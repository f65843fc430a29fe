"""What a network is built from besides its cells: the skeleton's sizes and the space's table of operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from graphnas.cell import OUTPUT


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
        """The skeleton's table, such as `{"skeleton": "stacked", "stacks": 3, ...}`."""


def vocabulary(operations: Mapping[str, Any]) -> tuple[str, ...]:
    """Vertex labels of one-input cells in the order of their codes: input, output, then the operations."""
    return ("input", OUTPUT, *operations)


@dataclass(frozen=True)
class StackedSkeleton:
    """A stem, stacks of equal cells with halved resolution and doubled channels between them, and a classifier.

    The skeleton of NAS-Bench-101 (Ying et al. 2019, Fig. 1), which has 3 stacks of 3 cells and 128 channels.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    stacks: int = 3
    """Number of stacks; all but the first begin with a 2 x 2 max pool."""
    cells_per_stack: int = 3
    """Number of cells in each stack."""
    channels: int = 128
    """Channels of the stem and the first stack; each later stack has twice those of the one before."""

    def __post_init__(self) -> None:
        for size in ("stacks", "cells_per_stack", "channels"):
            value = getattr(self, size)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected {size} to be a positive integer, but got {value!r}")

    @classmethod
    def of(cls, network: Mapping[str, Any], **sizes: int | None) -> StackedSkeleton:
        """The skeleton of a space's `[network]` table, with any size replaced that is given and not None.

        Raises:
            ValueError: if the table asks for another skeleton or has an unknown key.
        """
        table = {**network, **{key: value for key, value in sizes.items() if value is not None}}
        kind = table.pop("skeleton", "stacked")
        if kind != "stacked":
            raise ValueError(f"Expected the skeleton 'stacked', the only one known, but got {kind!r}")
        unknown = set(table) - {"stacks", "cells_per_stack", "channels"}
        if unknown:
            raise ValueError(f"Expected sizes stacks, cells_per_stack, channels, but got {sorted(unknown)}")
        return cls(**table)

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
