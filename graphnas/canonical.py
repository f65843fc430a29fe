"""The canonical form of labelled directed acyclic graphs, exact and for many at once.

Colour refinement tells most vertices apart; what it leaves tied is individualised and refined further, branch by
branch (McKay & Piperno 2014, arXiv 1301.1493), with the smallest graph as the winner.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

FIRST_INNER = 2**20
"""Least label of a vertex that is neither input nor output; those of inputs are less."""
OUTPUT_LABEL = 2**62
"""Label of the output, the greatest."""


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit words that spreads every bit (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def refine(
    colour: NDArray[np.uint64], adjacency: NDArray[np.uint64], transposed: NDArray[np.uint64], rounds: int
) -> NDArray[np.uint64]:
    """Colour refinement (Weisfeiler-Leman): `n x v` colours that also tell apart the neighbourhoods."""
    for _ in range(rounds):
        mixed = mix(colour)[:, :, None]
        # n x v x v times n x v x 1; sums of mixed colours are invariant to the neighbours' order.
        above = (transposed @ mixed)[:, :, 0]
        below = (adjacency @ mixed)[:, :, 0]
        colour = mix(
            colour * np.uint64(0x9E3779B97F4A7C15)
            + mix(above + np.uint64(0x632BE59BD9B4E019))
            + np.uint64(3) * mix(below + np.uint64(0xD6E8FEB86659FD93))
        )
    return colour


def vertex_depth(adjacency: BoolArray) -> IntArray:
    """`n x v` numbers of edges on the longest path that ends in each vertex."""
    n, v, _ = adjacency.shape
    depth = np.zeros((n, v), dtype=np.int64)
    for j in range(1, v):
        depth[:, j] = np.where(adjacency[:, :j, j], depth[:, :j] + 1, 0).max(1)
    return depth


def canonical_order(labels: IntArray, adjacency: BoolArray, size: NDArray[Any]) -> IntArray:
    """A vertex order that depends on each cell's isomorphism class alone.

    Vertices are sorted by role (input, inner, output), longest path from an input, label, and refined colour; ties
    that refinement cannot break are resolved exactly, by trying every tied vertex and keeping the smallest graph.
    The order is topological.

    Args:
        labels: `n x v` vertex labels, -1 for padding: inputs below `FIRST_INNER`, the output `OUTPUT_LABEL`.
        adjacency: `n x v x v` edges, running forward.
        size: `n` numbers of vertices.

    Returns:
        `n x v`: the vertex that stands at each canonical place; padding stays at the end.
    """
    n, v = labels.shape
    if n == 0:
        return np.zeros((0, v), dtype=np.int64)
    depth = vertex_depth(adjacency)
    padding = np.arange(v) >= np.asarray(size)[:, None]
    inner = (labels >= FIRST_INNER) & (labels < OUTPUT_LABEL)
    # Inputs keep depth 0 and come first by label; the output and the padding go last whatever their depth.
    place = np.where(inner, depth + 1, np.where(padding, 2**41, np.where(labels == OUTPUT_LABEL, 2**40, 0)))
    weights = adjacency.astype(np.uint64)
    transposed = np.ascontiguousarray(weights.swapaxes(1, 2))
    start = mix(labels.astype(np.uint64) * np.uint64(0x2545F4914F6CDD1D) + place.astype(np.uint64))
    colour = refine(start, weights, transposed, 3)
    # Padding is made distinct so that it never counts as a tie.
    colour[padding] = np.broadcast_to(np.arange(v, dtype=np.uint64), (n, v))[padding]
    order = _sorted_order(place, labels, colour)
    tied = _tied(place, labels, colour, order)
    rows = np.flatnonzero(tied.any(1))
    if rows.size:
        order[rows] = _break_ties(
            place[rows], labels[rows], colour[rows], adjacency[rows], weights[rows], transposed[rows], v
        )
    return order


def _sorted_order(place: IntArray, labels: IntArray, colour: NDArray[np.uint64]) -> IntArray:
    return np.lexsort((colour, labels, place), axis=-1)


def _tied(place: IntArray, labels: IntArray, colour: NDArray[np.uint64], order: IntArray) -> BoolArray:
    """`n x (v - 1)`: whether the vertices at places `a` and `a + 1` of the order cannot be told apart."""
    keys = [np.take_along_axis(key, order, 1) for key in (place, labels, colour)]
    tied: BoolArray = np.logical_and.reduce([key[:, 1:] == key[:, :-1] for key in keys])
    return tied


def _break_ties(
    place: IntArray,
    labels: IntArray,
    colour: NDArray[np.uint64],
    adjacency: BoolArray,
    weights: NDArray[np.uint64],
    transposed: NDArray[np.uint64],
    v: int,
) -> IntArray:
    """Individualise and refine: branch over the first tied class until all leaves are discrete, keep the smallest."""
    n = place.shape[0]
    source = np.arange(n)  # which cell a branch belongs to
    leaves: list[tuple[IntArray, IntArray]] = []
    step = np.uint64(1)
    while source.size:
        order = _sorted_order(place[source], labels[source], colour)
        tied = _tied(place[source], labels[source], colour, order)
        open_ = tied.any(1)
        leaves.append((source[~open_], order[~open_]))
        source, colour, order, tied = source[open_], colour[open_], order[open_], tied[open_]
        if not source.size:
            break
        rows = np.arange(source.size)
        first = tied.argmax(1)
        # Members of the first tied class: the run of ties that starts at `first`.
        run = np.cumsum(~tied & (np.arange(v - 1) >= first[:, None]), axis=1) == 0
        member = np.zeros((source.size, v), dtype=bool)
        member[rows, first] = True
        member[:, 1:] |= run & (np.arange(v - 1) >= first[:, None])
        # Twins (same predecessors and successors) are interchanged by an automorphism: one branch serves them all.
        head = order[rows, first]
        graph = adjacency[source]
        twin = (graph == graph[rows, head][:, None, :]).all(2)
        twin &= (graph == graph[rows, :, head][:, :, None]).all(1)
        twin_in_order = np.take_along_axis(twin, order, 1)
        all_twins = (twin_in_order | ~member).all(1)
        member[all_twins] = False
        member[rows[all_twins], first[all_twins]] = True
        branch, at = np.nonzero(member)
        chosen = order[branch, at]
        colour, source = colour[branch].copy(), source[branch]
        number = np.arange(branch.size)
        colour[number, chosen] = mix(colour[number, chosen] + step)
        colour = refine(colour, weights[source], transposed[source], 2)
        step += np.uint64(1)
    cells = np.concatenate([cell for cell, _ in leaves])
    orders = np.concatenate([order for _, order in leaves])
    # Labels and places agree between leaves of one cell, so the adjacency alone decides.
    graphs = adjacency[cells[:, None, None], orders[:, :, None], orders[:, None, :]].reshape(cells.size, -1)
    packed = np.packbits(graphs, axis=1)
    sorting = np.lexsort((*packed.T[::-1], cells))
    best = sorting[np.flatnonzero(np.diff(cells[sorting], prepend=-1))]
    return orders[best]


def canonical_hashes(labels: IntArray, adjacency: BoolArray, size: NDArray[Any]) -> list[str]:
    """Isomorphism-invariant hashes of many cells: 32 hex digits each, equal to `Cell.hash`.

    Args:
        labels: `n x v` labels from `vocabulary_labels`.
        adjacency: `n x v x v` edges.
        size: `n` numbers of vertices.
    """
    order = canonical_order(labels, adjacency, size)
    rows = np.arange(labels.shape[0])[:, None]
    ordered = np.ascontiguousarray(labels[rows, order].astype("<i8"))
    graphs = adjacency[rows[:, :, None], order[:, :, None], order[:, None, :]]
    hashes = []
    for count, row, graph in zip(np.asarray(size).tolist(), ordered, _edge_bytes(graphs), strict=True):
        digest = hashlib.blake2b(row[:count].tobytes(), digest_size=16)
        digest.update(graph[: (count * (count - 1) // 2 + 7) // 8].tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def _edge_bytes(graphs: BoolArray) -> NDArray[np.uint8]:
    """Upper triangles packed column by column, so that padding vertices only add trailing zero bits."""
    v = graphs.shape[1]
    j, i = np.tril_indices(v, -1)
    return np.packbits(graphs[:, i, j], axis=1)
