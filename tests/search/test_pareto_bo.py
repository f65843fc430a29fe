from __future__ import annotations

import numpy as np
import optuna
import pytest
from botorch.exceptions.errors import ModelFittingError

from graphnas import studies
from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.search import LatentBOSampler, LatentParetoSampler, RandomCellSampler
from graphnas.spaces import Space
from tests.search.conftest import NearestCell, score

# BoTorch compiles its hypervolumes when they are first asked for, which takes a minute.
pytestmark = pytest.mark.slow
DIRECTIONS = ("maximize", "minimize")


def edges(architecture: Architecture) -> int:
    return len(architecture.cells[0].edges)


def search(space: Space, sampler: optuna.samplers.BaseSampler, n: int) -> optuna.Study:
    study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        architecture = space.suggest(trial)
        return score(architecture), float(edges(architecture))

    study.optimize(objective, n_trials=n)
    return study


def hypervolume(study: optuna.Study) -> float:
    """Area dominated above a score of 0.7 and below 10 edges."""
    area, reached = 0.0, 0.7
    for value, cost in sorted({tuple(trial.values) for trial in study.best_trials}, key=lambda one: one[1]):
        area += max(value - reached, 0.0) * max(10 - cost, 0.0)
        reached = max(reached, value)
    return area


def sources(study: optuna.Study) -> list[str]:
    return [trial.user_attrs["graphnas:source"] for trial in study.trials]


def test_dominates_more_than_random_search(space: Space, encoder: NearestCell) -> None:
    sampler = LatentParetoSampler(space, encoder, reference_point=(0.7, 10), n_startup_trials=5, seed=0)
    ours, drawn = search(space, sampler, 20), search(space, RandomCellSampler(space, seed=0), 40)
    assert hypervolume(ours) > hypervolume(drawn)
    # The study knows the reference point, and what it dominates above it.
    assert studies.hypervolume(ours) == pytest.approx(hypervolume(ours))
    assert studies.hypervolume(drawn) is None
    assert set(sources(ours)[5:]) <= {"edit", "sample"}


def test_same_seed_same_proposals_and_batches_differ(space: Space, encoder: NearestCell) -> None:
    first, second = (
        search(space, LatentParetoSampler(space, encoder, n_startup_trials=4, seed=3), 7) for _ in range(2)
    )
    hashes = [[trial.user_attrs["graphnas:hash"] for trial in study.trials] for study in (first, second)]
    assert hashes[0] == hashes[1]
    cells = [space.suggest(first.ask()) for _ in range(4)]
    assert len({*hashes[0], *space.hashes(cells)}) == 11


def test_only_given_candidates_are_proposed(space: Space, encoder: NearestCell) -> None:
    candidates = space.sample(9, np.random.default_rng(3))
    study = search(space, LatentParetoSampler(space, encoder, candidates=candidates, n_startup_trials=4, seed=0), 9)
    assert {trial.user_attrs["graphnas:hash"] for trial in study.trials} == set(space.hashes(candidates))


def test_failures_equal_values_and_unfit_models_fall_back(space: Space, encoder: NearestCell) -> None:
    study = optuna.create_study(
        directions=DIRECTIONS, sampler=LatentParetoSampler(space, encoder, n_startup_trials=1, seed=0)
    )
    for told in (None, (0.9, 2.0), (0.9, 2.0), (0.8, 1.0)):
        space.suggest(trial := study.ask())
        study.tell(trial, told, state=None if told else optuna.trial.TrialState.FAIL)
    space.suggest(study.ask())
    assert sources(study)[1:3] == ["fallback: fewer than two finite values"] * 2
    assert sources(study)[4] in ("edit", "sample")

    def failing(X: object, Y: object) -> None:
        raise ModelFittingError("no")

    sampler = LatentParetoSampler(space, encoder, predictor=failing, n_startup_trials=3, seed=0)  # type: ignore[arg-type]
    assert sources(search(space, sampler, 4))[3] == "fallback: the model could not be fitted"


def test_studies_and_reference_points_that_do_not_fit_are_refused(space: Space, encoder: NearestCell) -> None:
    single = optuna.create_study(sampler=LatentParetoSampler(space, encoder, seed=0))
    with pytest.raises(ValueError, match="several objectives for LatentParetoSampler, but got one"):
        single.ask()
    study = optuna.create_study(
        directions=DIRECTIONS, sampler=LatentParetoSampler(space, encoder, reference_point=(1, 2, 3), seed=0)
    )
    with pytest.raises(ValueError, match="Expected reference_point to be finite"):
        LatentParetoSampler(space, encoder, reference_point=(0.5, float("inf")))
    with pytest.raises(ValueError, match="reference_point of 2 values"):
        study.ask()


def few_edges(trial: optuna.Trial | optuna.trial.FrozenTrial) -> float:
    return edges(Architecture.from_json(trial.user_attrs["graphnas:architecture"])) - 7


@pytest.mark.parametrize("several", [False, True])
def test_constraints_are_learnt(space: Space, several: bool) -> None:
    encoder = CellAutoencoder.from_pretrained("nasbench101")
    sampler = (LatentParetoSampler if several else LatentBOSampler)(space, encoder, n_startup_trials=6, seed=0)
    study = optuna.create_study(directions=DIRECTIONS if several else ["maximize"], sampler=sampler)

    def objective(trial: optuna.Trial) -> float | tuple[float, float]:
        architecture = space.suggest(trial)
        trial.set_constraint("edges", few_edges(trial))
        return (score(architecture), float(edges(architecture))) if several else score(architecture)

    study.optimize(objective, n_trials=18)
    met = [few_edges(trial) <= 0 for trial in study.trials]
    # One cell in twenty has so few edges.
    assert np.mean(met[6:]) > 0.5 > np.mean(met[:6])
    for trial in study.best_trials:
        assert few_edges(trial) <= 0
