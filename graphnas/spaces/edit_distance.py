"""How many edits turn one cell into another, exactly and for many pairs at once."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays, IntArray, reorder_arrays
from graphnas.spaces.in_degree import InDegreeTopology
from graphnas.spaces.topology import FixedTopology, Topology

MOST_INNER = 5
"""Inner vertices of a cell at most: all 120 assignments of five are tried."""


def edit_distance(first: CellArrays, second: CellArrays, *, inputs: int = 1) -> IntArray:
    """Graph edit distance of labelled cells with unit costs.

    An edit substitutes the operation of an inner vertex, inserts or deletes an inner vertex, or inserts or deletes an
    edge; inputs and output stay. Hence the distance is the least cost of an assignment between the inner vertices of
    both cells: one for each vertex whose operation differs or that has no partner, one for each edge without a partner.

    It is enough to give every vertex of the smaller cell a partner. Were a vertex of one cell and one of the other
    both without, making them partners would save at least one edit of vertices (a substitution, or none, instead of
    a deletion and an insertion), and edges at them could only come to match. So both cells are filled up to equally
    many inner vertices with absent ones, and the permutations of these are all that is tried.

    Args:
        first: `n` cells, vertices in any topological order.
        second: `n` cells of the same vocabulary.
        inputs: Number of inputs, which come first.

    Returns:
        `n` distances.

    Raises:
        ValueError: if the numbers of cells differ, or a cell has more than five inner vertices.
    """
    if first.n != second.n:
        raise ValueError(f"Expected as many second cells as first ones, {first.n}, but got {second.n}")
    if not first.n:
        return np.zeros(0, dtype=np.int64)
    slots = int(max(first.size.max(), second.size.max())) - inputs - 1
    if slots > MOST_INNER:
        raise ValueError(f"Expected cells of at most {MOST_INNER} inner vertices, but got one of {slots}")
    ops, rows = _slotted(first, inputs, slots)
    other_ops, other_rows = _slotted(second, inputs, slots)
    width = inputs + slots + 1
    words = np.arange(1 << width, dtype=np.int64)
    best = np.full(first.n, np.iinfo(np.int64).max)
    for order in itertools.permutations(range(inputs, inputs + slots)):
        # Vertex a of the first cell has vertex place[a] of the second as its partner.
        place = [*range(inputs), *order, width - 1]
        renumbered = sum(((words >> old) & 1) << new for new, old in enumerate(place))
        moved = np.asarray(renumbered, dtype=np.uint16)[other_rows[:, place]]
        cost = np.bitwise_count(rows ^ moved).sum(1, dtype=np.int64)
        cost += (ops != other_ops[:, place]).sum(1)
        np.minimum(best, cost, out=best)
    return best


def _slotted(arrays: CellArrays, inputs: int, slots: int) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """Labels, and each vertex's successors as bits, of cells whose outputs are moved behind the last slot.

    Returns:
        `n x w` labels, -1 for absent vertices, and `n x w` words.
    """
    width = inputs + slots + 1
    cells = arrays.padded(width)
    rows, last = np.arange(cells.n), cells.size.astype(np.int64) - 1
    order = np.tile(np.arange(width), (cells.n, 1))
    order[rows, last], order[rows, width - 1] = width - 1, last
    moved = reorder_arrays(cells, order)
    bits = (1 << np.arange(width)).astype(np.uint16)
    return moved.ops, (moved.adjacency * bits).sum(2, dtype=np.uint16)


def decision_distance(topology: FixedTopology, first: CellArrays, second: CellArrays) -> IntArray:
    """Least number of decisions in which cells of one layout differ.

    Where vertices are told apart by their places (`chain`, `complete`) decisions are compared one by one. Nodes that
    can be exchanged (`in_degree`) are given partners as in `edit_distance`, and so are the operations of two nodes.

    Args:
        topology: The layout.
        first: `n` legal cells.
        second: Likewise.

    Returns:
        `n` distances.

    Raises:
        ValueError: if there are more than five exchangeable nodes, or the numbers of cells differ.
    """
    if first.n != second.n:
        raise ValueError(f"Expected as many second cells as first ones, {first.n}, but got {second.n}")
    one, other = (topology.encode(topology.canonical(arrays)) for arrays in (first, second))
    if isinstance(topology, InDegreeTopology):
        return _exchangeable_distance(topology, one, other)
    result: IntArray = (one != other).sum(1)
    return result


def has_cell_distance(topology: Topology) -> bool:
    """Whether cells of the topology are small enough for `cell_distance`."""
    if isinstance(topology, InDegreeTopology):
        return max(topology.nodes, topology.in_degree) <= MOST_INNER
    return isinstance(topology, FixedTopology) or topology.max_vertices - len(topology.inputs) - 1 <= MOST_INNER


def cell_distance(topology: Topology, first: CellArrays, second: CellArrays) -> IntArray:
    """`n` exact edit distances: `decision_distance` in a fixed layout, else `edit_distance`.

    Raises:
        ValueError: if the cells are too large for it, or their numbers differ.
    """
    if isinstance(topology, FixedTopology):
        return decision_distance(topology, first, second)
    return edit_distance(first, second, inputs=len(topology.inputs))


def _exchangeable_distance(topology: InDegreeTopology, one: NDArray[np.int8], other: NDArray[np.int8]) -> IntArray:
    nodes, degree, inputs = topology.nodes, topology.in_degree, len(topology.inputs)
    if max(nodes, degree) > MOST_INNER:
        raise ValueError(f"Expected at most {MOST_INNER} nodes of as many operations, but got {nodes} of {degree}")
    # n x nodes x in-degree: the operation, and the number of the state that it reads.
    ops, states = np.moveaxis(one.reshape(-1, nodes, degree, 2), 3, 0)
    other_ops, other_states = np.moveaxis(other.reshape(-1, nodes, degree, 2), 3, 0)
    best = np.full(len(one), np.iinfo(np.int64).max)
    for order in itertools.permutations(range(nodes)):
        renamed = np.array([*range(inputs), *(inputs + node for node in order)])[states]
        cost = np.zeros(len(one), dtype=np.int64)
        for node, partner in enumerate(order):
            # n x in-degree x in-degree: the cost of each operation of one node as partner of each of the other.
            pairs = (ops[:, node, :, None] != other_ops[:, partner, None]).astype(np.int64)
            pairs += renamed[:, node, :, None] != other_states[:, partner, None]
            cost += np.min(
                [pairs[:, range(degree), slots].sum(1) for slots in itertools.permutations(range(degree))], axis=0
            )
        np.minimum(best, cost, out=best)
    return best
