"""Several predictors that answer as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphnas.cell import CellArrays
from graphnas.predictors.encodings import count
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Needs, Prediction, Predictor
from graphnas.predictors.regression import chunks
from graphnas.spaces import Space


class AveragedPredictor(Predictor):
    """The mean of several predictors that learn from the same targets.

    Its variance is the mean of those that members give, plus the variance of their means.

    Args:
        space: Space of the architectures.
        members: Predictors whose predictions are in the units of the targets.
    """

    def __init__(self, space: Space, members: Sequence[Predictor]) -> None:
        if not members:
            raise ValueError("Expected one or more members, but got none")
        self.space, self.members = space, list(members)
        needs = [member.needs for member in self.members]
        self.needs = Needs(
            targets=any(one.targets for one in needs),
            curves=tuple(dict.fromkeys(name for one in needs for name in one.curves)),
            fewest_epochs=max(one.fewest_epochs for one in needs),
            scores=tuple(dict.fromkeys(name for one in needs for name in one.scores)),
        )

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit all members."""
        for member in self.members:
            member.fit(architectures, targets, info)
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Mean of the members' means."""
        # Part by part, so that members that look at the same features find them still there.
        parts = [
            self._predict(part, None if info is None else info.take(rows.start + np.arange(count(self.space, part))))
            for rows, part in chunks(self.space, architectures)
        ]
        return Prediction(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _predict(self, architectures: CellArrays, info: Info | None) -> Prediction:
        found = [member.predict(architectures, info) for member in self.members]
        means, deviations = np.stack([one.mean for one in found]), np.stack([one.std for one in found])
        known = np.isfinite(deviations)
        own = np.where(known, deviations**2, 0).sum(0) / np.maximum(known.sum(0), 1)
        variance = np.where(known.any(0) | (len(found) > 1), own + means.var(0), np.nan)
        return Prediction(means.mean(0), np.sqrt(variance))


def _taken(architectures: Architectures, rows: NDArray[np.int64], n: int) -> Architectures:
    """Some of `n` architectures."""
    if not isinstance(architectures, CellArrays):
        return [architectures[row] for row in rows.tolist()]
    parts = architectures.n // n
    return architectures.take((rows[:, None] * parts + np.arange(parts)).ravel())


class BaggedPredictor(Predictor):
    """Predictors of one kind on bootstrap samples; their spread is the uncertainty (Breiman 1996).

    Args:
        make: Makes a predictor of a seed.
        members: How many there are.
        seed: Of samples and members.
    """

    def __init__(self, make: Callable[[int], Predictor], *, members: int = 5, seed: int = 0) -> None:
        if members < 2:
            raise ValueError(f"Expected members to be at least 2, but got {members}")
        self.members = [make(seed * members + number) for number in range(members)]
        self.needs, self.seed = self.members[0].needs, seed

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit each member to a sample, drawn with replacement, of as many architectures."""
        rng, n = np.random.default_rng(self.seed), len(targets)
        for member in self.members:
            rows = rng.integers(n, size=n)
            known = None if info is None else info.take(rows)
            member.fit(_taken(architectures, rows, n), np.asarray(targets)[rows], known)
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Mean and standard deviation of the members' predictions."""
        means = np.stack([member.predict(architectures, info).mean for member in self.members])
        return Prediction(means.mean(0), means.std(0))
