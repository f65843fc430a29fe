from __future__ import annotations

import numpy as np
import pytest

from graphnas.cell import Cell
from graphnas.importing import ImportFailed, graph_of_cell, macro_structure, recognise_cells
from graphnas.importing.cells import known_label
from graphnas.spaces import Space


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("nor_conv_3x3", "conv3x3"),
        ("nor_conv_1x1", "conv1x1"),
        ("none", "zero"),
        ("Conv5x5", "conv5x5"),
        ("BatchNorm2d", "norm"),
        ("Gemm", "linear"),
        ("sub", "add"),
        ("fft", None),
    ],
)
def test_labels_of_spaces_and_layers_are_known(name: str, label: str | None) -> None:
    assert known_label(name) == label


def test_a_cell_is_a_network_of_its_vertices() -> None:
    ops = ("input", "nor_conv_3x3", "fft", "relu", "conv1x1", "output")
    graph = graph_of_cell(Cell(ops, frozenset({(0, 1), (1, 2), (2, 5), (0, 3)})))
    assert [one.label for one in graph.vertices] == ["input", "conv3x3", "fft", "output"]
    assert [one.sources for one in graph.vertices] == [(), (0,), (1,), (2,)]
    assert graph.mapping.unmapped == {"fft": 1}
    assert graph.mapping.unread == {"activation": 1}
    assert graph.mapping.constants == 1
    assert graph.mapping.share == 0.5


def test_an_output_that_no_input_reaches_is_refused() -> None:
    with pytest.raises(ImportFailed, match="no path joins them"):
        graph_of_cell(Cell(("input", "conv3x3", "output"), frozenset({(0, 1)})))


def test_inputs_that_are_read_are_counted() -> None:
    ops, edges = ("input0", "input1", "add", "output"), frozenset({(1, 2), (2, 3)})
    assert [one.label for one in graph_of_cell(Cell(ops, edges)).vertices] == ["input", "add", "output"]
    both = graph_of_cell(Cell(ops, edges | {(0, 2)}))
    assert [one.label for one in both.vertices] == ["input0", "input1", "add", "output"]


def test_blocks_of_a_long_graph_are_found() -> None:
    space = Space.load("nasbench101")
    (drawn,) = space.sample(1, np.random.default_rng(1))
    cell = drawn.cells[0]
    ops, edges, last = ["input"], set(), 0
    for _ in range(20):
        at = len(ops)
        place = {0: last, **{vertex: at + vertex - 1 for vertex in range(1, cell.size - 1)}}
        ops += [*cell.ops[1:-1], "add"]
        place[cell.size - 1] = last = len(ops) - 1
        edges |= {(place[source], place[target]) for source, target in cell.edges}
    edges.add((last, len(ops)))
    graph = graph_of_cell(Cell((*ops, "output"), frozenset(edges)))
    macro = macro_structure(graph)
    assert max(block.count for block in macro.blocks) == 20
    found = recognise_cells(graph, macro, [space])
    assert len(found[0].places) == 20
