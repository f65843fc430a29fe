"""The Gaussian processes of the latent search: outcomes as normal scores, Matern kernels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.exceptions.warnings import BotorchWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.models.multitask import MultiTaskGP
from botorch.utils.sampling import manual_seed
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood, HadamardGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from scipy.stats import norm, rankdata
from torch import Tensor

from graphnas.predictors.matern import MaternProduct
from graphnas.predictors.posterior import Posterior

# Chosen on NAS-Bench-101 and 201 with seeds apart from those reported.
_NOISE = -2.0  # mean of the logarithm of the noise variance, in units of the outcomes' variance


def normal_scores(values: Sequence[float]) -> Tensor:
    """Rank-Gauss transform: the normal quantile of each value's rank, `norm.ppf((rank - 1/2) / n)`.

    Robust to the outliers that failed trainings are; NaN (a failed trial) ties for the worst rank.

    Args:
        values: `n` outcomes, larger is better.

    Returns:
        `n x 1` scores in double precision.
    """
    outcomes = np.asarray(values, dtype=np.float64)
    ranks = rankdata(np.where(np.isnan(outcomes), -np.inf, outcomes))
    return torch.from_numpy(norm.ppf((ranks - 0.5) / len(ranks)))[:, None]


def winsorised_scores(values: Sequence[float]) -> Tensor:
    """Standardised outcomes, none below that of the worst tenth of the finite ones, where NaN (a failed trial) is too.

    Unlike ranks they do not magnify what sets the many good trials of a long search apart, after which a model believes
    that nothing else can be as good.

    Args:
        values: `n` outcomes, larger is better.

    Returns:
        `n x 1` scores in double precision.
    """
    outcomes = np.asarray(values, dtype=np.float64)
    known = np.isfinite(outcomes)
    worst = float(np.quantile(outcomes[known], 0.1)) if known.any() else 0.0
    outcomes = np.where(known, np.maximum(outcomes, worst), worst)
    return torch.from_numpy((outcomes - outcomes.mean()) / max(float(outcomes.std()), 1e-12))[:, None]


def fit_gaussian_process(X: Tensor, Y: Tensor, *, settings: int = 0) -> Model:
    """Fit BoTorch's `SingleTaskGP` with an isotropic Matern-5/2 kernel by MAP.

    The prior of the lengthscale grows with the square root of the dimension (Hvarfner et al. 2024, arXiv
    2402.02229), here for standard normal inputs: its median is the typical distance of two latent points, `sqrt(2d)`.
    The noise has the median 0.14: one training tells little of an architecture, and a process that believes every
    value climbs the luckiest one.

    Where hyperparameters are searched too, the kernel is the product of that of the latent means and one of the
    hyperparameters, Matern-5/2 with a lengthscale for each: how much one of them matters is learnt, and what is known
    of it counts the more, the more alike two architectures are, in the share of it that depends on the architecture
    (`MaternProduct`).

    Args:
        X: `n x d` latent means, about standard normal, then hyperparameters in `[0, 1]`.
        Y: `n x 1` standardised outcomes.
        settings: How many of the `d` columns are hyperparameters.

    Raises:
        ModelFittingError: if no fit succeeds.
    """
    return _fitted(unfitted_gaussian_process(X, Y, settings=settings))


def unfitted_gaussian_process(X: Tensor, Y: Tensor, *, settings: int = 0) -> SingleTaskGP:
    """The process that `fit_gaussian_process` fits, as its priors have it."""
    likelihood = GaussianLikelihood(**_noise())
    covariance = _kernel(X.shape[-1], settings)
    return SingleTaskGP(X, Y, likelihood=likelihood, covar_module=covariance, outcome_transform=None)


def fit_budgets_process(X: Tensor, budgets: Sequence[int], Y: Tensor, *, settings: int = 0) -> Model:
    """Fit one process to outcomes at several budgets; it predicts those at the largest.

    BoTorch's `MultiTaskGP`, an intrinsic model of coregionalisation (Bonilla et al. 2007): the kernel of
    `fit_gaussian_process` times positive correlations of the budgets, with a mean and a noise for each. So what is
    known from a few epochs counts as far as the few epochs turn out to say anything, and that only the better ones
    were trained longer does not mislead.

    Args:
        X: As in `fit_gaussian_process`.
        budgets: `n` budgets, two or more of them different.
        Y: `n x 1` outcomes, standardised budget by budget.
        settings: As in `fit_gaussian_process`.

    Raises:
        ModelFittingError: if no fit succeeds.
    """
    d, order = X.shape[-1], sorted(set(budgets), reverse=True)
    tasks = torch.tensor([[order.index(budget)] for budget in budgets], dtype=X.dtype)
    likelihood = HadamardGaussianLikelihood(len(order), task_feature_index=d, **_noise())
    # Correlations start at random.
    with manual_seed(0):
        model = MultiTaskGP(
            torch.cat([X, tasks], -1),
            Y,
            task_feature=-1,
            likelihood=likelihood,
            covar_module=_kernel(d, settings),
            output_tasks=[0],
            outcome_transform=None,
        )
    return _fitted(model)


def _kernel(d: int, settings: int) -> ScaleKernel:
    if settings:
        latent = range(d - settings)
        # Two random points of a unit cube are about the root of a sixth of its dimensions apart. Many a hyperparameter
        # matters little, so lengthscales are free to grow.
        training = _matern(math.sqrt(settings / 6), 1.0, active_dims=range(d - settings, d), ard_num_dims=settings)
        base: Kernel = MaternProduct(_matern(math.sqrt(2 * len(latent)), 0.7, active_dims=latent), training)
    else:
        base = _matern(math.sqrt(2 * d), 0.7)
    return ScaleKernel(
        base,
        outputscale_prior=LogNormalPrior(0.0, 0.5),
        outputscale_constraint=GreaterThan(1e-3, transform=None, initial_value=1.0),
    )


def _matern(typical: float, spread: float, **which: Any) -> MaternKernel:
    """Of which columns, with a typical lengthscale, and how far its logarithm may be off."""
    return MaternKernel(
        nu=2.5,
        lengthscale_prior=LogNormalPrior(math.log(typical), spread),
        lengthscale_constraint=GreaterThan(1e-2, transform=None, initial_value=typical),
        **which,
    )


def _noise() -> dict[str, Any]:
    """Prior and constraint of a likelihood's noise."""
    prior = LogNormalPrior(_NOISE, 1.0)
    return {
        "noise_prior": prior,
        "noise_constraint": GreaterThan(1e-4, transform=None, initial_value=prior.mode),
    }


def _fitted(model: SingleTaskGP | MultiTaskGP) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)
        warnings.simplefilter("ignore", BotorchWarning)
        # Torch says so once a process when the relations of budgets are first looked up.
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 50}}
        )
    return model


def with_input_noise(model: Model, variance: Tensor) -> Model:
    """The model of inputs that are known up to normal noise: a first-order correction (McHutchon & Rasmussen 2011).

    The noise of an observation grows by the variance that its input's noise causes, squared slope of the mean times
    variance of the input, summed over dimensions. Kernel and mean stay as they were fitted.

    Args:
        model: A fitted `SingleTaskGP` with one outcome.
        variance: `n x d` variances of its inputs.

    Raises:
        TypeError: if it is another model.
    """
    if not isinstance(model, SingleTaskGP):
        raise TypeError(f"Expected predictor to fit a SingleTaskGP where input_noise is on, but got {model!r:.100}")
    points, targets = model.train_inputs[0], model.train_targets
    at = points.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(Posterior(model).mean(at).sum(), at)
    noise = model.likelihood.noise.detach() + (slope.square() * variance).sum(-1)
    corrected = SingleTaskGP(
        points,
        targets[:, None],
        train_Yvar=noise[:, None],
        covar_module=model.covar_module,
        mean_module=model.mean_module,
        outcome_transform=None,
    )
    return corrected.eval()


__all__ = [
    "ModelFittingError",
    "fit_budgets_process",
    "fit_gaussian_process",
    "normal_scores",
    "unfitted_gaussian_process",
    "winsorised_scores",
    "with_input_noise",
]
