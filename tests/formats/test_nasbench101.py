import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.cell import Cell
from graphnas.evaluate import NASBench101Table
from graphnas.formats.nasbench101 import from_matrix, hash_graph, module_hash, to_matrix

TABLE = Path(os.environ.get("GRAPHNAS_DATA", Path.home() / ".cache" / "graphnas")) / "nasbench101.npz"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench101.npz is missing in GRAPHNAS_DATA")
SPEC = (
    [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
    ["input", "conv3x3-bn-relu", "maxpool3x3", "output"],
)


def test_specification_both_ways() -> None:
    cell = from_matrix(*SPEC)
    assert cell == Cell(("input", "conv3x3", "maxpool3x3", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
    assert to_matrix(cell) == SPEC


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        ([[0, 1], [0, 0]], ["input", "conv"], r"ops\[1\]"),
        ([[0, 1], [0, 0]], ["output", "input"], r"ops\[0\] = 'output'"),
        ([[0, 1]], ["input", "output"], "2 rows, one for each of ops, but got 1"),
        ([[0, 1], [0]], ["input", "output"], r"matrix\[1\] to have 2 entries"),
        ([[0, 2], [0, 0]], ["input", "output"], r"matrix\[0\]\[1\] to be 0 or 1, but got 2"),
        ([[0, 1], [1, 0]], ["input", "output"], r"upper triangular matrix, but matrix\[1\]\[0\]"),
    ],
)
def test_malformed_specifications_name_the_place(matrix: list[list[int]], ops: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_matrix(matrix, ops)


def test_foreign_operations_are_reported() -> None:
    cell = Cell(("input", "conv7x7", "output"), frozenset({(0, 1), (1, 2)}))
    with pytest.raises(ValueError, match="vertex 1 to be one of"):
        to_matrix(cell)
    with pytest.raises(ValueError, match="conv7x7"):
        module_hash(cell)


def test_published_hash() -> None:
    # The cell of NNI's documentation of NAS-Bench-101.
    ops = ("input", "conv3x3", "maxpool3x3", "conv3x3", "conv3x3", "conv1x1", "output")
    edges = frozenset({(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (3, 5), (4, 5), (2, 6), (5, 6)})
    assert module_hash(Cell(ops, edges)) == "00005c142e6f48ac74fdcf73e3439874"


def test_dead_vertices_do_not_change_the_hash() -> None:
    live = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
    dead = Cell(("input", "conv1x1", "conv3x3", "output"), frozenset({(0, 1), (0, 2), (2, 3)}))
    assert module_hash(live) == module_hash(dead)
    no_path = Cell(("input", "conv1x1", "output"), frozenset({(0, 1)}))
    assert module_hash(no_path) == hash_graph([-1, -2], [[], []], [[], []])


@given(st.permutations(range(1, 6)), st.integers(0, 2**10 - 1))
def test_relabelling_keeps_the_hash(order: list[int], bits: int) -> None:
    # Layers {1, 2}, {3, 4, 5}: any permutation within a layer keeps the edges forward.
    first = [vertex for vertex in order if vertex < 3]
    second = [vertex for vertex in order if vertex >= 3]
    place = dict(zip([0, 1, 2, 3, 4, 5, 6], [0, *first, *second, 6], strict=True))
    pairs = [(i, j) for i in (1, 2) for j in (3, 4, 5)] + [(0, 4), (1, 6), (0, 6), (0, 5)]
    edges = {pair for bit, pair in enumerate(pairs) if bits >> bit & 1}
    edges |= {(0, 1), (0, 2), (3, 6), (4, 6), (5, 6)}
    ops = ("input", "conv3x3", "conv1x1", "conv3x3", "maxpool3x3", "conv1x1", "output")
    moved = [""] * 7
    for vertex, op in enumerate(ops):
        moved[place[vertex]] = op
    other = Cell(tuple(moved), frozenset((place[i], place[j]) for i, j in edges))
    assert module_hash(other) == module_hash(Cell(ops, frozenset(edges)))


@pytest.mark.slow
@needs_table
def test_all_published_hashes() -> None:
    table = NASBench101Table.open(TABLE)
    arrays = table.cells()
    expected = table.column("hash")
    labels = np.array([-1, -2, 0, 1, 2])
    wrong = 0
    for row in range(len(table)):
        size = int(arrays.size[row])
        graph = arrays.adjacency[row, :size, :size]
        out = [np.flatnonzero(line).tolist() for line in graph]
        into = [np.flatnonzero(line).tolist() for line in graph.T]
        digits = hash_graph(labels[arrays.ops[row, :size]].tolist(), into, out)
        wrong += bytes.fromhex(digits) != expected[row].tobytes()
    assert wrong == 0
