from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from graphnas.analysis import explain
from graphnas.cell import Architecture, Cell
from graphnas.formats.nasbench201 import from_string
from graphnas.spaces import Space

WORTH = {"none": 0.0, "skip_connect": 0.1, "nor_conv_1x1": 0.2, "nor_conv_3x3": 0.4, "avg_pool_3x3": 0.05}


def worth(architectures: Sequence[Architecture]) -> np.ndarray:
    """Additive in the operations of the edges."""
    return np.array([sum(WORTH.get(op, 0.0) for op in one.cells[0].ops) for one in architectures])


def test_an_additive_value_is_taken_apart() -> None:
    space = Space.load("nasbench201")
    cell = from_string("|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|skip_connect~1|avg_pool_3x3~2|")
    found = explain(space, Architecture("nasbench201", (cell,)), worth)
    assert found.value == pytest.approx(0.4 + 0.2 + 0.4 + 0.05 + 0.1)
    # Every operation can become each of the four others.
    assert {part.label: part.edits for part in found.parts} == dict.fromkeys(
        ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "none"], 4
    )
    assert len(found.parts) == 6
    total = sum(WORTH.values())
    for part in found.parts:
        assert part.change == pytest.approx((total - WORTH[part.label]) / 4 - WORTH[part.label])
    assert [part.label for part in found.parts[:2]] == ["nor_conv_3x3", "nor_conv_3x3"]
    assert found.gain == pytest.approx(0.4)
    assert found.best is not None
    assert found.best.cells[0].ops.count("nor_conv_3x3") == 3
    assert found.neighbours == len(space.neighbours(Architecture("nasbench201", (cell,))))


def test_what_nothing_flows_through_has_no_effect() -> None:
    space = Space.load("nasbench201")
    cell = from_string("|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|avg_pool_3x3~0|skip_connect~1|none~2|")
    found = explain(space, Architecture("nasbench201", (cell,)), worth)
    silent = {part.vertices: part.change for part in found.parts if part.change == 0}
    # The two edges to the vertex behind which all is blocked.
    assert len(silent) == 2
    assert len(found.parts) == 6


def test_edges_that_can_go_have_an_effect() -> None:
    space = Space.load("nasbench101")
    cell = Cell(("input", "conv3x3", "conv1x1", "output"), frozenset({(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)}))
    architecture = Architecture("nasbench101", (cell,))

    def predict(architectures: Sequence[Architecture]) -> np.ndarray:
        return np.array([float((0, len(one.cells[0].ops) - 1) in one.cells[0].edges) for one in architectures])

    found = explain(space, architecture, predict)
    effects = {part.vertices: part.change for part in found.parts}
    assert effects[0, 3] == -1
    assert effects[0, 2] == 0
    assert (1,) in effects
    assert found.parts[0].label == "input to output"
    assert found.gain == 0


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_all_neighbours_are_looked_at(name: str) -> None:
    space = Space.load(name)
    (architecture,) = space.sample(1, np.random.default_rng(2))
    asked: list[str] = []

    def predict(architectures: Sequence[Architecture]) -> np.ndarray:
        asked.extend(space.hashes(architectures))
        return np.zeros(len(architectures))

    found = explain(space, architecture, predict)
    assert set(asked) == {*space.hashes(space.neighbours(architecture)), space.hash(architecture)}
    assert found.neighbours == len(space.neighbours(architecture))
    assert {part.cell for part in found.parts} == set(space.cell_names)


def test_what_has_no_value_says_nothing() -> None:
    space = Space.load("nasbench201")
    (architecture,) = space.sample(1, np.random.default_rng(0))
    found = explain(space, architecture, lambda some: np.full(len(some), np.nan))
    assert (found.parts, found.best) == ((), None)
    assert np.isnan(found.gain)
