from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnas.cell import Cell, CellArrays, canonical_arrays, to_arrays
from graphnas.encoders import graph_statistics, structure_targets
from graphnas.encoders.statistics import path_sketch, subtree_sketch
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
VOCABULARY = SPACE.vocabulary


def arrays(cell: Cell) -> CellArrays:
    return to_arrays([cell], VOCABULARY)


def test_statistics_of_a_cell_counted_by_hand() -> None:
    # input -> 3x3 -> 1x1 -> output, input -> 1x1, input -> output
    cell = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)}))
    row = graph_statistics(arrays(cell), VOCABULARY)[0]
    vertices, edges, longest, shortest, mean, log_paths, into_output, out_of_input, direct = row[:9]
    assert (vertices, edges, longest, shortest) == (4, 5, 3, 1)
    assert mean == (3 + 2 + 1) / 3
    assert np.isclose(log_paths, np.log(3))
    assert (into_output, out_of_input, direct) == (2, 3, 1)
    assert row[9:].tolist() == [1, 1, 0, 1, 1, 0]


def test_path_sketches_approximate_the_inner_products_of_path_counts() -> None:
    one = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
    same = Cell(("input", "conv1x1", "conv3x3", "output"), one.edges)
    other = Cell(("input", "maxpool3x3", "output"), frozenset({(0, 1), (1, 2)}))
    a, b, c = (path_sketch(arrays(cell), VOCABULARY, 4096)[0] for cell in (one, same, other))
    assert np.array_equal(a, b)
    assert abs(a @ a / 4096 - 2) < 0.2
    assert abs(a @ c / 4096) < 0.2


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_all_targets_are_invariant_to_relabelling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = SPACE.topology.sample_by_decision(8, rng)
    canonical = canonical_arrays(cells, VOCABULARY)
    np.testing.assert_allclose(graph_statistics(cells, VOCABULARY), graph_statistics(canonical, VOCABULARY))
    np.testing.assert_allclose(path_sketch(cells, VOCABULARY), path_sketch(canonical, VOCABULARY))
    np.testing.assert_allclose(subtree_sketch(cells, VOCABULARY), subtree_sketch(canonical, VOCABULARY))


def test_targets_are_finite_and_repeatable() -> None:
    cells = SPACE.sample_arrays(500, np.random.default_rng(0))
    targets = structure_targets(cells, VOCABULARY)
    assert targets.shape == (500, 15 + 64)
    assert np.isfinite(targets).all()
    assert np.array_equal(targets, structure_targets(cells, VOCABULARY))
