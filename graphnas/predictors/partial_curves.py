"""Predictors that look at the first epochs of a training."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from graphnas.predictors.protocol import (
    Architectures,
    FloatArray,
    Info,
    Needs,
    Prediction,
    Predictor,
    told,
    unsure,
)
from graphnas.predictors.regression import check_targets


class SumOfTrainingLosses(Predictor):
    """Minus a sum of training losses: all of them, or only the last (Ru et al. 2021, arXiv 2006.04492, SoTL).

    Args:
        last: Whether only the last epoch counts (SoTL-E).
    """

    def __init__(self, *, last: bool = False) -> None:
        self.last = last
        self.needs = Needs(targets=False, curves=("train_loss",))

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Scores, not performances: they only tell architectures apart that were trained equally long."""
        losses = told(architectures, info).curve("train_loss")
        return unsure(-losses[:, -1] if self.last else -losses.sum(1))


class EarlyStopping(Predictor):
    """The last value of a validation curve stands for what a whole training ends with.

    Args:
        curve: `validation_accuracy`, or `validation_loss`, which is negated.
    """

    def __init__(self, curve: str = "validation_accuracy") -> None:
        if curve not in ("validation_accuracy", "validation_loss"):
            raise ValueError(f"Expected curve to be validation_accuracy or validation_loss, but got {curve!r}")
        self.curve = curve
        self.needs = Needs(targets=False, curves=(curve,))

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """The accuracy after the epochs seen, or minus the loss."""
        last = told(architectures, info).curve(self.curve)[:, -1]
        return unsure(-last if self.curve == "validation_loss" else last.copy())


class CurveRegression(Predictor):
    """A support vector regression on partial curves (Baker et al. 2017, arXiv 1705.10823, LcSVR).

    Features are mean and standard deviation of a curve, of its first and of its second differences, as of White et al.
    2021, with the sum of the training losses. Hyperparameters are drawn at random and chosen by cross-validation, of
    100 draws where theirs are 1,000.

    Args:
        curves: The curves that are looked at.
        draws: Settings drawn: `C` and `gamma` log-uniform from 1e-5 to 10, `nu` uniform.
        seed: Of draws and folds.
    """

    def __init__(
        self,
        curves: tuple[str, ...] = ("validation_accuracy", "train_loss"),
        *,
        draws: int = 100,
        seed: int = 0,
    ) -> None:
        self.needs = Needs(curves=curves, fewest_epochs=3)
        self.draws, self.seed = draws, seed
        self._model: Any = None

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit to the first epochs of trainings whose outcome is known, and whose curves are finite."""
        from scipy.stats import loguniform, uniform
        from sklearn.model_selection import KFold, RandomizedSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import NuSVR

        known = told(architectures, info)
        x = self._features(known)
        y = check_targets(targets, len(x))
        whole = np.isfinite(x).all(1)
        x, y = x[whole], check_targets(y[whole], int(whole.sum()))
        self._epochs = {name: known.curve(name).shape[1] for name in self.needs.curves}
        self._centre, self._scale = float(y.mean()), float(y.std()) or 1.0
        y = (y - self._centre) / self._scale
        model = make_pipeline(StandardScaler(), NuSVR())
        if len(y) >= 6:
            search = RandomizedSearchCV(
                model,
                {
                    "nusvr__C": loguniform(1e-5, 10),
                    "nusvr__gamma": loguniform(1e-5, 10),
                    "nusvr__nu": uniform(1e-3, 1 - 1e-3),
                },
                n_iter=self.draws,
                scoring="neg_root_mean_squared_error",
                cv=KFold(3, shuffle=True, random_state=self.seed),
                random_state=self.seed,
            )
            model = search.fit(x, y).best_estimator_
        else:
            model.fit(x, y)
        self._model = model
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Predictions in the units of the targets; NaN of curves that are not finite."""
        if self._model is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        known = told(architectures, info)
        for name, epochs in self._epochs.items():
            if known.curve(name).shape[1] != epochs:
                raise ValueError(f"Expected {name} of {epochs} epochs, but got {known.curve(name).shape[1]}")
        x = self._features(known)
        whole, mean = np.isfinite(x).all(1), np.full(len(x), np.nan)
        if whole.any():
            mean[whole] = self._model.predict(x[whole]) * self._scale + self._centre
        return unsure(mean)

    def _features(self, info: Info) -> FloatArray:
        columns: list[FloatArray] = []
        for name in self.needs.curves:
            curve = info.curve(name)
            for order in range(min(3, curve.shape[1])):
                differences = np.diff(curve, order, axis=1)
                columns += [differences.mean(1), differences.std(1)]
            if name == "train_loss":
                columns.append(curve.sum(1))
        return np.column_stack(columns)
