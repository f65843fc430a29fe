from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from strategies import cells

from graphnas.cell import Cell
from graphnas.report.terminal import architecture_text, cell_text
from graphnas.spaces import Space


def edges_of(text: str) -> set[tuple[int, int]]:
    """Read a drawing: follow each line down its lane, and left from where it turns."""
    rows = text.split("\n")
    width = max(len(row) for row in rows)
    grid = [row.ljust(width) for row in rows]
    found: set[tuple[int, int]] = set()
    for column in range(width):
        source = None
        for vertex, row in enumerate(grid):
            if row[column] in "┐┬":
                assert source is None, "a line begins in a lane that is taken"
                source = vertex
            elif row[column] in "┤┘┴┼":
                assert source is not None
                # The way to the name is a line without a gap.
                assert re.fullmatch(r"[─│┐┘┤┬┴┼]*", row[:column].rpartition("  ")[2])
                found.add((source, vertex))
                if row[column] in "┘┴":
                    source = None
            elif row[column] == "│":
                assert source is not None
            elif source is not None:
                raise AssertionError("a lane is interrupted")
        assert source is None, "a lane does not end"
    return found


def test_a_residual_block() -> None:
    cell = Cell(("input", "conv3x3", "conv3x3", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3)}))
    assert cell_text(cell).split("\n") == [
        "input    ─┐",
        "conv3x3  ─┼─┐",
        "conv3x3  ─│─┴─┐",
        "output   ─┴───┘",
    ]
    assert cell_text(cell, ascii_only=True).isascii()


@given(cells())
def test_every_edge_can_be_read_from_the_drawing(cell: Cell) -> None:
    drawing = cell_text(cell)
    assert edges_of(drawing) == cell.edges
    assert [row.split(" ")[0] for row in drawing.split("\n")] == list(cell.ops)


@pytest.mark.parametrize("name", ["darts", "enas", "nasbench201"])
def test_cells_of_all_spaces(name: str) -> None:
    space = Space.load(name)
    for architecture in space.sample(20, np.random.default_rng(0)):
        for cell in architecture.cells:
            assert edges_of(cell_text(cell)) == cell.edges
    text = architecture_text(architecture, space.cell_names)
    assert ("reduce:" in text) == (name == "darts")
