from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphnas.cell import Architecture
from graphnas.encoders.features import path_counts
from graphnas.formats.nasbench201 import from_string
from graphnas.predictors.flow import blocked_labels, flow_paths, flow_statistics, silent_labels
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")


def features(*texts: str) -> np.ndarray:
    cells = SPACE.to_arrays([Architecture("nasbench201", (from_string(text),)) for text in texts])
    cells = SPACE.topology.canonical(cells)
    return np.column_stack([flow_statistics(SPACE, cells), flow_paths(SPACE, cells)])


def test_labels_that_hand_on_or_block() -> None:
    assert (silent_labels(SPACE), blocked_labels(SPACE)) == (("skip_connect",), ("none",))
    assert silent_labels(Space.load("darts")) == ("sum", "skip_connect")
    assert silent_labels(Space.load("nasbench101")) == ()


def test_a_cell_written_out() -> None:
    # From 0 to 1 a 3 x 3 convolution, from 1 to 3 a pool; beside it an identity from 0 to 3. What node 2 gets, a 1 x 1
    # convolution, nobody takes.
    (row,) = features("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|none~2|")
    statistics, paths = row[:27], row[27:]
    # Something flows, one path has no label, log of one and two paths, two labels at most, none at least, one on
    # average; the input, convolution, pool, identity and output live.
    np.testing.assert_allclose(statistics[:7], [1, 1, np.log(3), 2, 0, 1, 5])
    # For the 1 x 1 and 3 x 3 convolution, the pool, those with weights and all: on any path, most, fewest and mean.
    groups = statistics[7:].reshape(4, 5)
    np.testing.assert_allclose(groups, [[0, 1, 1, 1, 2], [0, 1, 1, 1, 2], [0, 0, 0, 0, 0], [0, 0.5, 0.5, 0.5, 1]])
    # Sequences: the empty one, and number 1 * 3 + 2 of those of two labels, after the three of one.
    assert np.flatnonzero(paths).tolist() == [0, 1 + 3 + 5]
    assert paths[[0, 9]].tolist() == [1, 1]


def test_identities_and_dead_operations_make_no_difference() -> None:
    one, other, behind = features(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|",
        "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|",
    )
    np.testing.assert_array_equal(one, other)
    # One vertex less lives where no identity is needed.
    np.testing.assert_array_equal(np.delete(one, 6), np.delete(behind, 6))


def test_where_nothing_flows_all_is_zero() -> None:
    (row,) = features("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    assert not row.any()


def test_counts_agree_with_listed_paths() -> None:
    architectures = SPACE.sample(40, np.random.default_rng(0))
    cells = SPACE.topology.canonical(SPACE.to_arrays(architectures))
    counts = path_counts(cells, SPACE.vocabulary, longest=3, silent=silent_labels(SPACE), blocked=blocked_labels(SPACE))
    kinds = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    sequences = [sequence for length in range(4) for sequence in itertools.product(kinds, repeat=length)]
    for architecture, row in zip(SPACE.from_arrays(cells), counts, strict=True):
        cell = architecture.cells[0]
        expected = dict.fromkeys(sequences, 0)
        for path in every_path(cell.edges, 0, cell.size - 1):
            labels = [cell.ops[vertex] for vertex in path[1:-1]]
            if "none" not in labels:
                expected[tuple(label for label in labels if label != "skip_connect")] += 1
        assert row.tolist() == list(expected.values())


def every_path(edges: frozenset[tuple[int, int]], start: int, end: int) -> list[list[int]]:
    if start == end:
        return [[end]]
    return [[start, *rest] for a, b in edges if a == start for rest in every_path(edges, b, end)]


@pytest.mark.parametrize("name", ["nasbench101", "darts", "enas"])
def test_other_spaces_have_finite_features_of_the_cell_alone(name: str) -> None:
    space = Space.load(name)
    cells = space.topology.canonical(space.sample_arrays(20, np.random.default_rng(0)))
    cells = cells.padded(space.topology.max_vertices)
    found = np.column_stack([flow_statistics(space, cells), flow_paths(space, cells)])
    assert np.isfinite(found).all()
    alone = np.column_stack([flow_statistics(space, cells.take([3])), flow_paths(space, cells.take([3]))])
    np.testing.assert_allclose(found[3:4], alone)
