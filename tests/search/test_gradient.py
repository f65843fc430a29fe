from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
import torch

from graphnas.encoders import CellAutoencoder
from graphnas.search import GradientSearchSampler, RandomCellSampler, gradient_search
from graphnas.search.gradient import climb
from graphnas.spaces import Space
from tests.search.conftest import NearestCell, score


def test_a_climb_never_falls_and_comes_to_the_top() -> None:
    top = torch.tensor([[1.0, -2.0]], dtype=torch.float64)

    def objective(z: torch.Tensor) -> torch.Tensor:
        return -(z - top).square().sum(1)

    starts = torch.tensor([[0.0, 0.0], [5.0, 5.0]], dtype=torch.float64)
    passed = climb(objective, starts, steps=40, step_size=0.1).reshape(41, 2, 2)
    assert torch.equal(passed[0], starts)
    values = torch.stack([objective(points) for points in passed])
    assert (values.diff(dim=0) >= 0).all()
    assert (passed[-1] - top).norm(dim=1).max() < 0.05
    # A start at the top stays there.
    assert torch.equal(climb(objective, top, steps=3, step_size=0.1), top.repeat(4, 1))


def test_architectures_come_best_first_apart_and_unknown(space: Space, encoder: NearestCell) -> None:
    target = encoder.latents[7].double()

    def objective(z: torch.Tensor) -> torch.Tensor:
        return -(z - target).norm(dim=1)

    starts = encoder.latents[:5].double()
    found = gradient_search(objective, encoder, starts, space=space, n=6, steps=30)
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    assert found[0].value == pytest.approx(0.0, abs=1e-5)
    assert space.hash(found[0].architecture) == found[0].hash
    others = gradient_search(objective, encoder, starts, space=space, n=6, steps=30, known=[found[0].hash], apart=0.5)
    assert found[0].hash not in {one.hash for one in others}
    assert torch.pdist(torch.stack([one.z for one in others])).min() >= 0.5


def test_wrong_starts_and_numbers_are_refused(space: Space, encoder: NearestCell) -> None:
    with pytest.raises(ValueError, match=r"starts to be m x 6, but got shape \(2, 5\)"):
        gradient_search(torch.sum, encoder, torch.zeros(2, 5), space=space)
    with pytest.raises(ValueError, match="n and steps to be at least 1, but got 0"):
        gradient_search(torch.sum, encoder, torch.zeros(2, 6), space=space, n=0)
    with pytest.raises(ValueError, match="step_size to be above 0"):
        gradient_search(torch.sum, encoder, torch.zeros(2, 6), space=space, step_size=0.0)


def test_gradient_search_finds_better_cells_than_random_search(space: Space) -> None:
    encoder = CellAutoencoder.from_pretrained("nasbench101")
    best = []
    for sampler in (
        GradientSearchSampler(space, encoder, n_startup_trials=8, seed=0),
        RandomCellSampler(space, seed=0),
    ):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(lambda trial: score(space.suggest(trial)), n_trials=24)
        best.append(study.best_value)
        if isinstance(sampler, GradientSearchSampler):
            sources = [trial.user_attrs["graphnas:source"] for trial in study.trials[8:]]
            assert sources.count("gradient") > 8
    assert best[0] > best[1]


def test_a_performance_head_is_climbed(space: Space) -> None:
    encoder = CellAutoencoder.from_pretrained("nasbench101")
    with pytest.raises(ValueError, match="it has no performance head"):
        GradientSearchSampler(space, encoder, performance_head=True)
    encoder.add_performance_head(seed=0)
    sampler = GradientSearchSampler(space, encoder, performance_head=True, n_startup_trials=4, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=7)
    assert {trial.user_attrs["graphnas:source"] for trial in study.trials[4:]} <= {"gradient", "edit"}


def test_a_list_of_candidates_is_all_that_is_proposed(space: Space, encoder: NearestCell) -> None:
    listed = space.sample(30, np.random.default_rng(3))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = GradientSearchSampler(space, encoder, candidates=listed, n_startup_trials=6, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=14)
    hashes = [trial.user_attrs["graphnas:hash"] for trial in study.trials]
    assert len(set(hashes)) == 14
    assert set(hashes) <= set(space.hashes(listed))
    assert [trial.user_attrs["graphnas:source"] for trial in study.trials[6:]] == ["gradient"] * 8


def test_a_weight_must_be_a_finite_number(space: Space, encoder: NearestCell) -> None:
    for kappa in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="Expected kappa to be a finite number of at least 0"):
            GradientSearchSampler(space, encoder, kappa=kappa)
