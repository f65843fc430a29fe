from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from graphnas.analysis import random_edits, random_walks
from graphnas.spaces import Space
from graphnas.spaces.edit_distance import edit_distance


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("nasbench101", {}),
        ("nasbench101", {"max_vertices": 4, "max_edges": 4}),
        ("nasbench101", {"max_vertices": 5, "prune": False}),
        ("nasbench201", {}),
        ("enas", {"layers": 3}),
        ("darts", {"nodes": 2}),
    ],
)
def test_edits_reach_exactly_the_neighbours(name: str, limits: Mapping[str, Any]) -> None:
    space = Space.load(name, **limits)
    rng = np.random.default_rng(0)
    for architecture in space.sample(3, np.random.default_rng(1)):
        cells = space.topology.canonical(space.to_arrays([architecture]))
        neighbours = set(space.hashes(space.neighbours(space.from_arrays(cells)[0])))
        edited = random_edits(space, space.take(cells, np.zeros(2_000, dtype=np.int64)), rng)
        # In NAS-Bench-201 an edit may lead to a cell of the same class.
        assert set(space.hashes(edited)) - {space.hash(architecture)} == neighbours
        assert space.topology.is_legal(edited).all()


def test_a_walk_has_so_many_steps_and_starts_where_it_should() -> None:
    space = Space.load("nasbench101")
    cells = space.sample_arrays(600, np.random.default_rng(0))
    steps = np.arange(600) % 4
    reached = random_walks(space, cells, steps, np.random.default_rng(1))
    apart = edit_distance(cells, reached)
    assert (apart[steps == 0] == 0).all()
    assert (apart[steps == 1] > 0).all()
    assert apart[steps == 1].mean() < apart[steps == 2].mean() < apart[steps == 3].mean()
    again = random_walks(space, cells, steps, np.random.default_rng(1))
    assert (again.ops == reached.ops).all()
    assert (again.adjacency == reached.adjacency).all()


def test_the_given_cells_stay_as_they_are() -> None:
    space = Space.load("darts")
    cells = space.sample_arrays(50, np.random.default_rng(0))
    before = cells.ops.copy(), cells.adjacency.copy()
    reached = random_walks(space, cells, np.full(50, 2), np.random.default_rng(1))
    assert reached.n == 100
    assert (cells.ops == before[0]).all()
    assert (cells.adjacency == before[1]).all()


def test_a_cell_without_any_edit_stays() -> None:
    space = Space.load("nasbench101", max_vertices=2, max_edges=1)
    (only,) = space.enumerate()
    cells = space.to_arrays([only])
    assert space.from_arrays(random_edits(space, cells, np.random.default_rng(0))) == [only]
