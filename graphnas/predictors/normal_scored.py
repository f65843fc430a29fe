"""Predictors that learn ranks: what failed trainings are worth must not decide how good ones are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import norm, rankdata

from graphnas.predictors.protocol import Architectures, FloatArray, Info, Prediction, Predictor
from graphnas.predictors.regression import check_targets

_END = 0.2  # share of the targets whose slope is continued beyond the best and the worst


@dataclass(frozen=True)
class NormalScale:
    """Between targets and their normal scores, the normal quantiles of ranks.

    Both ways by interpolation between those that were seen, so that ranks stay as they are; beyond the best and the
    worst of them the slope of the last fifth goes on.
    """

    targets: FloatArray
    """`k` different targets, ascending."""
    scores: FloatArray
    """Their scores."""
    spread: float
    """Standard deviation of all targets."""

    @classmethod
    def of(cls, targets: FloatArray, *, most: int | None = None) -> Self:
        """The scale of `n` targets.

        Args:
            targets: They may be equal, and then have equal scores.
            most: Keep so many of the different ones, evenly over the ranks, the best and the worst among them; all if
                None.
        """
        ranks = rankdata(targets)
        scores = norm.ppf((ranks - 0.5) / len(ranks))
        # Equal targets have equal scores.
        found, rows = np.unique(scores, return_index=True)
        kept = np.asarray(targets, dtype=np.float64)[rows]
        if most is not None and len(found) > most:
            even = np.unique(np.linspace(0, len(found) - 1, most).round().astype(np.int64))
            found, kept = found[even], kept[even]
        return cls(kept, found, float(np.std(targets)) or 1.0)

    def to_scores(self, targets: FloatArray) -> FloatArray:
        """Scores of `n` targets."""
        if len(self.targets) < 2:
            return np.full(len(targets), self.scores[0])
        return _through(self.targets, self.scores, targets, 1e6 / self.spread)

    def to_targets(self, scores: FloatArray) -> FloatArray:
        """Targets of `n` scores."""
        return _through(self.scores, self.targets, scores, self.spread * 1e-6)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for JSON."""
        return {"targets": self.targets.tolist(), "scores": self.scores.tolist(), "spread": self.spread}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(np.array(data["targets"]), np.array(data["scores"]), float(data["spread"]))


def _through(x: FloatArray, y: FloatArray, at: FloatArray, least: float) -> FloatArray:
    """Interpolated between `k` points; beyond them the slope of the last fifth, or the least slope if it has none."""
    end = max(int(_END * len(x)), 1)
    below, above = (
        (float(ys[-1] - ys[0]) / max(float(xs[-1] - xs[0]), 1e-9)) or least
        for xs, ys in ((x[: end + 1], y[: end + 1]), (x[-end - 1 :], y[-end - 1 :]))
    )
    inside: FloatArray = np.interp(at, x, y)
    beyond: FloatArray = np.minimum(at - x[0], 0) * below + np.maximum(at - x[-1], 0) * above
    return inside + beyond


class NormalScoredPredictor(Predictor):
    """Fits a predictor to normal scores of the targets, and translates what it says (`NormalScale`).

    Args:
        member: The predictor.
    """

    def __init__(self, member: Predictor) -> None:
        self.member, self.needs = member, member.needs
        self._scale: NormalScale | None = None

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit to the scores of the targets."""
        y = check_targets(targets, len(targets))
        scale = NormalScale.of(y)
        self.member.fit(architectures, scale.to_scores(y), info)
        self._scale = scale
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Predictions in the units of the targets; a deviation is half of what one on either side of the mean spans."""
        if self._scale is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        mean, std = self.member.predict(architectures, info)
        span = self._scale.to_targets(mean + std) - self._scale.to_targets(mean - std)
        return Prediction(self._scale.to_targets(mean), span / 2)
