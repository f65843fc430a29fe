import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cells

from graphnas.cell import Cell
from graphnas.formats.enas import OPERATIONS, from_lists, to_lists

TABLE = Path(os.environ.get("GRAPHNAS_DATA") or Path.home() / ".cache" / "graphnas") / "enas6_weightsharing.parquet"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="enas6_weightsharing.parquet is missing in GRAPHNAS_DATA")


@st.composite
def nested_lists(draw: st.DrawFn, max_layers: int = 14) -> list[list[int]]:
    layers = draw(st.integers(1, max_layers))
    return [
        [draw(st.integers(0, 5)), *draw(st.lists(st.integers(0, 1), min_size=layer - 1, max_size=layer - 1))]
        for layer in range(1, layers + 1)
    ]


def test_three_layers_both_ways() -> None:
    # Layer 2 skips back to the input; layer 3 to layer 1, which is vertex 1, and not to the input.
    lists = [[0], [5, 1], [1, 0, 1]]
    cell = from_lists(lists)
    assert cell.ops == ("input", "conv3x3", "maxpool3x3", "sepconv3x3", "output")
    assert sorted(cell.edges) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4)]
    assert to_lists(cell) == lists


@given(nested_lists())
def test_lists_come_back(lists: list[list[int]]) -> None:
    cell = from_lists(lists)
    assert to_lists(cell) == lists
    assert len(cell.edges) == len(lists) + 1 + sum(sum(entries[1:]) for entries in lists)
    assert from_lists([np.array(entries, dtype=np.int8) for entries in lists]) == cell


@given(cells() | nested_lists(max_layers=6).map(from_lists), st.data())
def test_any_cell_is_refused_or_comes_back(cell: Cell, data: st.DataObject) -> None:
    pairs = [(i, j) for j in range(1, cell.size) for i in range(j)]
    changed = Cell(cell.ops, cell.edges ^ {data.draw(st.sampled_from(pairs))})
    try:
        lists = to_lists(changed)
    except ValueError:
        return
    assert from_lists(lists) == changed


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], "one or more layers, but got"),
        ("[[0]]", "one or more layers, but got"),
        ([0], "layer 1 to be a list of 1 numbers.* but got 0"),
        ([[]], "layer 1 to be a list of 1 numbers"),
        ([[0], [1]], "layer 2 to be a list of 2 numbers"),
        ([[0, 1]], "layer 1 to be a list of 1 numbers"),
        ([[6]], "operation of layer 1 to be a code from 0 to 5, but got 6"),
        ([[-1]], "operation of layer 1 .* but got -1"),
        ([["0"]], "operation of layer 1 .* but got '0'"),
        ([[True]], "operation of layer 1 .* but got True"),
        ([[0], [1, 2]], "bit 0 of layer 2 to be 0 or 1, but got 2"),
        ([[0], [1, 0], [1, 0, 1.0]], "bit 1 of layer 3 to be 0 or 1, but got 1.0"),
    ],
)
def test_malformed_lists_are_refused_by_their_place(lists: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_lists(lists)


@pytest.mark.parametrize(
    ("ops", "edges", "message"),
    [
        (("input", "output"), {(0, 1)}, "'input', one or more layers and 'output'"),
        (("input0", "conv3x3", "output"), {(0, 1), (1, 2)}, "'input', one or more layers"),
        (("input", "conv1x1", "output"), {(0, 1), (1, 2)}, "vertex 1 to be one of conv3x3, .* but got 'conv1x1'"),
        (("input", "conv3x3", "conv3x3", "output"), {(0, 1), (0, 2), (2, 3)}, r"edge \(1, 2\) is missing"),
        (("input", "conv3x3", "output"), {(0, 1), (1, 2), (0, 2)}, r"vertex 1 alone to feed the output.* \[0, 1\]"),
        (("input", "conv3x3", "output"), {(0, 1)}, r"vertex 1 alone to feed the output, but got vertices \[\]"),
    ],
)
def test_other_cells_have_no_lists(ops: tuple[str, ...], edges: set[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_lists(Cell(ops, frozenset(edges)))


@needs_table
def test_all_published_lists_come_back_and_agree_with_operations_and_skips() -> None:
    table = pq.read_table(TABLE, columns=["arch", "ops", "skips"])
    rows = list(zip(*(table[name].to_pylist() for name in ("arch", "ops", "skips")), strict=True))
    assert len(rows) == 18_118
    places = [(vertex, layer) for layer in range(2, 7) for vertex in range(layer - 1)]
    for text, codes, skips in rows:
        lists = json.loads(text)
        cell = from_lists(lists)
        assert json.dumps(to_lists(cell)) == text
        assert cell.ops[1:-1] == tuple(OPERATIONS[code] for code in codes)
        chain = {(layer, layer + 1) for layer in range(7)}
        assert cell.edges == chain | {place for place, bit in zip(places, skips, strict=True) if bit}
