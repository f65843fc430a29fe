from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from graphnas.predictors import CurveExtrapolation, CurveRegression, EarlyStopping, Info, Predictor, SumOfTrainingLosses
from graphnas.predictors.curve_families import FAMILIES, SIZES, family_curves
from graphnas.predictors.zero_cost import ScorePredictor
from graphnas.spaces import Space

CELLS = Space.load("nasbench201").sample(60, np.random.default_rng(0))
INFO = Info(
    {
        "train_loss": np.array([[2.0, 1.0], [1.5, 1.25]]),
        "validation_loss": np.array([[2.0, 1.5], [1.5, 1.75]]),
        "validation_accuracy": np.array([[0.3, 0.6], [0.4, 0.5]]),
    },
    epochs=10,
)


def test_sums_and_last_values() -> None:
    assert SumOfTrainingLosses().predict(CELLS[:2], INFO).mean.tolist() == [-3.0, -2.75]
    assert SumOfTrainingLosses(last=True).predict(CELLS[:2], INFO).mean.tolist() == [-1.0, -1.25]
    assert EarlyStopping().predict(CELLS[:2], INFO).mean.tolist() == [0.6, 0.5]
    assert EarlyStopping("validation_loss").predict(CELLS[:2], INFO).mean.tolist() == [-1.5, -1.75]
    assert np.isnan(EarlyStopping().predict(CELLS[:2], INFO).std).all()
    with pytest.raises(ValueError, match="Expected curve to be validation_accuracy or validation_loss"):
        EarlyStopping("train_loss")


def test_information_after_fewer_epochs_and_of_some() -> None:
    assert INFO.upto(1).curve("train_loss").tolist() == [[2.0], [1.5]]
    some = INFO.take(np.array([1]))
    assert some.curve("validation_accuracy").tolist() == [[0.4, 0.5]]
    assert some.epochs == 10


def rising(limits: np.ndarray, epochs: int) -> np.ndarray:
    return limits[:, None] - 0.5 * np.arange(1, epochs + 1) ** -0.7


def test_support_vectors_learn_what_curves_lead_to() -> None:
    limits = np.random.default_rng(0).uniform(0.6, 0.9, 60)
    curves = rising(limits, 6) + np.random.default_rng(1).normal(0, 0.003, (60, 6))
    info = Info({"validation_accuracy": curves, "train_loss": 1 - curves})
    predictor = CurveRegression(draws=20)
    predictor.fit(CELLS[:40], limits[:40], info.take(np.arange(40)))
    found = predictor.predict(CELLS[40:], info.take(np.arange(40, 60)))
    assert np.abs(found.mean - limits[40:]).mean() < 0.02
    missing = Info({name: np.where(np.arange(60)[:, None] == 41, np.nan, curve) for name, curve in info.curves.items()})
    again = CurveRegression(draws=20).fit(CELLS, limits, missing).predict(CELLS, missing).mean
    assert np.flatnonzero(np.isnan(again)).tolist() == [41]
    with pytest.raises(ValueError, match="Expected validation_accuracy of 6 epochs, but got 5"):
        predictor.predict(CELLS, info.upto(5))
    few = CurveRegression(draws=20).fit(CELLS[:4], limits[:4], info.take(np.arange(4)))
    assert np.isfinite(few.predict(CELLS, info).mean).all()


def test_all_families_rise_from_their_start() -> None:
    assert len(FAMILIES) == 11
    start = np.array([value for family in FAMILIES.values() for value in family.start])
    assert len(start) == sum(SIZES)
    curves = family_curves(np.stack([start, start]), np.arange(1.0, 51))
    assert curves.shape == (2, 11, 50)
    assert np.isfinite(curves).all()
    assert (np.diff(curves, axis=2) > 0).all()
    assert ((curves > 0) & (curves < 1)).all()


@pytest.mark.parametrize("walkers", [None, pytest.param(40, marks=pytest.mark.slow)])
def test_curves_are_extrapolated(walkers: int | None) -> None:
    limits = np.linspace(0.7, 0.9, 6)
    info = Info({"validation_accuracy": rising(limits, 12)}, epochs=100)
    ends = rising(limits, 100)[:, -1]
    steps = {"steps": 300, "burn_in": 150} if walkers else {}
    found = CurveExtrapolation(walkers=walkers, **steps).predict(CELLS[:6], info)
    assert (found.std >= 0).all()
    assert spearmanr(found.mean, ends).statistic > 0.8
    assert np.abs(found.mean - ends).mean() < 0.03


def test_a_curve_that_no_mixture_follows_has_no_prediction() -> None:
    impossible = Info({"validation_accuracy": np.full((1, 5), np.nan)}, epochs=9)
    assert np.isnan(CurveExtrapolation(steps=20, burn_in=5).predict(CELLS[:1], impossible).mean).all()
    with pytest.raises(ValueError, match="Expected curves of 4 or more epochs, but got 2"):
        CurveExtrapolation().predict(CELLS[:2], INFO)
    with pytest.raises(ValueError, match="epochs is None"):
        CurveExtrapolation().predict(CELLS[:1], Info({"validation_accuracy": np.full((1, 5), 0.5)}))
    with pytest.raises(ValueError, match="Expected burn_in to be from 0 to 9, but got 10"):
        CurveExtrapolation(steps=10, burn_in=10)


def test_curves_that_stay_end_where_they_are() -> None:
    levels = np.array([0.3, 0.6, 0.95])
    info = Info({"validation_accuracy": np.repeat(levels[:, None], 11, 1)}, epochs=12)
    assert np.abs(CurveExtrapolation().predict(CELLS[:3], info).mean - levels).max() < 0.02
    percent = Info({"validation_accuracy": 100 * info.curve("validation_accuracy")}, epochs=12)
    with pytest.raises(ValueError, match="Expected accuracies from 0 to 1, but got 30"):
        CurveExtrapolation().predict(CELLS[:3], percent)


@pytest.mark.parametrize(
    "predictor",
    [SumOfTrainingLosses(), EarlyStopping(), CurveExtrapolation(), CurveRegression(), ScorePredictor("nwot")],
)
def test_what_is_known_is_of_the_architectures(predictor: Predictor) -> None:
    curves = {name: rising(np.full(4, 0.8), 5) for name in INFO.curves}
    info = Info(curves, {"nwot": np.zeros(4)}, epochs=10)
    predictor.fit(CELLS[:4], np.arange(4.0), info)
    assert len(predictor.predict(CELLS[:4], info).mean) == 4
    with pytest.raises(ValueError, match="of 10 architectures, but got 4"):
        predictor.predict(CELLS[:10], info)
