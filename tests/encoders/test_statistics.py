from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnas.cell import Cell, CellArrays, canonical_arrays, to_arrays
from graphnas.encoders import graph_statistics, structure_targets
from graphnas.encoders.statistics import label_edges, operation_statistics, path_sketch, places, principal_axes
from graphnas.spaces import Space

SPACE = Space.load("nasbench101")
VOCABULARY = SPACE.vocabulary
# input -> 3x3 -> 1x1 -> output, input -> 1x1, input -> output
CELL = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)}))


def arrays(cell: Cell) -> CellArrays:
    return to_arrays([cell], VOCABULARY)


def test_statistics_of_a_cell_counted_by_hand() -> None:
    row = graph_statistics(arrays(CELL), VOCABULARY)[0]
    vertices, edges, longest, shortest, mean, log_paths, into_output, out_of_input, direct = row[:9]
    assert (vertices, edges, longest, shortest) == (4, 5, 3, 1)
    assert mean == (3 + 2 + 1) / 3
    assert np.isclose(log_paths, np.log(3))
    assert (into_output, out_of_input, direct) == (2, 3, 1)
    assert row[9:].tolist() == [1, 1, 0, 1, 1, 0]


def test_sums_over_the_vertices_of_a_label_counted_by_hand() -> None:
    # The label conv1x1 twice: vertex 2 of CELL, and another that only the input feeds and that feeds the output.
    ops = (*CELL.ops[:3], "conv1x1", "output")
    edges = {(0, 1), (1, 2), (2, 4), (0, 2), (0, 4), (0, 3), (3, 4)}
    rows = operation_statistics(arrays(Cell(ops, frozenset(edges))), VOCABULARY).reshape(11, 3)
    assert rows[:7, 0].tolist() == [1, 1, 1, 1, 2, 1, 2]  # conv3x3: one vertex, distances 1 and 2 on every path
    assert rows[:7, 1].tolist() == [2, 2 + 1, 1 + 1, 2 + 1, 1 + 1, 1 + 1, 1 + 1]
    assert rows[7, :2].tolist() == [1, 2 + 1]  # paths through them
    np.testing.assert_allclose(rows[8, :2], [np.log(2), np.log(3) + np.log(2)])
    assert rows[9:, :2].tolist() == [[1, 2], [0, 2]]
    assert not rows[:, 2].any()


def test_edges_between_labels_counted_by_hand() -> None:
    counts = label_edges(arrays(CELL), VOCABULARY).reshape(5, 5)
    found = {(VOCABULARY[i], VOCABULARY[j]): counts[i, j] for i, j in np.argwhere(counts)}
    assert found == {
        ("input", "conv3x3"): 1,
        ("input", "conv1x1"): 1,
        ("input", "output"): 1,
        ("conv3x3", "conv1x1"): 1,
        ("conv1x1", "output"): 1,
    }


def test_places_are_labels_and_edges_one_by_one() -> None:
    row = places(arrays(CELL), VOCABULARY)[0]
    assert row[:20].reshape(4, 5).argmax(1).tolist() == [0, 2, 3, 1]
    assert np.argwhere(row[20:].reshape(4, 4)).tolist() == sorted(map(list, CELL.edges))


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
def test_statistics_are_invariant_to_relabelling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = SPACE.topology.sample_by_decision(8, rng)
    canonical = canonical_arrays(cells, VOCABULARY)
    for statistics in (graph_statistics, path_sketch, operation_statistics, label_edges):
        np.testing.assert_allclose(statistics(cells, VOCABULARY), statistics(canonical, VOCABULARY), rtol=1e-6)


def test_targets_are_principal_components_in_order_and_repeatable() -> None:
    cells = SPACE.topology.canonical(SPACE.sample_arrays(500, np.random.default_rng(0)))
    targets = structure_targets(cells, VOCABULARY)
    assert targets.shape == (500, 64)
    assert np.isfinite(targets).all()
    assert np.array_equal(targets, structure_targets(cells, VOCABULARY))
    deviations = targets.std(0)
    assert np.isclose(deviations[0], 1.0)
    assert (np.diff(deviations) < 1e-9).all()
    np.testing.assert_allclose(np.cov(targets.T) - np.diag(targets.var(0, ddof=1)), 0, atol=1e-9)


def test_further_statistics_take_part_and_fewer_components_are_the_first() -> None:
    cells = SPACE.topology.canonical(SPACE.sample_arrays(300, np.random.default_rng(0)))
    plain = structure_targets(cells, VOCABULARY)
    np.testing.assert_allclose(structure_targets(cells, VOCABULARY, components=5), plain[:, :5])
    further = np.random.default_rng(1).normal(size=(300, 1))
    moved = structure_targets(cells, VOCABULARY, further)
    noticed = [np.linalg.lstsq(part, further - further.mean(), rcond=None)[1][0] for part in (plain, moved)]
    assert noticed[1] < noticed[0] / 2


def test_principal_axes_are_those_of_the_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 7)) + 1e-3 * rng.normal(size=(60, 7))
    spread, axes = principal_axes(points)
    _, expected, rows = np.linalg.svd(points, full_matrices=False)
    np.testing.assert_allclose(spread, expected, rtol=1e-6)
    np.testing.assert_allclose(np.abs((axes * rows).sum(1)), 1.0, atol=1e-6)
    assert principal_axes(points[:4])[1].shape == (4, 7)
    assert principal_axes(np.zeros((5, 3)))[0].tolist() == [0.0] * 3
