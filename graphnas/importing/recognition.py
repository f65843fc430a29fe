"""Which parts of a network are cells of a known space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphnas.cell import Architecture
from graphnas.importing.blocks import Macro
from graphnas.importing.coarsening import CoarseGraph
from graphnas.importing.segments import wired
from graphnas.importing.skeletons import genotype_of, operations_by_label, two_input_cell, with_reductions
from graphnas.spaces import Space


@dataclass(frozen=True)
class FoundCell:
    """A part of a network that is a cell of a space."""

    space: str
    architecture: Architecture
    places: tuple[tuple[int, int], ...]
    """For each occurrence, the vertices of the network after which it begins and with which it ends."""


def recognise_cells(graph: CoarseGraph, macro: Macro, spaces: Sequence[Space]) -> list[FoundCell]:
    """Cells of spaces, those that cover most of the network first.

    Of spaces with one cell whose vertices add up what feeds them: a block of the network is one, and so is a chain of
    blocks that follow each other. Of DARTS: the normal and the reduction cell that occur most often, together. Strides
    and channels are those of the network and not of the space's skeleton.

    Args:
        graph: The network.
        macro: Its blocks.
        spaces: Spaces that are tried; others than those of the skeletons `stacked` and `darts` are passed over.
    """
    found: dict[tuple[str, str], tuple[Architecture, list[tuple[int, int]]]] = {}
    for space in _with_skeleton(spaces, "stacked"):
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
    pairs = (_normal_and_reduction(graph, macro, space) for space in _with_skeleton(spaces, "darts"))
    cells += [one for one in pairs if one is not None]
    return sorted(cells, key=lambda one: -sum(end - start for start, end in one.places))


def _with_skeleton(spaces: Sequence[Space], skeleton: str) -> list[Space]:
    return [space for space in spaces if space.network.get("skeleton", "stacked") == skeleton]


def _normal_and_reduction(graph: CoarseGraph, macro: Macro, space: Space) -> FoundCell | None:
    """The two cells of DARTS that most blocks of two inputs are."""
    whole = with_reductions(graph.vertices)
    found: dict[bool, dict[str, list[tuple[int, int]]]] = {False: {}, True: {}}
    for start, end in (place for block in macro.blocks if block.cell.ops[1] == "input1" for place in block.places):
        inner = graph.vertices[start + 1 : end + 1]
        earlier, previous = sorted({source for one in inner for source in one.sources if source <= start})
        cell = two_input_cell(whole, earlier, previous, end, space)
        if cell is not None:
            pairs, reduces = cell
            found[reduces].setdefault(pairs, []).append((start, end))
    if not all(found.values()):
        return None
    (normal, most), (reduce, fewest) = (max(kind.items(), key=lambda one: len(one[1])) for kind in found.values())
    architecture = genotype_of(normal, reduce, space)
    return None if architecture is None else FoundCell(space.name, architecture, tuple(sorted(most + fewest)))


def _parts(macro: Macro) -> Iterator[tuple[int, int]]:
    """All blocks, and chains of equal blocks."""
    places = [list(block.places) for block in macro.blocks]
    for number, repeats in macro.sequence:
        run = [places[number].pop(0) for _ in range(repeats)]
        if repeats > 1:
            yield run[0][0], run[-1][1]
        yield from run
