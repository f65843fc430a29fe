"""Scores and learning curves as features beside an encoding."""

from __future__ import annotations

from typing import Self

import numpy as np

from graphnas.predictors.protocol import FloatArray, Info, Needs


class FurtherFeatures:
    """Scores, and the last values of curves, in standard deviations of the architectures that were learned from.

    Losses are negated. What is missing or not finite is taken for the worst that was seen.

    Args:
        scores: Names of scores.
        curves: Names of curves.
        fewest_epochs: Epochs of a curve below which its last value says nothing; of shorter ones it is left out.
    """

    def __init__(self, scores: tuple[str, ...] = (), curves: tuple[str, ...] = (), *, fewest_epochs: int = 1) -> None:
        self.needs = Needs(scores=scores, curves=curves, fewest_epochs=fewest_epochs)
        self.fewest_epochs = fewest_epochs

    def fit(self, info: Info | None, n: int) -> Self:
        """Learn the units from `n` architectures."""
        columns = self._columns(info, n)
        self._middle, self._unit, self._worst = (np.zeros(columns.shape[1]) for _ in range(3))
        for number, values in enumerate(columns.T):
            known = values[np.isfinite(values)]
            if known.size:
                self._middle[number], self._worst[number] = known.mean(), known.min()
                self._unit[number] = known.std()
        self._unit[self._unit == 0] = 1.0
        return self

    def __call__(self, info: Info | None, n: int) -> FloatArray:
        """`n x c` features of `n` architectures; none if nothing is asked for."""
        columns = self._columns(info, n)
        return (np.where(np.isfinite(columns), columns, self._worst) - self._middle) / self._unit

    def _columns(self, info: Info | None, n: int) -> FloatArray:
        known = info or Info()
        columns = [known.score(name) for name in self.needs.scores]
        for name in self.needs.curves:
            curve = known.curve(name)
            if curve.shape[1] >= self.fewest_epochs:
                columns.append(-curve[:, -1] if name.endswith("loss") else curve[:, -1])
        return np.column_stack(columns) if columns else np.zeros((n, 0))
