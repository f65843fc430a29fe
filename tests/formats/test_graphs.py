from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import OPERATIONS, cells
from torch_geometric.data import Batch, Data

from graphnas.cell import Cell
from graphnas.formats.graphs import from_graphml, from_networkx, from_pyg, to_graphml, to_networkx, to_pyg

VOCABULARY = ("input", "output", "conv3x3", "conv1x1", "maxpool3x3")
DIAMOND = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
GRAPHML = """\
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="k" for="node" attr.name="op" attr.type="string"><default>conv3x3</default></key>
  <key id="c" for="node" attr.name="colour" attr.type="string"/>
  <graph edgedefault="directed">
    <node id="end"><data key="k">output</data></node>
    <node id="middle"><data key="c">red</data></node>
    <node id="start"><data key="k">input</data></node>
    <edge source="start" target="middle"/>
    <edge source="middle" target="end"/>
  </graph>
</graphml>
"""


@st.composite
def cells_of_several_inputs(draw: st.DrawFn) -> Cell:
    """Any cell of one to three inputs."""
    inputs = draw(st.sampled_from([("input",), ("input0", "input1"), ("input2", "input0", "input1")]))
    inner = draw(st.lists(st.sampled_from(OPERATIONS), max_size=5))
    size = len(inputs) + len(inner) + 1
    pairs = [(i, j) for j in range(len(inputs), size) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True))
    return Cell((*inputs, *inner, "output"), frozenset(edges))


def graph(ops: dict[Any, Any], *edges: tuple[Any, Any]) -> nx.DiGraph:
    made = nx.DiGraph()
    made.add_nodes_from((node, {"op": op}) for node, op in ops.items())
    made.add_edges_from(edges)
    return made


def test_networkx_graph_of_a_cell() -> None:
    made = to_networkx(DIAMOND)
    assert list(made.nodes(data="op")) == [(0, "input"), (1, "conv3x3"), (2, "conv1x1"), (3, "output")]
    assert list(made.edges) == [(0, 1), (0, 2), (1, 3), (2, 3)]


@given(cells() | cells_of_several_inputs())
def test_every_notation_gives_the_cell_back(cell: Cell) -> None:
    vocabulary = (*VOCABULARY, "input0", "input1", "input2")
    assert from_networkx(to_networkx(cell)) == cell
    assert from_graphml(to_graphml(cell)) == cell
    assert from_pyg(to_pyg(cell, vocabulary), vocabulary) == cell


@given(cells() | cells_of_several_inputs(), st.randoms(use_true_random=False))
def test_any_names_and_any_order_give_an_isomorphic_cell(cell: Cell, rng: Any) -> None:
    names = [f"n{number}" for number in range(cell.size)]
    rng.shuffle(names)
    order = list(range(cell.size))
    rng.shuffle(order)
    renamed = graph({names[v]: cell.ops[v] for v in order}, *((names[i], names[j]) for i, j in cell.edges))
    assert from_networkx(renamed).hash == cell.hash
    numbered = nx.relabel_nodes(renamed, {name: int(name[1:]) for name in names})
    assert from_networkx(numbered).hash == cell.hash


def test_topological_order_prefers_the_order_of_insertion() -> None:
    made = graph(
        {"out": "output", "b": "conv1x1", "a": "conv3x3", "y": "input1", "x": "input0"},
        ("x", "a"), ("y", "b"), ("a", "out"), ("b", "out"),
    )  # fmt: skip
    expected = Cell(("input0", "input1", "conv1x1", "conv3x3", "output"), frozenset({(0, 3), (1, 2), (2, 4), (3, 4)}))
    assert from_networkx(made) == expected
    made.add_edge("a", "b")
    assert from_networkx(made).ops == ("input0", "input1", "conv3x3", "conv1x1", "output")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (nx.Graph(), "DiGraph, but got Graph"),
        (nx.MultiDiGraph(), "DiGraph, but got MultiDiGraph"),
        (nx.DiGraph(), "one node with op 'output', but got 0"),
        (graph({"a": None}), "node 'a' to have a name as its attribute 'op', but got None"),
        (graph({"a": 3}), "node 'a' .* but got 3"),
        (graph({"a": ""}), "node 'a' .* but got ''"),
        (nx.DiGraph([(0, 1)]), "node 0 to have a name"),
        (graph({"a": "output", "b": "output"}), r"one node with op 'output', but got 2: \['a', 'b'\]"),
        (graph({"a": "conv", "b": "output"}), "a node with op 'input', but got none"),
        (graph({"i": "input", "o": "output"}, ("o", "i")), "Edge 'o' -> 'i' leads into an input"),
        (graph({"i": "input", "a": "conv", "o": "output"}, ("o", "a")), "Edge 'o' -> 'a' leads out of the output"),
        (graph({"i": "input", "a": "conv", "o": "output"}, ("a", "a")), "cycles, but edge 'a' -> 'a'"),
        (graph({0: "input", 1: "c", 2: "c", 3: "output"}, (1, 2), (2, 1)), "cycles, but edge [12] -> [12]"),
    ],
)
def test_other_graphs_are_refused_by_their_place(wrong: nx.Graph, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_networkx(wrong)


def test_graphml_with_names_defaults_and_other_attributes() -> None:
    expected = Cell(("input", "conv3x3", "output"), frozenset({(0, 1), (1, 2)}))
    assert from_graphml(GRAPHML) == expected
    bare = GRAPHML.replace(' xmlns="http://graphml.graphdrawing.org/xmlns"', "")
    assert from_graphml(bare) == expected


def test_networkx_reads_what_is_written() -> None:
    read = nx.parse_graphml(to_graphml(DIAMOND), node_type=int)
    assert nx.utils.nodes_equal(read.nodes(data=True), to_networkx(DIAMOND).nodes(data=True))
    assert nx.utils.edges_equal(read.edges, to_networkx(DIAMOND).edges, directed=True)


@given(st.text(min_size=1))
def test_graphml_keeps_or_refuses_any_operation_name(op: str) -> None:
    try:
        cell = Cell(("input", op, "output"), frozenset({(0, 1), (1, 2)}))
    except ValueError:
        return
    # The characters of XML 1.0, section 2.2, but for the carriage return, which a reader turns into a line feed.
    if all(c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000" for c in op):
        assert from_graphml(to_graphml(cell)) == cell
    else:
        with pytest.raises(ValueError, match="vertex 1 to have a name that XML can hold"):
            to_graphml(cell)


@given(cells(max_vertices=4), st.data())
def test_a_changed_document_is_refused_or_a_cell(cell: Cell, data: st.DataObject) -> None:
    text = to_graphml(cell)
    place = data.draw(st.integers(0, len(text)))
    piece = data.draw(st.sampled_from(["", "<", ">", "/", '"', "&", "1", "x", "</node>", "<node/>", "<edge/>"]))
    changed = text[:place] + piece + text[place + data.draw(st.integers(0, 40)) :]
    try:
        read = from_graphml(changed)
    except ValueError:
        return
    assert from_graphml(to_graphml(read)) == read


def test_a_long_document_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4,194,304 characters, but got 4,19"):
        from_graphml(GRAPHML + " " * 2**22)


def test_pyg_graph_of_a_cell() -> None:
    data = to_pyg(DIAMOND, VOCABULARY)
    assert data.x.tolist() == [0, 2, 3, 1]
    assert data.x.dtype == data.edge_index.dtype == torch.long
    assert data.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 3, 3]]
    assert data.num_nodes == 4
    assert data.validate()
    lonely = to_pyg(Cell(("input", "output"), frozenset()), VOCABULARY)
    assert lonely.edge_index.shape == (2, 0)
    with pytest.raises(ValueError, match="vertex 1 to be one of input, output, but got 'conv3x3'"):
        to_pyg(DIAMOND, ("input", "output"))


@given(st.lists(cells(), min_size=1, max_size=5))
def test_pyg_batches_are_taken_apart_again(group: list[Cell]) -> None:
    batch = Batch.from_data_list([to_pyg(cell, VOCABULARY) for cell in group])
    assert [from_pyg(data, VOCABULARY) for data in batch.to_data_list()] == group


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "x to be v vocabulary codes, but got None"),
        ({"x": torch.zeros(4)}, r"x to be v vocabulary codes, but got torch.float32 of shape \(4,\)"),
        ({"x": torch.zeros(4, 1, dtype=torch.long)}, r"x to be .* of shape \(4, 1\)"),
        ({"x": torch.tensor([0, 5, 2, 1])}, r"x\[1\] to be a code from 0 to 4, but got 5"),
        ({"x": torch.tensor([0, 2, -1, 1])}, r"x\[2\] to be a code from 0 to 4, but got -1"),
        ({"x": torch.tensor([0, 2, 1])}, "num_nodes to be the 3 entries of x, but got 4"),
        ({"edge_index": None}, "edge_index to be 2 x e vertex numbers, but got None"),
        ({"edge_index": torch.zeros(3, 2, dtype=torch.long)}, r"edge_index to be .* of shape \(3, 2\)"),
        ({"edge_index": torch.tensor([[0, 0], [1, 1]])}, r"edge \(0, 1\) stands twice"),
        ({"edge_index": torch.tensor([[1], [0]])}, r"but got edge \(1, 0\)"),
        ({"edge_index": torch.tensor([[0], [9]])}, r"but got edge \(0, 9\)"),
    ],
)
def test_other_pyg_graphs_are_refused_by_their_place(changes: dict[str, Any], message: str) -> None:
    data = Data(**({"x": torch.tensor([0, 2, 3, 1]), "edge_index": torch.tensor([[0], [1]]), "num_nodes": 4} | changes))
    with pytest.raises(ValueError, match=message):
        from_pyg(data, VOCABULARY)


def test_one_cell_of_many_vertices_in_every_notation() -> None:
    rng = np.random.default_rng(0)
    ops = ("input", *rng.choice(OPERATIONS, 58).tolist(), "output")
    edges = {(int(i), j) for j in range(1, 60) for i in rng.integers(j, size=3)}
    cell = Cell(ops, frozenset(edges))
    assert from_networkx(to_networkx(cell)) == cell
    assert from_graphml(to_graphml(cell)) == cell
    assert from_pyg(to_pyg(cell, VOCABULARY), VOCABULARY) == cell
