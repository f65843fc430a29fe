"""Gaussian processes on encodings as predictors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Self, cast

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.approximate_gp import SingleTaskVariationalGP
from botorch.models.model import Model
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import InducingPointKernel, Kernel, LinearKernel, RBFKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood, VariationalELBO
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.errors import NanError, NotPSDError
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from graphnas.predictors.encodings import Encoding, count
from graphnas.predictors.gaussian_process import ModelFittingError, fit_gaussian_process
from graphnas.predictors.posterior import Posterior
from graphnas.predictors.protocol import Architectures, FloatArray, Info, Prediction, Predictor
from graphnas.predictors.regression import check_targets, chunks
from graphnas.spaces import Space

FitProcess = Callable[[Tensor, Tensor], Model]
"""From `n x d` points and `n x 1` standardised targets to a fitted model."""

_BLOCK = 1_000  # columns of a kernel matrix computed at once
_INDUCING = 10
_STEPS = 200


class ProcessPredictor(Predictor):
    """A Gaussian process on an encoding.

    Of many targets the mean takes in all; hyperparameters, and standard deviations, which are then no smaller than they
    should be, are those of a process that knows some of them.

    Args:
        space: Space of the architectures.
        encode: Gives points whose variances add up to about their number of dimensions.
        fit_process: Fits the model; by default that of the latent search, an isotropic Matern-5/2 kernel by MAP.
        most_fitted: Targets that `fit_process` is given at most.
        seed: Of the choice of these.
    """

    def __init__(
        self,
        space: Space,
        encode: Encoding,
        *,
        fit_process: FitProcess = fit_gaussian_process,
        most_fitted: int = 1_000,
        seed: int = 0,
    ) -> None:
        self.space, self.encode, self.fit_process = space, encode, fit_process
        self.most_fitted, self.seed = most_fitted, seed
        self._posterior: Posterior | None = None
        self._all: tuple[Tensor, Tensor] | None = None

    def fit(self, architectures: Architectures, targets: FloatArray, info: Info | None = None) -> Self:
        """Fit hyperparameters, then condition on all targets.

        Raises:
            ModelFittingError: if there is no fit.
            ValueError: as the base class says.
        """
        del info
        y = check_targets(targets, count(self.space, architectures))
        self._centre, self._scale = float(y.mean()), float(y.std()) or 1.0
        X = torch.from_numpy(self.encode(architectures))
        Y = torch.from_numpy((y - self._centre) / self._scale)
        rows = torch.from_numpy(np.random.default_rng(self.seed).permutation(len(y))[: self.most_fitted])
        try:
            self._posterior = Posterior(self.fit_process(X[rows], Y[rows, None]))
            self._all = None
            model = self._posterior.model
            if len(rows) < len(y) and isinstance(model, SingleTaskGP):
                self._all = X, kernel_weights(model, X, Y)
        except (NotPSDError, NanError) as error:
            raise ModelFittingError(str(error)) from error
        return self

    def predict(self, architectures: Architectures, info: Info | None = None) -> Prediction:
        """Means, and standard deviations of what a training would give, noise included."""
        del info
        if self._posterior is None:
            raise ValueError("Expected a fitted predictor, but fit was not called")
        means, deviations = [], []
        with torch.no_grad():
            model = self._posterior.model
            noise = cast(GaussianLikelihood, model.likelihood).noise
            for _, part in chunks(self.space, architectures):
                Z = torch.from_numpy(self.encode(part))
                mean, deviation = self._posterior.moments(Z)
                if self._all is not None:
                    mean = weighted_mean(cast(SingleTaskGP, model), *self._all, Z)
                means.append(mean.numpy())
                deviations.append((deviation.square() + noise).sqrt().numpy())
        return Prediction(np.concatenate(means) * self._scale + self._centre, np.concatenate(deviations) * self._scale)


def fit_rbf_process(X: Tensor, Y: Tensor) -> Model:
    """An exact process with an RBF kernel, from variance 5 and lengthscale 10, with log-normal priors, by MAP.

    The settings of White et al. 2021 for their Gaussian process, lengthscales in units of points whose distances grow
    with the number of dimensions.
    """
    return _exact(X, Y, _rbf(X.shape[1]))


def fit_sparse_process(X: Tensor, Y: Tensor) -> Model:
    """The same with ten inducing points, a random part of the data, that are fitted too (Titsias 2009)."""
    likelihood = GaussianLikelihood()
    kernel = InducingPointKernel(_rbf(X.shape[1]), inducing_points=X[:_INDUCING].clone(), likelihood=likelihood)
    return _exact(X, Y, kernel, likelihood)


def fit_wl_process(X: Tensor, Y: Tensor) -> Model:
    """An exact process whose covariance is the inner product of features, as in NAS-BOWL (Ru et al. 2021)."""
    d = X.shape[1]
    # In units of points whose squares add up to about their number of dimensions: from far above, the fit may end where
    # all is noise.
    kernel = LinearKernel(variance_prior=LogNormalPrior(-math.log(d), 1.5))
    kernel.variance = 1 / d
    return _exact(X, Y, kernel)


def fit_variational_process(X: Tensor, Y: Tensor) -> Model:
    """A variational process with ten inducing points (Hensman et al. 2015), 200 steps of Adam on all targets."""
    # The first means of the inducing points are drawn at the first call.
    with manual_seed(0):
        return _vary(X, Y)


def _vary(X: Tensor, Y: Tensor) -> Model:
    model = SingleTaskVariationalGP(
        X, Y, likelihood=GaussianLikelihood(), covar_module=_rbf(X.shape[1]), inducing_points=X[:_INDUCING].clone()
    )
    bound = VariationalELBO(model.likelihood, model.model, num_data=len(X))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    model.train()
    for _ in range(_STEPS):
        optimizer.zero_grad()
        (-bound(model(X), Y[:, 0])).backward()
        optimizer.step()
    return model.eval()


def _rbf(d: int) -> Kernel:
    base = RBFKernel(
        lengthscale_prior=LogNormalPrior(math.log(d) / 2, 1.0),
        lengthscale_constraint=GreaterThan(1e-2, transform=None, initial_value=math.sqrt(d)),
    )
    return ScaleKernel(
        base,
        outputscale_prior=LogNormalPrior(0.0, 1.0),
        outputscale_constraint=GreaterThan(1e-3, transform=None, initial_value=5.0),
    )


def _exact(X: Tensor, Y: Tensor, kernel: Kernel, likelihood: GaussianLikelihood | None = None) -> Model:
    model = SingleTaskGP(X, Y, likelihood=likelihood, covar_module=kernel, outcome_transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.simplefilter("ignore", BotorchWarning)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": _STEPS}}
        )
    return model


def kernel_weights(model: SingleTaskGP, X: Tensor, Y: Tensor) -> Tensor:
    """Weights of the points' kernel values in the posterior mean, whichever hyperparameters were fitted to.

    One Cholesky decomposition, in place: 15,000 targets take 2 GB.

    Args:
        model: Gives kernel, noise and mean.
        X: `n x d` points.
        Y: `n` targets.
    """
    with torch.no_grad():
        kernel = np.empty((len(X), len(X)), order="F")
        for start in range(0, len(X), _BLOCK):
            part = slice(start, start + _BLOCK)
            kernel[:, part] = model.covar_module(X, X[part]).to_dense().numpy()
        kernel[np.diag_indices(len(X))] += model.likelihood.noise.item()
        factor = cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False)
        constant = model.mean_module(X[:1]).item()
    return torch.from_numpy(cho_solve(factor, Y.numpy() - constant, check_finite=False))


def weighted_mean(model: SingleTaskGP, X: Tensor, weights: Tensor, Z: Tensor) -> Tensor:
    """`m` posterior means at `m x d` points, by `kernel_weights` of `n x d` others."""
    with torch.no_grad():
        constant = model.mean_module(X[:1]).item()
        means = [
            constant + model.covar_module(Z[start : start + _BLOCK], X).to_dense() @ weights
            for start in range(0, len(Z), _BLOCK)
        ]
    return torch.cat(means)
