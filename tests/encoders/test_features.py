from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnas.cell import Cell, CellArrays, canonical_arrays, to_arrays
from graphnas.encoders import features, graph_statistics
from graphnas.encoders.features import one_hot, path_counts, path_features, structure_features, varying
from graphnas.encoders.statistics import path_sketch
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
VOCABULARY = SPACE.vocabulary  # input, output, conv3x3, conv1x1, maxpool3x3

# input -> 3x3 -> 1x1 -> output, input -> 1x1, input -> output
CELL = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)}))


def arrays(*cells: Cell, width: int | None = None) -> CellArrays:
    return to_arrays(cells, VOCABULARY, width=width)


def test_one_hot_of_a_cell_written_out() -> None:
    (row,) = one_hot(arrays(CELL, width=5), VOCABULARY)
    labels, edges = row[:30].reshape(5, 6), row[30:]
    # Columns: no vertex, input, output, conv3x3, conv1x1, maxpool3x3.
    assert labels.argmax(1).tolist() == [1, 3, 4, 2, 0]
    assert labels.sum() == 5
    # Pairs 01 02 03 04, 12 13 14, 23 24, 34.
    assert edges.tolist() == [1, 1, 1, 0, 1, 0, 0, 1, 0, 0]


def test_path_counts_of_a_cell_written_out() -> None:
    (row,) = path_counts(arrays(CELL), VOCABULARY)
    # 1 direct path, then 3x3, 1x1, pool, then pairs, first digit next to the input: 3x3 and 1x1 is number 0 * 3 + 1.
    assert row.tolist() == [1, 0, 1, 0, *[0, 1, 0, 0, 0, 0, 0, 0, 0]]


def test_equal_labels_on_two_paths_count_twice() -> None:
    cell = Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
    assert path_counts(arrays(cell), VOCABULARY)[0, :4].tolist() == [0, 2, 0, 0]


def test_paths_of_several_inputs_have_columns_of_their_own() -> None:
    vocabulary = ("input0", "input1", "output", "a", "b")
    cell = Cell(("input0", "input1", "a", "b", "output"), frozenset({(0, 2), (1, 3), (2, 3), (2, 4), (3, 4)}))
    (row,) = path_counts(to_arrays([cell], vocabulary), vocabulary)
    # For each input: direct, a, b, aa, ab, ba, bb.
    assert row.tolist() == [0, 1, 0, 0, 1, 0, 0, *[0, 0, 1, 0, 0, 0, 0]]


def test_the_columns_of_nasbench101_and_the_total_number_of_paths() -> None:
    cells = SPACE.sample_arrays(3_000, np.random.default_rng(0))
    counts = path_counts(cells, VOCABULARY)
    assert counts.shape == (3_000, 1 + 3 + 9 + 27 + 81 + 243)
    log_paths = graph_statistics(cells, VOCABULARY)[:, 5]
    np.testing.assert_allclose(counts.sum(1), np.exp(log_paths))
    # The sketch approximates the inner products of the counts.
    wide = path_sketch(cells.take(slice(60)), VOCABULARY, 8192)
    exact = counts[:60] @ counts[:60].T
    assert np.corrcoef((wide @ wide.T / 8192).ravel(), exact.ravel())[0, 1] > 0.99


def test_too_many_columns_are_refused_and_then_sketched() -> None:
    enas = Space.load("enas")
    cells = enas.sample_arrays(20, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"at most 5,000 label sequences, .* 6 labels have 55,987; path_sketch"):
        path_counts(cells, enas.vocabulary)
    # 16 is the square root of the sketch's width.
    np.testing.assert_allclose(path_features(cells, enas.vocabulary), path_sketch(cells, enas.vocabulary) / 16)


def test_a_bound_on_the_length_saves_columns_but_loses_no_path() -> None:
    space = Space.load("nasbench201")
    cells = space.sample_arrays(50, np.random.default_rng(0))
    counts = path_counts(cells, space.vocabulary, longest=3)
    assert counts.shape == (50, 1 + 5 + 25 + 125)
    # Node 3 is reached directly, by way of node 1, of node 2, and of both.
    assert counts.sum(1).tolist() == [4] * 50
    np.testing.assert_array_equal(path_features(cells, space.vocabulary), counts)
    with pytest.raises(ValueError, match="at most 2 inner vertices, but got one of 3"):
        path_counts(cells, space.vocabulary, longest=2)


def test_structure_features_are_one_hot_statistics_and_paths_that_vary() -> None:
    cells = SPACE.sample_arrays(400, np.random.default_rng(1))
    statistics = varying(graph_statistics(cells, VOCABULARY))
    hot, paths = varying(one_hot(cells, VOCABULARY)), varying(path_features(cells, VOCABULARY))
    found = structure_features(cells, VOCABULARY)
    np.testing.assert_array_equal(found[:, : hot.shape[1]], hot)
    np.testing.assert_array_equal(found[:, -paths.shape[1] :], paths)
    middle = found[:, hot.shape[1] : -paths.shape[1]]
    assert middle.shape == statistics.shape
    np.testing.assert_allclose(middle.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(middle.std(0), 1)


def test_only_constant_columns_are_dropped() -> None:
    assert varying(np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 3.0]])).tolist() == [[2.0], [5.0]]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_paths_are_invariant_to_relabelling_and_one_hot_to_padding(seed: int) -> None:
    cells = SPACE.topology.sample_by_decision(8, np.random.default_rng(seed))
    canonical = canonical_arrays(cells, VOCABULARY)
    np.testing.assert_array_equal(path_counts(cells, VOCABULARY), path_counts(canonical, VOCABULARY))
    wider = one_hot(canonical.padded(9), VOCABULARY)
    distances = [np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (one_hot(canonical, VOCABULARY), wider)]
    np.testing.assert_allclose(*distances)


def test_the_bound_is_what_is_stated() -> None:
    assert features.MOST_PATHS == 5_000
