from __future__ import annotations

import numpy as np
import optuna
import pytest

from graphnas.encoders import CellAutoencoder
from graphnas.predictors import Info, Prediction, Predictor
from graphnas.search import PredictorGuidedSampler, RandomCellSampler
from graphnas.search.pool import cells_of, flat_cells
from graphnas.spaces import Space
from tests.search.conftest import score


class Sizes(Predictor):
    """Likes small cells, and is as sure as it is told to be."""

    def __init__(self, std: float) -> None:
        self.std = std

    def predict(self, architectures: object, info: Info | None = None) -> Prediction:
        mean = -np.asarray(architectures.size, dtype=np.float64)  # type: ignore[attr-defined]
        return Prediction(mean, np.full(len(mean), self.std))


def run(space: Space, sampler: optuna.samplers.BaseSampler, n: int = 24) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: score(space.suggest(trial)), n_trials=n)
    return study


def sizes(study: optuna.Study, space: Space) -> list[int]:
    import json

    return [len(json.loads(trial.user_attrs["graphnas:architecture"])["cells"][0]["ops"]) for trial in study.trials]


@pytest.mark.parametrize("name", ["nasbench101", "darts", "nasbench201", "enas"])
def test_flat_cells_hold_all_of_an_architecture(name: str) -> None:
    space = Space.load(name)
    architectures = space.sample(20, np.random.default_rng(0))
    flat = flat_cells(space, architectures)
    assert flat.shape[0] == 20
    assert space.hashes(cells_of(space, flat)) == space.hashes(architectures)


@pytest.mark.parametrize("acquisition", ["thompson", "mean", "ucb"])
def test_a_predictor_by_name_is_no_worse_than_as_many_random_queries(space: Space, acquisition: str) -> None:
    sampler = PredictorGuidedSampler(
        space, predictor="random-forest", acquisition=acquisition, n_startup_trials=8, seed=0
    )
    assert run(space, sampler).best_value >= run(space, RandomCellSampler(space, seed=0)).best_value


def test_the_best_mean_is_proposed_and_a_draw_where_there_is_doubt(space: Space) -> None:
    mean = run(space, PredictorGuidedSampler(space, predictor=Sizes(100.0), acquisition="mean", seed=0), 14)
    # All that is unknown may be drawn at random in the pool, so that the smallest of it comes first.
    assert sizes(mean, space)[10:] == sorted(sizes(mean, space)[10:])
    sure = run(space, PredictorGuidedSampler(space, predictor=Sizes(0.0), seed=0), 14)
    assert sizes(sure, space) == sizes(mean, space)
    doubtful = run(space, PredictorGuidedSampler(space, predictor=Sizes(100.0), seed=0), 14)
    assert sizes(doubtful, space) != sizes(mean, space)


def test_a_latent_predictor_needs_an_encoder() -> None:
    space = Space.load("nasbench201")
    with pytest.raises(ValueError, match="'latent-gp' needs a fitted encoder"):
        PredictorGuidedSampler(space, predictor="latent-gp")
    encoder = CellAutoencoder.from_pretrained("nasbench201")
    sampler = PredictorGuidedSampler(space, encoder=encoder, predictor="latent-gp", n_startup_trials=4, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(
        lambda trial: space.suggest(trial).cells[0].ops.count("nor_conv_3x3") + trial.number / 99, n_trials=8
    )
    assert {trial.user_attrs["graphnas:source"] for trial in study.trials[4:]} <= {"mutation", "sample"}


def test_what_cannot_guide_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match="acquisition to be one of thompson, mean, ucb, but got 'ei'"):
        PredictorGuidedSampler(space, acquisition="ei")
    with pytest.raises(ValueError, match=r"Expected a predictor out of .*, but got 'sotl'"):
        PredictorGuidedSampler(space, predictor="sotl")
