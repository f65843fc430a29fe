"""Random cells for property tests, and spaces that tests go through."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from graphnas.cell import Cell, is_input
from graphnas.spaces import Space

OWN_ENCODER = [name for name in Space.names() if "pretrained" not in Space.load(name).encoder]
"""Spaces that do not take the encoder of another one."""

OPERATIONS = ("conv1x1", "conv3x3", "maxpool3x3")


@st.composite
def cells(draw: st.DrawFn, max_vertices: int = 8) -> Cell:
    """Any cell of one input: dead vertices and missing paths included."""
    size = draw(st.integers(2, max_vertices))
    ops = draw(st.lists(st.sampled_from(OPERATIONS), min_size=size - 2, max_size=size - 2))
    pairs = [(i, j) for j in range(1, size) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True))
    return Cell(("input", *ops, "output"), frozenset(edges))


def relabelled(cell: Cell, rng: np.random.Generator) -> Cell:
    """The same graph with its inner vertices in another random topological order."""
    inputs = sum(map(is_input, cell.ops))
    placed, waiting = list(range(inputs)), set(range(inputs, cell.size - 1))
    while waiting:
        free = [v for v in sorted(waiting) if not any((u, v) in cell.edges for u in waiting)]
        placed.append(int(rng.choice(free)))
        waiting.remove(placed[-1])
    placed.append(cell.size - 1)
    number = {vertex: place for place, vertex in enumerate(placed)}
    return Cell(tuple(cell.ops[v] for v in placed), frozenset((number[i], number[j]) for i, j in cell.edges))
