from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import randint
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from graphnas.predictors import (
    AveragedPredictor,
    BaggedPredictor,
    EstimatorPredictor,
    Info,
    NormalScoredPredictor,
    Prediction,
    Predictor,
    ProcessPredictor,
    encoding,
    make_predictor,
)
from graphnas.predictors.bayesian import BOHAMIANN, DNGO, BayesianLinear
from graphnas.predictors.encodings import count
from graphnas.predictors.natural_boosting import NaturalGradientBoosting
from graphnas.spaces import Space

SPACE = Space.load("nasbench201")
ARCHITECTURES = SPACE.sample(30, np.random.default_rng(0))
ENCODE = encoding(SPACE, "flow")
TARGETS = ENCODE(ARCHITECTURES)[:, :3] @ np.array([1.0, -2.0, 0.5])


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One feature; the noise grows with it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 1))
    return x, np.sin(4 * x[:, 0]) + rng.normal(0, 0.05 + 0.5 * x[:, 0])


def test_natural_boosting_knows_where_noise_is_large() -> None:
    x, y = noisy(600, 0)
    model = NaturalGradientBoosting(n_estimators=80, learning_rate=0.05, max_depth=2).fit(x, y)
    mean, std = model.predict(np.array([[0.05], [0.95]]), return_std=True)
    np.testing.assert_allclose(mean, np.sin([0.2, 3.8]), atol=0.25)
    assert std[1] > 3 * std[0]
    np.testing.assert_array_equal(model.predict(x), model.predict(x, return_std=True)[0])


def test_bayesian_linear_regression_in_both_forms() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.standard_normal((8, 20)), rng.standard_normal((50, 3))
    for x in (wide, narrow):
        y, asked = rng.standard_normal(len(x)), rng.standard_normal((5, x.shape[1]))
        design, new = np.column_stack([x, np.ones(len(x))]), np.column_stack([asked, np.ones(5)])
        # The same as a Gaussian process with a linear kernel.
        kernel = design @ design.T + np.eye(len(x)) / 100
        mean = new @ design.T @ np.linalg.solve(kernel, y)
        variance = np.diag(new @ new.T - new @ design.T @ np.linalg.solve(kernel, design @ new.T)) + 1 / 100
        found = BayesianLinear().fit(x, y).predict(asked, return_std=True)
        np.testing.assert_allclose(found[0], mean, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found[1], np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("model", [DNGO(epochs=100), BOHAMIANN(burn_in=500, samples=10)], ids=["dngo", "bohamiann"])
def test_networks_follow_a_curve_and_doubt_elsewhere(model: DNGO | BOHAMIANN) -> None:
    x = np.linspace(-1, 1, 40)[:, None]
    y = np.sin(3 * x[:, 0])
    mean, std = model.fit(x, y).predict(np.array([[0.0], [0.5], [4.0]]), return_std=True)
    np.testing.assert_allclose(mean[:2], np.sin([0, 1.5]), atol=0.3)
    assert (std > 0).all()
    np.testing.assert_array_equal(mean, model.predict(np.array([[0.0], [0.5], [4.0]])))


def test_any_scikit_learn_regressor_will_do() -> None:
    for estimator, sure in ((LinearRegression(), False), (BayesianRidge(), True)):
        predictor = EstimatorPredictor(SPACE, ENCODE, estimator).fit(ARCHITECTURES, TARGETS)
        mean, std = predictor.predict(ARCHITECTURES)
        np.testing.assert_allclose(mean, TARGETS, atol=0.05)
        assert np.isfinite(std).all() == sure
        assert not hasattr(estimator, "coef_")


def test_hyperparameters_are_chosen_by_cross_validation() -> None:
    worst = KNeighborsRegressor(n_neighbors=20)
    tuned = EstimatorPredictor(SPACE, ENCODE, worst, tuning={"n_neighbors": randint(1, 6)}, draws=4)
    errors = [
        np.abs(one.fit(ARCHITECTURES, TARGETS).predict(ARCHITECTURES).mean - TARGETS).mean()
        for one in (EstimatorPredictor(SPACE, ENCODE, worst), tuned)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_scores_and_curves_stand_beside_the_encoding() -> None:
    scores = TARGETS.copy()
    scores[4] = np.nan
    curves = np.column_stack([np.zeros(30), -TARGETS])
    info = Info({"train_loss": curves}, {"snip": scores})
    predictor = EstimatorPredictor(SPACE, None, LinearRegression(), scores=("snip",), curves=("train_loss",))
    assert (predictor.needs.scores, predictor.needs.curves) == (("snip",), ("train_loss",))
    predictor.fit(ARCHITECTURES, TARGETS, info)
    np.testing.assert_allclose(predictor.predict(ARCHITECTURES, info).mean, TARGETS, atol=1e-6)
    # A curve that is too short says nothing.
    alone = EstimatorPredictor(SPACE, None, LinearRegression(), curves=("train_loss",), fewest_epochs=3)
    with pytest.raises(ValueError, match=r"sample|feature"):
        alone.fit(ARCHITECTURES, TARGETS, info)
    with pytest.raises(ValueError, match="Expected an encoding, scores or curves to learn from"):
        EstimatorPredictor(SPACE, None, LinearRegression())


class Constant(Predictor):
    """Says what it is told to."""

    def __init__(self, mean: float, std: float) -> None:
        self.says = mean, std

    def predict(self, architectures: object, info: Info | None = None) -> Prediction:
        return Prediction(*(np.full(count(SPACE, architectures), one) for one in self.says))  # type: ignore[arg-type]


def test_averages_add_the_spread_of_their_members() -> None:
    mean, std = AveragedPredictor(SPACE, [Constant(1, 3), Constant(3, np.nan)]).predict(ARCHITECTURES[:3])
    assert mean.tolist() == [2, 2, 2]
    np.testing.assert_allclose(std, np.sqrt(9 + 1))
    assert np.isnan(AveragedPredictor(SPACE, [Constant(1, np.nan)]).predict(ARCHITECTURES).std).all()
    with pytest.raises(ValueError, match="one or more members"):
        AveragedPredictor(SPACE, [])


def test_bags_are_surer_of_what_they_know() -> None:
    def tree(seed: int) -> Predictor:
        return EstimatorPredictor(SPACE, ENCODE, KNeighborsRegressor(n_neighbors=1))

    predictor = BaggedPredictor(tree, members=8).fit(ARCHITECTURES, TARGETS)
    mean, std = predictor.predict(ARCHITECTURES)
    assert np.corrcoef(mean, TARGETS)[0, 1] > 0.9
    assert std.max() > 0
    with pytest.raises(ValueError, match="Expected members to be at least 2, but got 1"):
        BaggedPredictor(tree, members=1)


def test_normal_scores_are_translated_back() -> None:
    class Echo(Predictor):
        def fit(self, architectures: object, targets: np.ndarray, info: Info | None = None) -> Echo:
            self.known = np.array(targets)
            return self

        def predict(self, architectures: object, info: Info | None = None) -> Prediction:
            return Prediction(np.append(self.known, [-9.0, 9.0]), np.full(len(self.known) + 2, 0.1))

    targets = np.array([0.1, 0.1, 0.7, 0.8, 0.85, 0.9])
    predictor = NormalScoredPredictor(Echo()).fit([], targets)
    mean, std = predictor.predict([])
    np.testing.assert_allclose(mean[:6], targets)
    # Beyond the ends the slope goes on, so that ranks stay.
    assert mean[6] < 0.1
    assert mean[7] > 0.9
    assert (std > 0).all()


def test_many_targets_are_all_heard_though_few_set_the_hyperparameters() -> None:
    few = ProcessPredictor(SPACE, ENCODE, most_fitted=10).fit(ARCHITECTURES, TARGETS)
    mean, std = few.predict(ARCHITECTURES)
    only = ProcessPredictor(SPACE, ENCODE).fit(ARCHITECTURES[:10], TARGETS[:10])
    assert np.abs(mean - TARGETS).mean() < 0.7 * np.abs(only.predict(ARCHITECTURES).mean - TARGETS).mean()
    assert (std > 0).all()


def test_deviations_of_boosting_cover_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8))
    y = x[:, 0] + rng.normal(0, 0.5, 400)
    mean, std = NaturalGradientBoosting().fit(x[:200], y[:200]).predict(x[200:], return_std=True)
    assert 0.85 < (np.abs(mean - y[200:]) < 1.96 * std).mean() < 0.99


@pytest.mark.parametrize("seed", range(6))
def test_a_process_of_labels_says_more_than_noise(seed: int) -> None:
    space = Space.load("nasbench201")
    cells = space.sample(130, np.random.default_rng(seed))
    values = np.array([float(one.cells[0].ops.count("nor_conv_3x3")) for one in cells])
    predictor = make_predictor("wl-gp", space, seed=seed).fit(cells[:30], values[:30])
    assert np.corrcoef(predictor.predict(cells[30:]).mean, values[30:])[0, 1] > 0.6
