"""Natural gradient boosting: trees that predict a mean and a standard deviation."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.tree import DecisionTreeRegressor

from graphnas.predictors.protocol import FloatArray

_SMALLEST = 1e-3  # standard deviation, in that of the targets
_HALVINGS = 10
_FEWEST, _HELD_OUT = 20, 5  # targets of which every fifth is held out


class NaturalGradientBoosting(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """NGBoost with a normal distribution (Duan et al. 2020, arXiv 1910.03225, Algorithm 1).

    Each round fits one tree to the natural gradient of the negative log-likelihood by the mean and one to that by the
    logarithm of the standard deviation, on a random part of the rows, and steps along both by a length that is halved
    until the likelihood grows. The published package asks for an old scikit-learn; this is its algorithm on today's.

    Trees learn the noise of what they see, so that their standard deviations are far too small elsewhere. What variance
    they lack on a fifth of 20 or more rows, after a fit to the others, is added to all predictions.

    Args:
        n_estimators: Rounds.
        learning_rate: Share of each step that is taken.
        max_depth: Of a tree.
        max_features: Share of the features that a split may use.
        minibatch_frac: Share of the rows that a round sees.
        random_state: Seed of rows and features.
    """

    def __init__(
        self,
        n_estimators: int = 505,
        learning_rate: float = 0.0813,
        max_depth: int = 6,
        max_features: float = 0.792,
        minibatch_frac: float = 0.5,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_features = max_features
        self.minibatch_frac = minibatch_frac
        self.random_state = random_state

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Fit to `n x f` features and `n` targets."""
        self.lacking_ = 0.0
        if len(y) >= _FEWEST:
            order = np.random.default_rng(self.random_state).permutation(len(y))
            others, rows = order[len(y) // _HELD_OUT :], order[: len(y) // _HELD_OUT]
            self._boost(X[others], y[others])
            mean, std = self.predict(X[rows], return_std=True)
            self.lacking_ = max(float(((y[rows] - mean) ** 2 - std**2).mean()), 0.0)
        return self._boost(X, y)

    def _boost(self, X: FloatArray, y: FloatArray) -> Self:
        rng = np.random.default_rng(self.random_state)
        scale = float(np.std(y)) or 1.0
        self.start_ = float(np.mean(y)), float(np.log(scale))
        self.floor_ = float(np.log(_SMALLEST * scale))
        self.rounds_: list[tuple[float, DecisionTreeRegressor, DecisionTreeRegressor]] = []
        mean, log_std = np.full(len(y), self.start_[0]), np.full(len(y), self.start_[1])
        rows_each = max(int(self.minibatch_frac * len(y)), min(len(y), 2))
        for _ in range(self.n_estimators):
            rows = rng.permutation(len(y))[:rows_each]
            at, part_mean, part_log = y[rows], mean[rows], log_std[rows]
            # The Fisher information of the mean is 1 / std^2, that of log std is 2.
            slopes = part_mean - at, (1 - ((at - part_mean) / np.exp(part_log)) ** 2) / 2
            trees = [
                DecisionTreeRegressor(
                    max_depth=self.max_depth,
                    max_features=self.max_features,
                    random_state=int(rng.integers(2**31)),
                ).fit(X[rows], slope)
                for slope in slopes
            ]
            steps = [tree.predict(X) for tree in trees]
            length = self._length(at, part_mean, part_log, steps[0][rows], steps[1][rows])
            mean = mean - self.learning_rate * length * steps[0]
            log_std = np.maximum(log_std - self.learning_rate * length * steps[1], self.floor_)
            self.rounds_.append((length, trees[0], trees[1]))
        return self

    def _length(
        self, y: FloatArray, mean: FloatArray, log_std: FloatArray, toward: FloatArray, wider: FloatArray
    ) -> float:
        """A power of a half by which the likelihood grows; 0 where none does."""
        before, length = _loss(y, mean, log_std), 1.0
        for _ in range(_HALVINGS):
            if _loss(y, mean - length * toward, np.maximum(log_std - length * wider, self.floor_)) < before:
                return length
            length /= 2
        return 0.0

    def predict(self, X: FloatArray, return_std: bool = False) -> FloatArray | tuple[FloatArray, FloatArray]:
        """`n` means, and standard deviations if asked for, at `n x f` features."""
        mean, log_std = np.full(len(X), self.start_[0]), np.full(len(X), self.start_[1])
        for length, first, second in self.rounds_:
            if length > 0:
                mean -= self.learning_rate * length * first.predict(X)
                if return_std:
                    log_std = np.maximum(log_std - self.learning_rate * length * second.predict(X), self.floor_)
        return (mean, np.sqrt(np.exp(2 * log_std) + self.lacking_)) if return_std else mean


def _loss(y: FloatArray, mean: FloatArray, log_std: FloatArray) -> float:
    """Mean negative log-likelihood in nats, without its constant."""
    return float((log_std + ((y - mean) / np.exp(log_std)) ** 2 / 2).mean())
