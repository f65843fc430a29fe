"""What a cell's graph says about it without any training: the label-free targets that make a latent space smooth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays, colour_refinement, is_input, vocabulary_labels

FloatArray = NDArray[np.float64]


def graph_statistics(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x (7 + 2 i + 2 k)` statistics of simplified cells of `i` inputs, each a plain number of its graph.

    Vertices, edges, longest, shortest and mean path from an input to the output (edges), log number of paths,
    in-degree of the output; for each input its out-degree and its edge to the output; then for each of the `k` other
    labels its count and its most vertices on one path.
    """
    n, v = arrays.ops.shape
    inputs = sum(map(is_input, vocabulary))
    kinds = len(vocabulary) - inputs - 1
    rows, last = np.arange(n), arrays.size.astype(np.int64) - 1
    edges = arrays.adjacency
    longest, shortest = np.zeros((n, v)), np.full((n, v), np.inf)
    paths, length = np.zeros((n, v)), np.zeros((n, v))
    most = np.zeros((n, v, kinds))
    is_kind = arrays.ops[:, :, None] == np.arange(inputs + 1, len(vocabulary))
    shortest[:, :inputs], paths[:, :inputs] = 0.0, 1.0
    for j in range(inputs, v):
        into = edges[:, :j, j]
        longest[:, j] = np.where(into, longest[:, :j] + 1, 0).max(1)
        shortest[:, j] = np.where(into, shortest[:, :j] + 1, np.inf).min(1)
        paths[:, j] = (into * paths[:, :j]).sum(1)
        length[:, j] = (into * (length[:, :j] + paths[:, :j])).sum(1)
        most[:, j] = np.where(into[:, :, None], most[:, :j], 0).max(1) + is_kind[:, j]
    return np.column_stack(
        [
            arrays.size,
            edges.sum((1, 2)),
            longest[rows, last],
            shortest[rows, last],
            length[rows, last] / paths[rows, last],
            np.log(paths[rows, last]),
            edges[rows, :, last].sum(1),
            edges[:, :inputs].sum(2),
            edges[rows, :inputs, last],
            is_kind.sum(1),
            most[rows, last],
        ]
    )


def path_sketch(arrays: CellArrays, vocabulary: Sequence[str], width: int = 256) -> FloatArray:
    """`n x width` tensor sketch of the counts of label sequences along paths from an input to the output.

    Every operation has a random vector of signs; a path's sketch is the product of its vertices' vectors, rolled by
    one place a step so that order counts, and a cell's sketch is the sum over its paths. Inner products approximate
    those of the full path encoding (White et al. 2021) for any number of vertices (Pham & Pagh 2013).
    """
    signs = np.random.default_rng(101).choice([-1.0, 1.0], size=(len(vocabulary), width)).astype(np.float32)
    n, v = arrays.ops.shape
    inputs = sum(map(is_input, vocabulary))
    states = np.zeros((n, v, width), dtype=np.float32)
    states[:, :inputs] = signs[:inputs]
    for j in range(inputs, v):
        summed = np.einsum("ni,niw->nw", arrays.adjacency[:, :j, j].astype(np.float32), states[:, :j])
        states[:, j] = np.roll(summed, 1, axis=1) * signs[arrays.ops[:, j]]
    return states[np.arange(n), arrays.size.astype(np.int64) - 1].astype(np.float64)


def subtree_sketch(
    arrays: CellArrays, vocabulary: Sequence[str], width: int = 256, rounds: tuple[int, ...] = (0, 1, 2)
) -> FloatArray:
    """`n x width` count sketch of the Weisfeiler-Leman colours after 0, 1 and 2 rounds (Shervashidze et al. 2011)."""
    sketch = np.zeros((arrays.n, width))
    present = arrays.ops >= 0
    labels = vocabulary_labels(arrays, vocabulary)
    for number in rounds:
        colour = colour_refinement(labels, arrays.adjacency, number)
        bucket = (colour % np.uint64(width)).astype(np.int64)
        sign = np.where((colour >> np.uint64(40)) & np.uint64(1), 1.0, -1.0)
        for j in range(arrays.ops.shape[1]):
            rows = np.flatnonzero(present[:, j])
            sketch[rows, bucket[rows, j]] += sign[rows, j]
    return sketch


def structure_targets(arrays: CellArrays, vocabulary: Sequence[str], *, components: int = 64) -> FloatArray:
    """`n x t` label-free auxiliary targets: the statistics, then principal components of path and subtree counts.

    Components keep their relative spread, so that what varies most between cells counts most.

    Args:
        arrays: Simplified cells in canonical order.
        vocabulary: The space's vertex labels.
        components: Number of principal components.
    """
    statistics = graph_statistics(arrays, vocabulary)
    if arrays.n < 2 * components:
        return statistics
    some = np.linspace(0, arrays.n - 1, min(arrays.n, 20_000)).astype(np.int64)

    def blocks(part: CellArrays) -> FloatArray:
        return np.column_stack([path_sketch(part, vocabulary), subtree_sketch(part, vocabulary)])

    fitted = blocks(arrays.take(some))
    mean = fitted.mean(0)
    # Both blocks weigh the same, and within a block a feature weighs by its variance.
    half = fitted.shape[1] // 2
    spread = np.repeat([fitted[:, :half].std(0).max(), fitted[:, half:].std(0).max()], half)
    _, _, axes = np.linalg.svd((fitted - mean) / spread, full_matrices=False)
    axes = axes[:components].T
    scores = np.concatenate(
        [
            (blocks(arrays.take(slice(start, start + 20_000))) - mean) / spread @ axes
            for start in range(0, arrays.n, 20_000)
        ]
    )
    return np.column_stack([statistics, scores / scores[:, :8].std()])
