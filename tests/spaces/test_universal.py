from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import relabelled

from graphnas.cell import Cell, canonical_arrays, from_arrays, to_arrays
from graphnas.spaces import Space
from graphnas.spaces.universal import (
    MOST_VERTICES,
    UNIVERSAL,
    any_space,
    computed,
    grouped,
    random_graphs,
    universal_arrays,
    universal_codes,
    universal_label,
)

SPACES = {name: Space.load(name) for name in ("nasbench101", "nasbench201", "darts", "enas")}


def universal(space: Space, *cells: Cell) -> list[Cell]:
    return from_arrays(computed(universal_arrays(space, to_arrays(cells, space.vocabulary))), UNIVERSAL)


def nasbench201(*operations: str) -> Cell:
    space = SPACES["nasbench201"]
    return space.build([space.vocabulary.index(name) - 2 for name in operations]).cells[0]


def two_inputs(ops: tuple[str, ...], edges: set[tuple[int, int]]) -> Cell:
    """A cell of one input, written with a second that feeds nothing."""
    shifted = {(i + (i > 0), j + 1) for i, j in edges}
    return Cell(("input0", "input1", *ops[1:]), frozenset(shifted)).canonical()


def test_labels_say_what_is_computed_whatever_the_space_calls_it() -> None:
    names = {
        name: dict(zip(space.vocabulary, (UNIVERSAL[code] for code in universal_codes(space)), strict=True))
        for name, space in SPACES.items()
    }
    assert names["nasbench101"]["conv3x3"] == names["nasbench201"]["nor_conv_3x3"] == names["enas"]["conv3x3"]
    assert names["darts"]["sep_conv_5x5"] == names["enas"]["sepconv5x5"] == "sepconv5x5"
    assert names["darts"]["dil_conv_3x3"] == "dilsepconv3x3"
    assert names["darts"]["sum"] == "add"
    assert names["nasbench201"]["none"] == "zero"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("conv3x3/2", "conv3x3"),
        ("conv11x11", "conv7x7"),
        ("conv3", "conv3x3"),
        ("conv3x3x3", "conv3x3"),
        ("sepconv9x9", "sepconv7x7"),
        ("transposed_conv2x2/2", "upconv"),
        ("dildwconv3x3", "dwconv3x3"),
        ("maxpool", "maxpool3x3"),
        ("global_pool", "globalpool"),
        ("attention", "attention"),
        ("input", "input"),
        ("fft", None),
        ("conv3d9", None),
    ],
)
def test_labels_of_imported_vertices(label: str, expected: str | None) -> None:
    assert universal_label(label) == expected


def test_a_residual_block_looks_the_same_from_every_space() -> None:
    in101 = Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)}))
    # Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3 of four nodes.
    in201 = nasbench201("nor_conv_3x3", "none", "nor_conv_3x3", "skip_connect", "none", "skip_connect")
    (first,), (second,) = universal(SPACES["nasbench101"], in101), universal(SPACES["nasbench201"], in201)
    assert first == second == two_inputs(in101.ops, set(in101.edges))


def test_what_is_added_twice_keeps_a_vertex_that_says_so() -> None:
    # The input reaches the output by two identities: twice the input.
    twice = nasbench201("none", "skip_connect", "none", "skip_connect", "none", "skip_connect")
    once = nasbench201("none", "none", "none", "skip_connect", "none", "none")
    (two,), (one,) = universal(SPACES["nasbench201"], twice), universal(SPACES["nasbench201"], once)
    assert one == Cell(("input0", "input1", "output"), frozenset({(0, 2)}))
    assert two == Cell(("input0", "input1", "identity", "output"), frozenset({(0, 2), (2, 3), (0, 3)}))


def test_a_cell_of_zeros_computes_nothing() -> None:
    (cell,) = universal(SPACES["nasbench201"], nasbench201(*["none"] * 6))
    assert cell == Cell(("input0", "input1", "output"), frozenset())


def test_sums_that_the_output_concatenates_stay_apart() -> None:
    space = SPACES["darts"]
    (architecture,) = space.sample(1, np.random.default_rng(0))
    assert all(cell.ops.count("add") == 4 for cell in universal(space, *architecture.cells))


@pytest.mark.parametrize("name", ["nasbench101", "darts", "enas"])
def test_different_cells_of_these_spaces_compute_differently(name: str) -> None:
    space = SPACES[name]
    arrays = space.topology.canonical(space.sample_arrays(2_000, np.random.default_rng(1)))
    cells = from_arrays(computed(universal_arrays(space, arrays)), UNIVERSAL)
    assert len({cell.hash for cell in cells}) == len(set(space.topology.hashes(arrays)))


def test_all_cells_of_nasbench201_stay_apart_as_they_are_written_and_fewer_as_they_compute() -> None:
    space = SPACES["nasbench201"]
    arrays = universal_arrays(space, space.enumerate_arrays())
    assert len({cell.hash for cell in from_arrays(arrays, UNIVERSAL)}) == space.size
    # Behind a zero, and with a zero beside them, published strings differ where cells compute the same.
    assert len({cell.hash for cell in from_arrays(computed(arrays), UNIVERSAL)}) == 5_502


@pytest.mark.parametrize("name", SPACES)
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_form_does_not_depend_on_how_a_cell_is_numbered(name: str, seed: int) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    (architecture,) = space.sample(1, rng)
    moved = [relabelled(cell, rng) for cell in architecture.cells]
    assert universal(space, *moved) == universal(space, *architecture.cells)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_a_sum_alone_reads_stands_before_it(seed: int) -> None:
    space = any_space(12)
    ordered = universal_arrays(space, random_graphs(space, 20, np.random.default_rng(seed)))
    canonical = canonical_arrays(ordered, UNIVERSAL)
    again = grouped(canonical)
    np.testing.assert_array_equal(again.ops, ordered.ops)
    np.testing.assert_array_equal(again.adjacency, ordered.adjacency)
    assert not np.tril(ordered.adjacency).any()  # edges run forward
    for cell in from_arrays(ordered, UNIVERSAL):
        for vertex, op in enumerate(cell.ops):
            readers = [reader for source, reader in cell.edges if source == vertex]
            if len(readers) == 1 and cell.ops[readers[0]] == "add" and op != "add" and vertex >= 2:
                between = cell.ops[vertex + 1 : readers[0]]
                assert all((other, readers[0]) in cell.edges for other in range(vertex + 1, readers[0])), between


def test_random_graphs_are_legal_connected_and_of_all_sizes() -> None:
    space = any_space()
    arrays = random_graphs(space, 3_000, np.random.default_rng(0))
    assert space.topology.is_legal(arrays).all()
    assert set(arrays.size.tolist()) == set(range(3, MOST_VERTICES + 1))
    again = random_graphs(space, 3_000, np.random.default_rng(0))
    assert (again.ops == arrays.ops).all()


def test_more_than_two_inputs_are_refused() -> None:
    class Three:
        name = "mine"

        class topology:
            inputs = ("input0", "input1", "input2")

    with pytest.raises(ValueError, match="at most 2 inputs, but those of mine have 3"):
        universal_codes(Three)  # type: ignore[arg-type]
