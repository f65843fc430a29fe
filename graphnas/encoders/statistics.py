"""What a cell's graph says about it without any training: the label-free targets that make a latent space smooth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays, is_input

FloatArray = NDArray[np.float64]

_AT_ONCE = 20_000  # cells to which targets are fitted at most, and that are described at once


def graph_statistics(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x (7 + 2 i + 2 k)` statistics of simplified cells of `i` inputs, each a plain number of its graph.

    Vertices, edges, longest, shortest and mean path from an input to the output (edges), log number of paths (0 where
    there is none), in-degree of the output; for each input its out-degree and its edge to the output; then for each of
    the `k` other labels its count and its most vertices on one path.
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
    joined = paths[rows, last] > 0
    return np.column_stack(
        [
            arrays.size,
            edges.sum((1, 2)),
            longest[rows, last],
            np.where(joined, shortest[rows, last], 0.0),
            length[rows, last] / np.where(joined, paths[rows, last], 1.0),
            np.log(np.where(joined, paths[rows, last], 1.0)),
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


def operation_statistics(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x 11 k` sums over the vertices of each of the `k` labels but inputs and output, of simplified cells.

    What is summed of a vertex: one; its in-degree and out-degree; its longest and shortest distance from an input and
    to the output (edges); the number of paths through it and its log; whether an input feeds it and whether it feeds
    the output.
    """
    n, v = arrays.ops.shape
    inputs = sum(map(is_input, vocabulary))
    edges, last = arrays.adjacency, arrays.size.astype(np.int64) - 1
    starts, ends = np.zeros((n, v), dtype=bool), np.zeros((n, v), dtype=bool)
    starts[:, :inputs], ends[np.arange(n), last] = True, True
    longest, shortest, paths = _distances(edges, starts)
    # The same from the output: all edges and places turned round.
    turned = [part[:, ::-1] for part in _distances(edges[:, ::-1, ::-1].mT, ends[:, ::-1])]
    through = paths * turned[2]
    of_vertex = np.stack(
        [
            np.ones((n, v)),
            edges.sum(1),
            edges.sum(2),
            longest,
            turned[0],
            shortest,
            turned[1],
            through,
            np.log1p(through),
            shortest == 1,
            turned[1] == 1,
        ],
        axis=1,
    )
    is_kind = arrays.ops[:, :, None] == np.arange(inputs + 1, len(vocabulary))
    summed: FloatArray = (of_vertex @ is_kind.astype(np.float64)).reshape(n, -1)
    return summed


def _distances(edges: NDArray[np.bool_], starts: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`n x v` longest and shortest distance from a start (0 where there is no path), and number of paths."""
    n, v = starts.shape
    longest, paths = np.zeros((n, v)), starts.astype(np.float64)
    shortest = np.where(starts, 0.0, np.inf)
    for j in range(1, v):
        into = edges[:, :j, j]
        longest[:, j] = np.where(into, longest[:, :j] + 1, 0).max(1)
        shortest[:, j] = np.minimum(shortest[:, j], np.where(into, shortest[:, :j] + 1, np.inf).min(1))
        paths[:, j] += (into * paths[:, :j]).sum(1)
    return longest, np.where(np.isfinite(shortest), shortest, 0), paths


def label_edges(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x k^2` numbers of edges from each label to each other."""
    is_label = (arrays.ops[:, :, None] == np.arange(len(vocabulary))).astype(np.float32)
    counts = is_label.mT @ (arrays.adjacency.astype(np.float32) @ is_label)
    result: FloatArray = counts.reshape(arrays.n, -1).astype(np.float64)
    return result


def places(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x (v k + v^2)` labels and edges by place in canonical order, each 0 or 1."""
    is_label = arrays.ops[:, :, None] == np.arange(len(vocabulary))
    flat = np.concatenate([is_label.reshape(arrays.n, -1), arrays.adjacency.reshape(arrays.n, -1)], axis=1)
    return flat.astype(np.float64)


def principal_axes(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Singular values of `n x p` centred points, largest first, and their axes, `min(n, p) x p`.

    They come from the `p x p` products of columns, whose eigenvectors always converge. LAPACK's divide and conquer for
    singular values does not, with some of its builds and points of as low a rank as those here. Singular values below
    1e-7 of the largest are not told from zero.
    """
    values, vectors = np.linalg.eigh(points.T @ points)
    k = min(points.shape)
    return np.sqrt(np.maximum(values[::-1][:k], 0.0)), vectors.T[::-1][:k].copy()


def structure_targets(
    arrays: CellArrays,
    vocabulary: Sequence[str],
    further: FloatArray | None = None,
    *,
    components: int = 64,
    edges_size: float = 0.3,
    places_size: float = 0.2,
) -> FloatArray:
    """`n x t` label-free auxiliary targets: principal components of what a graph says about itself.

    Four blocks: statistics of the graph and sums over the vertices of each label, both of equal total variance, then
    numbers of edges between labels, and labels and edges by place. Components keep their relative spread, and the
    first has variance 1, so that what varies most between cells counts most and distances between targets are those
    between blocks.

    Args:
        arrays: Simplified cells in canonical order.
        vocabulary: The space's vertex labels.
        further: `n x t` further statistics, such as log parameters.
        components: Number of principal components at most.
        edges_size: Standard deviation of the block of edges between labels, in those of the first two.
        places_size: Likewise of the block of places.
    """

    def blocks(rows: slice | NDArray[np.int64]) -> list[FloatArray]:
        part = arrays.take(rows)
        statistics = graph_statistics(part, vocabulary)
        return [
            statistics if further is None else np.column_stack([statistics, further[rows]]),
            operation_statistics(part, vocabulary),
            label_edges(part, vocabulary),
            places(part, vocabulary),
        ]

    fitted = blocks(_spread(arrays.n))
    means = [block.mean(0) for block in fitted]
    # The columns of the first two have different units; those of the others are counts.
    units = [np.where(block.std(0) > 1e-9, block.std(0), 1.0) for block in fitted[:2]]
    units += [np.ones(block.shape[1]) for block in fitted[2:]]
    sizes = (1.0, 1.0, edges_size, places_size)
    for block, mean, unit in zip(fitted, means, units, strict=True):
        # A block that is the same everywhere has no size to divide by.
        unit *= float(np.sqrt((((block - mean) / unit) ** 2).sum(1).mean())) or 1.0

    def joined(parts: Sequence[FloatArray]) -> FloatArray:
        scaled = zip(parts, means, units, sizes, strict=True)
        return np.concatenate([size * (part - mean) / unit for part, mean, unit, size in scaled], axis=1)

    axes = principal_axes(joined(fitted))[1]
    scores = np.concatenate(
        [joined(blocks(slice(at, at + _AT_ONCE))) @ axes[:components].T for at in range(0, arrays.n, _AT_ONCE)]
    )
    return scores / (float(scores[:, 0].std()) or 1.0)


def shared_targets(parts: Sequence[CellArrays], vocabulary: Sequence[str], *, components: int = 64) -> list[FloatArray]:
    """`n x t` label-free targets of the cells of several spaces in common coordinates.

    Principal components of statistics of the graph and sums over the vertices of each label. Each counts in its
    standard deviation within the spaces, so that what tells spaces apart does not drown what tells their cells apart;
    the component that varies most within them has variance 1 there.

    Args:
        parts: For each space simplified cells in canonical order.
        vocabulary: The labels of all.
        components: Number of principal components at most.
    """

    def described(arrays: CellArrays) -> FloatArray:
        return np.column_stack([graph_statistics(arrays, vocabulary), operation_statistics(arrays, vocabulary)])

    fitted = [described(part.take(_spread(part.n))) for part in parts]
    within = np.sqrt(np.mean([part.var(0) for part in fitted], axis=0))
    middle, unit = np.mean([part.mean(0) for part in fitted], axis=0), np.where(within > 1e-9, within, 1.0)
    # Both blocks have equal total variance within the spaces.
    first = graph_statistics(parts[0].take(slice(0, 1)), vocabulary).shape[1]
    for block in (slice(0, first), slice(first, None)):
        unit[block] *= math.sqrt((within[block] > 1e-9).sum()) or 1.0
    # Every space counts the same, whatever its number of cells.
    scaled = [(part - middle) / unit for part in fitted]
    axes = principal_axes(np.concatenate([part / math.sqrt(len(part)) for part in scaled]))[1][:components]
    largest = float(np.sqrt(np.mean([(part @ axes.T).var(0) for part in scaled], axis=0).max())) or 1.0
    return [
        np.concatenate(
            [
                (described(part.take(slice(start, start + _AT_ONCE))) - middle) / unit @ axes.T / largest
                for start in range(0, part.n, _AT_ONCE)
            ]
        )
        for part in parts
    ]


def _spread(n: int) -> NDArray[np.int64]:
    """Rows of at most `_AT_ONCE` cells out of `n`, evenly spread."""
    return np.linspace(0, n - 1, min(n, _AT_ONCE)).astype(np.int64)
