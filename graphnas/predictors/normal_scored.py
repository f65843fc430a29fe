"""Predictors that learn ranks: what failed trainings are worth must not decide how good ones are told apart."""

from __future__ import annotations

from typing import Self

import numpy as np

from graphnas.predictors.gaussian_process import normal_scores
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Prediction, Predictor
from graphnas.predictors.regression import check_targets

_END = 0.2  # share of the targets whose slope is continued beyond the best and the worst


class NormalScoredPredictor(Predictor):
    """Fits a predictor to normal scores, the normal quantiles of the targets' ranks, and translates what it says.

    Scores become targets again by interpolation between those that were seen, so that ranks stay as they are; beyond
    the best and the worst of them the slope of the last fifth goes on.

    Args:
        member: The predictor.
    """

    def __init__(self, member: Predictor) -> None:
        self.member, self.needs = member, member.needs
        self._scores: FloatArray | None = None

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit to the scores of the targets."""
        y = check_targets(targets, len(targets))
        scores = normal_scores(y.tolist())[:, 0].numpy()
        self.member.fit(architectures, scores, info)
        # Equal targets have equal scores.
        self._scores, rows = np.unique(scores, return_index=True)
        self._targets = y[rows]
        end = max(int(_END * len(rows)), 1)
        spread = float(y.std()) or 1.0
        self._slopes = [
            (float(values[-1] - values[0]) / max(float(at[-1] - at[0]), 1e-9)) or spread * 1e-6
            for values, at in (
                (self._targets[: end + 1], self._scores[: end + 1]),
                (self._targets[-end - 1 :], self._scores[-end - 1 :]),
            )
        ]
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Predictions in the units of the targets; a deviation is half of what one on either side of the mean spans."""
        if self._scores is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        mean, std = self.member.predict(architectures, info)
        span = self._translated(mean + std) - self._translated(mean - std)
        return Prediction(self._translated(mean), span / 2)

    def _translated(self, scores: FloatArray) -> FloatArray:
        assert self._scores is not None
        inside: FloatArray = np.interp(scores, self._scores, self._targets)
        below, above = np.minimum(scores - self._scores[0], 0), np.maximum(scores - self._scores[-1], 0)
        translated: FloatArray = inside + below * self._slopes[0] + above * self._slopes[1]
        return translated
