"""Repeated blocks: a network as a macro structure of cells.

A network is cut wherever all paths go through one vertex. What lies between two cuts and is more than a chain is a
block; chains are blocks where they repeat. Blocks are the same if they are isomorphic, whatever their channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from graphnas.cell import OUTPUT, Cell
from graphnas.importing.coarsening import CoarseGraph, Vertex
from graphnas.importing.segments import cuts

_LONGEST_MOTIF = 8  # vertices of a chain that repeats
_LARGEST_EXACT = 64  # vertices of a block that is compared up to isomorphism; of larger ones the order counts


@dataclass(frozen=True)
class Block:
    """A part of a network that occurs once or more."""

    cell: Cell
    """Its vertices between what enters and what leaves it; labels of those that shrink the image end in `/STRIDE`."""
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
    """Take a network apart; of one that has several inputs nothing is cut but the whole."""
    vertices = graph.vertices
    places = cuts(vertices) if sum(not one.sources for one in vertices) == 1 else [0, len(vertices) - 1]
    # The output vertex computes nothing.
    pieces = [(start, end) for start, end in itertools.pairwise(places) if end < len(vertices) - 1]
    if not pieces:
        pieces = [(0, len(vertices) - 2)] if len(vertices) > 2 else []
    parts = _joined(vertices, pieces)
    known: dict[str, int] = {}
    cells: list[Cell] = []
    occurrences: list[list[tuple[int, int]]] = []
    sequence: list[tuple[int, int]] = []
    for start, end in parts:
        cell = part(vertices, start, end)
        key = cell.hash if cell.size <= _LARGEST_EXACT else repr((cell.ops, sorted(cell.edges)))
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
    """The vertices after one cut up to another as a cell."""
    inner = range(start + 1, end + 1)
    place = {start: 0} | {number: vertex for vertex, number in enumerate(inner, start=1)}
    edges = {
        (place[source], place[number]) for number in inner for source in vertices[number].sources if source in place
    }
    return Cell(
        ("input", *(strided(vertices[number]) for number in inner), OUTPUT),
        frozenset({*edges, (len(inner), len(inner) + 1)}),
    )


def strided(vertex: Vertex) -> str:
    """A vertex's label, and its stride if that is not 1."""
    return vertex.label if vertex.stride == 1 else f"{vertex.label}/{vertex.stride}"


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
