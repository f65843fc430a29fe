from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
import pytest

from graphnas.cell import Architecture
from graphnas.encoders import CellAutoencoder
from graphnas.predictors import Info, Prediction, Predictor, make_predictor
from graphnas.search import LatentBOSampler
from graphnas.search.judging import best_of_half, proxy_scores_of
from graphnas.spaces import Space
from graphnas.studies import split_sampler

SPACE = Space.load("nasbench201")
ENCODER = CellAutoencoder.from_pretrained("nasbench201")


def convolutions(architecture: Architecture) -> float:
    return float(sum(op == "nor_conv_3x3" for op in architecture.cells[0].ops))


def search(sampler: LatentBOSampler, trials: int = 14) -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: convolutions(SPACE.suggest(trial)), n_trials=trials)
    return study.trials


class Contrary(Predictor):
    """Likes cells with few convolutions, whatever it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def fit(self, architectures: Sequence[Architecture], targets: np.ndarray, info: Info | None = None) -> Contrary:
        self.told.append(len(targets))
        return self

    def predict(self, architectures: Sequence[Architecture], info: Info | None = None) -> Prediction:
        mean = -np.array([convolutions(one) for one in architectures])
        return Prediction(mean, np.full(len(mean), math.nan))


def test_a_predictor_has_the_last_word() -> None:
    predictor = Contrary()
    trials = search(LatentBOSampler(SPACE, ENCODER, predictor=predictor, seed=0))
    assert predictor.told == [10, 11, 12, 13]
    assert all(trial.value <= 1 for trial in trials[10:])
    assert {trial.user_attrs["graphnas:source"] for trial in trials[10:]} <= {"acquisition", "sample", "edit"}
    listed = SPACE.sample(60, np.random.default_rng(1))
    last = search(LatentBOSampler(SPACE, ENCODER, predictor=Contrary(), candidates=listed, seed=0), 11)[-1]
    known = {trial.user_attrs["graphnas:hash"] for trial in search(LatentBOSampler(SPACE, ENCODER, seed=0), 1)}
    assert last.value == min(convolutions(one) for one in listed if SPACE.hash(one) not in known)


def test_a_predictor_of_the_catalogue_by_name() -> None:
    trials = search(LatentBOSampler(SPACE, ENCODER, predictor="random-forest", seed=0), 18)
    assert np.mean([trial.value for trial in trials[10:]]) > np.mean([trial.value for trial in trials[:10]])
    again = search(LatentBOSampler(SPACE, ENCODER, predictor="random-forest", seed=0), 18)
    assert [trial.value for trial in again] == [trial.value for trial in trials]
    assert split_sampler("latent-bo:predictor=latent-trees:prefilter=synflow") == (
        "latent-bo",
        {"predictor": "latent-trees", "prefilter": "synflow"},
    )


def test_a_filter_passes_over_half_of_the_best() -> None:
    asked: list[int] = []

    def no_pools(architectures: Sequence[Architecture]) -> list[float]:
        asked.append(len(architectures))
        return [-float(sum(op == "avg_pool_3x3" for op in one.cells[0].ops)) for one in architectures]

    trials = search(LatentBOSampler(SPACE, ENCODER, prefilter=no_pools, seed=0))
    assert asked == [8, 8, 8, 8]
    assert len({trial.user_attrs["graphnas:hash"] for trial in trials}) == 14
    # A predictor learns from the trials, and its means filter.
    trials = search(LatentBOSampler(SPACE, ENCODER, prefilter="random-forest", seed=0))
    assert len({trial.user_attrs["graphnas:hash"] for trial in trials}) == 14
    # Of four, the first with a score in the upper half.
    cells = SPACE.sample(4, np.random.default_rng(0))
    assert best_of_half(lambda _: [0.1, math.nan, 0.9, 0.5], cells) == 2
    assert best_of_half(lambda _: [0.7, math.nan, 0.9, 0.5], cells) == 0
    assert best_of_half(lambda _: [math.nan] * 4, cells) == 0


def test_proxies_by_name() -> None:
    cells = [*SPACE.sample(2, np.random.default_rng(0)), next(SPACE.enumerate())]
    scores = proxy_scores_of(SPACE, "macs")(cells)
    assert scores[0] > 0
    with pytest.raises(ValueError, match="Expected proxies out of fisher"):
        LatentBOSampler(SPACE, ENCODER, prefilter="flow")


def test_predictors_that_need_more_are_refused() -> None:
    for name, missing in (("lcsvr", "the curve validation_accuracy, the curve train_loss"), ("snip", "the score snip")):
        with pytest.raises(
            ValueError, match=f"learns from architectures and their values, but this one needs {missing}"
        ):
            LatentBOSampler(SPACE, ENCODER, predictor=make_predictor(name, SPACE))
    for name in ("oracle", "snip", "omni-ngboost"):
        with pytest.raises(ValueError, match=rf"Expected a predictor out of mlp, .*latent-trees, but got '{name}'"):
            LatentBOSampler(SPACE, ENCODER, predictor=name)
    with pytest.raises(ValueError, match="Expected retrain_every to be None beside a predictor"):
        LatentBOSampler(SPACE, ENCODER, predictor="random-forest", retrain_every=5)
