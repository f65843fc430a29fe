"""Which parts of a network are cells of a known space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphnas.cell import Architecture
from graphnas.importing.blocks import Macro
from graphnas.importing.coarsening import CoarseGraph
from graphnas.importing.segments import wired
from graphnas.importing.skeletons import operations_by_label
from graphnas.spaces import Space


@dataclass(frozen=True)
class FoundCell:
    """A part of a network that is a cell of a space."""

    space: str
    architecture: Architecture
    places: tuple[tuple[int, int], ...]
    """For each occurrence, the vertices of the network after which it begins and with which it ends."""


def recognise_cells(graph: CoarseGraph, macro: Macro, spaces: Sequence[Space]) -> list[FoundCell]:
    """Cells of spaces with one cell whose vertices add up what feeds them, those that cover most of the network first.

    A block of the network is one, and so is a chain of blocks that follow each other. Strides and channels are those of
    the network and not of the space's skeleton.

    Args:
        graph: The network.
        macro: Its blocks.
        spaces: Spaces that are tried; others than those of the skeleton `stacked` are passed over.
    """
    found: dict[tuple[str, str], tuple[Architecture, list[tuple[int, int]]]] = {}
    usable = [space for space in spaces if space.network.get("skeleton", "stacked") == "stacked"]
    for space in usable:
        labels = operations_by_label(space)
        for start, end in _parts(macro):
            cell = wired(graph.vertices, start, end, labels)
            # One operation alone says nothing.
            if cell is None or cell.size < 4:
                continue
            architecture = Architecture(space.name, (cell,))
            try:
                space.validate(architecture)
            except ValueError:
                continue
            key = space.name, space.hash(architecture)
            found.setdefault(key, (architecture, []))[1].append((start, end))
    cells = [FoundCell(name, architecture, tuple(places)) for (name, _), (architecture, places) in found.items()]
    return sorted(cells, key=lambda one: -sum(end - start for start, end in one.places))


def _parts(macro: Macro) -> Iterator[tuple[int, int]]:
    """All blocks, and chains of equal blocks."""
    places = [list(block.places) for block in macro.blocks]
    for number, repeats in macro.sequence:
        run = [places[number].pop(0) for _ in range(repeats)]
        if repeats > 1:
            yield run[0][0], run[-1][1]
        yield from run
