"""What a cell computes along its paths: identities pass through, nothing passes a zero, and dead vertices do not count.

Two cells of NAS-Bench-201 that differ in an operation behind a zero, or in where an identity stands, compute the same;
encodings that write down every vertex see them apart.
"""

from __future__ import annotations

import numpy as np

from graphnas.cell import CellArrays, is_input
from graphnas.encoders.features import path_counts
from graphnas.encoders.statistics import path_sketch
from graphnas.predictors.protocol import FloatArray
from graphnas.spaces import Space

_WITHOUT_WEIGHTS = ("identity", "zero", "max_pool", "avg_pool")


def silent_labels(space: Space) -> tuple[str, ...]:
    """Labels of vertices that hand on what they get: identities, and vertices that are no operation."""
    operations = space.operations
    return tuple(
        name
        for name in space.vocabulary
        if not is_input(name)
        and name != "output"
        and operations.get(name, {"module": "identity"})["module"] == "identity"
    )


def blocked_labels(space: Space) -> tuple[str, ...]:
    """Labels of vertices that put out zeros."""
    return tuple(name for name, table in space.operations.items() if table["module"] == "zero")


def flow_paths(space: Space, cells: CellArrays) -> FloatArray:
    """Roots of how many paths carry each sequence of labels, without silent ones.

    Where there are too many sequences, a sketch of the counts, in which silent labels count as others do.

    Args:
        space: Gives the labels and the longest path.
        cells: `n` canonical cells.

    Returns:
        `n x f` features.
    """
    try:
        counts = path_counts(
            cells,
            space.vocabulary,
            longest=space.topology.longest_path,
            silent=silent_labels(space),
            blocked=blocked_labels(space),
        )
    except ValueError:
        return path_sketch(cells, space.vocabulary)
    return np.sqrt(counts)


def flow_statistics(space: Space, cells: CellArrays) -> FloatArray:
    """Statistics of the paths that something flows through.

    Args:
        space: Gives the labels.
        cells: `n` cells, vertices in topological order.

    Returns:
        `n x (7 + 4 (k + 2))` numbers: whether there is such a path; whether one has no label; logarithm of their
        number; longest, shortest and mean number of labels on one; vertices on any; then for each of the `k` labels,
        for those with weights and for all labels the number of vertices on any path, and the most, the fewest and the
        mean on one.
    """
    inputs = sum(map(is_input, space.vocabulary))
    silent, blocked = silent_labels(space), blocked_labels(space)
    names = [name for name in space.vocabulary[inputs + 1 :] if name not in (*silent, *blocked)]
    weighted = [name for name in names if space.operations[name]["module"] not in _WITHOUT_WEIGHTS]
    # n x v x k: which groups of labels each vertex counts for.
    groups = [[space.vocabulary.index(name)] for name in names]
    groups += [[space.vocabulary.index(name) for name in some] for some in (weighted, names)]
    belongs = np.stack([np.isin(cells.ops, group) for group in groups], axis=2).astype(np.float64)
    n, v = cells.ops.shape
    k, last = len(groups), cells.size.astype(np.int64) - 1
    open_ = (cells.ops >= 0) & ~np.isin(cells.ops, [space.vocabulary.index(name) for name in blocked])
    paths, total = np.zeros((n, v)), np.zeros((n, v, k))
    most, fewest = np.full((n, v, k), -np.inf), np.full((n, v, k), np.inf)
    paths[:, :inputs], most[:, :inputs], fewest[:, :inputs] = 1.0, 0.0, 0.0
    for j in range(inputs, v):
        into = cells.adjacency[:, :j, j] & open_[:, j, None]
        paths[:, j] = (into * paths[:, :j]).sum(1)
        total[:, j] = (into[..., None] * total[:, :j]).sum(1) + paths[:, j, None] * belongs[:, j]
        most[:, j] = np.where(into[..., None], most[:, :j], -np.inf).max(1) + belongs[:, j]
        fewest[:, j] = np.where(into[..., None], fewest[:, :j], np.inf).min(1) + belongs[:, j]
    back = np.zeros((n, v), dtype=bool)
    back[np.arange(n), last] = True
    for i in range(v - 1, -1, -1):
        back[:, i] |= (cells.adjacency[:, i] & back & open_).any(1)
    live = back & (paths > 0)
    rows = np.arange(n)
    number = paths[rows, last]
    flows = number > 0
    on_any = (belongs * live[..., None]).sum(1)
    longest, shortest = (np.where(flows[:, None], bound[rows, last], 0.0) for bound in (most, fewest))
    mean = np.where(flows[:, None], total[rows, last] / np.maximum(number, 1)[:, None], 0.0)
    return np.column_stack(
        [
            flows,
            flows & (shortest[:, -1] == 0),
            np.log1p(number),
            longest[:, -1],
            shortest[:, -1],
            mean[:, -1],
            live.sum(1),
            on_any,
            longest,
            shortest,
            mean,
        ]
    ).astype(np.float64)
