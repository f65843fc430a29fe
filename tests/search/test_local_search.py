from __future__ import annotations

import optuna

from graphnas.cell import Architecture
from graphnas.search import LocalSearchSampler
from graphnas.spaces import Space


def tell(study: optuna.Study, space: Space, value: float) -> Architecture:
    trial = study.ask()
    architecture = space.suggest(trial)
    study.tell(trial, value)
    return architecture


def source(study: optuna.Study) -> str:
    return study.trials[-1].user_attrs["graphnas:source"]


def is_neighbour(space: Space, one: Architecture, other: Architecture) -> bool:
    return space.hash(other) in space.hashes(space.neighbours(one))


def test_an_improvement_is_taken_at_once_and_anything_else_is_not(space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=LocalSearchSampler(space, n_startup_trials=3, seed=0))
    first = [tell(study, space, value) for value in (0.1, 0.5, 0.2)]
    worse = tell(study, space, 0.4)
    assert source(study) == "neighbour"
    assert is_neighbour(space, first[1], worse)
    better = tell(study, space, 0.6)
    assert is_neighbour(space, first[1], better)
    for _ in range(3):
        assert is_neighbour(space, better, tell(study, space, 0.55))


def test_where_all_neighbours_are_tried_the_search_starts_again_elsewhere(space: Space) -> None:
    small = Space.load("nasbench101", max_vertices=4)
    study = optuna.create_study(direction="maximize", sampler=LocalSearchSampler(small, n_startup_trials=1, seed=0))
    start = tell(study, small, 1.0)
    around = len(small.neighbours(start))
    for _ in range(around):
        assert is_neighbour(small, start, tell(study, small, 0.5))
    again = tell(study, small, 0.7)
    assert source(study) == "restart"
    # It goes on from there although the value is not the best so far.
    following = tell(study, small, 0.1)
    assert source(study) == "neighbour"
    assert is_neighbour(small, again, following)
