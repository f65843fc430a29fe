import os
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.cell import Cell
from graphnas.formats.nasbench201 import OPERATIONS, from_index, from_string, to_index, to_string

TABLE = Path(os.environ.get("GRAPHNAS_DATA") or Path.home() / ".cache" / "graphnas") / "nasbench201.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="nasbench201.parquet is missing in GRAPHNAS_DATA")
FIRST = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"


@st.composite
def strings(draw: st.DrawFn, max_nodes: int = 7) -> str:
    nodes = draw(st.integers(2, max_nodes))
    op = st.sampled_from(OPERATIONS)
    return "+".join(
        "|" + "".join(f"{draw(op)}~{source}|" for source in range(node)) for node in range(1, nodes)
    )  # fmt: skip


def test_four_nodes_are_eight_vertices() -> None:
    cell = from_string(FIRST)
    assert cell.ops == (
        "input", "avg_pool_3x3", "nor_conv_1x1", "skip_connect", "nor_conv_1x1", "skip_connect", "skip_connect",
        "output",
    )  # fmt: skip
    assert sorted(cell.edges) == [
        (0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7),
    ]  # fmt: skip
    assert to_string(cell) == FIRST


def test_two_and_three_nodes() -> None:
    assert from_string("|none~0|") == Cell(("input", "none", "output"), frozenset({(0, 1), (1, 2)}))
    three = from_string("|none~0|+|skip_connect~0|none~1|")
    assert three.ops == ("input", "none", "skip_connect", "none", "output")
    assert sorted(three.edges) == [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4)]


@given(strings())
def test_strings_come_back(text: str) -> None:
    cell = from_string(text)
    assert to_string(cell) == text
    assert list(cell.ops[1:-1]) == [entry.split("~")[0] for entry in text.replace("+", "").split("|") if entry]


@given(strings(max_nodes=5), st.data())
def test_a_changed_text_is_refused_or_comes_back(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    changed = text[:place] + data.draw(st.sampled_from(["", "|", "+", "~", "0", "1", "x", "none~0|"]))
    changed += text[place + data.draw(st.integers(0, 2)) :]
    try:
        cell = from_string(changed)
    except ValueError:
        return
    assert to_string(cell) == changed


@given(strings(max_nodes=5), st.data())
def test_a_changed_cell_is_refused_or_comes_back(text: str, data: st.DataObject) -> None:
    cell = from_string(text)
    pairs = [(i, j) for j in range(1, cell.size) for i in range(j)]
    edge = data.draw(st.sampled_from(pairs))
    with pytest.raises(ValueError, match=r"edge \(\d+, \d+\) is (missing|not part of it)"):
        to_string(Cell(cell.ops, cell.edges ^ {edge}))
    vertex = data.draw(st.integers(1, cell.size - 2))
    ops = list(cell.ops)
    ops[vertex] = data.draw(st.sampled_from([*OPERATIONS, "conv3x3"]))
    changed = Cell(tuple(ops), cell.edges)
    if "conv3x3" in ops:
        with pytest.raises(ValueError, match=f"vertex {vertex} to be one of none, "):
            to_string(changed)
    else:
        assert from_string(to_string(changed)) == changed


def test_a_relabelled_cell_is_refused() -> None:
    # Vertices 3 and 4 change places: still a topological order, no longer the string's.
    cell = from_string(FIRST)
    number = [0, 1, 2, 4, 3, 5, 6, 7]
    moved = Cell(tuple(cell.ops[v] for v in number), frozenset((number[i], number[j]) for i, j in cell.edges))
    assert moved.hash == cell.hash
    with pytest.raises(ValueError, match=r"vertex order of a string with 4 nodes, but edge \(0, 3\) is not part"):
        to_string(moved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"node 1 as '\|op~0\|...\|', but got ''"),
        ("|", "node 1 as"),
        ("none~0", "node 1 as"),
        ("|none~0|+", "node 2 as"),
        ("|none~0|none~1|", "node 1 to have 1 operations, but got 2"),
        ("|none~0|+|none~0|", "node 2 to have 2 operations, but got 1"),
        ("|none~0|+|none~0|none~0|", "operation 1 of node 2 to end in '~1', but got 'none~0'"),
        ("|none|", "operation 0 of node 1 to end in '~0', but got 'none'"),
        ("|none~0~0|", "operation 0 of node 1 to end in '~0'"),
        ("|none~0|+|none~0|conv~1|", "from node 1 to node 2 to be one of none, .*, but got 'conv'"),
        ("|none~0|\n", "node 1 as"),
        ("+".join(["|none~0|"] * 10_000), "at most 65,536 characters, but got 89,999"),
    ],
)
def test_a_malformed_string_is_refused_by_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_string(text)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Cell(("input0", "none", "output"), frozenset({(0, 1), (1, 2)})), "vertex 0 to be 'input', but got 'input0'"),
        (Cell(("input", "output"), frozenset({(0, 1)})), "1, 3, 6, 10, ... operations, .* but got 0"),
        (Cell(("input", "none", "none", "output"), frozenset({(0, 1), (1, 2), (2, 3)})), "operations, .* but got 2"),
    ],
)
def test_other_cells_have_no_string(cell: Cell, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_string(cell)


def test_the_official_index() -> None:
    assert to_string(from_index(0)) == FIRST
    assert [to_index(from_index(index)) for index in range(15_625)] == list(range(15_625))
    for index in (-1, 15_625):
        with pytest.raises(ValueError, match=f"from 0 to 15,624, but got {index}"):
            from_index(index)
    with pytest.raises(ValueError, match="a cell of 4 nodes, which alone have an index"):
        to_index(from_string("|none~0|"))


def test_the_index_neither_needs_nor_moves_the_global_generator() -> None:
    random.seed(0)
    before = random.getstate()
    from_index(3)
    assert random.getstate() == before


@needs_table
def test_all_published_indices_and_strings() -> None:
    table = pq.read_table(TABLE, columns=["index", "arch_str", "ops"])
    rows = list(zip(*(table[name].to_pylist() for name in ("index", "arch_str", "ops")), strict=True))
    assert len(rows) == 15_625
    for index, text, codes in rows:
        cell = from_index(index)
        assert cell.ops[1:-1] == tuple(OPERATIONS[code] for code in codes)
        assert to_string(cell) == text
        assert from_string(text) == cell
        assert to_index(cell) == index
