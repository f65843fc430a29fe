"""Random walks of single edits, for many architectures at once.

`Space.mutate` lists and hashes all neighbours of one architecture; here an edit is drawn for every architecture of a
batch, and drawn again where it leaves the space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import BoolArray, CellArrays, prune_arrays, reorder_arrays
from graphnas.spaces import Space
from graphnas.spaces.dag import DagTopology
from graphnas.spaces.topology import FixedTopology, Topology

_ATTEMPTS = 1000  # draws of an edit; about one in five stays in the space


def random_walks(space: Space, cells: CellArrays, steps: NDArray[np.int64], rng: np.random.Generator) -> CellArrays:
    """The architectures after so many random single edits each.

    Args:
        space: The space, which no step leaves.
        cells: Cells of `n` architectures, those of one in consecutive rows.
        steps: `n` numbers of edits.
        rng: Source of the edits.

    Returns:
        Canonical cells of the `n` architectures.
    """
    reached = space.topology.canonical(cells).padded(space.topology.max_vertices)
    for step in range(int(steps.max(initial=0))):
        walking = np.flatnonzero(steps > step)
        edited = random_edits(space, space.take(reached, walking), rng)
        rows = (walking[:, None] * len(space.cell_names) + np.arange(len(space.cell_names))).reshape(-1)
        _put(reached, rows, edited)
    return reached


def random_edits(space: Space, cells: CellArrays, rng: np.random.Generator) -> CellArrays:
    """One random edit of one cell of each architecture.

    The edits are those of the topology (`Topology.edits`), uniform over those that lead to a legal cell. An
    architecture without any stays as it is.

    Args:
        space: The space.
        cells: Canonical cells of `n` architectures, those of one in consecutive rows.
        rng: Source of the edits.

    Returns:
        Canonical cells of the `n` architectures, of the space's full width.
    """
    topology, parts = space.topology, len(space.cell_names)
    result = cells.padded(topology.max_vertices)
    n = cells.n // parts
    waiting = np.arange(n) * parts + rng.integers(parts, size=n)
    for _ in range(_ATTEMPTS):
        if not waiting.size:
            break
        edited, legal = _edited(topology, result.take(waiting), rng)
        _put(result, waiting[legal], edited)
        waiting = waiting[~legal]
    return result


def _put(whole: CellArrays, rows: NDArray[np.int64], part: CellArrays) -> None:
    """Replace some cells."""
    whole.ops[rows], whole.adjacency[rows], whole.size[rows] = part


def _edited(topology: Topology, cells: CellArrays, rng: np.random.Generator) -> tuple[CellArrays, BoolArray]:
    """The legal ones of the cells after one edit each, in canonical order, and which of the cells these are."""
    if isinstance(topology, DagTopology):
        changed, legal = _edited_graphs(topology, cells, rng)
    elif isinstance(topology, FixedTopology):
        changed, legal = _edited_decisions(topology, cells, rng)
    else:
        raise ValueError(f"Expected a topology with known edits, but got {topology.kind!r}")
    legal &= topology.is_legal(changed)
    return topology.canonical(changed.take(legal)).padded(cells.ops.shape[1]), legal


def _edited_decisions(
    topology: FixedTopology, cells: CellArrays, rng: np.random.Generator
) -> tuple[CellArrays, BoolArray]:
    """Change one decision: every other choice of every decision is equally likely."""
    decisions = topology.encode(cells)
    choices = np.array([len(decision.choices) for decision in topology.decisions])
    others = choices - 1
    if not others.any():
        return cells, np.zeros(cells.n, dtype=bool)
    step = rng.choice(len(choices), size=cells.n, p=others / others.sum())
    rows = np.arange(cells.n)
    decisions[rows, step] = (decisions[rows, step] + 1 + rng.integers(others[step])) % choices[step]
    derivation = topology.start(cells.n)
    for chosen in decisions.T:
        derivation.choose(chosen)
    return topology.simplify(derivation.cells), np.ones(cells.n, dtype=bool)


def _edited_graphs(topology: DagTopology, cells: CellArrays, rng: np.random.Generator) -> tuple[CellArrays, BoolArray]:
    """Change an operation, toggle an edge, put a vertex on an edge, or take a vertex off a path.

    Every edit that a cell of the space may have is equally likely; those that this cell does not have are marked.

    Returns:
        Pruned cells with room for one more vertex, and `n`: whether the edit could be made.
    """
    v, kinds = topology.max_vertices, len(topology.vocabulary) - 2
    pairs = np.column_stack(np.triu_indices(v, 1))
    numbers = np.array([(v - 2) * (kinds - 1), len(pairs), len(pairs) * kinds, v - 2])
    edit = rng.choice(4, size=cells.n, p=numbers / numbers.sum())
    wide = cells.padded(v + 1)
    ops, adjacency, size = wide.ops.copy(), wide.adjacency.copy(), wide.size.copy()
    possible = np.zeros(cells.n, dtype=bool)

    rows = np.flatnonzero(edit == 0)
    vertex = rng.integers(1, max(v - 1, 2), size=rows.size)
    code = 2 + (ops[rows, vertex] - 2 + rng.integers(1, max(kinds, 2), size=rows.size)) % max(kinds, 1)
    possible[rows] = vertex < size[rows] - 1
    ops[rows, vertex] = np.where(possible[rows], code, ops[rows, vertex])

    rows = np.flatnonzero(edit == 1)
    i, j = pairs[rng.integers(len(pairs), size=rows.size)].T
    possible[rows] = j < size[rows]
    adjacency[rows, i, j] ^= possible[rows]

    rows = np.flatnonzero(edit == 2)
    i, j = pairs[rng.integers(len(pairs), size=rows.size)].T
    on_edge = adjacency[rows, i, j]
    rows, i, j = rows[on_edge], i[on_edge], j[on_edge]
    possible[rows] = True
    # The new vertex is the last one at first, and then moves to place j.
    new = size[rows].astype(np.int64)
    adjacency[rows, i, j], adjacency[rows, i, new], adjacency[rows, new, j] = False, True, True
    ops[rows, new] = 2 + rng.integers(max(kinds, 1), size=rows.size)
    size[rows] += 1
    place = np.arange(v + 1)
    order = np.where(place > j[:, None], place - 1, place)
    order = np.where(place > new[:, None], place, order)
    order[np.arange(rows.size), j] = new
    moved = reorder_arrays(CellArrays(ops[rows], adjacency[rows], size[rows]), order)
    ops[rows], adjacency[rows] = moved.ops, moved.adjacency

    rows = np.flatnonzero(edit == 3)
    vertex = rng.integers(1, max(v - 1, 2), size=rows.size)
    into, out = adjacency[rows, :, vertex], adjacency[rows, vertex]
    before, behind = into.argmax(1), out.argmax(1)
    single = (into.sum(1) == 1) & (out.sum(1) == 1) & ~adjacency[rows, before, behind]
    rows, vertex, before, behind = rows[single], vertex[single], before[single], behind[single]
    possible[rows] = True
    adjacency[rows, before, behind] = True
    adjacency[rows, before, vertex], adjacency[rows, vertex, behind] = False, False

    pruned = prune_arrays(CellArrays(ops, adjacency, size))
    if not topology.prune:
        # Only the vertex that was taken off its path may be dead.
        possible &= pruned.size == size - (edit == 3)
    return pruned, possible
