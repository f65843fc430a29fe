from __future__ import annotations

import numpy as np
import optuna

from graphnas.cell import Architecture
from graphnas.search import RegularizedEvolutionSampler
from graphnas.spaces import Space


def test_child_is_a_neighbour_of_the_best_of_the_last_members(space: Space) -> None:
    study = optuna.create_study(
        direction="maximize", sampler=RegularizedEvolutionSampler(space, population=3, sample_size=3, seed=0)
    )
    values = [0.99, 0.5, 0.7, 0.6]  # the first has left the population by the fifth trial
    for architecture, value in zip(space.sample(4, np.random.default_rng(0)), values, strict=True):
        study.enqueue_trial(space.parameters(architecture))
        study.tell(trial := study.ask(), value if space.suggest(trial) else 0.0)
    child = space.suggest(study.ask())
    assert study.trials[-1].user_attrs["graphnas:source"] == "mutation"
    parent = Architecture.from_json(study.trials[2].user_attrs["graphnas:architecture"])
    assert space.hash(child) in space.hashes(space.neighbours(parent))


def test_random_until_the_population_is_full(space: Space) -> None:
    study = optuna.create_study(direction="maximize", sampler=RegularizedEvolutionSampler(space, population=4, seed=0))
    study.optimize(lambda trial: float(len(space.suggest(trial).cells[0].edges)), n_trials=6)
    sources = [trial.user_attrs["graphnas:source"] for trial in study.trials]
    assert sources == ["random"] * 4 + ["mutation"] * 2
