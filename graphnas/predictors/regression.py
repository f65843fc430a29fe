"""Regressors of scikit-learn's kind behind the contract of a predictor."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from graphnas.cell import CellArrays
from graphnas.predictors.encodings import Encoding, cells_of, count
from graphnas.predictors.further import FurtherFeatures
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Prediction, Predictor
from graphnas.spaces import Space

FEWEST = 2
"""Targets without which nothing can be fitted."""

_CHUNK = 4_096  # architectures encoded and predicted at once
_FOLDS = 3


class EstimatorPredictor(Predictor):
    """A scikit-learn regressor on an encoding, and on scores and the last values of curves where it asks for them.

    Targets are standardised over the architectures learned from.

    Args:
        space: Space of the architectures.
        encode: Gives its features; None to learn from scores and curves alone.
        estimator: A regressor with `fit` and `predict`; it says how sure it is if its `predict` has `return_std`, if it
            is a forest, or if it has NGBoost's `pred_dist`. It is fitted anew at each `fit`.
        scores: As in `FurtherFeatures`.
        curves: Likewise.
        fewest_epochs: Likewise.
        tuning: For each hyperparameter of the estimator a scipy distribution, to be chosen by cross-validation in three
            folds before it is fitted.
        draws: Settings drawn from `tuning`, beside the estimator's own.
        seed: Of the folds and draws.
    """

    def __init__(
        self,
        space: Space,
        encode: Encoding | None,
        estimator: Any,
        *,
        scores: tuple[str, ...] = (),
        curves: tuple[str, ...] = (),
        fewest_epochs: int = 1,
        tuning: Mapping[str, Any] | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> None:
        if encode is None and not scores and not curves:
            raise ValueError("Expected an encoding, scores or curves to learn from, but got none of them")
        self.space, self.encode, self.estimator = space, encode, estimator
        self.further = FurtherFeatures(scores, curves, fewest_epochs=fewest_epochs)
        self.tuning, self.draws, self.seed = dict(tuning or {}), draws, seed
        self.needs = self.further.needs
        self._fitted: Any = None

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Standardise the targets, choose hyperparameters if asked to, fit the estimator."""
        y = check_targets(targets, count(self.space, architectures))
        self._centre, self._scale = float(y.mean()), float(y.std()) or 1.0
        x = self._features(architectures, self.further.fit(info, len(y))(info, len(y)))
        y = (y - self._centre) / self._scale
        self._fitted = self._tuned(x, y).fit(x, y)
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Predictions in the units of the targets."""
        if self._fitted is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        further = self.further(info, count(self.space, architectures))
        means, deviations = [], []
        for rows, part in chunks(self.space, architectures):
            mean, deviation = moments(self._fitted, self._features(part, further[rows]))
            means.append(mean)
            deviations.append(deviation)
        mean, deviation = np.concatenate(means), np.concatenate(deviations)
        return Prediction(mean * self._scale + self._centre, deviation * self._scale)

    def _features(self, architectures: Architectures, further: FloatArray) -> FloatArray:
        if self.encode is None:
            return further
        features = self.encode(architectures)
        # They may be many: what has no columns is no reason to copy them.
        return np.column_stack([features, further]) if further.shape[1] else features

    def _tuned(self, x: FloatArray, y: FloatArray) -> Any:
        """The estimator with the settings that predict best, its own among them."""
        from sklearn.base import clone
        from sklearn.model_selection import KFold, RandomizedSearchCV, cross_val_score

        estimator = clone(self.estimator)
        if not self.tuning or not self.draws or len(y) < 2 * _FOLDS:
            return estimator
        folds = KFold(_FOLDS, shuffle=True, random_state=self.seed)
        search = RandomizedSearchCV(
            estimator,
            self.tuning,
            n_iter=self.draws,
            scoring="neg_root_mean_squared_error",
            cv=folds,
            refit=False,
            random_state=self.seed,
        ).fit(x, y)
        own = cross_val_score(estimator, x, y, scoring="neg_root_mean_squared_error", cv=folds).mean()
        return estimator if own >= search.best_score_ else estimator.set_params(**search.best_params_)


def check_targets(targets: FloatArray, n: int) -> FloatArray:
    """Targets in double precision.

    Raises:
        ValueError: if they are not `n` finite numbers, or too few.
    """
    y = np.asarray(targets, dtype=np.float64)
    if y.shape != (n,):
        raise ValueError(f"Expected {n} targets, one for each architecture, but got shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"Expected finite targets, but {int((~np.isfinite(y)).sum())} of {n} are not")
    if n < FEWEST:
        raise ValueError(f"Expected {FEWEST} or more architectures to learn from, but got {n}")
    return y


def chunks(space: Space, architectures: Architectures) -> Iterator[tuple[slice, CellArrays]]:
    """Rows and cells of architectures, so many at a time that their features fit into memory.

    Raises:
        ValueError: if there are none.
    """
    cells, parts = cells_of(space, architectures), len(space.cell_names)
    if not cells.n:
        raise ValueError("Expected one architecture or more, but got none")
    for start in range(0, cells.n // parts, _CHUNK):
        yield slice(start, start + _CHUNK), cells.take(slice(start * parts, (start + _CHUNK) * parts))


def moments(estimator: Any, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`n` means and standard deviations of a fitted regressor at `n x f` features; deviations NaN if it has none."""
    if hasattr(estimator, "pred_dist"):
        params = estimator.pred_dist(x).params
        return np.asarray(params["loc"], dtype=np.float64), np.asarray(params["scale"], dtype=np.float64)
    if hasattr(estimator, "estimators_"):
        each = np.stack([member.predict(x) for member in np.ravel(estimator.estimators_)])
        return each.mean(0), each.std(0)
    if "return_std" in inspect.signature(estimator.predict).parameters:
        mean, deviation = estimator.predict(x, return_std=True)
        return np.asarray(mean, dtype=np.float64), np.asarray(deviation, dtype=np.float64)
    mean = np.asarray(estimator.predict(x), dtype=np.float64)
    return mean, np.full_like(mean, np.nan)
