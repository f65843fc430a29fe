"""What a model says of single points: means, standard deviations, and bounds made of these."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import torch
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.models.multitask import MultiTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.kernels import Kernel, MaternKernel, ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.means import ConstantMean, MultitaskMean
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from graphnas.predictors.matern import MaternProduct

_CHUNK = 512  # points judged at once: their covariances with a thousand others fit into a processor's cache
_BLOCK = 256  # observations that take part in the variance at once
_JOINT = 256  # likewise by BoTorch, which computes their joint covariance, so that cost grows with its square
_COINCIDENT = 1e-20  # squared distance below which points are the same; the kernel is flat there


class Posterior:
    """Means and standard deviations of the latent function at single points, differentiable in these.

    BoTorch's posterior is that of all points jointly, put together anew at each call; an ascent calls thousands of
    times and wants marginals alone. For the processes of `fit_gaussian_process` they are computed in closed form
    (Rasmussen & Williams 2006, Eqs. 2.25 and 2.26) from one Cholesky factor, several times faster, and so for those of
    `fit_budgets_process` at the largest budget; for any other model by BoTorch.

    Args:
        model: A fitted model with one outcome.
        pending: `m x d` points that count as observed at their predicted mean (Desautels et al. 2014, GP-BUCB): they
            leave the means as they are and take uncertainty away.
    """

    def __init__(self, model: Model, pending: Tensor | None = None) -> None:
        self.model, self.pending = model.eval(), pending
        self._process = _Process.of(model, pending) if _is_closed(model) else None
        self._conditioned: Model | None = None

    def believing(self, points: Tensor) -> Posterior:
        """The posterior to which `m x d` points count as observed as well."""
        return Posterior(self.model, points if self.pending is None else torch.cat([self.pending, points]))

    def conditioned(self) -> Model:
        """BoTorch's model that has the pending points among its observations."""
        if self.pending is None:
            return self.model
        if self._conditioned is None:
            with torch.no_grad():
                # The first call fills the caches that conditioning extends.
                mean = _joint_moments(self.model, self.pending)[0][:, None]
                likelihood = self.model.likelihood
                noise = (
                    {"noise": likelihood.noise.mean().expand_as(mean)}
                    if isinstance(likelihood, FixedNoiseGaussianLikelihood)
                    else {}
                )
                points = self.pending
                if isinstance(self.model, MultiTaskGP):
                    points = torch.cat([points, torch.zeros_like(mean)], -1)
                self._conditioned = self.model.condition_on_observations(points, mean, **noise)
        return self._conditioned

    def mean(self, z: Tensor) -> Tensor:
        """`n` means at `n x d` points."""
        return self.moments(z)[0]

    def moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`n` means and standard deviations at `n x d` points."""
        if self._process is not None:
            parts = [self._process.moments(part) for part in torch.split(z, _CHUNK)]
        else:
            model = self.conditioned()
            parts = [_joint_moments(model, part) for part in torch.split(z, _JOINT)]
        mean, deviation = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean, deviation

    def upper_bound(self, z: Tensor, kappa: float | Tensor) -> Tensor:
        """`mean + kappa * deviation` at `n x d` points, for one `kappa` or `n`; the upper confidence bound."""
        mean, deviation = self.moments(z)
        return mean + kappa * deviation


def _is_closed(model: Any) -> bool:
    """Whether a model is a process with constant means, scaled Matern-5/2 kernels and no transforms."""
    if type(model) not in (SingleTaskGP, MultiTaskGP) or model.num_outputs != 1 or model.train_inputs[0].dim() != 2:
        return False
    kernel, mean = model.covar_module, model.mean_module
    if type(model) is MultiTaskGP:
        # Of other models the last column need not be the budgets, with the largest as the first.
        if model._task_feature != model.num_non_task_features or model._output_tasks != [0]:
            return False
        kernel, mean = kernel.kernels[0], mean.base_means[0] if type(mean) is MultitaskMean else None
    elif kernel.active_dims is not None:
        return False
    return bool(
        type(kernel) is ScaleKernel
        and all(type(factor) is MaternKernel and factor.nu == 2.5 for factor in _factors(kernel.base_kernel))
        and type(mean) is ConstantMean
        and getattr(model, "input_transform", None) is None
        and getattr(model, "outcome_transform", None) is None
    )


def _factors(kernel: Kernel) -> list[Kernel]:
    """The kernels whose product it is; itself if it is none."""
    return [kernel.latent, kernel.settings] if type(kernel) is MaternProduct else [kernel]


def _commons(kernel: Kernel) -> list[Tensor | None]:
    """For each of these, the share of it that is 1 for all points, if any."""
    return [kernel.common.detach(), None] if type(kernel) is MaternProduct else [None]


class _Process(NamedTuple):
    """A process with its observations worked in."""

    factors: list[tuple[Any, Tensor]]
    """Columns and lengthscales of each kernel whose product is the process's."""
    commons: list[Tensor | None]
    """For each of these, the share of it that is 1 for all points, if any."""
    outputscale: Tensor
    constant: Tensor
    scaled: list[Tensor]
    """For each factor, `n + m` points in lengthscales, those that are pending last."""
    share: Tensor
    """`n + m` covariances of their budgets with the largest, in units of its variance; ones if there is one budget."""
    weights: Tensor
    """`n` weights of the kernel's values in the mean."""
    inverse: Tensor
    """Inverse of the lower Cholesky factor of the covariance of all observations."""

    @classmethod
    def of(cls, model: Any, pending: Tensor | None) -> _Process:
        """Of a model that `_is_closed` said yes to."""
        with torch.no_grad():
            kernel, noise = model.covar_module, model.likelihood.noise.detach()
            points, targets = model.train_inputs[0], model.train_targets
            n, m = len(points), 0 if pending is None else len(pending)
            budgets, relation = torch.zeros(n + m, dtype=torch.long), torch.ones(1, 1, dtype=points.dtype)
            if isinstance(model, MultiTaskGP):
                budgets[:n], points = points[:, -1].long(), points[:, :-1]
                kernel, relation = kernel.kernels[0], kernel.kernels[1].covar_matrix.detach()
                constants = torch.stack([mean.constant.detach() for mean in model.mean_module.base_means])
                # Pending points are as noisy as others of the largest budget,
                deviation = noise.flatten()[budgets]
            else:
                constants = model.mean_module.constant.detach().reshape(1)
                # or as noisy as the observations on average.
                deviation = torch.cat([noise.expand(n), noise.mean().expand(m)])
            factors = [
                (slice(None) if factor.active_dims is None else factor.active_dims, factor.lengthscale.detach())
                for factor in _factors(kernel.base_kernel)
            ]
            outputscale = kernel.outputscale.detach()
            scaled = _scaled(points if pending is None else torch.cat([points, pending]), factors)
            commons = _commons(kernel.base_kernel)
            covariance = _matern(scaled, scaled, outputscale, commons) * relation[budgets][:, budgets]
            covariance.diagonal().add_(deviation)
            factor = psd_safe_cholesky(covariance)
            weights = torch.cholesky_solve((targets - constants[budgets[:n]])[:, None], factor[:n, :n])[:, 0]
            identity = torch.eye(n + m, dtype=factor.dtype)
            inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        return cls(factors, commons, outputscale, constants[0], scaled, relation[0, budgets], weights, inverse)

    def moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        cross = _matern(_scaled(z, self.factors), self.scaled, self.outputscale, self.commons).mul_(self.share)
        mean = self.constant + cross[:, : len(self.weights)] @ self.weights
        # The inverse is lower triangular.
        explained = torch.zeros_like(mean)
        for start in range(0, len(self.inverse), _BLOCK):
            rows = self.inverse[start : start + _BLOCK, : start + _BLOCK]
            explained = explained + (cross[:, : rows.shape[1]] @ rows.T).square().sum(-1)
        return mean, (self.outputscale - explained).clamp_min(1e-12).sqrt()


def _scaled(z: Tensor, factors: list[tuple[Any, Tensor]]) -> list[Tensor]:
    """For each factor, points in lengthscales."""
    return [z[:, columns] / lengthscale for columns, lengthscale in factors]


def _matern(x: list[Tensor], y: list[Tensor], outputscale: Tensor, commons: list[Tensor | None]) -> Tensor:
    """`n x m` covariances of points by a product of Matern-5/2 kernels (Rasmussen & Williams 2006, Eq. 4.17).

    Args:
        x: `n` points in lengthscales, for each kernel.
        y: `m` points likewise.
        outputscale: Their variance.
        commons: For each kernel, the share of it that is 1 for all points, if any.
    """
    covariance = outputscale
    for mine, other, common in zip(x, y, commons, strict=True):
        squared = mine.square().sum(-1, keepdim=True) + other.square().sum(-1) - 2 * mine @ other.T
        r = math.sqrt(5) * squared.clamp_min(_COINCIDENT).sqrt()
        if common is not None:
            covariance = (common + (1 - common) * (1 + r).add_(r.square().div_(3)) * torch.exp(-r)) * covariance
            continue
        # In place as far as gradients allow: what takes time here is memory.
        covariance = (1 + r).add_(r.square().div_(3)).mul_(covariance) * torch.exp(-r)
    return covariance


def _joint_moments(model: Model, z: Tensor) -> tuple[Tensor, Tensor]:
    posterior = cast(GPyTorchPosterior, model.posterior(z))
    return posterior.mean.squeeze(-1), posterior.variance.squeeze(-1).clamp_min(1e-12).sqrt()
