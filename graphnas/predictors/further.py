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
        self._epochs = self._lengths(info)
        self._middle, self._unit, self._worst = (np.zeros(columns.shape[1]) for _ in range(3))
        for number, values in enumerate(columns.T):
            known = values[np.isfinite(values)]
            if known.size:
                self._middle[number], self._worst[number] = known.mean(), known.min()
                self._unit[number] = known.std()
        self._unit[self._unit == 0] = 1.0
        return self

    def __call__(self, info: Info | None, n: int) -> FloatArray:
        """`n x c` features of `n` architectures; none if nothing is asked for.

        Raises:
            ValueError: if info is of another number of architectures, or of other epochs than it was fitted to.
        """
        if (found := self._lengths(info)) != self._epochs:
            raise ValueError(f"Expected curves of as many epochs as were fitted to, {self._epochs}, but got {found}")
        columns = self._columns(info, n)
        return (np.where(np.isfinite(columns), columns, self._worst) - self._middle) / self._unit

    def _lengths(self, info: Info | None) -> dict[str, int]:
        """Epochs of each curve that is looked at."""
        return {name: (info or Info()).curve(name).shape[1] for name in self.needs.curves}

    def _columns(self, info: Info | None, n: int) -> FloatArray:
        known = info or Info()
        columns = [known.score(name) for name in self.needs.scores]
        for name in self.needs.curves:
            curve = known.curve(name)
            if curve.shape[1] >= self.fewest_epochs:
                columns.append(-curve[:, -1] if name.endswith("loss") else curve[:, -1])
        if any(len(column) != n for column in columns):
            raise ValueError(f"Expected info of {n} architectures, but got it of {[len(one) for one in columns]}")
        return np.column_stack(columns) if columns else np.zeros((n, 0))
