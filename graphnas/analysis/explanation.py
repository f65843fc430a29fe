"""Why a prediction is what it is: which parts of an architecture matter, and which edit would gain most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import Architecture, CellArrays, stack_arrays
from graphnas.spaces import Space

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PartEffect:
    """What happens to a prediction where one vertex or edge is altered."""

    cell: str
    """Name of the cell."""
    vertices: tuple[int, ...]
    """The vertex, or the two ends of the edge, by their numbers in the simplified cell."""
    label: str
    """Operation of the vertex, or of both ends of the edge."""
    change: float
    """Mean change of the prediction over all legal single edits of this part; negative if the part is worth having."""
    edits: int
    """How many these are."""


@dataclass(frozen=True)
class Explanation:
    """An architecture's prediction, by its parts and by its neighbours."""

    value: float
    """The prediction."""
    parts: tuple[PartEffect, ...]
    """Vertices and edges, those that matter most first."""
    best: Architecture | None
    """The architecture one edit away with the best prediction; None if there is none."""
    gain: float
    """How much better it is, below 0 if all are worse."""
    neighbours: int
    """Legal architectures one edit away."""


def explain(
    space: Space, architecture: Architecture, predict: Callable[[Sequence[Architecture]], FloatArray]
) -> Explanation:
    """Explain a prediction by occlusion: each vertex and each edge is altered in every legal way.

    An edit that removes an edge, and possibly puts another in its place, is one of this edge; one that changes an
    operation is one of its vertex. Edits that add a vertex or an edge, or take a vertex off a path, count for the best
    neighbour alone.

    Args:
        space: Space of the architecture.
        architecture: A legal one.
        predict: From `n` architectures to `n` predictions, larger is better; NaN where there is none.

    Raises:
        ValueError: if the architecture is not legal.
    """
    space.validate(architecture)
    topology, parts = space.topology, len(space.cell_names)
    given = topology.simplify(space.to_arrays([architecture])).padded(topology.max_vertices)
    altered: list[tuple[int, tuple[int, ...]] | None] = []
    found: list[CellArrays] = []
    for place in range(parts):
        cell = given.take(slice(place, place + 1))
        edits = topology.edits(cell)
        for row in range(edits.n):
            one = edits.take(slice(row, row + 1))
            if not topology.is_legal(topology.simplify(one))[0]:
                continue
            which = _altered(cell, one)
            altered.append(None if which is None else (place, which))
            cells = [given.take(slice(other, other + 1)) for other in range(parts)]
            cells[place] = one.padded(topology.max_vertices)
            found.append(topology.simplify(stack_arrays(cells)).padded(topology.max_vertices))
    neighbours = space.from_arrays(stack_arrays(found)) if found else []
    (value,) = predict([architecture])
    keys, own = space.hashes(neighbours) if neighbours else [], space.hash(architecture)
    different = [key != own for key in keys]
    predicted = predict(neighbours) if neighbours else np.zeros(0)
    groups: dict[tuple[int, tuple[int, ...]], list[float]] = {}
    for which_part, one_value, counts in zip(altered, predicted.tolist(), different, strict=True):
        if which_part is not None and np.isfinite(one_value):
            # What leaves the class as it is changes nothing.
            groups.setdefault(which_part, []).append(one_value - float(value) if counts else 0.0)
    effects = [
        PartEffect(
            space.cell_names[place],
            vertices,
            " to ".join(space.vocabulary[given.ops[place, vertex]] for vertex in vertices),
            float(np.mean(changes)),
            len(changes),
        )
        for (place, vertices), changes in groups.items()
    ]
    usable = [row for row, counts in enumerate(different) if counts and np.isfinite(predicted[row])]
    best = max(usable, key=lambda row: predicted[row], default=None)
    return Explanation(
        float(value),
        tuple(sorted(effects, key=lambda effect: effect.change)),
        None if best is None else neighbours[best],
        float("nan") if best is None else float(predicted[best] - value),
        len(set(keys) - {own}),
    )


def _altered(cell: CellArrays, edited: CellArrays) -> tuple[int, ...] | None:
    """The vertex or the edge of a cell that an edit of the same size takes away or replaces."""
    size = int(cell.size[0])
    if int(edited.size[0]) != size:
        return None
    edited = edited.padded(cell.ops.shape[1])
    vertices = np.flatnonzero(cell.ops[0] != edited.ops[0])
    removed = np.argwhere(cell.adjacency[0] & ~edited.adjacency[0])
    if len(vertices) == 1 and not len(removed):
        return (int(vertices[0]),)
    if len(removed) == 1 and not len(vertices):
        return tuple(map(int, removed[0]))
    return None
