"""Acquisition functions: how promising a latent point is under a model of the outcomes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.models.model import Model
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.sampling.pathwise import draw_matheron_paths
from botorch.utils.sampling import manual_seed
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from graphnas.predictors.posterior import Posterior

Acquisition = Callable[[Tensor, float | Tensor], Tensor]
"""From `n x d` points, and a factor of the weight of the uncertainty where there is one, to `n` values."""

ACQUISITIONS = ("ucb", "log-ei", "log-nei", "thompson")
"""Names of the acquisition functions."""

# Chosen on NAS-Bench-101 with seeds apart from those reported.
_KAPPA_FALLS = 25  # the weight of the uncertainty falls with the square root of the observations beyond this number
_DRAWS = 64  # quasi-random draws of the outcomes that noisy expected improvement averages
_CHUNK = 128  # points that it judges at once


def make_acquisition(
    kind: str, posterior: Posterior, known: Tensor, *, observed: int, kappa: float, seed: int
) -> Acquisition:
    """An acquisition function, larger is better, differentiable in the points.

    - `ucb`: `mean + kappa * deviation`, `kappa` falling to at most 1 with the square root of the observations;
    - `log-ei`: logarithm of the expected improvement on the best mean (Ament et al. 2023, arXiv 2310.20708);
    - `log-nei`: logarithm of the expected improvement on the best of the known points, whose true outcomes are
      uncertain too (Letham et al. 2019), by BoTorch's `qLogNoisyExpectedImprovement`;
    - `thompson`: one draw of the function, a sample path by Matheron's rule (Wilson et al. 2020).

    Args:
        kind: One of `ACQUISITIONS`.
        posterior: Of the outcomes, with the points that are being evaluated pending.
        known: `n x d` points observed that meet all constraints, on the best of which is to be improved.
        observed: Number of all points observed.
        kappa: Weight of the standard deviation in `ucb` at first, above 0.
        seed: Of the draws of `log-nei` and `thompson`.

    Raises:
        ValueError: if there is no such function.
    """
    if kind == "ucb":
        weight = uncertainty_weight(kappa, observed)
        return lambda z, factor: posterior.upper_bound(z, weight * factor)
    if kind == "log-ei":
        with torch.no_grad():
            best = posterior.mean(known).max()
        return lambda z, factor: log_expected_improvement(*posterior.moments(z), best)
    if kind == "log-nei":
        return _noisy(posterior.conditioned(), known, seed)
    if kind == "thompson":
        # Proposals in parallel differ because their draws do.
        with manual_seed(seed):
            path = draw_matheron_paths(posterior.model, sample_shape=torch.Size([1]))
        return lambda z, factor: path(z)[0].reshape(len(z))
    raise ValueError(f"Expected an acquisition out of {', '.join(ACQUISITIONS)}, but got {kind!r}")


def uncertainty_weight(kappa: float, observed: int) -> float:
    """Weight of the standard deviation after so many observations: `kappa` at first, at most 1 in the end."""
    return max(min(1.0, kappa), kappa * min(1.0, math.sqrt(_KAPPA_FALLS / observed)))


def log_expected_improvement(mean: Tensor, deviation: Tensor, best: Tensor | float) -> Tensor:
    """Logarithm of the expected improvement of normal outcomes on a value, without underflow (Ament et al. 2023).

    Args:
        mean: `n` means.
        deviation: `n` standard deviations above 0.
        best: The value to improve on.

    Returns:
        `n` values.
    """
    u = (mean - best) / deviation
    near = u > -1.0
    # Both branches are computed at harmless points, because gradients of the one not taken must be finite as well.
    up, down = torch.where(near, u, 0.0), torch.where(near, -2.0, u)
    density = torch.exp(-0.5 * up.square()) / math.sqrt(2 * math.pi)
    direct = torch.log(density + up * torch.special.ndtr(up))
    # log(phi(u) + u Phi(u)) = log phi(u) + log(1 - |u| sqrt(pi / 2) erfcx(|u| / sqrt(2))); far below, the last
    # difference cancels and tends to 1 / u^2.
    far = down < -1e3
    safe = torch.where(far, -2.0, down)
    rest = torch.log1p(safe * math.sqrt(math.pi / 2) * torch.special.erfcx(-safe / math.sqrt(2)))
    tail = -0.5 * down.square() - 0.5 * math.log(2 * math.pi) + torch.where(far, -2 * torch.log(-down), rest)
    return torch.where(near, direct, tail) + torch.log(deviation)


def _noisy(model: Model, known: Tensor, seed: int) -> Acquisition:
    with manual_seed(seed):  # which of the known points may be best is found by draws of BoTorch's own
        improvement = qLogNoisyExpectedImprovement(
            model, known, sampler=SobolQMCNormalSampler(torch.Size([_DRAWS]), seed=seed), prune_baseline=True
        )

    def acquisition(z: Tensor, factor: float | Tensor) -> Tensor:
        del factor
        with warnings.catch_warnings():
            # Points close to known ones need a little jitter.
            warnings.simplefilter("ignore", NumericalWarning)
            return torch.cat([improvement(part[:, None]) for part in torch.split(z, _CHUNK)])

    return acquisition
