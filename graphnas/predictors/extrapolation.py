"""Learning curves extrapolated to the last epoch by mixtures of parametric families (LCE and LCE-m)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from graphnas.predictors.curve_families import FAMILIES, SIZES, family_curves
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Needs, Prediction, Predictor, told

_FEWEST = 4  # epochs from which a curve is extrapolated
_STEP = 0.01  # standard deviation of a Metropolis step
_MOST_EVALUATIONS = 100  # of a family, to fit it by least squares
_DEVIATION = 0.02  # of accuracies around a mixture, at first
_STRETCH = 2.0  # scale of the stretch move (Goodman & Weare 2010)


class CurveExtrapolation(Predictor):
    """A weighted mixture of eleven families, sampled by Markov chain Monte Carlo (Domhan et al. 2015, IJCAI).

    The likelihood is normal with a deviation that is sampled too; mixtures count that stay between 0 and 1 at the last
    epoch and, with `monotone`, end no lower than they begin. Two forms:

    - LCE: one chain of Metropolis steps with variance 1e-4, from families of equal weight (White et al. 2021), or where
      that is no such mixture, of weights that fall with their errors;
    - LCE-m, with `walkers`: an ensemble of walkers that move by stretches (Goodman & Weare 2010), as the published
      program does.

    Both begin with each family fitted by least squares. A curve without any such mixture has no prediction.

    Args:
        steps: Metropolis steps, or moves of each walker.
        burn_in: Of these, those that do not count.
        walkers: Size of the ensemble; None for one chain.
        monotone: Whether mixtures must not fall.
        seed: Of the chain.
    """

    needs = Needs(targets=False, curves=("validation_accuracy",), fewest_epochs=_FEWEST)

    def __init__(
        self,
        *,
        steps: int = 300,
        burn_in: int = 100,
        walkers: int | None = None,
        monotone: bool = True,
        seed: int = 0,
    ) -> None:
        if not 0 <= burn_in < steps:
            raise ValueError(f"Expected burn_in to be from 0 to {steps - 1}, but got {burn_in}")
        self.steps, self.burn_in, self.walkers, self.monotone, self.seed = steps, burn_in, walkers, monotone, seed

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Mean and deviation, over the samples, of the accuracy after the last epoch."""
        info = told(architectures, info)
        curves = info.curve("validation_accuracy")
        if curves.shape[1] < _FEWEST:
            raise ValueError(f"Expected curves of {_FEWEST} or more epochs, but got {curves.shape[1]}")
        if (outside := curves[(curves < 0) | (curves > 1)]).size:
            raise ValueError(f"Expected accuracies from 0 to 1, but got {outside[0]:g}")
        if info.epochs is None:
            raise ValueError("Expected info to say how many epochs a whole training has, but epochs is None")
        rng = np.random.default_rng(self.seed)
        if self.walkers is None:
            return self._chain(curves, info.epochs, rng)
        found = [self._ensemble(curve, info.epochs, rng) for curve in curves]
        return Prediction(np.array([mean for mean, _ in found]), np.array([std for _, std in found]))

    def _chain(self, curves: FloatArray, last: int, rng: np.random.Generator) -> Prediction:
        """One chain for each of `n` curves, all at once."""
        n = len(curves)
        fits = [_fitted(curve) for curve in curves]
        parameters, weights = (np.array(part) for part in zip(*fits, strict=True))
        sigma = np.full((n, 1), _DEVIATION)
        place = np.column_stack([parameters, np.full_like(weights, 1 / len(FAMILIES)), sigma])
        density, end = self._density(place, curves, last)
        other = np.isneginf(density)
        place[other] = np.column_stack([parameters, weights, sigma])[other]
        density[other], end[other] = self._density(place[other], curves[other], last)
        total, squares, kept = np.zeros(n), np.zeros(n), np.zeros(n)
        for step in range(self.steps):
            proposed = place + rng.normal(0, _STEP, size=place.shape)
            new, new_end = self._density(proposed, curves, last)
            with np.errstate(invalid="ignore"):  # from one impossible mixture to another
                taken = np.log(rng.random(n)) < new - density
            place[taken], density[taken], end[taken] = proposed[taken], new[taken], new_end[taken]
            if step >= self.burn_in:
                known = np.isfinite(density)
                total[known] += end[known]
                squares[known] += end[known] ** 2
                kept[known] += 1
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / kept
            return Prediction(mean, np.sqrt(np.maximum(squares / kept - mean**2, 0)))

    def _ensemble(self, curve: FloatArray, last: int, rng: np.random.Generator) -> tuple[float, float]:
        """Mean and deviation of one curve's end."""
        assert self.walkers is not None
        start, weights = _fitted(curve)
        middle = np.concatenate([start, weights, [_DEVIATION]])
        curves = np.broadcast_to(curve, (self.walkers, len(curve)))
        place = middle + rng.normal(0, 1e-3, size=(self.walkers, len(middle))) * np.maximum(np.abs(middle), 0.1)
        density, end = self._density(place, curves, last)
        half, ends = self.walkers // 2, []
        for step in range(self.steps):
            for mine, others in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
                size = len(place[mine])
                partner = place[others][rng.integers(len(place[others]), size=size)]
                stretch = ((_STRETCH - 1) * rng.random(size) + 1) ** 2 / _STRETCH
                proposed = partner + stretch[:, None] * (place[mine] - partner)
                new, new_end = self._density(proposed, curves[mine], last)
                with np.errstate(invalid="ignore"):
                    gain = (place.shape[1] - 1) * np.log(stretch) + new - density[mine]
                    taken = np.log(rng.random(size)) < gain
                rows = np.arange(self.walkers)[mine][taken]
                place[rows], density[rows], end[rows] = proposed[taken], new[taken], new_end[taken]
            if step >= self.burn_in:
                ends.append(end[np.isfinite(density)].copy())
        found = np.concatenate(ends)
        return (float(found.mean()), float(found.std())) if found.size else (np.nan, np.nan)

    def _density(self, place: FloatArray, curves: FloatArray, last: int) -> tuple[FloatArray, FloatArray]:
        """Log-densities, up to a constant, of `n` mixtures given `n x e` curves, and what they end with."""
        e, families = curves.shape[1], len(FAMILIES)
        parameters, weights, sigma = place[:, : sum(SIZES)], place[:, sum(SIZES) : -1], place[:, -1]
        epochs = np.append(np.arange(1.0, e + 1), float(last))
        with np.errstate(all="ignore"):
            # A family of no weight may have no curve.
            each = np.where(weights[..., None] > 0, family_curves(parameters, epochs) * weights[..., None], 0.0)
            mixture = each.sum(1) / weights.sum(1, keepdims=True)
            error = ((curves - mixture[:, :-1]) ** 2).sum(1)
            density = -error / (2 * sigma**2) - e * np.log(sigma)
        end = mixture[:, -1]
        legal = (weights >= 0).all(1) & (weights.sum(1) > 0) & (sigma > 0) & np.isfinite(density)
        legal &= (end > 0) & (end < 1) & (weights <= families).all(1)
        if self.monotone:
            legal &= end >= mixture[:, 0]
        return np.where(legal, density, -np.inf), end


def _fitted(curve: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Parameters of each family by least squares, and weights that fall with the error."""
    epochs, parameters, errors = np.arange(1.0, len(curve) + 1), [], []
    for family in FAMILIES.values():

        def residuals(values: FloatArray, form: object = family.curve) -> FloatArray:
            with np.errstate(all="ignore"):
                off = form(epochs, *values) - curve  # type: ignore[operator]
            return np.where(np.isfinite(off), off, 1.0)

        found = least_squares(residuals, family.start, max_nfev=_MOST_EVALUATIONS)
        parameters.append(found.x)
        errors.append(float((residuals(found.x) ** 2).mean()))
    weights = 1 / (np.array(errors) + 1e-6)
    return np.concatenate(parameters), weights / weights.sum()
