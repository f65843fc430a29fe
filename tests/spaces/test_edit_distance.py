from __future__ import annotations

from typing import cast

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cells, relabelled

from graphnas.analysis import random_edits
from graphnas.cell import Architecture, Cell, CellArrays, to_arrays
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import decision_distance, edit_distance
from graphnas.spaces.topology import FixedTopology

VOCABULARY = ("input", "output", "conv1x1", "conv3x3", "maxpool3x3")
CHAIN = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3)}))


def distance(first: Cell, second: Cell) -> int:
    return int(edit_distance(to_arrays([first], VOCABULARY), to_arrays([second], VOCABULARY))[0])


def apart(space: Space, first: CellArrays, second: CellArrays) -> list[int]:
    found = decision_distance(cast(FixedTopology, space.topology), first, second)
    return found.reshape(-1, len(space.cell_names)).sum(1).tolist()


def oracle(first: Cell, second: Cell) -> float:
    """The distance by networkx, which searches without a bound on insertions and deletions."""

    def graph(cell: Cell) -> nx.DiGraph:
        built = nx.DiGraph()
        built.add_nodes_from((vertex, {"op": op}) for vertex, op in enumerate(cell.ops))
        built.add_edges_from(cell.edges)
        return built

    def end(node: dict[str, str]) -> int:
        return 1000 if node["op"] in ("input", "output") else 1

    found = nx.graph_edit_distance(
        graph(first),
        graph(second),
        node_subst_cost=lambda a, b: 0 if a["op"] == b["op"] else max(end(a), end(b)),
        node_del_cost=end,
        node_ins_cost=end,
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (CHAIN, 0),
        # Another operation.
        (Cell(("input", "conv3x3", "maxpool3x3", "output"), CHAIN.edges), 1),
        # One more edge.
        (Cell(CHAIN.ops, CHAIN.edges | {(0, 3)}), 1),
        # Operations exchanged: substituting both is as cheap as rewiring is dear.
        (Cell(("input", "conv1x1", "conv3x3", "output"), CHAIN.edges), 2),
        # The first vertex deleted with two edges, one inserted.
        (Cell(("input", "conv1x1", "output"), frozenset({(0, 1), (1, 2)})), 3 - 1 + 1 + 1),
        # Everything inside deleted: two vertices, three edges, one inserted.
        (Cell(("input", "output"), frozenset({(0, 1)})), 6),
        # An inserted vertex on an edge: a vertex, two edges, one deleted.
        (
            Cell(("input", "conv3x3", "maxpool3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (3, 4)})),
            4,
        ),
    ],
)
def test_distances_counted_by_hand(second: Cell, expected: int) -> None:
    assert distance(CHAIN, second) == expected
    assert distance(second, CHAIN) == expected


@given(cells(max_vertices=5), cells(max_vertices=5))
@settings(max_examples=60)
def test_small_cells_agree_with_networkx(first: Cell, second: Cell) -> None:
    assert distance(first, second) == oracle(first, second)


@pytest.mark.parametrize("number", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_cells_of_nasbench101_agree_with_networkx(number: int) -> None:
    space = Space.load("nasbench101")
    first, second = (space.sample_arrays(number, np.random.default_rng(seed)) for seed in (0, 1))
    found = edit_distance(first, second)
    pairs = zip(space.from_arrays(first), space.from_arrays(second), strict=True)
    assert found.tolist() == [oracle(one.cells[0], other.cells[0]) for one, other in pairs]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_it_is_a_metric_on_isomorphism_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = Space.load("nasbench101")
    a, b, c = (space.sample_arrays(40, rng) for _ in range(3))
    ab, bc, ac = edit_distance(a, b), edit_distance(b, c), edit_distance(a, c)
    assert (ac <= ab + bc).all()
    np.testing.assert_array_equal(ab, edit_distance(b, a))
    np.testing.assert_array_equal(ab == 0, np.array(space.hashes(a)) == np.array(space.hashes(b)))
    other = [relabelled(one.cells[0], rng) for one in space.from_arrays(b)]
    np.testing.assert_array_equal(edit_distance(a, to_arrays(other, space.vocabulary)), ab)


def test_cells_of_different_width_and_several_inputs() -> None:
    vocabulary = ("input0", "input1", "output", "a", "b")
    one = Cell(("input0", "input1", "a", "output"), frozenset({(0, 2), (2, 3)}))
    other = Cell(("input0", "input1", "a", "b", "output"), frozenset({(1, 2), (2, 4), (0, 3), (3, 4)}))
    first, second = to_arrays([one], vocabulary), to_arrays([other], vocabulary, width=7)
    # a reads the other input (2); b comes with two edges (3). Or: a becomes b (1), and a comes with two edges (3).
    assert edit_distance(first, second, inputs=2).tolist() == [4]


def test_larger_cells_and_unequal_numbers_are_refused() -> None:
    large = Space.load("nasbench101", max_vertices=8, max_edges=9)
    cells_of_eight = large.sample_arrays(200, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at most 5 inner vertices, but got one of 6"):
        edit_distance(cells_of_eight, cells_of_eight)
    few = to_arrays([CHAIN], VOCABULARY)
    with pytest.raises(ValueError, match="as many second cells as first ones, 1, but got 2"):
        edit_distance(few, to_arrays([CHAIN, CHAIN], VOCABULARY))
    assert edit_distance(few.take(slice(0)), few.take(slice(0))).shape == (0,)


@pytest.mark.parametrize("name", ["enas", "nasbench201", "darts"])
def test_one_edit_is_one_decision_apart(name: str) -> None:
    space = Space.load(name)
    rng = np.random.default_rng(0)
    first = space.sample_arrays(300, rng)
    assert apart(space, first, first) == [0] * 300
    assert apart(space, first, random_edits(space, first, rng)) == [1] * 300


def test_exchanged_nodes_of_darts_cost_nothing() -> None:
    space = Space.load("darts", nodes=2)
    normal = (
        "input0",
        "input1",
        "skip_connect",
        "sep_conv_3x3",
        "sum",
        "max_pool_3x3",
        "avg_pool_3x3",
        "sum",
        "output",
    )
    edges = frozenset({(0, 2), (1, 3), (2, 4), (3, 4), (0, 5), (1, 6), (5, 7), (6, 7), (4, 8), (7, 8)})
    swapped = (*normal[:2], *normal[5:7], "sum", *normal[2:4], "sum", "output")
    cell, other = Cell(normal, edges), Cell(swapped, edges)
    changed = Cell((*swapped[:5], "dil_conv_3x3", *swapped[6:]), edges)
    pairs = [Architecture("darts", pair) for pair in ((cell, cell), (other, cell), (other, changed))]
    arrays = [space.to_arrays([one]) for one in pairs]
    assert apart(space, arrays[0], arrays[1]) == [0]
    assert apart(space, arrays[0], arrays[2]) == [1]
