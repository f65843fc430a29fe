"""Hand-made encodings of cells: the yardstick against which latent spaces are measured.

All of them describe canonical cells, so they are invariant to relabelling. Indicators and counts share a natural scale,
on which a kernel with one lengthscale does best; only the statistics, which have different units, are standardised.
`one_hot`, `path_counts` and `path_features` keep columns that are constant over the cells given; `varying` drops them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphnas.canonical import mix, refine, vertex_depth
from graphnas.cell import CellArrays, is_input, vocabulary_labels
from graphnas.encoders.statistics import graph_statistics, path_sketch

FloatArray = NDArray[np.float64]

MOST_PATHS = 5_000
"""Label sequences that `path_counts` counts at most; each is a column."""


def one_hot(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`n x f` indicators: the label at each of `v` positions, or none beyond a cell's size, then each possible edge.

    With a vocabulary of `k` labels, `f = v (k + 1) + v (v - 1) / 2`; edges are the upper triangle, row by row.

    Args:
        arrays: Cells in canonical order.
        vocabulary: The space's vertex labels.
    """
    n, v = arrays.ops.shape
    labels = arrays.ops[:, :, None] == np.arange(-1, len(vocabulary))
    i, j = np.triu_indices(v, 1)
    return np.concatenate([labels.reshape(n, -1), arrays.adjacency[:, i, j]], axis=1).astype(np.float64)


def path_counts(
    arrays: CellArrays,
    vocabulary: Sequence[str],
    *,
    longest: int | None = None,
    silent: Sequence[str] = (),
    blocked: Sequence[str] = (),
) -> FloatArray:
    """How many paths from an input to the output carry each sequence of labels (White et al. 2021, Sec. 3.1).

    White et al. record whether a sequence occurs; the count says more and costs as much. With `i` inputs and `k`
    labels of inner vertices there are `i (1 + k + ... + k ** longest)` columns: input by input, short sequences first,
    those of one length like numbers of base `k` whose first digit is the label next to the input.

    Args:
        arrays: Simplified cells, vertices in topological order.
        vocabulary: The space's vertex labels.
        longest: Most labels of a sequence; all that the arrays have room for if None.
        silent: Labels that sequences leave out, such as those of identities.
        blocked: Labels that no path goes through, such as those of zeros.

    Returns:
        `n x f` counts.

    Raises:
        ValueError: if there are more than `MOST_PATHS` columns (`path_sketch` needs none for each sequence), or if a
            path is longer than `longest`.
    """
    n, v = arrays.ops.shape
    inputs = sum(map(is_input, vocabulary))
    spoken = [label for label, name in enumerate(vocabulary) if label > inputs and name not in (*silent, *blocked)]
    passed = [vocabulary.index(name) for name in silent]
    kinds, room = len(spoken), v - inputs - 1
    longest = room if longest is None else min(longest, room)
    columns = inputs * sum(kinds**length for length in range(longest + 1))
    if columns > MOST_PATHS:
        raise ValueError(
            f"Expected at most {MOST_PATHS:,} label sequences, but paths of up to {longest} vertices with {kinds} "
            f"labels have {columns:,}; path_sketch has a width of its own"
        )
    found = 0 if longest == room or passed or len(spoken) < len(vocabulary) - inputs - 1 else _longest_path(arrays)
    if found > longest:
        raise ValueError(f"Expected paths of at most {longest} inner vertices, but got one of {found}")
    counts = np.zeros((n, columns))
    # States of all vertices take v times the room of the result.
    for start in range(0, n, 2048):
        part = arrays.take(slice(start, start + 2048))
        counts[start : start + part.n] = _count_paths(part, inputs, spoken, passed, longest)
    return counts


def wl_counts(arrays: CellArrays, vocabulary: Sequence[str], *, rounds: int = 2, width: int = 256) -> FloatArray:
    """How many vertices have each colour after 0, 1, ... rounds of refinement (Shervashidze et al. 2011, Sec. 3).

    Colours are spread over a fixed number of columns by their hash, so that rows can be computed one by one; those of a
    column are counted together. Neighbours on both sides of an edge count, each side for itself.

    Args:
        arrays: Simplified cells.
        vocabulary: The space's vertex labels.
        rounds: Rounds of refinement.
        width: Columns of each round.

    Returns:
        `n x (rounds + 1) width` counts.
    """
    n, v = arrays.ops.shape
    weights = arrays.adjacency.astype(np.uint64)
    colour = mix(vocabulary_labels(arrays, vocabulary).astype(np.uint64))
    there = np.arange(v) < arrays.size[:, None]
    counts = np.zeros((n, (rounds + 1) * width))
    for number in range(rounds + 1):
        if number:
            colour = refine(colour, weights, np.ascontiguousarray(weights.swapaxes(1, 2)), 1)
        row, vertex = np.nonzero(there)
        column = number * width + (colour[row, vertex] % np.uint64(width)).astype(np.int64)
        np.add.at(counts, (row, column), 1.0)
    return counts


def path_features(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """`path_counts` up to the longest path found where they have few enough columns, else `path_sketch`.

    The sketch is scaled so that its inner products, and hence distances, approximate those of the counts. What the
    columns are depends on the cells: those that are to be compared must be given together.

    Returns:
        `n x f` features.
    """
    inputs = sum(map(is_input, vocabulary))
    kinds, longest = len(vocabulary) - inputs - 1, _longest_path(arrays)
    if inputs * sum(kinds**length for length in range(longest + 1)) > MOST_PATHS:
        sketch = path_sketch(arrays, vocabulary)
        return sketch / math.sqrt(sketch.shape[1])
    return path_counts(arrays, vocabulary, longest=longest)


def structure_features(arrays: CellArrays, vocabulary: Sequence[str]) -> FloatArray:
    """One-hot, standardised graph statistics and `path_features` beside one another, without constant columns.

    Args:
        arrays: Canonical cells, all that are to be compared.
        vocabulary: The space's vertex labels.

    Returns:
        `n x f` features.
    """
    statistics = varying(graph_statistics(arrays, vocabulary))
    statistics = (statistics - statistics.mean(0)) / statistics.std(0)
    return np.column_stack(
        [varying(one_hot(arrays, vocabulary)), statistics, varying(path_features(arrays, vocabulary))]
    )


def varying(features: FloatArray) -> FloatArray:
    """The columns that are not constant over the `n` rows."""
    return features[:, features.max(0) > features.min(0)]


def _longest_path(arrays: CellArrays) -> int:
    """Most inner vertices on a path from an input to the output."""
    if not arrays.n:
        return 0
    depth = vertex_depth(arrays.adjacency)[np.arange(arrays.n), arrays.size.astype(np.int64) - 1]
    return max(int(depth.max()) - 1, 0)


def _count_paths(
    arrays: CellArrays, inputs: int, spoken: Sequence[int], passed: Sequence[int], longest: int
) -> FloatArray:
    n, v = arrays.ops.shape
    kinds = len(spoken)
    # Single precision is exact up to 2 ** 24, and cells of v vertices have at most 2 ** (v - 2) paths.
    dtype = np.dtype(np.float32 if v <= 26 else np.float64)
    is_kind = arrays.ops[:, :, None] == np.array(spoken, dtype=np.int64)
    is_passed = np.isin(arrays.ops, passed)
    edges: NDArray[Any] = arrays.adjacency.astype(dtype)
    last = arrays.size - 1
    # For each length the paths that end in a vertex, its own label included: n x v x i x k ** length.
    ending = [np.zeros((n, v, inputs, kinds**length), dtype) for length in range(longest + 1)]
    ending[0][:, range(inputs), range(inputs)] = 1.0
    counts = [np.zeros((n, inputs, kinds**length), dtype) for length in range(longest + 1)]
    for j in range(inputs, v):
        here = np.flatnonzero(last == j)
        for length in range(min(longest, j - inputs) + 1):
            arriving = np.einsum("ni,niab->nab", edges[:, :j, j], ending[length][:, :j])
            counts[length][here] = arriving[here]
            if length < longest:
                # n x i x k ** length x 1 times n x 1 x 1 x k: the vertex's label becomes the last digit.
                longer = arriving[..., None] * is_kind[:, j, None, None, :]
                ending[length + 1][:, j] += longer.reshape(n, inputs, -1)
            if passed:
                ending[length][:, j] += arriving * is_passed[:, j, None, None]
    return np.concatenate(counts, axis=2).reshape(n, -1).astype(np.float64)
