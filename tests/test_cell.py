from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cells, relabelled

from graphnas.canonical import canonical_hashes, vertex_depth
from graphnas.cell import (
    Architecture,
    Cell,
    CellArrays,
    canonical_arrays,
    from_arrays,
    prune_arrays,
    to_arrays,
    vocabulary_labels,
)

VOCABULARY = ("input", "output", "conv3x3", "conv1x1", "maxpool3x3")
DIAMOND = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))


def as_networkx(cell: Cell) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from((v, {"op": op}) for v, op in enumerate(cell.ops))
    graph.add_edges_from(cell.edges)
    return graph


def test_equality_is_labelled_and_the_hash_is_not() -> None:
    mirrored = Cell(("input", "conv1x1", "conv3x3", "output"), DIAMOND.edges)
    assert mirrored != DIAMOND
    assert mirrored.hash == DIAMOND.hash
    assert mirrored.canonical() == DIAMOND.canonical()
    assert len({DIAMOND, Cell(DIAMOND.ops, frozenset(DIAMOND.edges))}) == 1


def test_the_hash_is_the_same_in_every_release() -> None:
    assert DIAMOND.hash == "7be8ebc4ee6087dd1ce9895cb29e27d4"
    assert len(DIAMOND.hash) == 32


@pytest.mark.parametrize(
    ("ops", "edges", "message"),
    [
        (("input", "output"), {(1, 0)}, r"edge \(1, 0\)"),
        (("input", "output"), {(0, 2)}, r"edge \(0, 2\)"),
        (("input", "output"), {(0, 0)}, r"edge \(0, 0\)"),
        (("input", "conv"), {(0, 1)}, "last vertex"),
        (("conv", "output"), {(0, 1)}, "input vertices first"),
        (("input", "conv", "input", "output"), {(0, 1)}, "input vertices first"),
        (("input0", "input1", "output"), {(0, 1)}, r"Edge \(0, 1\) leads into vertex 1"),
        (("input",), set(), "last vertex"),
        (("input", "", "output"), set(), "non-empty"),
    ],
)
def test_a_malformed_cell_is_refused_by_its_place(ops: tuple[str, ...], edges: set, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cell(ops, frozenset(edges))


def test_pruning_drops_vertices_without_a_path() -> None:
    cell = Cell(("input", "a", "b", "c", "output"), frozenset({(0, 1), (1, 4), (0, 2), (3, 4)}))
    assert cell.pruned() == Cell(("input", "a", "output"), frozenset({(0, 1), (1, 2)}))
    assert DIAMOND.pruned() is DIAMOND


@given(cells(), st.integers(0, 2**32 - 1))
def test_relabelling_changes_neither_hash_nor_canonical_form(cell: Cell, seed: int) -> None:
    other = relabelled(cell, np.random.default_rng(seed))
    assert other.hash == cell.hash
    assert other.canonical() == cell.canonical()
    assert cell.canonical().canonical() == cell.canonical()


@given(cells(max_vertices=6), cells(max_vertices=6))
def test_equal_hash_means_isomorphic(first: Cell, second: Cell) -> None:
    same = nx.is_isomorphic(as_networkx(first), as_networkx(second), node_match=lambda a, b: a["op"] == b["op"])
    assert (first.hash == second.hash) == same


def test_regular_graphs_that_refinement_cannot_tell_apart_get_different_hashes() -> None:
    # Six sources into six sinks of degree two: one cycle of 12 edges, or two of 6. Colours agree everywhere.
    ends = {(0, v) for v in range(1, 7)} | {(v, 13) for v in range(7, 13)}
    one = {(1 + i, 7 + i) for i in range(6)} | {(1 + i, 7 + (i + 1) % 6) for i in range(6)}
    two = {(1 + i, 7 + i) for i in range(6)} | {(1 + i, 7 + i // 3 * 3 + (i + 1) % 3) for i in range(6)}
    ops = ("input", *["conv"] * 12, "output")
    first, second = Cell(ops, frozenset(ends | one)), Cell(ops, frozenset(ends | two))
    assert first.hash != second.hash
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert relabelled(first, rng).hash == first.hash
        assert relabelled(second, rng).hash == second.hash


@given(st.lists(cells(), min_size=1, max_size=6), st.integers(8, 12))
def test_arrays_agree_with_single_cells_at_any_padding(group: list[Cell], width: int) -> None:
    arrays = to_arrays(group, VOCABULARY, width=width)
    assert from_arrays(arrays, VOCABULARY) == group
    labels = vocabulary_labels(arrays, VOCABULARY)
    assert canonical_hashes(labels, arrays.adjacency, arrays.size) == [cell.hash for cell in group]
    assert from_arrays(canonical_arrays(arrays, VOCABULARY), VOCABULARY) == [cell.canonical() for cell in group]
    assert from_arrays(prune_arrays(arrays), VOCABULARY) == [cell.pruned() for cell in group]


@given(cells())
def test_depth_is_the_longest_path(cell: Cell) -> None:
    depth = vertex_depth(cell.adjacency[None])[0]
    graph = as_networkx(cell)
    for vertex in range(cell.size):
        above = graph.subgraph(nx.ancestors(graph, vertex) | {vertex})
        assert depth[vertex] == nx.dag_longest_path_length(above)


def test_no_cells_give_no_rows() -> None:
    arrays = to_arrays([], VOCABULARY)
    assert isinstance(arrays, CellArrays)
    assert arrays.n == 0
    assert canonical_hashes(vocabulary_labels(arrays, VOCABULARY), arrays.adjacency, arrays.size) == []


def test_arrays_refuse_a_foreign_operation_and_too_many_vertices() -> None:
    with pytest.raises(ValueError, match="'a' is not in the vocabulary"):
        to_arrays([Cell(("input", "a", "output"), frozenset({(0, 1)}))], VOCABULARY)
    with pytest.raises(ValueError, match="at most 3 vertices"):
        to_arrays([DIAMOND], VOCABULARY, width=3)


@given(cells())
def test_json_keeps_an_architecture(cell: Cell) -> None:
    architecture = Architecture("nasbench101", (cell,))
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "as JSON"),
        ("[]", "keys 'space' and 'cells'"),
        ('{"space": "x", "cells": []}', "one or more"),
        ('{"space": 1, "cells": []}', "'space' to be a name"),
        ('{"space": "x", "cells": [{"ops": ["input", "output"]}]}', r"cells\[0\].*keys 'ops' and 'edges'"),
        ('{"space": "x", "cells": [{"ops": "io", "edges": []}]}', r"cells\[0\].*'ops'"),
        ('{"space": "x", "cells": [{"ops": ["input", "output"], "edges": [[0, 1, 2]]}]}', r"edges\[0\]"),
        ('{"space": "x", "cells": [{"ops": ["input", "output"], "edges": [[0, 1], [0, 1]]}]}', r"\(0, 1\).*twice"),
        ('{"space": "x", "cells": [{"ops": ["input", "output"], "edges": [[1, 0]]}]}', r"cells\[0\].*edge \(1, 0\)"),
    ],
)
def test_malformed_json_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(text)


def test_json_is_stable() -> None:
    text = Architecture("s", (DIAMOND,)).to_json()
    assert json.loads(text)["cells"][0]["edges"] == [[0, 1], [0, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize("text", ["[" * 200_000, '{"space": ' + "9" * 5000 + "}", "{"])
def test_text_that_is_no_architecture_is_refused_as_json(text: str) -> None:
    with pytest.raises(ValueError, match="Expected an architecture as JSON, but"):
        Architecture.from_json(text)
