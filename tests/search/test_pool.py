from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy.stats import norm

from graphnas.search import BananasSampler, FeatureBOSampler, NPENASSampler, RandomCellSampler, TreeEnsembleSampler
from graphnas.search.feature_bo import FEATURES, encoding
from graphnas.search.pool import expected_improvement
from graphnas.search.trees import MODELS
from graphnas.spaces import Space
from tests.search.conftest import score


def best(space: Space, sampler: optuna.samplers.BaseSampler, n: int) -> float:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=n)
    return study.best_value


def test_expected_improvement_is_the_mean_of_what_is_above_the_best() -> None:
    drawn = np.maximum(np.random.default_rng(0).normal(0.5, 2.0, 200_000) - 1.0, 0).mean()
    found = expected_improvement(np.array([0.5, 0.0, 3.0]), np.array([2.0, 0.0, 0.0]), 1.0)
    assert found[0] == pytest.approx(drawn, rel=0.02)
    assert found[0] == pytest.approx(2 * (-0.25 * norm.cdf(-0.25) + norm.pdf(-0.25)))
    assert found[1] <= 0
    assert found[2] == pytest.approx(2.0)
    far = expected_improvement(np.array([-60.0, -50.0]), np.ones(2), 1.0)
    assert far[1] > far[0]


@pytest.mark.parametrize(
    "name",
    [
        "forest",
        "structure",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("bananas", "npenas", "adjacency", "wl")),
    ],
)
def test_guided_queries_beat_as_many_random_ones(space: Space, name: str) -> None:
    makers = {
        "bananas": lambda: BananasSampler(space, n_startup_trials=8, seed=0),
        "npenas": lambda: NPENASSampler(space, n_startup_trials=8, seed=0),
        "forest": lambda: TreeEnsembleSampler(space, n_startup_trials=8, seed=0),
    }
    sampler = makers[name]() if name in makers else FeatureBOSampler(space, features=name, n_startup_trials=8, seed=0)
    assert best(space, sampler, 24) > best(space, RandomCellSampler(space, seed=0), 24)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "darts", "enas"])
def test_features_do_not_depend_on_the_company_and_spread_like_normal_points(name: str, features: str) -> None:
    space = Space.load(name)
    cells = space.sample(40, np.random.default_rng(1))
    points = encoding(space, features)(space.to_arrays(cells))
    alone = encoding(space, features)(space.to_arrays(cells[:1]))
    assert points[:1] == pytest.approx(alone)
    assert points.var(0).sum() == pytest.approx(points.shape[1], rel=0.35)


def test_unknown_names_are_refused(space: Space) -> None:
    with pytest.raises(ValueError, match=r"features to be one of adjacency, .* structure, but got 'x'"):
        FeatureBOSampler(space, features="x")
    with pytest.raises(ValueError, match="acquisition to be ei or ucb"):
        FeatureBOSampler(space, acquisition="x")
    with pytest.raises(ValueError, match=f"model to be one of {', '.join(MODELS)}"):
        TreeEnsembleSampler(space, model="x")


def test_boosted_trees_find_better_cells_too(space: Space) -> None:
    pytest.importorskip("xgboost")
    assert best(space, TreeEnsembleSampler(space, model="xgboost", n_startup_trials=8, seed=0), 24) > best(
        space, RandomCellSampler(space, seed=0), 24
    )
