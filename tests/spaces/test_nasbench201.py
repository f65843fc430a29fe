from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from graphnas.cell import Architecture, Cell
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")
TABLE = Path(os.environ.get("GRAPHNAS_DATA", Path.home() / ".cache" / "graphnas")) / "nasbench201.parquet"


def architecture(text: str) -> Architecture:
    return Architecture("nasbench201", (from_string(text),))


def test_skips_stand_for_their_node_and_nothing_for_nothing() -> None:
    one = architecture("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|nor_conv_1x1~1|none~2|")
    # Node 2 only copies the input and feeds nothing: what it holds changes nothing, but what feeds it zero does not.
    same = architecture("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|")
    # The same two convolutions in a row along 0 -> 1 -> 2 -> 3 with a skip; one sum less at the output.
    other = architecture("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|")
    assert SPACE.hash(one) == SPACE.hash(same)
    assert SPACE.hash(other) != SPACE.hash(one)


def test_a_class_is_represented_by_the_member_with_fewest_parameters() -> None:
    representatives = {SPACE.hash(one): one for one in SPACE.enumerate()}
    # Everything into node 3 is nothing: all convolutions before are dead.
    dead = architecture("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|none~1|none~2|")
    assert "nor_conv" not in str(representatives[SPACE.hash(dead)].cells[0].ops)


def test_edges_that_are_not_the_templates_are_named() -> None:
    cell = SPACE.sample(1, np.random.default_rng(0))[0].cells[0]
    with pytest.raises(ValueError, match=r"cell: edge \(0, 1\): is missing"):
        SPACE.validate(Architecture("nasbench201", (Cell(cell.ops, cell.edges - {(0, 1)}),)))
    with pytest.raises(ValueError, match=r"cell: edge \(0, 7\): is not part"):
        SPACE.validate(Architecture("nasbench201", (Cell(cell.ops, cell.edges | {(0, 7)}),)))


@pytest.mark.skipif(not TABLE.is_file(), reason=f"{TABLE} is missing")
def test_classes_are_those_of_the_published_unique_strings() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(TABLE, columns=["ops", "iso_str"])
    cells = SPACE.topology.template.take(np.zeros(len(table), dtype=np.int64))
    cells.ops[:, 1:-1] = np.array(table["ops"].to_pylist(), dtype=np.int8) + 2
    ours, theirs = SPACE.hashes(cells), table["iso_str"].to_pylist()
    assert len(ours) == 15_625
    assert len(set(ours)) == len(set(theirs)) == len(set(zip(ours, theirs, strict=True))) == SPACE.size == 6466
