"""Repeated blocks: a network as a macro structure of cells.

A network is cut wherever all paths go through one vertex. What lies between two cuts and is more than a chain is a
block; chains are blocks where they repeat. A block that is made of cells which read the two cells before them, as
NASNet's do, and a third of which repeats, is taken apart into these. Blocks are the same if they are isomorphic,
whatever their channels.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from graphnas.cell import OUTPUT, Cell, is_input
from graphnas.importing.coarsening import CoarseGraph, Vertex
from graphnas.importing.segments import cuts, double_cuts

_LONGEST_MOTIF = 8  # vertices of a chain that repeats
_LARGEST_EXACT = 64  # vertices of a block that is compared up to isomorphism; of larger ones the order counts
_SMALLEST_CELL = 3  # vertices of a cell with two inputs, these not counted


@dataclass(frozen=True)
class Block:
    """A part of a network that occurs once or more."""

    cell: Cell
    """Its vertices between what enters and what leaves it; labels of those that shrink the image end in `/STRIDE`. Of
    two inputs, the one that was computed earlier comes first."""
    places: tuple[tuple[int, int], ...]
    """For each occurrence, the vertices of the network after which it begins and with which it ends."""

    @property
    def count(self) -> int:
        """How often it occurs."""
        return len(self.places)


@dataclass(frozen=True)
class Macro:
    """Blocks, and the order in which they follow each other."""

    blocks: tuple[Block, ...]
    """In the order in which they first occur."""
    sequence: tuple[tuple[int, int], ...]
    """Numbers of blocks, and how often each follows itself."""


def macro_structure(graph: CoarseGraph) -> Macro:
    """Take a network apart; what several inputs go through before they meet is one piece."""
    vertices = graph.vertices
    entrance = sum(not one.sources for one in vertices) - 1
    # The output vertex computes nothing: what it reads of several vertices ends with the last of these.
    last = len(vertices) - 2
    inner = [place for place in cuts(vertices) if entrance < place < last]
    between = list(itertools.pairwise([entrance, *inner, last])) if last > entrance else []
    parts = _joined(vertices, [shorter for piece in between for shorter in _taken_apart(vertices, *piece)])
    known: dict[str, int] = {}
    cells: list[Cell] = []
    occurrences: list[list[tuple[int, int]]] = []
    sequence: list[tuple[int, int]] = []
    for start, end in parts:
        cell = part(vertices, start, end)
        key = _key(cell)
        number = known.setdefault(key, len(known))
        if number == len(cells):
            cells.append(cell)
            occurrences.append([])
        occurrences[number].append((start, end))
        if sequence and sequence[-1][0] == number:
            sequence[-1] = number, sequence[-1][1] + 1
        else:
            sequence.append((number, 1))
    blocks = tuple(Block(cell, tuple(found)) for cell, found in zip(cells, occurrences, strict=True))
    return Macro(blocks, tuple(sequence))


def part(vertices: Sequence[Vertex], start: int, end: int) -> Cell:
    """The vertices after one cut up to another as a cell, whose inputs are what these read that lies before them.

    Its output is the last, and whatever else of it the network gives.
    """
    inner = range(start + 1, end + 1)
    entering = sorted({source for number in inner for source in vertices[number].sources if source <= start})
    place = {number: vertex for vertex, number in enumerate((*entering, *inner))}
    edges = {(place[source], place[number]) for number in inner for source in vertices[number].sources}
    inputs = ["input"] if len(entering) == 1 else [f"input{number}" for number in range(len(entering))]
    output = len(place)
    edges |= {(place[number], output) for number in {end, *vertices[-1].sources} if number in inner}
    return Cell((*inputs, *(strided(vertices[number]) for number in inner), OUTPUT), frozenset(edges))


def pieces(cell: Cell, most: int) -> list[Cell]:
    """A large cell in pieces of consecutive vertices, cut where little is read further on.

    The first vertex that a piece reads from before it is its first input, all others are its second.

    Args:
        cell: Its vertices in topological order.
        most: Vertices of a piece at most, inputs and output not counted.
    """
    inputs = sum(map(is_input, cell.ops))
    last = cell.size - 1  # of the output
    furthest = dict(sorted(cell.edges, key=lambda edge: edge[1]))
    ends, start = [inputs], inputs
    while last - start > most:
        # The later of the places over which the fewest vertices are read.
        open_at = {
            end: sum(source < end <= furthest.get(source, 0) for source in range(end))
            for end in range(start + most // 2, start + most + 1)
        }
        start = min(open_at, key=lambda end: (open_at[end], -end))
        ends.append(start)
    return [_piece(cell, first, end) for first, end in itertools.pairwise([*ends, last])]


def _piece(cell: Cell, first: int, end: int) -> Cell:
    """The vertices from one number up to, not including, another as a cell."""
    entering = sorted({source for source, target in cell.edges if source < first <= target < end})
    count = 2 if len(entering) > 1 else 1
    place = {source: min(number, 1) for number, source in enumerate(entering)}
    place |= {number: number - first + count for number in range(first, end)}
    output = end - first + count
    edges = {(place[source], place[target]) for source, target in cell.edges if first <= target < end}
    edges |= {(place[source], output) for source, target in cell.edges if first <= source < end <= target}
    names = ("input",) if count == 1 else ("input0", "input1")
    return Cell((*names, *cell.ops[first:end], OUTPUT), frozenset(edges))


def strided(vertex: Vertex) -> str:
    """A vertex's label, and its stride if that is not 1."""
    return vertex.label if vertex.stride == 1 else f"{vertex.label}/{vertex.stride}"


def _key(cell: Cell) -> str:
    """Equal for cells that count as the same."""
    return cell.hash if cell.size <= _LARGEST_EXACT else repr((cell.ops, sorted(cell.edges)))


def _taken_apart(vertices: Sequence[Vertex], start: int, end: int) -> list[tuple[int, int]]:
    """The cells of two inputs between two cuts; all as one piece if those that repeat are too little of it."""
    best, covered = [(start, end)], (end - start) // 3
    for way in double_cuts(vertices, start, end):
        pieces = list(itertools.pairwise(way))
        keys = [_key(part(vertices, *piece)) for piece in pieces]
        occurrences = Counter(keys)
        repeated = sum(
            last - first
            for (first, last), key in zip(pieces, keys, strict=True)
            if occurrences[key] > 1 and last - first >= _SMALLEST_CELL
        )
        if repeated > covered:
            best, covered = pieces, repeated
    return best


def _joined(vertices: Sequence[Vertex], pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Chains of single vertices put together where they repeat; other pieces as they are."""
    labels = [strided(vertices[end]) if end == start + 1 else None for start, end in pieces]
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(pieces):
        length, repeats = _motif(labels, at)
        for _ in range(repeats):
            found.append((pieces[at][0], pieces[at + length - 1][1]))
            at += length
    return found


def _motif(labels: Sequence[str | None], at: int) -> tuple[int, int]:
    """Length and number of repetitions of the chain at a place that covers most; the shortest of several."""
    best = 1, 1
    for length in range(1, _LONGEST_MOTIF + 1):
        motif = labels[at : at + length]
        if len(motif) < length or None in motif:
            break
        repeats = 1
        while list(labels[at + repeats * length : at + (repeats + 1) * length]) == list(motif):
            repeats += 1
        if repeats > 1 and length * repeats > best[0] * best[1]:
            best = length, repeats
    return best
