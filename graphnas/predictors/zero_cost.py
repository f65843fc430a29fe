"""Predictors that learn nothing: the score of an untrained network, or of a path through a supernet."""

from __future__ import annotations

import numpy as np

from graphnas.predictors.protocol import Architectures, Info, Needs, Prediction, Predictor, told, unsure


class ScorePredictor(Predictor):
    """Predicts by one score alone, larger is better.

    Args:
        name: Name of the score in `Info.scores`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.needs = Needs(targets=False, scores=(name,))

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """The scores as they are; NaN where one is not finite."""
        scores = told(architectures, info).score(self.name)
        return unsure(np.where(np.isfinite(scores), scores, np.nan))
